/*
 * activity.c
 *	  The process of a worker, and what it does in turn.
 *
 * An activity runs under a budget.  An error ends its transaction and not the
 * process, which has requests under way and other activities: it is counted,
 * told in worker_status and the log, and the activity rests for 1, 2, 4 … 60
 * seconds.  What ends the process is FATAL, the postmaster's death, SIGTERM, and a
 * database that has no extension of the library's version any more.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "core/budget.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/activity.h"
#include "worker/launcher.h"
#include "worker/session.h"

#define LONGEST_REST_S	60
#define MOST_STRETCH	6		/* 64 times the budget */

int			po_worker_slot = -1;
PoWorkerKind po_worker_kind;

static PoWorkerEnd how_ended = PO_END_OUTSIDE;
static int	last_sqlstate = 0;
static int	resting = 0;		/* activities that failed last time */
static emit_log_hook_type previous_log;

static void
detach(int code, Datum arg)
{
	if (how_ended != PO_END_WELL && ShutdownRequestPending)
		how_ended = PO_END_ASKED;
	if (how_ended == PO_END_WELL && resting == 0)
		po_shared_recovered(po_worker_slot, po_worker_kind);
	po_shared_detach_worker(po_worker_slot, po_worker_kind, how_ended, last_sqlstate);
}

/* What ends the process at once is known from here alone. */
static void
note_fatal(ErrorData *error)
{
	if (error->elevel >= FATAL)
		last_sqlstate = error->sqlerrcode;
	if (previous_log)
		previous_log(error);
}

/*
 * po_worker_leave ends the process in good order; the database is what was found.
 */
void
po_worker_leave(PoDatabaseState state, const char *problem)
{
	po_shared_found(po_worker_slot, state, problem);
	how_ended = PO_END_WELL;
	proc_exit(0);
}

/*
 * The loop ends, and so does a statement that would keep it from that.  The postmaster
 * signals a process and its group, so this comes twice: the second time may be while
 * what has to be done at the end is done.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	if (!ShutdownRequestPending)
		InterruptPending = QueryCancelPending = true;
	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	errno = saved_errno;
}

/*
 * po_worker_start is the process from its beginning to its end; work is its loop,
 * which returns when there is nothing to do, or the process is asked to end.
 */
void
po_worker_start(Datum arg, PoWorkerKind kind, void (*work) (void))
{
	PoWorkerArgs args;

	po_worker_slot = DatumGetInt32(arg);
	po_worker_kind = kind;
	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	BackgroundWorkerUnblockSignals();
	if (!po_shared_attach_worker(po_worker_slot, kind, args.database))
		proc_exit(0);
	before_shmem_exit(detach, (Datum) 0);
	previous_log = emit_log_hook;
	emit_log_hook = note_fatal;
	PG_TRY();
	{
		po_session_remember();
		BackgroundWorkerInitializeConnectionByOid(args.database, args.role, 0);
		how_ended = PO_END_FAILED;
		po_session_override();
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
	how_ended = PO_END_WELL;
	proc_exit(0);
}

/*
 * po_worker_check is to be called between activities; false when the process is to
 * end.
 */
bool
po_worker_check(void)
{
	/* What a person cancelled has ended already. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	po_shared_watch_clock(false);
	return !ShutdownRequestPending;
}

/*
 * po_worker_sleep waits for the latch.
 */
void
po_worker_sleep(long wait_ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
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
 * po_activity_begin begins a transaction of an activity; ends the process where
 * the extension is gone, or not of the library's version.
 */
void
po_activity_begin(const char *name)
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
		po_worker_leave(state, NULL);
	po_spi_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, name);
}

/*
 * po_activity_finish commits it.  The commit has no budget: its wait for a
 * synchronous standby, given up, would leave open what others see of it.
 */
void
po_activity_finish(void)
{
	SPI_finish();
	PopActiveSnapshot();
	po_budget_stop();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* The error has ended the transaction; the activity rests for longer each time. */
static void
fail(PoActivity *activity)
{
	MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();
	bool		ran_out = po_budget_ran_out() && error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	int			rest_s;

	FlushErrorState();
	po_budget_end();
	AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (!ShutdownRequestPending)
	{
		if (activity->failures++ == 0)
			resting++;
		/* What is merely slow must come to its end some time. */
		if (ran_out)
			activity->stretch = Min(activity->stretch + 1, MOST_STRETCH);
		rest_s = Min(1 << Min(activity->failures - 1, 6), LONGEST_REST_S);
		activity->rest_until = GetCurrentTimestamp() + rest_s * USECS_PER_SEC;
		po_shared_failed(po_worker_slot, po_worker_kind, error->sqlerrcode);
		/* Neither detail nor context, which may quote rows. */
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 ran_out ? errmsg("%s took longer than %d ms", activity->name,
								  activity->budget_ms << Max(activity->stretch - 1, 0))
				 : errmsg("%s failed with SQLSTATE %s: %s", activity->name,
						  unpack_sql_state(error->sqlerrcode), error->message),
				 errdetail("It is tried again in %d s; what else the worker does goes on.", rest_s)));
	}
	FreeErrorData(error);
	MemoryContextSwitchTo(context);
}

/*
 * po_activity_run runs an activity unless it rests, and returns how much it has
 * done.  To be called outside of a transaction.
 */
int
po_activity_run(PoActivity *activity, TimestampTz since)
{
	volatile int n = 0;

	if (po_activity_due(activity, DT_NOBEGIN) != DT_NOBEGIN)
		return 0;
	PG_TRY();
	{
		po_budget_begin(activity->budget_ms << activity->stretch);
		n = activity->run(activity, since);
		po_budget_end();
		if (activity->failures > 0)
		{
			activity->failures = 0;
			if (--resting == 0)
				po_shared_recovered(po_worker_slot, po_worker_kind);
		}
		activity->stretch = 0;
	}
	PG_CATCH();
	{
		n = 0;
		fail(activity);
	}
	PG_END_TRY();
	return n;
}

/*
 * po_activity_due returns when an activity is next to be run for what is due at a
 * time.
 */
TimestampTz
po_activity_due(PoActivity *activity, TimestampTz due)
{
	TimestampTz now;

	if (activity->failures == 0)
		return due;
	now = GetCurrentTimestamp();
	/* The clock may have been set back. */
	if (activity->rest_until <= now ||
		activity->rest_until > now + (LONGEST_REST_S + 1) * USECS_PER_SEC)
		return due;
	return Max(due, activity->rest_until);
}
