/*
 * shared.c
 *	  What the launcher, the workers and the sessions know in common: which
 *	  database has work due when, and who works.
 *
 * One segment, requested while the library is preloaded; without it everything
 * here does nothing.  All of it is guarded by one lock, held for a few
 * instructions.  A slot belongs to a database from when it is first heard of
 * until it is gone; its index is stable in between.  next_due only ever sinks
 * by publishing; the worker alone raises it, by forgetting it before it reads
 * the tables and lowering it to what it found: a commit that happens meanwhile
 * is either seen by that reading or published after the forgetting.
 */
#include "postgres.h"

#include "core/calm.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/shared.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

typedef struct Shared
{
	LWLock	   *lock;
	PGPROC	   *launcher;		/* NULL: not running */
	bool		rescan;			/* the launcher is to look at pg_database */
	bool		waiting[PO_WORKER_KINDS];	/* a database waits for one to be free */
	int			nslots;
	PGPROC	   *worker[FLEXIBLE_ARRAY_MEMBER][PO_WORKER_KINDS];	/* a row a slot; then the slots */
} Shared;

static Shared *shared = NULL;
static PoDatabaseSlot *slot_of;
static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static Size
workers_size(void)
{
	return MAXALIGN(offsetof(Shared, worker) + po_setting_max_databases * PO_WORKER_KINDS * sizeof(PGPROC *));
}

static Size
shared_size(void)
{
	return workers_size() + po_setting_max_databases * sizeof(PoDatabaseSlot);
}

static void
request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(shared_size() + po_calm_size());
	RequestNamedLWLockTranche("pg_outreach", 1);
}

static void
startup(void)
{
	bool		found;

	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_outreach", shared_size(), &found);
	slot_of = (PoDatabaseSlot *) ((char *) shared + workers_size());
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &GetNamedLWLockTranche("pg_outreach")->lock;
		shared->nslots = po_setting_max_databases;
	}
	po_calm_startup();
	LWLockRelease(AddinShmemInitLock);
}

/*
 * po_shared_init asks for the segment; called once, while preloaded.
 */
