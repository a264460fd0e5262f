/*
 * triggers.c
 *	  The triggers that many tables have: what their rows may be, and who is told when
 *	  they change.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/limits.h"
#include "core/trigger.h"
#include "core/wakeup.h"
#include "fmgr.h"
#include "lead/retention.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(po_config_changed);
PG_FUNCTION_INFO_V1(po_rows_to_do);
PG_FUNCTION_INFO_V1(po_protect_shipped);
PG_FUNCTION_INFO_V1(po_within_limits);
PG_FUNCTION_INFO_V1(po_refuse_change);

/*
 * po_config_changed is the statement trigger of the configuration tables, and the
 * row trigger of tenants, whose own statements may change nothing: what backends
 * remember of them (core/cache.c) is stale with the commit.
 */
Datum
po_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_trigger_is(fcinfo, PO_TRIGGER_AFTER_ROW, "tenants")
		? (TriggerData *) fcinfo->context
		: po_trigger(fcinfo, "config_changed", PO_TRIGGER_AFTER_STATEMENT, NULL);

	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * po_rows_to_do is the statement trigger of the tables that workers take their
 * work from.  The engine, the owner, wakes them for exactly what it writes; of
 * what an administrator writes nothing is known.
 */
Datum
po_rows_to_do(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_trigger(fcinfo, "rows_to_do", PO_TRIGGER_AFTER_STATEMENT, NULL);

	if (trigger->tg_relation->rd_rel->relowner != GetUserId())
		po_wake_at(DT_NOBEGIN);
	return PointerGetDatum(NULL);
}

static void
refuse_shipped(Relation relation)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_SHIPPED_ROW),
			 errmsg("rows of tenant \"*\" in \"%s\" cannot be changed",
					RelationGetRelationName(relation)),
			 errdetail("They are the extension's defaults, and an upgrade replaces them."),
			 errhint("Insert a row of the tenant's own: it comes before the default.")));
}

/*
 * po_protect_shipped is the trigger, for each row and for TRUNCATE, of tables
 * whose tenant '*' holds the shipped defaults: those rows are the extension's,
 * which is why a dump leaves them out.
 */
Datum
po_protect_shipped(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	HeapTuple	tuples[2];
	int			column;

	if (po_trigger_is(fcinfo, PO_TRIGGER_BEFORE_TRUNCATE, NULL))
	{
		trigger = (TriggerData *) fcinfo->context;
		if (!creating_extension)
			refuse_shipped(trigger->tg_relation);
		return PointerGetDatum(NULL);
	}
	trigger = po_trigger(fcinfo, "protect_shipped", PO_TRIGGER_BEFORE_ROW, NULL);
	column = po_trigger_column(trigger, "tenant_id", TEXTOID);
	tuples[0] = trigger->tg_trigtuple;
	tuples[1] = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : NULL;
	for (int i = 0; i < 2 && tuples[i] != NULL && !creating_extension; i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuples[i], column,
										 trigger->tg_relation->rd_att, &isnull);

		if (!isnull && strcmp(TextDatumGetCString(value), "*") == 0)
			refuse_shipped(trigger->tg_relation);
	}
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)
						   ? trigger->tg_newtuple : trigger->tg_trigtuple);
}

/*
 * within_limits(): BEFORE INSERT OR UPDATE trigger of every table, for each row.
 */
Datum
po_within_limits(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_trigger(fcinfo, "within_limits", PO_TRIGGER_BEFORE_ROW, NULL);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		po_trigger_misused("within_limits");
	po_limit_row(trigger->tg_relation, row);
	return PointerGetDatum(row);
}

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
	if (po_trigger_is(fcinfo, PO_TRIGGER_BEFORE_ROW, NULL) && TRIGGER_FIRED_BY_DELETE(trigger->tg_event) &&
		po_is_removing(trigger->tg_relation))
		return PointerGetDatum(trigger->tg_trigtuple);
	ereport(ERROR,
			(errcode(PO_ERRCODE_APPEND_ONLY),
			 errmsg("\"%s\" is append-only", RelationGetRelationName(trigger->tg_relation)),
			 errdetail("%s is refused to everyone.", event_name(trigger->tg_event)),
			 errhint("Write a new row; retention drops whole partitions.")));
}
