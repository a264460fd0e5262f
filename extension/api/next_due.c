/*
 * next_due.c
 *	  When there is something to do, by the tables.
 *
 * A worker asks after each batch.  These are no bodies in SQL: PostgreSQL would plan
 * such a body at each call, which takes longer than the batch's search for its rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/spi_plan.h"
#include "fmgr.h"

#define FIRST_TIMER(which) \
	"(SELECT min(t.due_at) FROM outreach.timer_queue t" \
	" WHERE t.due_at >= $1 AND t.due_at < 'infinity' AND " which "(t.action_payload ? 'call'))"
#define FIRST_MESSAGE(since, which) \
	"(SELECT min(m.due_at) FROM outreach.outbound_queue m WHERE m.due_at >= " since " AND " which ")"
#define FIRST_THAT_IS(status) FIRST_MESSAGE("coalesce($2, $1)", "m.status = '" status "'")

static PoPlan select_tasks = {
	.name = "next_due.tasks",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " FIRST_TIMER("NOT ") ", " FIRST_TIMER("") ","
	" least((SELECT min(p.next_attempt_at) FROM outreach.inbound_queue p"
	" WHERE p.next_attempt_at >= $1 AND p.next_attempt_at < 'infinity'),"
	" (SELECT min(c.suppress_at) FROM outreach.contacts c WHERE c.suppress_at IS NOT NULL))",
	PO_ARGS(TIMESTAMPTZOID)
};

static PoPlan select_sends = {
	.name = "next_due.sends",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " FIRST_MESSAGE("$1", "m.due_at < 'infinity' AND m.status IN ('pending', 'deferred')") ","
	" least(" FIRST_THAT_IS("sending") ", " FIRST_THAT_IS("unknown") ")",
	PO_ARGS(TIMESTAMPTZOID, TIMESTAMPTZOID)
};

PG_FUNCTION_INFO_V1(po_next_tasks);
PG_FUNCTION_INFO_V1(po_next_sends);

/* The times that a statement gives, as a row. */
static Datum
times(FunctionCallInfo fcinfo, PoPlan *plan, int n)
{
	Datum		args[2];
	char		nulls[3] = "";
	Datum		values[3];
	bool		isnull[3];

	for (int i = 0; i < PG_NARGS(); i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	po_spi_connect();
	(void) po_exec(plan, args, nulls);
	for (int i = 0; i < n; i++)
		values[i] = po_column(0, i + 1, &isnull[i]);
	SPI_finish();
	return po_result_row(fcinfo, values, isnull);
}

/*
 * next_tasks(since): when the next timer, the next timer that calls a function, and
 * the next payload are due.
 */
Datum
po_next_tasks(PG_FUNCTION_ARGS)
{
	return times(fcinfo, &select_tasks, 3);
}

/*
 * next_sends(since, settle_since): when the next message is due, and when the next of
 * unknown outcome is to be looked at.
 */
Datum
po_next_sends(PG_FUNCTION_ARGS)
{
	return times(fcinfo, &select_sends, 2);
}
