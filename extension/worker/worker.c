/*
 * worker.c
 *	  A worker: one process in one database, for as long as there is work.
 *
 * It connects as outreach_worker and has no rights but to call the engine's
 * functions.  One loop, one wait: a bounded batch of each activity in a
 * transaction of its own, then sleep until the next is due or somebody commits
 * something earlier.  An error of an item is the activity's business, and so is any
 * error of sending, for requests are under way; anything else ends the process, and
 * the launcher starts another after a pause.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "core/compat.h"
#include "core/shared.h"
#include "core/spi_plan.h"
#include "miscadmin.h"
#include "outbound/claim.h"
#include "outbound/http.h"
#include "outbound/sender.h"
#include "outbound/settle.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/launcher.h"

#define BATCH			500
#define LINGER_MS		5000	/* stay that long with nothing to do */
#define TURN_MS			2000	/* leave after that where others wait */
#define BUSY_WAIT_MS	20		/* what is due is held by somebody else */
#define FAILED_PAUSE	USECS_PER_SEC	/* after an activity of sending failed */
#define DRAIN_MS		10000	/* for answers that are under way, when it is to end */
#define LONGEST_WAIT_MS	1000	/* so that a jump of the clock hurts no longer */

static const char *const session_setting[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"synchronous_commit", "on"}
};

static int	my_slot = -1;
static bool ended_well = false;
static int	last_sqlstate = 0;

static PoPlan fire_timers = {
	.name = "worker.timers",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.fire_timers($1, $2)",
	.nargs = 2,
	.argtype = {INT4OID, TIMESTAMPTZOID}
};

static PoPlan process_payloads = {
	.name = "worker.payloads",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.process_payloads($1, $2)",
	.nargs = 2,
	.argtype = {INT4OID, TIMESTAMPTZOID}
};

