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

#include "core/compat.h"
#include "core/settings.h"
#include "core/shared.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define CLOCK_JUMP_USECS (2 * USECS_PER_SEC)

typedef struct Shared
{
	LWLock	   *lock;
	PGPROC	   *launcher;		/* NULL: not running */
	bool		rescan;			/* the launcher is to look at pg_database */
	bool		waiting;		/* a database waits for a worker to be free */
	instr_time	calm_since;		/* when the wall clock was last seen to jump */
	int			nslots;
	PGPROC	   *worker[FLEXIBLE_ARRAY_MEMBER];	/* one a slot; then the slots */
} Shared;

static Shared *shared = NULL;
static PoDatabaseSlot *slot_of;
static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static Size
workers_size(void)
{
	return MAXALIGN(offsetof(Shared, worker) + po_setting_max_databases * sizeof(PGPROC *));
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
	RequestAddinShmemSpace(shared_size());
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

/* With the lock held: the database's slot, made if wanted and possible. */
static PoDatabaseSlot *
find_slot(Oid database, bool make)
{
	PoDatabaseSlot *empty = NULL;

	for (int i = 0; i < shared->nslots; i++)
	{
		if (slot_of[i].database == database)
			return &slot_of[i];
		if (empty == NULL && !OidIsValid(slot_of[i].database) && slot_of[i].worker_pid == 0)
			empty = &slot_of[i];
	}
	if (!make || empty == NULL)
		return NULL;
	memset(empty, 0, sizeof(PoDatabaseSlot));
	empty->database = database;
	empty->next_due = DT_NOBEGIN;
	empty->start_after = DT_NOBEGIN;
	return empty;
}

static void
wake(PGPROC *proc)
{
	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

static void
wake_for(const PoDatabaseSlot *slot)
{
	PGPROC	   *worker = shared->worker[slot - slot_of];

	wake(worker != NULL ? worker : shared->launcher);
}

/*
 * po_shared_publish makes known that a database has work due at a time.
 */
void
po_shared_publish(Oid database, TimestampTz due)
{
	PoDatabaseSlot *slot;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = find_slot(database, true);
	if (slot != NULL && (due < slot->next_due || due == DT_NOBEGIN))
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
		slot->next_due = due;
		wake_for(slot);
	}
	LWLockRelease(shared->lock);
}

/*
 * po_shared_forget_due is what a worker does before it reads the tables; returns
 * what was known, before which nothing is due.
 */
TimestampTz
po_shared_forget_due(int slot)
{
	TimestampTz known;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	known = slot_of[slot].next_due;
	slot_of[slot].next_due = DT_NOEND;
	LWLockRelease(shared->lock);
	return known;
}

/*
 * po_shared_lower_due is what it does with what it read; returns what is known
 * then.
 */
TimestampTz
po_shared_lower_due(int slot, TimestampTz due)
{
	TimestampTz result;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot_of[slot].next_due = result = Min(slot_of[slot].next_due, due);
	LWLockRelease(shared->lock);
	return result;
}

/*
 * po_shared_found notes what a worker found its database to be, and of one that
 * is not armed, why.
 */
void
po_shared_found(int slot, PoDatabaseState state, const char *problem)
{
	int			len;

	if (problem == NULL)
		problem = "";
	len = pg_mbcliplen(problem, strlen(problem), sizeof(slot_of[slot].problem) - 1);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	/* What was published after the forgetting may contradict what was read before. */
	if (slot_of[slot].state != PO_DATABASE_HELD &&
		(state == PO_DATABASE_PRESENT || slot_of[slot].next_due == DT_NOEND))
	{
		slot_of[slot].state = state;
		memcpy(slot_of[slot].problem, problem, len);
		slot_of[slot].problem[len] = '\0';
	}
	LWLockRelease(shared->lock);
}

/*
 * po_shared_hold keeps workers away from a database; returns the pid of the one
 * that is there, 0 when there is none.
 */
int
po_shared_hold(Oid database)
{
	PoDatabaseSlot *slot;
	int			pid = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = find_slot(database, false);
	if (slot != NULL)
	{
		slot->state = PO_DATABASE_HELD;
		pid = slot->worker_pid;
	}
	LWLockRelease(shared->lock);
	return pid;
}

/*
 * po_shared_release ends that, and makes the launcher look at pg_database.
 */
void
po_shared_release(Oid database)
{
	PoDatabaseSlot *slot;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = find_slot(database, false);
	if (slot != NULL && slot->state == PO_DATABASE_HELD)
	{
		slot->state = PO_DATABASE_UNKNOWN;
		slot->next_due = DT_NOBEGIN;
	}
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
 * others; returns for how many there is no slot.
 */
int
po_shared_keep_databases(const Oid *database, int n)
{
	int			left_out = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		bool		there = false;

		for (int d = 0; d < n && !there; d++)
			there = slot_of[i].database == database[d];
		if (!there)
			slot_of[i].database = InvalidOid;
	}
	for (int d = 0; d < n; d++)
		left_out += find_slot(database[d], true) == NULL;
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
po_shared_started(int slot)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot_of[slot].last_started = GetCurrentTimestamp();
	LWLockRelease(shared->lock);
}

/*
 * po_shared_attach_worker makes this process the database's worker; false when the
 * database has been taken from the slot, or is held, since the worker was asked for.
 */
bool
po_shared_attach_worker(int slot, Oid database)
{
	bool		result;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	result = slot_of[slot].database == database && slot_of[slot].state != PO_DATABASE_HELD;
	if (result)
	{
		slot_of[slot].worker_pid = MyProcPid;
		shared->worker[slot] = MyProc;
	}
	LWLockRelease(shared->lock);
	return result;
}

/*
 * po_shared_detach_worker ends that; a worker that failed is not started again
 * before a pause that doubles, up to a minute.
 */
void
po_shared_detach_worker(int slot, bool well, bool asked, int sqlstate)
{
	PoDatabaseSlot *s = &slot_of[slot];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	s->worker_pid = 0;
	shared->worker[slot] = NULL;
	if (well)
		s->failures = 0;
	else if (!asked)
	{
		s->failures++;
		s->last_failed = GetCurrentTimestamp();
		s->last_sqlstate = sqlstate;
		s->start_after = s->last_failed +
			Min((int64) 1 << Min(s->failures - 1, 6), 60) * USECS_PER_SEC;
	}
	/* What it had forgotten is not known now. */
	if (!well)
		s->next_due = DT_NOBEGIN;
	wake(shared->launcher);
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
 * po_shared_watch_clock notes a jump of the wall clock since this process has
 * looked at it last; begins: nobody has looked before.  To be called once a
 * second at least.
 */
void
po_shared_watch_clock(bool begins)
{
	static TimestampTz wall_before = 0;
	static instr_time before;
	TimestampTz wall = GetCurrentTimestamp();
	instr_time	now;
	instr_time	passed;
	bool		jumped = false;

	INSTR_TIME_SET_CURRENT(now);
	if (wall_before != 0)
	{
		passed = now;
		INSTR_TIME_SUBTRACT(passed, before);
		jumped = Abs(wall - wall_before - (int64) INSTR_TIME_GET_MICROSEC(passed)) > CLOCK_JUMP_USECS;
	}
	wall_before = wall;
	before = now;
	if (!begins && !jumped)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->calm_since = now;
	LWLockRelease(shared->lock);
}

/*
 * po_shared_calm_for tells for how many microseconds the wall clock has been seen
 * to go as the monotonic one does: times in rows can be trusted that far back.
 */
int64
po_shared_calm_for(void)
{
	instr_time	passed;
	instr_time	since;

	LWLockAcquire(shared->lock, LW_SHARED);
	since = shared->calm_since;
	LWLockRelease(shared->lock);
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, since);
	return INSTR_TIME_GET_MICROSEC(passed);
}

/*
 * po_shared_set_waiting tells the workers whether a database waits for one of
 * them to be free.
 */
void
po_shared_set_waiting(bool waiting)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->waiting = waiting;
	LWLockRelease(shared->lock);
}

/*
 * po_shared_others_wait is the worker's side of it.
 */
bool
po_shared_others_wait(void)
{
	bool		result;

	LWLockAcquire(shared->lock, LW_SHARED);
	result = shared->waiting;
	LWLockRelease(shared->lock);
	return result;
}
