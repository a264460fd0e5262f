/*
 * removal_api.c
 *	  The SQL functions by which rows leave tables that only take new ones, and the
 *	  trigger that knows addresses that were erased.
 *
 * In place of an address that was erased after it had opted out the registry has a digest
 * (delete_lead, 14_leads.sql).  Whoever comes with such an address has opted out,
 * whichever statement makes its row.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/key_probe.h"
#include "core/spi_plan.h"
#include "core/trigger.h"
#include "lead/retention.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#define DIGEST_PREFIX "sha256:"

static PoPlan select_erased = {
	.name = "erased.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT consent, consent_at FROM outreach.addresses WHERE tenant_id = $1 AND address = $2",
	PO_ARGS(TEXTOID, TEXTOID)
};

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
	" RETURNING 1) SELECT FROM gone",
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

PG_FUNCTION_INFO_V1(po_remove_rows);
PG_FUNCTION_INFO_V1(po_move_events);
PG_FUNCTION_INFO_V1(po_remove_old_events);
PG_FUNCTION_INFO_V1(po_forget_consent);
PG_FUNCTION_INFO_V1(po_address_digest);
PG_FUNCTION_INFO_V1(po_address_erased);

static Oid
table_of(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("outreach", false));
}

/*
 * remove_rows(of_table, of_tenant): all rows of a tenant, of a table of the engine.
 */
Datum
po_remove_rows(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	Datum		args[1] = {PG_GETARG_DATUM(1)};
	PoPlan		plan = {.name = "retention.tenant", .expect = SPI_OK_DELETE, PO_ARGS(TEXTOID)};
	uint64		n;

	if (get_rel_namespace(table) != get_namespace_oid("outreach", false))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("not a table of the engine")));
	plan.sql = psprintf("DELETE FROM outreach.%s WHERE tenant_id OPERATOR(pg_catalog.=) $1",
						quote_identifier(get_rel_name(table)));
	n = po_remove(table, &plan, args, NULL);
	/* It was kept for this call alone. */
	SPI_freeplan(plan.plan);
	PG_RETURN_INT64(n);
}

/*
 * move_events(from_time, until_time, most): events of these times, for which there
 * is a partition, into it.
 */
Datum
po_move_events(PG_FUNCTION_ARGS)
{
	Datum		args[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};

	PG_RETURN_INT32((int32) po_remove(table_of("events_default"), &move_events, args, NULL));
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
	PG_RETURN_INT32((int32) po_remove(table_of("events_default"), &remove_old, args, NULL));
}

/*
 * forget_consent(tenant_id, address, digest): the history of an address that is erased.
 * Under a digest it stays, without reasons and who decided; null: it does not.
 */
Datum
po_forget_consent(PG_FUNCTION_ARGS)
{
	Datum		args[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2)};

	PG_RETURN_INT32((int32) po_remove(table_of("consent_history"), &forget_consent, args,
									  PG_ARGISNULL(2) ? "  n" : NULL));
}

static char *
digest_of(const char *tenant_id, const char *address)
{
	char	   *named = psprintf("%s %s", tenant_id, address);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;
	char	   *text;

	if (EVP_Digest(named, strlen(named), digest, &len, EVP_sha256(), NULL) != 1)
		elog(ERROR, "could not compute a digest");
	text = palloc(strlen(DIGEST_PREFIX) + 2 * len + 1);
	strcpy(text, DIGEST_PREFIX);
	(void) hex_encode((const char *) digest, len, text + strlen(DIGEST_PREFIX));
	text[strlen(DIGEST_PREFIX) + 2 * len] = '\0';
	return text;
}

/*
 * address_digest(tenant_id, address): what stands in the registry for an address that was
 * erased.
 */
Datum
po_address_digest(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, digest_of(po_arg_id(fcinfo, 0, "tenant_id"), po_arg_required(fcinfo, 1, "address")));
}

/*
 * po_address_erased is the trigger of addresses, before and after a row is inserted.  An
 * insertion waits, behind the first, for who erases the row under its key, and then goes
 * on with what was read before; and an old snapshot does not show the digest.  The second
 * looks at what is there now, and refuses the row.
 */
Datum
po_address_erased(PG_FUNCTION_ARGS)
{
	bool		before = po_trigger_is(fcinfo, PO_TRIGGER_BEFORE_ROW, "addresses");
	TriggerData *trigger = po_trigger(fcinfo, "address_erased",
									  before ? PO_TRIGGER_BEFORE_ROW : PO_TRIGGER_AFTER_ROW, "addresses");
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	HeapTuple	row = trigger->tg_trigtuple;
	const char *key[2];
	Datum		args[2];
	int			column[3];
	Datum		value[3];
	bool		isnull[3] = {false};

	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		po_trigger_misused("address_erased");
	/* A restore, which has row security off, brings what there was. */
	if (!row_security)
		return PointerGetDatum(row);
	/* What cannot be a row is refused elsewhere. */
	if (heap_attisnull(row, po_trigger_column(trigger, "tenant_id", TEXTOID), desc) ||
		heap_attisnull(row, po_trigger_column(trigger, "address", TEXTOID), desc))
		return PointerGetDatum(row);
	key[0] = po_trigger_text(trigger, row, "tenant_id");
	key[1] = digest_of(key[0], po_trigger_text(trigger, row, "address"));
	if (po_probe_key("addresses_pkey", key, lengthof(key)) == PO_KEY_FREE)
		return PointerGetDatum(row);
	if (!before)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent erasure of an address"),
				 errhint("Try the transaction again.")));
	args[0] = CStringGetTextDatum(key[0]);
	args[1] = CStringGetTextDatum(key[1]);
	po_spi_connect();
	if (po_exec(&select_erased, args, NULL) > 0)
	{
		value[0] = po_column(0, 1, &isnull[0]);
		value[1] = po_column(0, 2, &isnull[1]);
		value[2] = CStringGetTextDatum("erased");
		column[0] = SPI_fnumber(desc, "consent");
		column[1] = po_trigger_column(trigger, "consent_at", TIMESTAMPTZOID);
		column[2] = po_trigger_column(trigger, "consent_source", TEXTOID);
		row = heap_modify_tuple_by_cols(row, desc, 3, column, value, isnull);
	}
	SPI_finish();
	return PointerGetDatum(row);
}