static PoPlan next_due = {
	.name = "worker.next",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.next_due($1), outreach.arming_problem(), s.claim_due, s.settle_due"
	" FROM outreach.next_sends($2) s",
	.nargs = 2,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static PoPlan claim_messages = {
	.name = "worker.claim",
	.as_anybody = true,
	.expect = SPI_OK_SELECT,
	.sql = "SELECT outreach.claim_messages($1)",
	.nargs = 1,
	.argtype = {TIMESTAMPTZOID}
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

/* What is known of the database's work; times are DT_NOEND where there is none. */
typedef struct Work
{
	bool		armed;
	char		problem[64];	/* why it is not */
	TimestampTz due;			/* timers and payloads */
	TimestampTz claim_due;
	TimestampTz settle_due;
} Work;

static void
detach(int code, Datum arg)
{
	po_shared_detach_worker(my_slot, ended_well, ShutdownRequestPending, last_sqlstate);
}

static void
leave(PoDatabaseState state, const char *problem)
{
	po_shared_found(my_slot, state, problem);
	ended_well = true;
	proc_exit(0);
}

/*
 * What the database has: nothing, or the extension and of which version.  Keeps
 * it from being dropped until the transaction ends.
 */
static PoDatabaseState
look_at_extension(void)
{
	PoDatabaseState state = PO_DATABASE_ABSENT;
	Oid			extension = get_extension_oid("pg_outreach", true);
	Relation	relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(extension))
		return state;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(relation, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(relation), &isnull);

		state = strcmp(TextDatumGetCString(version), PO_VERSION) == 0
			? PO_DATABASE_PRESENT : PO_DATABASE_OTHER_VERSION;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return state;
}

/*
 * Begins a transaction of an activity; ends the process where the extension is
 * gone, or not of the library's version.
 */
static void
begin(const char *activity)
{
	PoDatabaseState state;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	state = look_at_extension();
	if (state == PO_DATABASE_OTHER_VERSION)
		ereport(LOG,
				(errmsg("extension pg_outreach of this database is not of the library's version %s",
						PO_VERSION),
				 errhint("Run ALTER EXTENSION pg_outreach UPDATE.")));
	if (state != PO_DATABASE_PRESENT)
		leave(state, NULL);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
finish(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* A batch of timers; returns whether there may be more. */
static int
do_timers(TimestampTz since)
{
	Datum		args[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(since)};
	bool		isnull;
	Datum	   *element;
	int64	   *late;
	int			n;

	begin("firing timers");
	(void) po_exec(&fire_timers, args, NULL);
	deconstruct_array(DatumGetArrayTypeP(po_column(0, 1, &isnull)), INT8OID, 8, FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &element, NULL, &n);
	late = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		late[i] = DatumGetInt64(element[i]);
	po_shared_count(my_slot, n, 0, 0, late, n);
	finish();
	return n;
}

static int
do_payloads(TimestampTz since)
{
	Datum		args[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(since)};
	int			n;

	begin("processing payloads");
	(void) po_exec(&process_payloads, args, NULL);
	n = po_column_int(0, 1);
	po_shared_count(my_slot, 0, n, 0, NULL, 0);
	finish();
	return n;
}

static int
settle(TimestampTz since)
{
	int			n;

	begin("settling messages");
	po_sender_start();
	(void) po_exec(&settle_messages, NULL, NULL);
	n = po_column_int(0, 1);
	finish();
	return n;
}

static int
claim(TimestampTz since)
{
	Datum		args[1] = {TimestampTzGetDatum(since)};
	int			n;

	begin("claiming messages");
	po_sender_start();
	(void) po_exec(&claim_messages, args, NULL);
	n = po_column_int(0, 1);
	finish();
	return n;
}

static int
record(TimestampTz since)
{
	int			n;

	begin("recording deliveries");
	(void) po_exec(&record_deliveries, NULL, NULL);
	n = po_column_int(0, 1);
	finish();
	return n;
}

/*
 * Does an activity in a transaction of its own; -1 when that failed.  Nothing of it
 * is left then, flights included, and those under way are not given up for it.
 */
static int
try_sending(int (*activity) (TimestampTz), TimestampTz since)
{
	volatile int n = -1;

	PG_TRY();
	{
		n = activity(since);
	}
	PG_CATCH();
	{
		if (ShutdownRequestPending)
			PG_RE_THROW();
		MemoryContextSwitchTo(TopMemoryContext);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	return n;
}

/*
 * Takes over from dead workers, and finds out what became of messages; look-ups
 * leave when that has committed.
 */
static int
do_settle(void)
{
	static TimestampTz failed = 0;
	int			n = 0;

	if (labs(GetCurrentTimestamp() - failed) > FAILED_PAUSE)
		n = try_sending(settle, DT_NOBEGIN);
	if (n < 0)
		failed = GetCurrentTimestamp();
	po_sender_depart(ShutdownRequestPending);
	return Max(n, 0);
}

/* Claims messages; their requests leave when that has committed. */
static int
do_claims(TimestampTz since)
{
	static TimestampTz failed = 0;
	int			n = 0;

	if (labs(GetCurrentTimestamp() - failed) > FAILED_PAUSE)
		n = try_sending(claim, since);
	if (n < 0)
		failed = GetCurrentTimestamp();
	po_sender_depart(ShutdownRequestPending);
	return Max(n, 0);
}

/*
 * Records the answers that are there; without any it costs nothing.  What cannot
 * be recorded stays landed.
 */
static int
do_records(void)
{
	int			n;

	if (!po_sender_collect())
		return 0;
	n = try_sending(record, DT_NOBEGIN);
	if (n < 0)
		po_sender_postpone();
	po_shared_count(my_slot, 0, 0, Max(n, 0), NULL, 0);
	return Max(n, 0);
}

static TimestampTz
column_due(int column)
{
	bool		isnull;
	Datum		value = po_column(0, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static Work
read_next_due(TimestampTz since)
{
	Datum		args[2] = {TimestampTzGetDatum(since), TimestampTzGetDatum(po_claim_since(since))};
	Work		work;
	char	   *problem;

	begin("looking for what is next");
	(void) po_exec(&next_due, args, NULL);
	work.due = column_due(1);
	problem = po_column_text(0, 2);
	work.armed = problem == NULL;
	strlcpy(work.problem, problem != NULL ? problem : "", sizeof(work.problem));
	work.claim_due = po_claim_due(column_due(3));
	work.settle_due = column_due(4);
	finish();
	return work;
}

/*
 * Until something is due, an answer is there, or somebody sets the latch.  What
 * libcurl has to do before there is an answer is done here.
 */
static void
wait(long wait_ms)
{
	int			events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	TimestampTz until = GetCurrentTimestamp() + wait_ms * (int64) 1000;
	int			rc = 0;

	while (po_sender_busy() > 0 && wait_ms > 0 && (rc & WL_LATCH_SET) == 0)
	{
		long		timeout = po_sender_timeout_ms();

		rc = WaitLatchOrSocket(MyLatch, events | WL_SOCKET_READABLE, po_http_fd(),
							   timeout < 0 ? wait_ms : Min(wait_ms, timeout), PG_WAIT_EXTENSION);
		if (po_sender_collect())
			break;
		wait_ms = Min(wait_ms, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until));
	}
	if (po_sender_busy() == 0)
		(void) WaitLatch(MyLatch, events, wait_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Nothing more is claimed: the answers that come in time are recorded. */
static void
drain(void)
{
	TimestampTz until = GetCurrentTimestamp() + DRAIN_MS * (int64) 1000;

	/* What asked the process to end also asked the statements to. */
	QueryCancelPending = false;
	while (po_sender_busy() > 0 && GetCurrentTimestamp() < until)
	{
		(void) do_records();
		if (po_sender_busy() > 0)
			wait(100);
	}
}

/* The loop ends, and so does a statement that would keep it from that. */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	ShutdownRequestPending = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	errno = saved_errno;
}

/* The loop; returns when there is nothing to do here, or others wait. */
static void
work(void)
{
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz idle_since = began;
	TimestampTz known = po_shared_forget_due(my_slot);
	Work		next = read_next_due(known);
	bool		first = true;
	bool		leaving = false;
	TimestampTz read = DT_NOEND;	/* what was next, by the tables */

	while (!ShutdownRequestPending)
	{
		TimestampTz due;
		TimestampTz now;
		long		wait_ms;
		int			done;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		po_shared_watch_clock(false);
		/* What fired or was cancelled lies before what was known to be next. */
		if (!first)
			known = po_shared_forget_due(my_slot);
		now = GetCurrentTimestamp();
		done = do_records();
		if (next.armed && !leaving)
		{
			/* Of what was published meanwhile it is not known what it is. */
			bool		published = first || known < read;

			if (published || next.due <= now)
				done += do_timers(known) + do_payloads(known);
			if (next.settle_due <= now || po_settle_waits() || (first && next.settle_due != DT_NOEND))
				done += do_settle();
			if (published || next.claim_due <= now || po_room_has_come())
				done += do_claims(po_claim_since(known));
			if (first)
				po_shared_found(my_slot, PO_DATABASE_PRESENT, NULL);
		}
		first = false;
		next = read_next_due(known);
		read = Min(next.due, Min(next.claim_due, next.settle_due));
		/* What is due where no work may be done is nobody's business until it may. */
		due = next.armed ? po_shared_lower_due(my_slot, read) : DT_NOEND;
		pgstat_report_stat(false);

		now = GetCurrentTimestamp();
		/* The clock may have been set back. */
		began = Min(began, now);
		idle_since = done > 0 ? now : Min(idle_since, now);
		/* Answers that somebody keeps from being recorded cannot be left to another. */
		leaving = !next.armed || (po_shared_others_wait() && !po_sender_holds() &&
								  (due > now || now > began + TURN_MS * (int64) 1000));
		if (po_sender_busy() == 0)
		{
			if (leaving)
				break;
			if (due > now + LINGER_MS * (int64) 1000 && now > idle_since + LINGER_MS * (int64) 1000)
				return;
		}
		if (due <= now && done > 0 && !leaving)
			continue;
		wait_ms = due <= now ? BUSY_WAIT_MS : due == DT_NOEND ? LONGEST_WAIT_MS
			: Min(LONGEST_WAIT_MS, TimestampDifferenceMilliseconds(now, due));
		wait(wait_ms);
	}
	if (ShutdownRequestPending)
		drain();
	else if (!next.armed)
	{
		ereport(LOG,
				(errmsg("no work is done in the background of this database: it is not armed"),
				 errdetail("It is %s.", next.problem),
				 errhint("SELECT outreach.arm() once it is what it is to be.")));
		leave(PO_DATABASE_DISARMED, next.problem);
	}
}

/*
 * po_worker_main is the process; its argument is its slot in shared memory.
 */
void
po_worker_main(Datum arg)
{
	PoWorkerArgs args;

	my_slot = DatumGetInt32(arg);
	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	BackgroundWorkerUnblockSignals();
	if (!po_shared_attach_worker(my_slot, args.database))
		proc_exit(0);
	before_shmem_exit(detach, (Datum) 0);
	PG_TRY();
	{
		BackgroundWorkerInitializeConnectionByOid(args.database, args.role, 0);

		/* However the database or the role is configured. */
		for (int i = 0; i < lengthof(session_setting); i++)
			SetConfigOption(session_setting[i][0], session_setting[i][1], PGC_SUSET,
							PGC_S_OVERRIDE);
		work();
	}
	PG_CATCH();
	{
		/* What was cancelled for SIGTERM is no error. */
		if (ShutdownRequestPending)
			proc_exit(0);
		last_sqlstate = geterrcode();
		PG_RE_THROW();
	}
	PG_END_TRY();
	ended_well = true;
	proc_exit(0);
}
