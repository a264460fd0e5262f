/*
 * retention.c
 *	  How rows leave tables that only take new ones.
 *
 * The trigger of those tables (api/triggers.c) refuses every UPDATE, DELETE and TRUNCATE,
 * whoever asks.  The statements here pass by it: a tenant that is dropped with all it
 * has, events that move into the partition of their month, old ones that came
 * without a partition, and the history of an address that is erased.  What lets them
 * pass is a variable of this file that is set while one of its own statements runs.
 * All need the engine's owner as user; they connect to SPI themselves, and lock what they
 * remove.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "lead/retention.h"
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
	"SELECT e.ctid FROM outreach.events_default e WHERE e.occurred_at < $1 LIMIT $2)) RETURNING d.tenant_id, d.event_id),"
	" details AS (DELETE FROM outreach.event_details d USING gone g WHERE d.tenant_id = g.tenant_id AND d.event_id = g.event_id)"
	" SELECT FROM gone",
	PO_ARGS(TIMESTAMPTZOID, INT4OID)
};

static PoPlan forget_consent = {
	.name = "retention.consent",
	.expect = SPI_OK_SELECT,
	.sql = "WITH gone AS (DELETE FROM outreach.consent_history h WHERE h.tenant_id = $1 AND h.address = $2 RETURNING h.*),"
	" kept AS (INSERT INTO outreach.consent_history (tenant_id, address, event_id, changed_at, act, consent, source, version)"
	" SELECT g.tenant_id, $3, g.event_id, g.changed_at, g.act, g.consent, g.source, g.version FROM gone g WHERE $3 IS NOT NULL)"
	" SELECT FROM gone",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID)
};

/*
 * po_is_removing tells the trigger of a table whether its rows are being removed by one
 * of the statements here, also as those of a partition.
 */
bool
po_is_removing(Relation table)
{
	return OidIsValid(removing_from) &&
		(RelationGetRelid(table) == removing_from ||
		 (table->rd_rel->relispartition &&
		  get_partition_parent(RelationGetRelid(table), true) == removing_from));
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
 * po_remove_tenants_rows removes all rows of a tenant from a table of the engine, and
 * returns how many.
 */
int64
po_remove_tenants_rows(Oid table, const char *tenant_id)
{
	Datum		args[1] = {CStringGetTextDatum(tenant_id)};
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
	return n;
}

static Oid
table_of(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("outreach", false));
}

/*
 * po_move_events_of moves up to so many events of these times, for which there is a
 * partition, into it, and returns how many.
 */
int
po_move_events_of(TimestampTz from, TimestampTz until, int most)
{
	Datum		args[3] = {TimestampTzGetDatum(from), TimestampTzGetDatum(until), Int32GetDatum(most)};

	return removing(table_of("events_default"), &move_events, args, NULL);
}

/*
 * po_remove_events_before removes up to so many events from before a time that are in no
 * partition, with their details, and returns how many.
 */
int
po_remove_events_before(TimestampTz before, int most)
{
	Datum		args[2] = {TimestampTzGetDatum(before), Int32GetDatum(most)};

	po_spi_connect();
	(void) po_exec(&fold_old, args, NULL);
	SPI_finish();
	return removing(table_of("events_default"), &remove_old, args, NULL);
}

/*
 * po_forget_consent_of removes the history of an address that is erased, and returns how
 * many rows it had.  Under a digest it stays, without reasons and who decided; NULL: it
 * does not.
 */
int
po_forget_consent_of(const char *tenant_id, const char *address, const char *digest)
{
	Datum		args[3] = {
		CStringGetTextDatum(tenant_id), CStringGetTextDatum(address),
		digest != NULL ? CStringGetTextDatum(digest) : (Datum) 0
	};

	return removing(table_of("consent_history"), &forget_consent, args, digest == NULL ? "  n" : NULL);
}
