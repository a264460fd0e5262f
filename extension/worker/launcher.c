/*
 * launcher.c
 *	  The process that starts workers.
 *
 * It is connected to no database.  For each database that can be connected to
 * it knows, from shared memory, when work is next due there, and starts a worker
 * a little before, within outreach.max_workers; a database nobody has looked at
 * counts as due now, and the worker finds out whether the extension is there.
 * Functions that timers call have workers of their own, which come out of another
 * number, outreach.max_function_workers: however many hang, they take none from
 * timers and messages.  A database that no worker may enter is left alone until
 * one may.
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
#include "core/compat.h"
#include "core/settings.h"
#include "core/shared.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/holding.h"
#include "worker/launcher.h"

#define LONGEST_WAIT_MS		1000	/* so that a jump of the clock hurts no longer */
#define RESCAN_S			60
#define START_AHEAD_MS		1000	/* a worker needs time to get ready */
#define SHORTAGE_PAUSE_S	10
#define LONGEST_PAUSE_S		61

typedef struct Running
{
	int			slot;			/* -1: free */
	PoWorkerKind kind;
	BackgroundWorkerHandle *handle;
} Running;

static const struct
{
	const char *type;
	const char *function;
	int		   *most;
	const char *setting;
}			kind_of[PO_WORKER_KINDS] = {
	{"outreach worker", "po_worker_main", &po_setting_max_workers, "outreach.max_workers"},
	{"outreach functions worker", "po_functions_main", &po_setting_max_function_workers,
	 "outreach.max_function_workers"}
};

static Running *running;
static int	nrunning;			/* room in it */
static TimestampTz shortage_until = 0;
static Oid	worker_role = InvalidOid;

/*
 * Why a worker would not get in; NULL: it would.  From the row itself: whoever
 * changed it wakes the launcher before caches are told.
 */
static const char *
closed_because(Form_pg_database form, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		datum = heap_getattr(tuple, Anum_pg_database_datacl, desc, &isnull);
	Acl		   *acl = isnull ? acldefault(OBJECT_DATABASE, form->datdba) : DatumGetAclPCopy(datum);

	if (form->datconnlimit < -1)
		return "the database is invalid: its DROP DATABASE was interrupted";
	if (aclmask(acl, worker_role, form->datdba, ACL_CONNECT, ACLMASK_ANY) == 0)
		return "outreach_worker has no CONNECT privilege";
	return NULL;
}

/* The databases that workers could connect to. */
static void
scan_databases(MemoryContext context)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	static int	left_out = 0;
	PoSeenDatabase *database;
	int			n = 0;
	int			size = 64;

	database = MemoryContextAlloc(context, size * sizeof(PoSeenDatabase));
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
			database = repalloc(database, (size *= 2) * sizeof(PoSeenDatabase));
		database[n].database = form->oid;
		database[n++].closed = OidIsValid(worker_role)
			? closed_because(form, tuple, RelationGetDescr(relation)) : NULL;
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

/* Where the next is noted; NULL: of those that are, enough have to be forgotten first. */
static Running *
free_entry(void)
{
	for (int i = 0; i < nrunning; i++)
		if (running[i].slot < 0)
			return &running[i];
	return NULL;
}

static bool
start_worker(Running *r, int slot, PoWorkerKind kind, Oid database)
{
	BackgroundWorker worker = {0};
	PoWorkerArgs args = {database, worker_role};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_outreach", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, kind_of[kind].function, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, kind_of[kind].type, sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "%s for database %u", kind_of[kind].type,
			 database);
	worker.bgw_main_arg = Int32GetDatum(slot);
	StaticAssertStmt(sizeof(args) <= BGW_EXTRALEN, "a worker's arguments must fit");
	memcpy(worker.bgw_extra, &args, sizeof(args));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &r->handle))
		return false;
	r->slot = slot;
	r->kind = kind;
	po_shared_started(slot, kind);
	return true;
}

/*
 * Forgets workers that ended; counts those of each kind that still run, but for those
 * that drain.
 */
static void
collect_workers(const PoDatabaseSlot *slots, int *n)
{
	memset(n, 0, PO_WORKER_KINDS * sizeof(int));
	for (int i = 0; i < nrunning; i++)
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
		else if (!slots[running[i].slot].worker[running[i].kind].drains)
			n[running[i].kind]++;
	}
}

