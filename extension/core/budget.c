/*
 * budget.c
 *	  The time that an activity of a worker may take, and what running out of it
 *	  means.
 *
 * lock_timeout bounds one wait and not their sum, and statement_timeout does
 * nothing in a background worker.  So an activity has a budget: a timeout that
 * cancels what runs, again each second, for code may catch a cancel, and at last
 * ends the process.  A flag tells
 * its cancel (57014) from a person's and from the one that SIGTERM is.
 *
 * A commit has no budget: its wait for a synchronous standby is the one that stays.
 */
#include "postgres.h"

#include "core/budget.h"
#include "core/compat.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define AGAIN_MS 1000
#define AGAIN_TIMES 10

static TimeoutId timeout = MAX_TIMEOUTS;	/* not registered */
static volatile sig_atomic_t running = false;
static volatile sig_atomic_t ran_out = 0;	/* how often it was said */
static volatile sig_atomic_t foreign = false;

/* In a signal handler. */
static void
run_out(void)
{
	if (!running)
		return;
	/* What catches every cancel ends with the process. */
	if (++ran_out > AGAIN_TIMES && foreign)
		ProcDiePending = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/*
 * po_budget_stop lets what follows take as long as it takes; this process waits
 * for nobody as before.
 */
void
po_budget_stop(void)
{
	if (timeout != MAX_TIMEOUTS)
		disable_timeout(timeout, false);
	QueryCancelPending = ShutdownRequestPending;
}

/*
 * po_budget_begin gives what follows that many milliseconds, 0 for ever, whatever
 * was left before.  Until po_budget_end() this process waits for nobody: see
 * po_is_busy().  For workers alone.
 */
void
po_budget_begin(int ms)
{
	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, run_out);
	po_budget_end();
	running = true;
	if (ms > 0)
		enable_timeout_every(timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms), AGAIN_MS);
}

/*
 * po_budget_of_function does the same for code that is not the engine's, which
 * may catch every cancel: then the process ends.
 */
void
po_budget_of_function(int ms)
{
	po_budget_begin(ms);
	foreign = true;
}

/*
 * po_budget_end ends that.  A cancel that came too late for what it was meant for
 * is forgotten with it; what SIGTERM asks for is not.
 */
void
po_budget_end(void)
{
	po_budget_stop();
	running = false;
	foreign = false;
	ran_out = 0;
}

/*
 * po_budget_ran_out tells whether the time given last is over.
 */
bool
po_budget_ran_out(void)
{
	return ran_out > 0;
}

/*
 * po_waits_for_nobody tells whether what is locked is to be left for later: a
 * worker serves everybody, and a session its caller.
 */
bool
po_waits_for_nobody(void)
{
	return running;
}

/*
 * po_is_busy tells of an error that an item could not be had now, and nothing
 * about the item: a lock that somebody holds, a deadlock with somebody, the end of
 * the budget.  It is left for the next turn and no attempt is counted.
 */
bool
po_is_busy(int sqlstate)
{
	if (!running || ShutdownRequestPending)
		return false;
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TRANSACTION_ROLLBACK ||
		(sqlstate == ERRCODE_QUERY_CANCELED && ran_out > 0);
}
