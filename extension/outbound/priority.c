/*
 * priority.c
 *	  The priorities of messages, by name and number.
 */
#include "postgres.h"

#include "core/compat.h"
#include "lib/stringinfo.h"
#include "outbound/priority.h"

static const struct
{
	PoPriority	number;
	const char *name;
}			priority[PO_NPRIORITIES] = {
#define X(name, number, label, description) {number, label},
	PO_PRIORITIES(X)
#undef X
};

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
