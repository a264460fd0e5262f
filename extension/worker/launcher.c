/*
 * launcher.c
 *	  The process that starts workers.
 *
 * It is connected to no database.  For each database that can be connected to
 * it knows, from shared memory, when work is next due there, and starts a worker
 * a little before, within outreach.max_workers; a database nobody has looked at
 * counts as due now, and the worker finds out whether the extension is there.
 * Restarts are the launcher's business alone: the postmaster restarts none.
 * Workers run on a primary only, because the postmaster starts this process only
 * when recovery has ended.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/shared.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/launcher.h"

#define LONGEST_WAIT_MS		1000	/* so that a jump of the clock hurts no longer */
#define RESCAN_S			60
#define START_AHEAD_MS		1000	/* a worker needs time to get ready */
#define SHORTAGE_PAUSE_S	10
#define LONGEST_PAUSE_S		61

typedef struct Running
{
	int			slot;			/* -1: free */
	BackgroundWorkerHandle *handle;
} Running;

static Running *running;
static TimestampTz shortage_until = 0;
static Oid	worker_role = InvalidOid;
static ProcessUtility_hook_type previous_utility;

/* Of this session's transaction: what it holds, and whether the launcher is to look. */
static Oid	held = InvalidOid;
static bool look_at_end = false;

/* The databases that workers could connect to. */
static void
scan_databases(MemoryContext context)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	static int	left_out = 0;
	Oid		   *database;
	int			n = 0;
	int			size = 64;

	database = MemoryContextAlloc(context, size * sizeof(Oid));
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	/* No role: the extension was never created in any database. */
	worker_role = get_role_oid("outreach_worker", true);
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (!form->datallowconn || form->datistemplate)
			continue;
		if (n == size)
			database = repalloc(database, (size *= 2) * sizeof(Oid));
		database[n++] = form->oid;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	n = po_shared_keep_databases(database, n);
	if (n > 0 && n != left_out)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%d databases are not looked at for want of room", n),
				 errhint("Raise outreach.max_databases.")));
	left_out = n;
}

static bool
start_worker(int slot, Oid database)
{
	BackgroundWorker worker = {0};
	PoWorkerArgs args = {database, worker_role};
	Running    *r = NULL;

	for (int i = 0; i < po_setting_max_workers && r == NULL; i++)
		if (running[i].slot < 0)
			r = &running[i];
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_outreach", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "po_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "outreach worker", sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "outreach worker for database %u", database);
	worker.bgw_main_arg = Int32GetDatum(slot);
	StaticAssertStmt(sizeof(args) <= BGW_EXTRALEN, "a worker's arguments must fit");
	memcpy(worker.bgw_extra, &args, sizeof(args));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &r->handle))
		return false;
	r->slot = slot;
	po_shared_started(slot);
	return true;
}

/* Forgets workers that ended; returns how many still run. */
static int
collect_workers(void)
{
	int			n = 0;

	for (int i = 0; i < po_setting_max_workers; i++)
	{
		pid_t		pid;

		if (running[i].slot < 0)
			continue;
		if (GetBackgroundWorkerPid(running[i].handle, &pid) == BGWH_STOPPED)
		{
			pfree(running[i].handle);
			running[i].slot = -1;
			shortage_until = 0;
		}
		else
			n++;
	}
	return n;
}

/* Started by this process and not ended, or there since before it. */
static bool
is_running(int slot, const PoDatabaseSlot *slots)
{
	for (int i = 0; i < po_setting_max_workers; i++)
		if (running[i].slot == slot)
			return true;
	return slots[slot].worker_pid != 0;
}

/*
 * Starts workers for what is due, the most overdue first, and returns for how
 * many milliseconds there is nothing to do.
 */
static long
start_due(PoDatabaseSlot *slots)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int			free_workers = po_setting_max_workers - collect_workers();
	int			n = po_shared_slots(slots);
	bool		waiting = false;

	for (;;)
	{
		int			best = -1;
		TimestampTz best_at = DT_NOEND;

		for (int i = 0; i < n; i++)
		{
			TimestampTz at;

			if (!OidIsValid(slots[i].database) || is_running(i, slots) ||
				(slots[i].state != PO_DATABASE_UNKNOWN && slots[i].state != PO_DATABASE_PRESENT))
				continue;
			at = slots[i].next_due == DT_NOBEGIN || slots[i].next_due == DT_NOEND
				? slots[i].next_due : slots[i].next_due - START_AHEAD_MS * (int64) 1000;
			/* Further ahead than any pause it comes from before the clock was set back. */
			if (slots[i].start_after < now + LONGEST_PAUSE_S * USECS_PER_SEC)
				at = Max(at, slots[i].start_after);
			if (best < 0 || at < best_at)
			{
				best = i;
				best_at = at;
			}
		}
		if (best < 0)
			break;
		if (best_at > now)
		{
			next = best_at;
			break;
		}
		shortage_until = Min(shortage_until, now + SHORTAGE_PAUSE_S * USECS_PER_SEC);
		if (free_workers <= 0 || now < shortage_until)
		{
			waiting = true;
			break;
		}
		if (!start_worker(best, slots[best].database))
		{
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("out of background worker slots"),
					 errhint("Raise max_worker_processes, or lower outreach.max_workers.")));
			shortage_until = now + SHORTAGE_PAUSE_S * USECS_PER_SEC;
			break;
		}
		free_workers--;
	}
	po_shared_set_waiting(waiting);
	if (next == DT_NOEND)
		return LONGEST_WAIT_MS;
	return Min(LONGEST_WAIT_MS, TimestampDifferenceMilliseconds(now, next) + 1);
}

