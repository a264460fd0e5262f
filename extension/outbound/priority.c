/*
 * priority.c
 *	  The priorities of messages, by name and number.
 */
#include "postgres.h"

#include "core/compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "outbound/priority.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

static const struct
{
	PoPriority	number;
	const char *name;
	const char *description;
}			priority[PO_NPRIORITIES] = {
#define X(name, number, label, description) {number, label, description},
	PO_PRIORITIES(X)
#undef X
};

PG_FUNCTION_INFO_V1(po_priorities);
PG_FUNCTION_INFO_V1(po_is_priority);

/*
 * po_priority returns the one at a place in the order, from 0 on.
 */
PoPriority
po_priority(int place)
{
	Assert(place >= 0 && place < PO_NPRIORITIES);
	return priority[place].number;
}

/*
 * po_priority_require returns a priority by its name; the path is for the error.
 */
PoPriority
po_priority_require(const char *path, const char *name)
{
	StringInfoData known;

	for (int i = 0; i < PO_NPRIORITIES; i++)
		if (strcmp(name, priority[i].name) == 0)
			return priority[i].number;
	initStringInfo(&known);
	for (int i = 0; i < PO_NPRIORITIES; i++)
		appendStringInfo(&known, "%s%s", i == 0 ? "" : i < PO_NPRIORITIES - 1 ? ", " : " or ", priority[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be %s", path, known.data)));
}

/*
 * priorities(): a row for each.
 */
Datum
po_priorities(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < PO_NPRIORITIES; i++)
	{
		bool		isnull[3] = {false};
		Datum		values[3] = {
			CStringGetTextDatum(priority[i].name),
			Int16GetDatum(priority[i].number),
			CStringGetTextDatum(priority[i].description)
		};

		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}

/*
 * is_priority(number): whether there is one.
 */
Datum
po_is_priority(PG_FUNCTION_ARGS)
{
	for (int i = 0; i < PO_NPRIORITIES; i++)
		if (PG_GETARG_INT16(0) == (int) priority[i].number)
			PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(false);
}