void
po_shared_init(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/*
 * po_shared_available tells whether there are workers to tell anything.
 */
bool
po_shared_available(void)
{
	return shared != NULL;
}

static bool
has_worker(const PoDatabaseSlot *slot)
{
	return slot->worker[PO_WORKER_MAIN].pid != 0 || slot->worker[PO_WORKER_FUNCTIONS].pid != 0;
}

/* With the lock held: the database's slot, made if wanted and possible. */
static PoDatabaseSlot *
find_slot(Oid database, bool make)
{
	PoDatabaseSlot *empty = NULL;

	for (int i = 0; i < shared->nslots; i++)
	{
		if (slot_of[i].database == database)
			return &slot_of[i];
		if (empty == NULL && !OidIsValid(slot_of[i].database) && !has_worker(&slot_of[i]))
			empty = &slot_of[i];
	}
	if (!make || empty == NULL)
		return NULL;
	memset(empty, 0, sizeof(PoDatabaseSlot));
	empty->database = database;
	empty->worker[PO_WORKER_MAIN].next_due = DT_NOBEGIN;
	empty->worker[PO_WORKER_FUNCTIONS].next_due = DT_NOEND;
	for (int kind = 0; kind < PO_WORKER_KINDS; kind++)
		empty->worker[kind].start_after = DT_NOBEGIN;
	return empty;
}

static void
wake(PGPROC *proc)
{
	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

static void
wake_for(const PoDatabaseSlot *slot, PoWorkerKind kind)
{
	PGPROC	   *worker = shared->worker[slot - slot_of][kind];

	wake(worker != NULL ? worker : shared->launcher);
}

/*
 * po_shared_publish makes known that a database has work due at a time.  Of which
 * kind it is its worker finds out.
 */
void
po_shared_publish(Oid database, TimestampTz due)
{
	PoDatabaseSlot *slot;
	PoWorkerSlot *main;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = find_slot(database, true);
	main = slot != NULL ? &slot->worker[PO_WORKER_MAIN] : NULL;
	if (slot != NULL && (due < main->next_due || due == DT_NOBEGIN))
	{
		/* Only a session that has the extension publishes. */
		if (slot->state == PO_DATABASE_ABSENT || slot->state == PO_DATABASE_OTHER_VERSION)
		{
			/* What came due before was never read. */
			slot->state = PO_DATABASE_UNKNOWN;
			due = DT_NOBEGIN;
		}
		/* arm() asks for a look, and other commits need none. */
		else if (slot->state == PO_DATABASE_DISARMED && due == DT_NOBEGIN)
			slot->state = PO_DATABASE_UNKNOWN;
		main->next_due = due;
		wake_for(slot, PO_WORKER_MAIN);
	}
	LWLockRelease(shared->lock);
}

/*
 * po_shared_hand_over tells the worker that calls functions, or has one started,
 * for what the main worker has read.
 */
void
po_shared_hand_over(int slot, TimestampTz due)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (due < slot_of[slot].worker[PO_WORKER_FUNCTIONS].next_due)
	{
		slot_of[slot].worker[PO_WORKER_FUNCTIONS].next_due = due;
		wake_for(&slot_of[slot], PO_WORKER_FUNCTIONS);
	}
	LWLockRelease(shared->lock);
}

/*
 * po_shared_forget_due is what a worker does before it reads the tables; returns
 * what was known, before which nothing is due.
 */
TimestampTz
po_shared_forget_due(int slot, PoWorkerKind kind)
{
	TimestampTz known;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	known = slot_of[slot].worker[kind].next_due;
	slot_of[slot].worker[kind].next_due = DT_NOEND;
	LWLockRelease(shared->lock);
	return known;
}

/*
 * po_shared_lower_due is what it does with what it read; returns what is known
 * then.
 */
TimestampTz
po_shared_lower_due(int slot, PoWorkerKind kind, TimestampTz due)
{
	PoWorkerSlot *worker = &slot_of[slot].worker[kind];
	TimestampTz result;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	worker->next_due = result = Min(worker->next_due, due);
	LWLockRelease(shared->lock);
	return result;
}

/* With the lock held. */
static void
set_problem(PoDatabaseSlot *slot, const char *problem)
{
	int			len = pg_mbcliplen(problem, strlen(problem), sizeof(slot->problem) - 1);

	memcpy(slot->problem, problem, len);
	slot->problem[len] = '\0';
}

/*
 * po_shared_found notes what a worker found its database to be, and of one that
 * is not armed, why.
 */
void
po_shared_found(int slot, PoDatabaseState state, const char *problem)
{
	PoDatabaseSlot *s = &slot_of[slot];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	/* What was published after the forgetting may contradict what was read before. */
	if (s->state != PO_DATABASE_HELD &&
		(state == PO_DATABASE_PRESENT || s->worker[PO_WORKER_MAIN].next_due == DT_NOEND))
	{
		s->state = state;
		set_problem(s, problem != NULL ? problem : "");
	}
	LWLockRelease(shared->lock);
}

/*
 * po_shared_hold keeps workers away from a database until as many
 * po_shared_release() have come; false where workers do not know it.
 */
bool
po_shared_hold(Oid database)
{
	PoDatabaseSlot *slot;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = find_slot(database, true);
	if (slot != NULL)
	{
		slot->state = PO_DATABASE_HELD;
		slot->holds++;
	}
	LWLockRelease(shared->lock);
	return slot != NULL;
}

/*
 * po_shared_worker_of returns the pid of a worker that is there, 0 when there is
 * none.
 */
int
po_shared_worker_of(Oid database)
{
	PoDatabaseSlot *slot;
	int			pid = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	slot = find_slot(database, false);
	for (int kind = 0; slot != NULL && pid == 0 && kind < PO_WORKER_KINDS; kind++)
		pid = slot->worker[kind].pid;
	LWLockRelease(shared->lock);
	return pid;
}

/*
 * po_shared_release ends one hold, and makes the launcher look at pg_database.
 */
void
po_shared_release(Oid database)
{
	PoDatabaseSlot *slot;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = find_slot(database, false);
	if (slot != NULL && slot->holds > 0 && --slot->holds == 0)
	{
		slot->state = PO_DATABASE_UNKNOWN;
		slot->worker[PO_WORKER_MAIN].next_due = DT_NOBEGIN;
	}
	shared->rescan = true;
	wake(shared->launcher);
	LWLockRelease(shared->lock);
}

/*
 * po_shared_ask_rescan makes the launcher look at pg_database.
 */
void
po_shared_ask_rescan(void)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->rescan = true;
	wake(shared->launcher);
	LWLockRelease(shared->lock);
}

