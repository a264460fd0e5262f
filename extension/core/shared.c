/*
 * shared.c
 *	  What the launcher, the workers and the sessions know in common: which
 *	  database has work due when.
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
#include "core/shared_segment.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

PoSegment  *po_segment = NULL;
PoDatabaseSlot *po_slot_of;

static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static Size
workers_size(void)
{
	return MAXALIGN(offsetof(PoSegment, worker) + po_setting_max_databases * PO_WORKER_KINDS * sizeof(PGPROC *));
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
	po_segment = ShmemInitStruct("pg_outreach", shared_size(), &found);
	po_slot_of = (PoDatabaseSlot *) ((char *) po_segment + workers_size());
	if (!found)
	{
		memset(po_segment, 0, shared_size());
		po_segment->lock = &GetNamedLWLockTranche("pg_outreach")->lock;
		po_segment->nslots = po_setting_max_databases;
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
	return po_segment != NULL;
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

	for (int i = 0; i < po_segment->nslots; i++)
	{
		if (po_slot_of[i].database == database)
			return &po_slot_of[i];
		if (empty == NULL && !OidIsValid(po_slot_of[i].database) && !has_worker(&po_slot_of[i]))
			empty = &po_slot_of[i];
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
wake_for(const PoDatabaseSlot *slot, PoWorkerKind kind)
{
	PGPROC	   *worker = po_segment->worker[slot - po_slot_of][kind];

	po_segment_wake(worker != NULL ? worker : po_segment->launcher);
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

	if (po_segment == NULL)
		return;
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
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
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_hand_over tells the worker that calls functions, or has one started,
 * for what the main worker has read.
 */
void
po_shared_hand_over(int slot, TimestampTz due)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	if (due < po_slot_of[slot].worker[PO_WORKER_FUNCTIONS].next_due)
	{
		po_slot_of[slot].worker[PO_WORKER_FUNCTIONS].next_due = due;
		wake_for(&po_slot_of[slot], PO_WORKER_FUNCTIONS);
	}
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_forget_due is what a worker does before it reads the tables; returns
 * what was known, before which nothing is due.
 */
TimestampTz
po_shared_forget_due(int slot, PoWorkerKind kind)
{
	TimestampTz known;

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	known = po_slot_of[slot].worker[kind].next_due;
	po_slot_of[slot].worker[kind].next_due = DT_NOEND;
	LWLockRelease(po_segment->lock);
	return known;
}

/*
 * po_shared_lower_due is what it does with what it read; returns what is known
 * then.
 */
TimestampTz
po_shared_lower_due(int slot, PoWorkerKind kind, TimestampTz due)
{
	PoWorkerSlot *worker = &po_slot_of[slot].worker[kind];
	TimestampTz result;

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	worker->next_due = result = Min(worker->next_due, due);
	LWLockRelease(po_segment->lock);
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
	PoDatabaseSlot *s = &po_slot_of[slot];

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	/* What was published after the forgetting may contradict what was read before. */
	if (s->state != PO_DATABASE_HELD &&
		(state == PO_DATABASE_PRESENT || s->worker[PO_WORKER_MAIN].next_due == DT_NOEND))
	{
		s->state = state;
		set_problem(s, problem != NULL ? problem : "");
	}
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_hold keeps workers away from a database until as many
 * po_shared_release() have come; false where workers do not know it.
 */
bool
po_shared_hold(Oid database)
{
	PoDatabaseSlot *slot;

	if (po_segment == NULL)
		return false;
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	slot = find_slot(database, true);
	if (slot != NULL)
	{
		slot->state = PO_DATABASE_HELD;
		slot->holds++;
	}
	LWLockRelease(po_segment->lock);
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

	if (po_segment == NULL)
		return 0;
	LWLockAcquire(po_segment->lock, LW_SHARED);
	slot = find_slot(database, false);
	for (int kind = 0; slot != NULL && pid == 0 && kind < PO_WORKER_KINDS; kind++)
		pid = slot->worker[kind].pid;
	LWLockRelease(po_segment->lock);
	return pid;
}

/*
 * po_shared_release ends one hold, and makes the launcher look at pg_database.
 */
void
po_shared_release(Oid database)
{
	PoDatabaseSlot *slot;

	if (po_segment == NULL)
		return;
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	slot = find_slot(database, false);
	if (slot != NULL && slot->holds > 0 && --slot->holds == 0)
	{
		slot->state = PO_DATABASE_UNKNOWN;
		slot->worker[PO_WORKER_MAIN].next_due = DT_NOBEGIN;
	}
	po_segment->rescan = true;
	po_segment_wake(po_segment->launcher);
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_ask_rescan makes the launcher look at pg_database.
 */
void
po_shared_ask_rescan(void)
{
	if (po_segment == NULL)
		return;
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_segment->rescan = true;
	po_segment_wake(po_segment->launcher);
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_max_slots returns how many po_shared_slots may copy.
 */
int
po_shared_max_slots(void)
{
	return po_segment != NULL ? po_segment->nslots : 0;
}

/*
 * po_shared_slots copies all slots, free ones too, and returns how many.
 */
int
po_shared_slots(PoDatabaseSlot *copy)
{
	if (po_segment == NULL)
		return 0;
	LWLockAcquire(po_segment->lock, LW_SHARED);
	memcpy(copy, po_slot_of, po_segment->nslots * sizeof(PoDatabaseSlot));
	LWLockRelease(po_segment->lock);
	return po_segment->nslots;
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

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	for (int i = 0; i < po_segment->nslots; i++)
	{
		bool		there = false;

		for (int d = 0; d < n && !there; d++)
			there = po_slot_of[i].database == seen[d].database;
		if (!there)
			po_slot_of[i].database = InvalidOid;
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
	LWLockRelease(po_segment->lock);
	return left_out;
}

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_segment->launcher = NULL;
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_attach_launcher makes this process the one that is woken.
 */
void
po_shared_attach_launcher(void)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_segment->launcher = MyProc;
	LWLockRelease(po_segment->lock);
	before_shmem_exit(detach_launcher, (Datum) 0);
}

/*
 * po_shared_take_rescan tells whether somebody asked for a look at pg_database.
 */
bool
po_shared_take_rescan(void)
{
	bool		result;

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	result = po_segment->rescan;
	po_segment->rescan = false;
	LWLockRelease(po_segment->lock);
	return result;
}
