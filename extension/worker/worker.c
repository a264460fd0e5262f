/*
 * worker.c
 *	  The worker of a database: one process, for as long as there is work.
 *
 * It connects as outreach_worker and has no rights but to call the engine's
 * functions.  One loop, one wait: a bounded batch of each activity in a
 * transaction of its own, then sleep until the next is due or somebody commits
 * something earlier.  It serves every tenant and waits for none: what is locked is
 * left for the next turn, and the rest runs under a short lock_timeout and a
 * budget.  An error of an item is the activity's business, one of an activity is
 * its own (activity.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/shared.h"
#include "core/statement.h"
#include "engine/firing.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "sender/claim.h"
#include "sender/http.h"
#include "sender/sender.h"
#include "sender/settle.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "worker/activity.h"
#include "worker/alarm.h"
#include "worker/launcher.h"

#define BATCH			500
#define LINGER_MS		5000	/* stay that long with nothing to do */
#define TURN_MS			500		/* leave after that where others wait, */
#define IDLE_TURN_MS	100		/* or that, where all that is due is held */
#define BUSY_WAIT_MS	20		/* what is due is held by somebody else */
#define LOOK_WAIT_MS	2		/* and there is more behind it */
#define DRAIN_MS		10000	/* for answers that are under way, when it is to end */
#define LONGEST_WAIT_MS	1000	/* so that a jump of the clock hurts no longer */
#define UPKEEP_S		3600
#define UPKEEP_HELD_S	60		/* where somebody was in its way */
#define UPKEEP_GOES_ON_S 1		/* where it was too much at once */
#define LONGEST_ABSENCE_MS 5000	/* of a database where all that is due rests */

static PoPlan fire_timers = {
	.name = "worker.timers",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.fire_timers($1, $2)",
	PO_ARGS(INT4OID, TIMESTAMPTZOID)
};

static PoPlan process_payloads = {
	.name = "worker.payloads",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.process_payloads($1, $2)",
	PO_ARGS(INT4OID, TIMESTAMPTZOID)
};

static PoPlan claim_messages = {
	.name = "worker.claim",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.claim_messages($1)",
	PO_ARGS(TIMESTAMPTZOID)
};

static PoPlan settle_messages = {
	.name = "worker.settle",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.settle_messages()"
};

static PoPlan record_deliveries = {
	.name = "worker.record",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.record_deliveries()"
};

static PoPlan do_the_upkeep = {
	.name = "worker.upkeep",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT problem, more FROM outreach.upkeep()"
};

/* What is known of the database's work; times are DT_NOEND where there is none. */
typedef struct Work
{
	bool		armed;
	char		problem[64];	/* why it is not */
	TimestampTz timers_due;
	TimestampTz calls_due;		/* of timers that are the functions worker's */
	TimestampTz payloads_due;
	TimestampTz claim_due;
	TimestampTz settle_due;
} Work;

static const PoField work_field[] = {
	PO_VALUE(Work, timers_due, "t.timers_due", UNTIL),
	PO_VALUE(Work, calls_due, "t.calls_due", UNTIL),
	PO_VALUE(Work, payloads_due, "t.payloads_due", UNTIL),
	PO_VALUE(Work, claim_due, "s.claim_due", UNTIL),
	PO_VALUE(Work, settle_due, "s.settle_due", UNTIL)
};

