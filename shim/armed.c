/*
 * armed.c
 *	  Whether the database works by itself, as the connections' checks find it.
 *
 * One that was restored or copied takes webhooks and waits with all else until
 * somebody arms it: whoever runs it is to see that.  All connections lead to one
 * database, so the last answer counts.
 */
#include "postgres_fe.h"

#include "armed.h"
#include "log.h"

/* Asked only where the functions are there. */
const char	po_armed_sql[] = "SELECT outreach.is_armed()";

static PoArmed armed = PO_ARMED_UNKNOWN;

/* Take what the database says, and log it when it has changed to or from bad. */
void
po_armed_read(const PGresult *result)
{
	PoArmed		before = armed;

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		armed = PO_ARMED_UNKNOWN;
	else
		armed = strcmp(PQgetvalue(result, 0, 0), "t") == 0 ? PO_ARMED_YES : PO_ARMED_NO;
	if (armed == PO_ARMED_NO && before != PO_ARMED_NO)
		po_log(PO_LOG_WARNING, "database", "not armed: nothing is done in the background until SELECT outreach.arm()");
	else if (armed == PO_ARMED_YES && before == PO_ARMED_NO)
		po_log(PO_LOG_INFO, "database", "armed");
}

/* What it said last. */
PoArmed
po_armed(void)
{
	return armed;
}
