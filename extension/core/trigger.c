/*
 * trigger.c
 *	  Triggers in C: whether they are called as they were made to be.
 *
 * Anybody who may execute a trigger function, here the owner and superusers, can
 * hang it on any table, at any moment.  BEFORE triggers see rows before NOT NULL
 * has been checked.  So nothing of a call is taken for granted.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "core/compat.h"
#include "core/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"

/*
 * po_trigger_is tells whether the function is called as such a trigger, on that
 * table of the engine, or, with NULL, on any of the engine's.
 */
bool
po_trigger_is(FunctionCallInfo fcinfo, PoTriggerUse use, const char *table)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		return false;
	event = trigger->tg_event;
	if (RelationGetNamespace(trigger->tg_relation) != get_namespace_oid("outreach", true) ||
		(table != NULL && strcmp(RelationGetRelationName(trigger->tg_relation), table) != 0))
		return false;
	switch (use)
	{
		case PO_TRIGGER_BEFORE_ROW:
			return TRIGGER_FIRED_BEFORE(event) && TRIGGER_FIRED_FOR_ROW(event);
		case PO_TRIGGER_AFTER_ROW:
			return TRIGGER_FIRED_AFTER(event) && TRIGGER_FIRED_FOR_ROW(event);
		case PO_TRIGGER_AFTER_STATEMENT:
			return TRIGGER_FIRED_AFTER(event) && TRIGGER_FIRED_FOR_STATEMENT(event);
		case PO_TRIGGER_BEFORE_TRUNCATE:
			return TRIGGER_FIRED_BEFORE(event) && TRIGGER_FIRED_BY_TRUNCATE(event);
	}
	return false;
}

/*
 * po_trigger_misused raises the error of a trigger that is called otherwise.
 */
void
po_trigger_misused(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" is called as a trigger that it was not made for", name),
			 errdetail("It belongs to tables of the extension, as the extension has it."),
			 errhint("Drop that trigger.")));
}

/*
 * po_trigger returns the call's data, and raises an error unless the call is
 * such a one.
 */
TriggerData *
po_trigger(FunctionCallInfo fcinfo, const char *name, PoTriggerUse use, const char *table)
{
	if (!po_trigger_is(fcinfo, use, table))
		po_trigger_misused(name);
	return (TriggerData *) fcinfo->context;
}

/*
 * po_trigger_column returns a column's number; an error where the table has
 * none of that name and type.
 */
int
po_trigger_column(TriggerData *trigger, const char *column, Oid type)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, column);

	if (number <= 0 || SPI_gettypeid(desc, number) != type)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("table \"%s\" has no column \"%s\" as the extension made it",
						RelationGetRelationName(trigger->tg_relation), column)));
	return number;
}

/*
 * po_trigger_text returns a column of a row as text, palloc'd; an error for
 * null, and where the table has no such column.
 */
char *
po_trigger_text(TriggerData *trigger, HeapTuple row, const char *column)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, column);
	char	   *value = number > 0 ? SPI_getvalue(row, desc, number) : NULL;

	if (number <= 0)
		(void) po_trigger_column(trigger, column, InvalidOid);
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"%s\" of relation \"%s\"", column,
						RelationGetRelationName(trigger->tg_relation)),
				 errtablecol(trigger->tg_relation, number)));
	return value;
}