/*
 * po_shared_max_slots returns how many po_shared_slots may copy.
 */
int
po_shared_max_slots(void)
{
	return shared != NULL ? shared->nslots : 0;
}

/*
 * po_shared_slots copies all slots, free ones too, and returns how many.
 */
int
po_shared_slots(PoDatabaseSlot *copy)
{
	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	memcpy(copy, slot_of, shared->nslots * sizeof(PoDatabaseSlot));
	LWLockRelease(shared->lock);
	return shared->nslots;
}

/*
 * po_shared_keep_databases makes slots for the databases and frees those of
 * others; returns for how many there is no slot.  Those that may not be entered
 * are left alone until they may.
 */
int
po_shared_keep_databases(const PoSeenDatabase *seen, int n)
{
	int			left_out = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		bool		there = false;

		for (int d = 0; d < n && !there; d++)
			there = slot_of[i].database == seen[d].database;
		if (!there)
			slot_of[i].database = InvalidOid;
	}
	for (int d = 0; d < n; d++)
	{
		PoDatabaseSlot *slot = find_slot(seen[d].database, true);

		if (slot == NULL)
			left_out++;
		else if (seen[d].closed != NULL && slot->state != PO_DATABASE_HELD && !has_worker(slot))
		{
			slot->state = PO_DATABASE_CLOSED;
			set_problem(slot, seen[d].closed);
			slot->worker[PO_WORKER_MAIN].next_due = DT_NOBEGIN;
			slot->worker[PO_WORKER_MAIN].failures = 0;
		}
		/* One that a worker tried in vain has its pause. */
		else if (seen[d].closed == NULL && slot->state == PO_DATABASE_CLOSED &&
				 slot->worker[PO_WORKER_MAIN].failures == 0)
			slot->state = PO_DATABASE_UNKNOWN;
	}
	LWLockRelease(shared->lock);
	return left_out;
}

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = NULL;
	LWLockRelease(shared->lock);
}

/*
 * po_shared_attach_launcher makes this process the one that is woken.
 */
void
po_shared_attach_launcher(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = MyProc;
	LWLockRelease(shared->lock);
	before_shmem_exit(detach_launcher, (Datum) 0);
}

/*
 * po_shared_take_rescan tells whether somebody asked for a look at pg_database.
 */
bool
po_shared_take_rescan(void)
{
	bool		result;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	result = shared->rescan;
	shared->rescan = false;
	LWLockRelease(shared->lock);
	return result;
}

/*
 * po_shared_started notes that a worker was asked for.
 */
void
po_shared_started(int slot, PoWorkerKind kind)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot_of[slot].worker[kind].last_started = GetCurrentTimestamp();
	LWLockRelease(shared->lock);
}

/*
 * po_shared_attach_worker makes this process the database's worker of its kind;
 * false when the database has been taken from the slot, or is held, since it was
 * asked for.
 */
bool
po_shared_attach_worker(int slot, PoWorkerKind kind, Oid database)
{
	bool		result;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	result = slot_of[slot].database == database && slot_of[slot].state != PO_DATABASE_HELD;
	if (result)
	{
		slot_of[slot].worker[kind].pid = MyProcPid;
		slot_of[slot].worker[kind].drains = false;
		shared->worker[slot][kind] = MyProc;
	}
	LWLockRelease(shared->lock);
	return result;
}