static PoStatement next_due = {
	.name = "worker.next",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {t.*}, outreach.arming_problem() FROM outreach.next_tasks($1) t, outreach.next_sends($2, $3) s",
	.gives = PO_FIELDS(work_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static Work next;
static bool first = true;		/* nothing is known of it yet */
static TimestampTz upkeep_at = DT_NOBEGIN;
static TimestampTz upkeep_done = DT_NOBEGIN;	/* when, by po_now() */
static XLogRecPtr recorded_at = InvalidXLogRecPtr;	/* up to there, maybe not on disk yet */

static int	do_timers(PoActivity *self, TimestampTz since);
static int	do_payloads(PoActivity *self, TimestampTz since);
static int	do_settle(PoActivity *self, TimestampTz since);
static int	do_claims(PoActivity *self, TimestampTz since);
static int	do_records(PoActivity *self, TimestampTz since);
static int	do_next(PoActivity *self, TimestampTz since);
static int	do_upkeep(PoActivity *self, TimestampTz since);
static bool settle_is_wanted(void);
static bool upkeep_is_wanted(void);

/* Answers are recorded before anything else, whatever else is due. */
static PoActivity records = {.name = "recording deliveries", .run = do_records, .budget_ms = 1000};
static PoActivity look = {.name = "looking for what is next", .run = do_next, .budget_ms = 5000};

/* What is done when it is due, in this order. */
static struct Duty
{
	PoActivity	activity;
	const TimestampTz *due;		/* by the tables; NULL: it has no time */
	bool		woken;			/* also for what was published and is not known yet */
	bool		sends;			/* it begins requests: not when the turn is over */
	bool		(*wanted) (void);	/* or for a reason of its own */
}			duty[] = {
	{
		{.name = "firing timers", .run = do_timers, .budget_ms = 1000},
		.due = &next.timers_due, .woken = true
	},
	{
		{.name = "processing payloads", .run = do_payloads, .budget_ms = 1000},
		.due = &next.payloads_due, .woken = true
	},
	{
		{.name = "settling messages", .run = do_settle, .budget_ms = 1000},
		.due = &next.settle_due, .sends = true, .wanted = settle_is_wanted
	},
	{
		{.name = "claiming messages", .run = do_claims, .budget_ms = 1000},
		.due = &next.claim_due, .woken = true, .sends = true, .wanted = po_room_has_come
	},
	{
		{.name = "upkeep", .run = do_upkeep, .budget_ms = 5000},
		.wanted = upkeep_is_wanted
	}
};

/* A batch of timers; returns how many fired. */
static int
do_timers(PoActivity *self, TimestampTz since)
{
	Datum		args[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(since)};
	bool		isnull;
	Datum	   *element;
	int64	   *late;
	int			n;

	po_activity_begin(self->name);
	(void) po_exec(&fire_timers, args, NULL);
	deconstruct_array(DatumGetArrayTypeP(po_column(0, 1, &isnull)), INT8OID, 8, FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &element, NULL, &n);
	late = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		late[i] = DatumGetInt64(element[i]);
	po_shared_count(po_worker_slot, n, 0, 0, late, n);
	po_activity_finish();
	return n;
}

static int
do_payloads(PoActivity *self, TimestampTz since)
{
	Datum		args[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(since)};
	int			n;

	po_activity_begin(self->name);
	(void) po_exec(&process_payloads, args, NULL);
	n = po_column_int(0, 1);
	po_shared_count(po_worker_slot, 0, n, 0, NULL, 0);
	po_activity_finish();
	return n;
}

/*
 * Takes over from dead workers, and finds out what became of messages; look-ups
 * leave when that has committed.
 */
static int
do_settle(PoActivity *self, TimestampTz since)
{
	int			n;

	po_activity_begin(self->name);
	po_sender_start();
	(void) po_exec(&settle_messages, NULL, NULL);
	n = po_column_int(0, 1);
	po_activity_finish();
	po_sender_depart(ShutdownRequestPending);
	return n;
}

/* Claims messages; their requests leave when that has committed. */
static int
do_claims(PoActivity *self, TimestampTz since)
{
	Datum		args[1] = {TimestampTzGetDatum(po_claim_since(since))};
	int			n;

	po_activity_begin(self->name);
	po_sender_start();
	(void) po_exec(&claim_messages, args, NULL);
	n = po_column_int(0, 1);
	po_activity_finish();
	po_sender_depart(ShutdownRequestPending);
	return n;
}

/*
 * Records the answers that are there; without any it costs nothing.  What cannot
 * be recorded stays landed.
 *
 * The commit does not wait for the disk, unless it waits for standbys: that of the claim
 * that follows does so for both, or else flush() before the process waits.  A crash until
 * then finds the messages sending, as one before the commit does.
 */
static int
do_records(PoActivity *self, TimestampTz since)
{
	int			n;

	if (!po_sender_collect())
		return 0;
	PG_TRY();
	{
		po_activity_begin(self->name);
		(void) po_exec(&record_deliveries, NULL, NULL);
		n = po_column_int(0, 1);
		if (!po_commits_are_replicated())
			(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
		po_activity_finish();
		recorded_at = XactLastCommitEnd;
	}
	PG_CATCH();
	{
		po_sender_postpone();
		PG_RE_THROW();
	}
	PG_END_TRY();
	po_shared_count(po_worker_slot, 0, 0, n, NULL, 0);
	return n;
}

/*
 * Since when to look for messages to be settled.  In the index by their time what is done
 * lies before what is under way, dead: a look begins at the first that the last one found,
 * and at the beginning once a second.
 */
static TimestampTz
settle_since(TimestampTz since)
{
	static TimestampTz whole_at = DT_NOBEGIN;
	TimestampTz now = GetCurrentTimestamp();

	if (next.settle_due != DT_NOEND && now >= whole_at && now < whole_at + USECS_PER_SEC && !first)
		return next.settle_due;
	whole_at = now;
	return since;
}

/* What has been recorded is on disk when this returns. */
static void
flush(void)
{
	if (recorded_at == InvalidXLogRecPtr)
		return;
	XLogFlush(recorded_at);
	recorded_at = InvalidXLogRecPtr;
}

/* Fills in next, and returns 1. */
static int
do_next(PoActivity *self, TimestampTz since)
{
	TimestampTz claims = po_claim_since(since);
	Datum		args[3] = {
		TimestampTzGetDatum(since), TimestampTzGetDatum(claims), TimestampTzGetDatum(settle_since(claims))
	};
	Work		work = {0};
	char	   *problem;

	po_activity_begin(self->name);
	(void) po_exec_fixed(&next_due, args);
	po_read_row(&next_due, 0, &work);
	work.claim_due = po_claim_due(work.claim_due);
	problem = po_column_text(0, lengthof(work_field) + 1);
	work.armed = problem == NULL;
	strlcpy(work.problem, problem != NULL ? problem : "", sizeof(work.problem));
	po_activity_finish();
	next = work;
	return 1;
}

/* Partitions ahead, and retention; returns whether there is more: until then it stays. */
static int
do_upkeep(PoActivity *self, TimestampTz since)
{
	bool		held;
	bool		more;

	po_activity_begin(self->name);
	(void) po_exec(&do_the_upkeep, NULL, NULL);
	held = po_column_text(0, 1) != NULL;
	more = po_column_bool(0, 2);
	po_activity_finish();
	upkeep_at = GetCurrentTimestamp() + (more ? UPKEEP_GOES_ON_S : held ? UPKEEP_HELD_S : UPKEEP_S) * USECS_PER_SEC;
	upkeep_done = po_now();
	return more;
}

/* What a dead worker had claimed is taken over at once. */
static bool
settle_is_wanted(void)
{
	return po_settle_waits() || (first && next.settle_due != DT_NOEND);
}

/* Where the clock is set, forward or back, there may be no partition for its month. */
static bool
upkeep_is_wanted(void)
{
	TimestampTz clock = po_now();

	return upkeep_at <= GetCurrentTimestamp() ||
		Max(clock, upkeep_done) - Min(clock, upkeep_done) > UPKEEP_S * USECS_PER_SEC;
}

/*
 * Until something is due, an answer is there, or somebody sets the latch.  What
 * libcurl has to do before there is an answer is done here.
 */
static void
wait(int64 wait_us)
{
	int			events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	TimestampTz until = GetCurrentTimestamp() + wait_us;
	long		wait_ms = (wait_us + 999) / 1000;
	pgsocket	alarm = po_alarm_in(wait_us);
	int			rc = 0;

	flush();
	while (po_sender_busy() > 0 && wait_ms > 0 && (rc & WL_LATCH_SET) == 0)
	{
		long		timeout = po_sender_timeout_ms();

		rc = WaitLatchOrSocket(MyLatch, events | WL_SOCKET_READABLE, po_http_fd(),
							   timeout < 0 ? wait_ms : Min(wait_ms, timeout), PG_WAIT_EXTENSION);
		if (po_sender_collect() && po_activity_due(&records, DT_NOBEGIN) == DT_NOBEGIN)
			break;
		wait_ms = Min(wait_ms, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until));
	}
	if (po_sender_busy() == 0)
		(void) WaitLatchOrSocket(MyLatch, alarm != PGINVALID_SOCKET ? events | WL_SOCKET_READABLE : events,
								 alarm, wait_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Nothing more is claimed: the answers that come in time are recorded. */
static void
drain(void)
{
	TimestampTz until = GetCurrentTimestamp() + DRAIN_MS * (int64) 1000;

	while (po_sender_busy() > 0 && GetCurrentTimestamp() < until)
	{
		/* What asked the process to end also asked the statements to. */
		QueryCancelPending = false;
		(void) po_activity_run(&records, DT_NOEND);
		if (po_sender_busy() > 0)
			wait(100 * INT64CONST(1000));
	}
}

/* A worker's turn at its database. */
typedef struct Turn
{
	TimestampTz now;
	TimestampTz began;
	TimestampTz idle_since;
	TimestampTz read;			/* what was next, by the tables */
	TimestampTz due;			/* what is next of the database */
	TimestampTz action;			/* when this process has something to do */
	bool		leaving;		/* others wait: no more requests are to be under way */
} Turn;

/* Does what is due of everything, each a batch; returns how much there was. */
static int
act(const Turn *turn, TimestampTz known)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		published = first || known < turn->read;
	int			done = 0;

	for (int i = 0; i < lengthof(duty); i++)
	{
		struct Duty *d = &duty[i];

		if (!(d->sends && turn->leaving) &&
			((d->woken && published) || (d->due != NULL && *d->due <= now) || (d->wanted != NULL && d->wanted())))
			done += po_activity_run(&d->activity, known);
	}
	return done;
}

/* When the first of what has been read is to be done. */
static TimestampTz
next_action(void)
{
	TimestampTz due = DT_NOEND;

	for (int i = 0; i < lengthof(duty); i++)
		if (duty[i].due != NULL)
			due = Min(due, po_activity_due(&duty[i].activity, *duty[i].due));
	return due;
}

/* Finds out what is next, and lets the launcher know. */
static void
look_ahead(Turn *turn, TimestampTz known)
{
	if (po_activity_run(&look, known) == 0)
	{
		/* What has been forgotten must be known again. */
		turn->due = po_shared_lower_due(po_worker_slot, PO_WORKER_MAIN, known);
		turn->action = po_activity_due(&look, DT_NOBEGIN);
		return;
	}
	first = false;
	turn->read = Min(Min(next.timers_due, next.payloads_due), Min(next.claim_due, next.settle_due));
	/* What is due where no work may be done is nobody's business until it may. */
	turn->due = turn->action = DT_NOEND;
	if (!next.armed)
		return;
	po_shared_hand_over(po_worker_slot, next.calls_due);
	turn->due = po_shared_lower_due(po_worker_slot, PO_WORKER_MAIN, turn->read);
	/* What was published since is looked at when it is due. */
	turn->action = turn->due < turn->read ? turn->due : next_action();
}

/* Whether this process ends: there is nothing to do here, or it is others' turn. */
static bool
is_over(Turn *turn, int done)
{
	TimestampTz longest = (done > 0 ? TURN_MS : IDLE_TURN_MS) * INT64CONST(1000);
	bool		over;
	int			drains;			/* workers whose turn is over */

	turn->now = GetCurrentTimestamp();
	/* The clock may have been set back. */
	turn->began = Min(turn->began, turn->now);
	turn->idle_since = done > 0 ? turn->now : Min(turn->idle_since, turn->now);
	over = po_shared_others_wait(PO_WORKER_MAIN) &&
		(turn->action > turn->now || turn->now > turn->began + longest);
	drains = po_shared_drain(po_worker_slot, PO_WORKER_MAIN, over && po_sender_busy() > 0);
	/*
	 * Answers that somebody keeps from being recorded cannot be left to another; and
	 * a request that hangs is no reason to send nothing more, unless too many stay.
	 */
	turn->leaving = (!next.armed && !first) ||
		(over && !po_sender_holds() && (po_sender_busy() == 0 || drains > po_setting_max_workers));
	if (po_sender_busy() > 0)
		return false;
	/* All that is due rests: it does not take the others' turn. */
	if (turn->leaving && turn->action > turn->now && turn->due <= turn->now)
		po_shared_rest(po_worker_slot, PO_WORKER_MAIN,
					   Min(turn->action, turn->now + LONGEST_ABSENCE_MS * INT64CONST(1000)));
	return turn->leaving ||
		(turn->due > turn->now + LINGER_MS * INT64CONST(1000) &&
		 turn->now > turn->idle_since + LINGER_MS * INT64CONST(1000));
}

/* How long there is nothing to do for: no time of day, for the clock may be set meanwhile. */
static int64
idle_us(const Turn *turn)
{
	if (turn->action > turn->now)
		return Min(turn->action, turn->now + LONGEST_WAIT_MS * INT64CONST(1000)) - turn->now;
	return (po_timers_are_held(false) || po_messages_are_held() ? LOOK_WAIT_MS : BUSY_WAIT_MS) * INT64CONST(1000);
}

/* The loop; returns when there is nothing to do here, or others wait. */
static void
work(void)
{
	Turn		turn = {.began = GetCurrentTimestamp(), .read = DT_NOEND};

	turn.idle_since = turn.began;
	while (po_worker_check())
	{
		/* What fired or was cancelled lies before what was known to be next. */
		TimestampTz known = po_shared_forget_due(po_worker_slot, PO_WORKER_MAIN);
		int			done = po_activity_run(&records, known);

		if (first)
			(void) po_activity_run(&look, known);
		if (next.armed)
		{
			done += act(&turn, known);
			if (first)
				po_shared_found(po_worker_slot, PO_DATABASE_PRESENT, NULL);
		}
		look_ahead(&turn, known);
		pgstat_report_stat(false);
		if (is_over(&turn, done))
			break;
		if (turn.action > turn.now || done == 0 || turn.leaving)
			wait(idle_us(&turn));
	}
	if (ShutdownRequestPending)
		drain();
	flush();
	if (!ShutdownRequestPending && !next.armed && !first)
	{
		ereport(LOG,
				(errmsg("no work is done in the background of this database: it is not armed"),
				 errdetail("It is %s.", next.problem),
				 errhint("SELECT outreach.arm() once it is what it is to be.")));
		po_worker_leave(PO_DATABASE_DISARMED, next.problem);
	}
}

/*
 * po_worker_main is the process; its argument is its slot in shared memory.
 */
void
po_worker_main(Datum arg)
{
	po_calls_apart = true;
	po_worker_start(arg, PO_WORKER_MAIN, work);
}
