/*
 * functions.c
 *	  The worker of a database that calls what timers call.
 *
 * The functions are somebody else's: they may hang, fail in every way, and leave
 * things behind.  So they have a process of their own, one timer at a time, and
 * the worker that fires other timers, sends and records never waits for them.  It
 * is started for what that one has read, and only while there is something to call.
 *
 * The process is outreach_worker, its functions run as outreach_functions.  After
 * each call it lets go of advisory locks, and ends where a setting was left behind;
 * it ends anyhow after many calls, for what cannot be seen.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/budget.h"
#include "core/compat.h"
#include "core/shared.h"
#include "core/spi_plan.h"
#include "engine/firing.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/lock.h"
#include "utils/timestamp.h"
#include "worker/activity.h"
#include "worker/launcher.h"
#include "worker/session.h"

#define CALLS_A_TURN	50
#define MOST_CALLS		10000	/* of one process */
#define LINGER_MS		5000	/* stay that long with nothing to do */
#define TURN_MS			500		/* leave after that where others wait, */
#define IDLE_TURN_MS	100		/* or that, where all that is due is held */
#define BUSY_WAIT_MS	20		/* what is due is held by somebody else */
#define LOOK_WAIT_MS	2		/* and there is more behind it */
#define LONGEST_WAIT_MS	1000	/* so that a jump of the clock hurts no longer */

static PoPlan take_call = {
	.name = "functions.take",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.take_call($1)",
	PO_ARGS(TIMESTAMPTZOID)
};

static PoPlan run_call = {
	.name = "functions.run",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.run_call()"
};

static PoPlan return_call = {
	.name = "functions.return",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.return_call()"
};

static PoPlan next_call = {
	.name = "functions.next",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.arming_problem() IS NULL, t.calls_due FROM outreach.next_tasks($1) t",
	PO_ARGS(TIMESTAMPTZOID)
};

static int	do_calls(PoActivity *self, TimestampTz since);
static int	do_next(PoActivity *self, TimestampTz since);

static PoActivity calls = {.name = "calling functions of timers", .run = do_calls, .budget_ms = 5000};
static PoActivity look = {.name = "looking for what is next", .run = do_next, .budget_ms = 5000};

static bool armed = false;
static TimestampTz calls_due = DT_NOEND;
static bool dirty = false;		/* a call has left something behind */
static int	made = 0;

static bool
take(PoActivity *self, TimestampTz since)
{
	Datum		args[1] = {TimestampTzGetDatum(since)};
	bool		result;

	po_budget_begin(self->budget_ms);
	po_activity_begin(self->name);
	(void) po_exec(&take_call, args, NULL);
	result = po_column_bool(0, 1);
	po_activity_finish();
	return result;
}

/* Fires the timer that was taken, and lets go of what a function may have kept. */
static void
run(PoActivity *self)
{
	bool		isnull;
	int64		late;

	po_activity_begin(self->name);
	(void) po_exec(&run_call, NULL, NULL);
	late = DatumGetInt64(po_column(0, 1, &isnull));
	if (!isnull)
		po_shared_count(po_worker_slot, 1, 0, 0, &late, 1);
	po_activity_finish();
	LockReleaseSession(USER_LOCKMETHOD);
	dirty = ++made >= MOST_CALLS || !po_session_is_clean();
}

/* Calls what is due, each in transactions of its own. */
static int
do_calls(PoActivity *self, TimestampTz since)
{
	int			n = 0;

	while (n < CALLS_A_TURN && !dirty && !ShutdownRequestPending && take(self, since))
	{
		run(self);
		n++;
		/* Another database's calls wait for this process. */
		if (po_shared_others_wait(PO_WORKER_FUNCTIONS))
			break;
	}
	return n;
}

static int
do_next(PoActivity *self, TimestampTz since)
{
	Datum		args[1] = {TimestampTzGetDatum(since)};
	bool		isnull;
	Datum		due;

	po_activity_begin(self->name);
	(void) po_exec(&next_call, args, NULL);
	armed = po_column_bool(0, 1);
	due = po_column(0, 2, &isnull);
	calls_due = isnull ? DT_NOEND : DatumGetTimestampTz(due);
	po_activity_finish();
	return 1;
}

/* A function that was ended with the process had no attempt. */
static void
give_back(void)
{
	po_budget_end();
	QueryCancelPending = false;
	po_activity_begin(calls.name);
	(void) po_exec(&return_call, NULL, NULL);
	po_activity_finish();
}

/* The loop; returns when there is nothing to do here, or others wait. */
static void
work(void)
{
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz idle_since = began;

	while (po_worker_check())
	{
		TimestampTz known = po_shared_forget_due(po_worker_slot, PO_WORKER_FUNCTIONS);
		TimestampTz due;
		TimestampTz action;
		TimestampTz now;
		int			done;

		if (!armed)
			(void) po_activity_run(&look, known);
		done = armed ? po_activity_run(&calls, known) : 0;
		if (ShutdownRequestPending)
		{
			/* What has been forgotten must be known to the next one. */
			(void) po_shared_lower_due(po_worker_slot, PO_WORKER_FUNCTIONS, known);
			break;
		}
		if (po_activity_run(&look, known) > 0)
		{
			if (!armed)
				return;
			due = po_shared_lower_due(po_worker_slot, PO_WORKER_FUNCTIONS, calls_due);
			action = po_activity_due(&calls, due);
		}
		else
		{
			/* What has been forgotten must be known again. */
			due = po_shared_lower_due(po_worker_slot, PO_WORKER_FUNCTIONS, known);
			action = po_activity_due(&look, DT_NOBEGIN);
		}
		pgstat_report_stat(false);
		if (dirty)
			return;

		now = GetCurrentTimestamp();
		/* The clock may have been set back. */
		began = Min(began, now);
		idle_since = done > 0 ? now : Min(idle_since, now);
		if (po_shared_others_wait(PO_WORKER_FUNCTIONS) &&
			(action > now || now > began + (done > 0 ? TURN_MS : IDLE_TURN_MS) * (int64) 1000))
		{
			if (action > now && due <= now)
				po_shared_rest(po_worker_slot, PO_WORKER_FUNCTIONS, action);
			return;
		}
		if (due > now + LINGER_MS * (int64) 1000 && now > idle_since + LINGER_MS * (int64) 1000)
			return;
		if (action <= now && done > 0)
			continue;
		po_worker_sleep(action <= now ? (po_timers_are_held(true) ? LOOK_WAIT_MS : BUSY_WAIT_MS)
						: action == DT_NOEND ? LONGEST_WAIT_MS
						: Min(LONGEST_WAIT_MS, TimestampDifferenceMilliseconds(now, action)));
	}
	give_back();
}

/*
 * po_functions_main is the process; its argument is its slot in shared memory.
 */
void
po_functions_main(Datum arg)
{
	po_worker_start(arg, PO_WORKER_FUNCTIONS, work);
}