/*
 * po_launcher_main is the process.
 */
void
po_launcher_main(Datum arg)
{
	PoDatabaseSlot *slots;
	TimestampTz scanned = 0;
	MemoryContext cycle;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	po_shared_attach_launcher();

	running = MemoryContextAllocZero(TopMemoryContext,
									 Max(po_setting_max_workers, 1) * sizeof(Running));
	for (int i = 0; i < po_setting_max_workers; i++)
		running[i].slot = -1;
	slots = MemoryContextAlloc(TopMemoryContext, po_shared_max_slots() * sizeof(PoDatabaseSlot));
	cycle = AllocSetContextCreate(TopMemoryContext, "outreach launcher cycle",
								  ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		long		wait_ms;
		TimestampTz now;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		po_shared_watch_clock(scanned == 0);
		now = GetCurrentTimestamp();
		if (po_shared_take_rescan() || scanned == 0 || !OidIsValid(worker_role) || now < scanned ||
			now > scanned + RESCAN_S * USECS_PER_SEC)
		{
			scan_databases(cycle);
			scanned = now;
		}
		/* Handles of workers live as long as the process. */
		MemoryContextSwitchTo(TopMemoryContext);
		wait_ms = OidIsValid(worker_role) ? start_due(slots) : LONGEST_WAIT_MS;
		MemoryContextReset(cycle);
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* A worker in a database would keep it from being dropped, renamed or copied. */
static Oid
hold_for(Node *statement)
{
	const char *name = NULL;
	Oid			database;
	int			pid;

	if (IsA(statement, DropdbStmt))
		name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) statement)->subname;
	else if (IsA(statement, CreatedbStmt))
	{
		ListCell   *cell;

		foreach(cell, ((CreatedbStmt *) statement)->options)
		{
			DefElem    *option = lfirst(cell);

			if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
				name = defGetString(option);
		}
	}
	else if (IsA(statement, AlterDatabaseStmt))
	{
		ListCell   *cell;

		foreach(cell, ((AlterDatabaseStmt *) statement)->options)
			if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
				name = ((AlterDatabaseStmt *) statement)->dbname;
	}
	if (name == NULL || !OidIsValid(database = get_database_oid(name, true)))
		return InvalidOid;
	/* Only for those who may: the statement itself says so to the others. */
	if (!po_owns_database(database, GetUserId()))
		return InvalidOid;

	/* It may be too young to be in the array of processes. */
	for (int i = 0; i < 500 && (pid = po_shared_hold(database)) != 0; i++)
	{
		if (i == 0)
			(void) kill(pid, SIGTERM);
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	return database;
}

/*
 * Only now is a new database in pg_database for the launcher to see, and one that
 * was dropped no longer.
 */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (look_at_end)
		po_shared_release(held);
	held = InvalidOid;
	look_at_end = false;
}

static void
next_utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
			 ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(pstmt, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, dest,
								completion);
}

static void
utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	Node	   *statement = pstmt->utilityStmt;
	static bool registered = false;

	if (!IsA(statement, DropdbStmt) && !IsA(statement, CreatedbStmt) &&
		!IsA(statement, RenameStmt) && !IsA(statement, AlterDatabaseStmt))
	{
		next_utility(pstmt, query, read_only, context, params, environment, dest, completion);
		return;
	}
	if (!registered)
		RegisterXactCallback(at_end_of_transaction, NULL);
	registered = true;
	held = hold_for(statement);
	look_at_end |= OidIsValid(held) || IsA(statement, CreatedbStmt);
	next_utility(pstmt, query, read_only, context, params, environment, dest, completion);
}

/*
 * po_launcher_init registers the launcher; called once, while preloaded.
 */
void
po_launcher_init(void)
{
	BackgroundWorker worker = {0};

	if (po_setting_max_workers == 0)
		return;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "pg_outreach", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "po_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "outreach launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "outreach launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
