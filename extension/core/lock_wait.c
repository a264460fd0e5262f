/*
 * lock_wait.c
 *	  How long work may wait for locks that others hold.
 *
 * The setting lock_timeout bounds each wait by itself: whoever lets five hundred
 * rows go one by one makes a statement wait five hundred times as long.  Here
 * the server's own timer of that setting is started once, for the whole of the
 * work, and ends it with the same error, 55P03.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/lock_wait.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/timeout.h"

/*
 * po_wait_at_most does work that may wait for locks so long in all, and is ended
 * with ERRCODE_LOCK_NOT_AVAILABLE after that, wherever it is then: what takes
 * long for another reason is not to be done in here.  The session's lock_timeout
 * does not count meanwhile.
 */
void
po_wait_at_most(PoWork work, void *arg, int milliseconds)
{
	int			saved = LockTimeout;

	LockTimeout = 0;
	enable_timeout_after(LOCK_TIMEOUT, Max(milliseconds, 1));
	PG_TRY();
	{
		work(arg);
		/* What the timer has asked for since the work's last look is raised here. */
		disable_timeout(LOCK_TIMEOUT, true);
		if (get_timeout_indicator(LOCK_TIMEOUT, false))
			CHECK_FOR_INTERRUPTS();
	}
	PG_FINALLY();
	{
		/* It may have asked while another error was on its way. */
		disable_timeout(LOCK_TIMEOUT, true);
		if (get_timeout_indicator(LOCK_TIMEOUT, true))
			QueryCancelPending = false;
		LockTimeout = saved;
	}
	PG_END_TRY();
}

/*
 * po_wait_each_at_most does work that may wait so long for each lock, as the
 * setting lock_timeout has it.
 */
void
po_wait_each_at_most(PoWork work, void *arg, int milliseconds)
{
	int			saved = LockTimeout;

	LockTimeout = Max(milliseconds, 1);
	PG_TRY();
	{
		work(arg);
	}
	PG_FINALLY();
	{
		LockTimeout = saved;
	}
	PG_END_TRY();
}
