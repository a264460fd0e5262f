/*
 * retention.c
 *	  How rows leave tables that only take new ones.
 *
 * The trigger of those tables refuses every UPDATE, DELETE and TRUNCATE, whoever
 * asks.  The statements here pass by it: a tenant that is dropped with all it
 * has, events that move into the partition of their month, old ones that came
 * without a partition, and the history of an address that is erased.  What lets them
 * pass is a variable of this file that is set while one of its own statements runs.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi_plan.h"
#include "core/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* The table that rows are being removed from, and none other. */
static Oid	removing_from = InvalidOid;

static PoPlan move_events = {
	.name = "retention.move",
	.expect = SPI_OK_INSERT,
	.sql = "WITH moved AS (DELETE FROM outreach.events_default d WHERE d.ctid = ANY (ARRAY("
	"SELECT e.ctid FROM outreach.events_default e WHERE e.occurred_at >= $1 AND e.occurred_at < $2 LIMIT $3))"
	" RETURNING d.*) INSERT INTO outreach.events SELECT * FROM moved",
	PO_ARGS(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

/* What the events lead to is kept, of all that are old: it counts for those that stay, too. */
static PoPlan fold_old = {
	.name = "retention.fold",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach_impl.fold_events('outreach.events_default', $1)",
	PO_ARGS(TIMESTAMPTZOID)
};

static PoPlan remove_old = {
	.name = "retention.old",
	.expect = SPI_OK_SELECT,
	.sql = "WITH gone AS (DELETE FROM outreach.events_default d WHERE d.ctid = ANY (ARRAY("
	"SELECT e.ctid FROM outreach.events_default e WHERE e.occurred_at < $1 LIMIT $2))"
	" RETURNING d.tenant_id, d.event_id),"
	" details AS (DELETE FROM outreach.event_details d USING gone g WHERE d.tenant_id = g.tenant_id"
	" AND d.event_id = g.event_id)"
	" SELECT FROM gone",
	PO_ARGS(TIMESTAMPTZOID, INT4OID)
};

static PoPlan forget_consent = {
	.name = "retention.consent",
	.expect = SPI_OK_SELECT,
	.sql = "WITH gone AS (DELETE FROM outreach.consent_history h WHERE h.tenant_id = $1 AND h.address = $2"
	" RETURNING h.*),"
	" kept AS (INSERT INTO outreach.consent_history (tenant_id, address, event_id, changed_at, act, consent, source,"
	" version)"
	" SELECT g.tenant_id, $3, g.event_id, g.changed_at, g.act, g.consent, g.source, g.version FROM gone g"
	" WHERE $3 IS NOT NULL)"
	" SELECT FROM gone",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID)
};

PG_FUNCTION_INFO_V1(po_refuse_change);
PG_FUNCTION_INFO_V1(po_remove_rows);
PG_FUNCTION_INFO_V1(po_move_events);
PG_FUNCTION_INFO_V1(po_remove_old_events);
PG_FUNCTION_INFO_V1(po_forget_consent);
PG_FUNCTION_INFO_V1(po_is_own_transaction);

static const char *
event_name(TriggerEvent event)
{
	return TRIGGER_FIRED_BY_INSERT(event) ? "INSERT" : TRIGGER_FIRED_BY_UPDATE(event) ? "UPDATE"
		: TRIGGER_FIRED_BY_DELETE(event) ? "DELETE" : "TRUNCATE";
}

/*
 * refuse_change(): trigger of append-only tables, for each row that is changed
 * or deleted, and for TRUNCATE.
 */
Datum
po_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		po_trigger_misused("refuse_change");
	if (OidIsValid(removing_from) && po_trigger_is(fcinfo, PO_TRIGGER_BEFORE_ROW, NULL) &&
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		Relation	relation = trigger->tg_relation;

		if (RelationGetRelid(relation) == removing_from ||
			(relation->rd_rel->relispartition &&
			 get_partition_parent(RelationGetRelid(relation), true) == removing_from))
			return PointerGetDatum(trigger->tg_trigtuple);
	}
	ereport(ERROR,
			(errcode(PO_ERRCODE_APPEND_ONLY),
			 errmsg("\"%s\" is append-only", RelationGetRelationName(trigger->tg_relation)),
			 errdetail("%s is refused to everyone.", event_name(trigger->tg_event)),
			 errhint("Write a new row; retention drops whole partitions.")));
}

/* Runs a statement that removes rows of one table; returns how many. */
static uint64
removing(Oid table, PoPlan *plan, Datum *args, const char *nulls)
{
	Oid			before = removing_from;
	volatile uint64 n = 0;

	po_spi_connect();
	PG_TRY();
	{
		removing_from = table;
		n = po_exec(plan, args, nulls);
	}
	PG_FINALLY();
	{
		removing_from = before;
	}
	PG_END_TRY();
	SPI_finish();
	return n;
}

/*
 * remove_rows(of_table, of_tenant): all rows of a tenant, of a table of the engine.
 */
Datum
po_remove_rows(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	Datum		args[1] = {PG_GETARG_DATUM(1)};
	PoPlan		plan = {.name = "retention.tenant",.expect = SPI_OK_DELETE,PO_ARGS(TEXTOID)};
	uint64		n;

	if (get_rel_namespace(table) != get_namespace_oid("outreach", false))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("not a table of the engine")));
	plan.sql = psprintf("DELETE FROM outreach.%s WHERE tenant_id OPERATOR(pg_catalog.=) $1",
						quote_identifier(get_rel_name(table)));
	n = removing(table, &plan, args, NULL);
	/* It was kept for this call alone. */
	SPI_freeplan(plan.plan);
	PG_RETURN_INT64(n);
}

static Oid
events_default(void)
{
	return get_relname_relid("events_default", get_namespace_oid("outreach", false));
}

/*
 * move_events(from_time, until_time, most): events of these times, for which there
 * is a partition, into it.
 */
Datum
po_move_events(PG_FUNCTION_ARGS)
{
	Datum		args[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};

	PG_RETURN_INT32((int32) removing(events_default(), &move_events, args, NULL));
}

/*
 * remove_old_events(before, most): events from before a time that are in no
 * partition, with their details.
 */
Datum
po_remove_old_events(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};

	po_spi_connect();
	(void) po_exec(&fold_old, args, NULL);
	SPI_finish();
	PG_RETURN_INT32((int32) removing(events_default(), &remove_old, args, NULL));
}

/*
 * forget_consent(tenant_id, address, digest): the history of an address that is erased.
 * Under a digest it stays, without reasons and who decided; null: it does not.
 */
Datum
po_forget_consent(PG_FUNCTION_ARGS)
{
	Oid			table = get_relname_relid("consent_history", get_namespace_oid("outreach", false));
	Datum		args[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2)};

	PG_RETURN_INT32((int32) removing(table, &forget_consent, args, PG_ARGISNULL(2) ? "  n" : NULL));
}

/*
 * is_own_transaction(): whether locks that the call takes end with its statement.  To
 * be asked before a block that handles errors.
 */
Datum
po_is_own_transaction(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!IsTransactionBlock());
}