/* Started by this process and not ended, or there since before it. */
static bool
is_running(int slot, PoWorkerKind kind, const PoDatabaseSlot *slots)
{
	for (int i = 0; i < nrunning; i++)
		if (running[i].slot == slot && running[i].kind == kind)
			return true;
	return slots[slot].worker[kind].pid != 0;
}

/* When a worker is to be started there; DT_NOEND: none. */
static TimestampTz
start_at(int slot, PoWorkerKind kind, const PoDatabaseSlot *slots, TimestampTz now)
{
	const PoDatabaseSlot *s = &slots[slot];
	const PoWorkerSlot *worker = &s->worker[kind];
	TimestampTz at;

	if (!OidIsValid(s->database) || is_running(slot, kind, slots))
		return DT_NOEND;
	/* What a worker tried in vain is tried again after its pause. */
	if (s->state != PO_DATABASE_PRESENT &&
		(kind != PO_WORKER_MAIN || (s->state != PO_DATABASE_UNKNOWN &&
									(s->state != PO_DATABASE_CLOSED || worker->failures == 0))))
		return DT_NOEND;
	if (worker->next_due == DT_NOEND)
		return DT_NOEND;
	at = worker->next_due == DT_NOBEGIN
		? DT_NOBEGIN : worker->next_due - START_AHEAD_MS * (int64) 1000;
	/* Further ahead than any pause it comes from before the clock was set back. */
	if (worker->start_after < now + LONGEST_PAUSE_S * USECS_PER_SEC)
		at = Max(at, worker->start_after);
	return at;
}

/*
 * Starts workers of a kind for what is due, first where it has waited for longest,
 * since it was due or since the last worker there left; and returns when there is
 * something to do again.
 */
static TimestampTz
start_due(PoWorkerKind kind, const PoDatabaseSlot *slots, int n, int free_workers)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	bool		waiting = false;

	for (;;)
	{
		Running    *entry = free_entry();
		int			best = -1;
		TimestampTz best_since = DT_NOEND;

		next = DT_NOEND;
		for (int i = 0; i < n; i++)
		{
			const PoWorkerSlot *worker = &slots[i].worker[kind];
			TimestampTz at = start_at(i, kind, slots, now);

			/* The clock may have been set back. */
			TimestampTz since = worker->left > now ? worker->next_due : Max(worker->next_due, worker->left);

			if (at > now)
				next = Min(next, at);
			else if (since < best_since)
			{
				best = i;
				best_since = since;
			}
		}
		if (best < 0)
			break;
		shortage_until = Min(shortage_until, now + SHORTAGE_PAUSE_S * USECS_PER_SEC);
		if (free_workers <= 0 || entry == NULL || now < shortage_until)
		{
			waiting = true;
			break;
		}
		if (!start_worker(entry, best, kind, slots[best].database))
		{
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("out of background worker slots"),
					 errhint("Raise max_worker_processes, or lower %s.", kind_of[kind].setting)));
			shortage_until = now + SHORTAGE_PAUSE_S * USECS_PER_SEC;
			break;
		}
		free_workers--;
	}
	po_shared_set_waiting(kind, waiting);
	return next;
}

/*
 * Starts what is due, and returns for how many milliseconds there is nothing to
 * do.
 */
static long
start_workers(PoDatabaseSlot *slots)
{
	int			used[PO_WORKER_KINDS];
	TimestampTz next = DT_NOEND;
	int			n;

	n = po_shared_slots(slots);
	collect_workers(slots, used);
	for (int kind = 0; kind < PO_WORKER_KINDS; kind++)
	{
		TimestampTz at = start_due(kind, slots, n, *kind_of[kind].most - used[kind]);

		/* Min() has its arguments evaluated twice. */
		next = Min(next, at);
	}
	if (next == DT_NOEND)
		return LONGEST_WAIT_MS;
	return Min(LONGEST_WAIT_MS, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1);
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

	nrunning = max_worker_processes;
	running = MemoryContextAllocZero(TopMemoryContext, nrunning * sizeof(Running));
	for (int i = 0; i < nrunning; i++)
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
		wait_ms = OidIsValid(worker_role) ? start_workers(slots) : LONGEST_WAIT_MS;
		MemoryContextReset(cycle);
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/*
 * po_launcher_init registers the launcher; called once, while preloaded.
 */
void
po_launcher_init(void)
{
	BackgroundWorker worker = {0};

	/* pg_upgrade starts servers that are nobody's to work in. */
	if (po_setting_max_workers == 0 || IsBinaryUpgrade)
		return;
	po_holding_init();
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "pg_outreach", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "po_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "outreach launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "outreach launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