/* With the lock held. */
static void
count_failure(PoWorkerSlot *worker, int sqlstate)
{
	worker->failures++;
	worker->last_failed = GetCurrentTimestamp();
	worker->last_sqlstate = sqlstate;
}

/*
 * po_shared_detach_worker ends that; where one failed none is started again
 * before a pause that doubles, up to a minute.
 */
void
po_shared_detach_worker(int slot, PoWorkerKind kind, PoWorkerEnd end, int sqlstate)
{
	PoDatabaseSlot *s = &slot_of[slot];
	PoWorkerSlot *worker = &s->worker[kind];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	worker->pid = 0;
	worker->left = GetCurrentTimestamp();
	shared->worker[slot][kind] = NULL;
	if (end == PO_END_FAILED || end == PO_END_OUTSIDE)
	{
		count_failure(worker, sqlstate);
		worker->start_after = worker->last_failed +
			Min((int64) 1 << Min(worker->failures - 1, 6), 60) * USECS_PER_SEC;
	}
	if (end == PO_END_OUTSIDE && s->state != PO_DATABASE_HELD)
	{
		s->state = PO_DATABASE_CLOSED;
		set_problem(s, "the worker could not connect");
	}
	/* What it had forgotten is not known now. */
	if (end != PO_END_WELL)
		worker->next_due = DT_NOBEGIN;
	wake(shared->launcher);
	LWLockRelease(shared->lock);
}

/*
 * po_shared_failed notes that something of a worker failed which goes on itself.
 */
void
po_shared_failed(int slot, PoWorkerKind kind, int sqlstate)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	count_failure(&slot_of[slot].worker[kind], sqlstate);
	LWLockRelease(shared->lock);
}

/*
 * po_shared_recovered notes that nothing of it fails any more.
 */
void
po_shared_recovered(int slot, PoWorkerKind kind)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot_of[slot].worker[kind].failures = 0;
	LWLockRelease(shared->lock);
}

/*
 * po_shared_rest keeps the database without a worker of this kind until then: it
 * has nothing to do but what rests.
 */
void
po_shared_rest(int slot, PoWorkerKind kind, TimestampTz until)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot_of[slot].worker[kind].start_after = until;
	LWLockRelease(shared->lock);
}

/*
 * po_shared_count adds to a database's counters.
 */
void
po_shared_count(int slot, int fired, int processed, int sent, const int64 *late_ms, int nlate)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot_of[slot].fired += fired;
	slot_of[slot].processed += processed;
	slot_of[slot].sent += sent;
	for (int i = 0; i < nlate; i++)
	{
		int			bucket = 0;

		while (bucket < PO_LATENESS_BUCKETS - 1 && late_ms[i] >= (int64) 1 << bucket)
			bucket++;
		slot_of[slot].lateness[bucket]++;
	}
	LWLockRelease(shared->lock);
}

/*
 * po_shared_set_waiting tells the workers of a kind whether a database waits for
 * one of them to be free.
 */
void
po_shared_set_waiting(PoWorkerKind kind, bool waiting)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	/* Those that sleep for what is due later look whether they are to leave. */
	for (int i = 0; i < shared->nslots && waiting && !shared->waiting[kind]; i++)
		wake(shared->worker[i][kind]);
	shared->waiting[kind] = waiting;
	LWLockRelease(shared->lock);
}

/*
 * po_shared_others_wait is the worker's side of it.
 */
bool
po_shared_others_wait(PoWorkerKind kind)
{
	bool		result;

	LWLockAcquire(shared->lock, LW_SHARED);
	result = shared->waiting[kind];
	LWLockRelease(shared->lock);
	return result;
}

/*
 * po_shared_drain notes whether a worker would leave, but for requests that are under
 * way: then it takes no other database's place.
 */
void
po_shared_drain(int slot, PoWorkerKind kind, bool drains)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (drains && !slot_of[slot].worker[kind].drains)
		wake(shared->launcher);
	slot_of[slot].worker[kind].drains = drains;
	LWLockRelease(shared->lock);
}
