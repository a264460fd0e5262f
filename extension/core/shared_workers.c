/*
 * shared_workers.c
 *	  Who works in which database, and whose turn it is; in the segment of shared.c.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/shared.h"
#include "core/shared_segment.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/*
 * po_shared_started notes that a worker was asked for.
 */
void
po_shared_started(int slot, PoWorkerKind kind)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_slot_of[slot].worker[kind].last_started = GetCurrentTimestamp();
	po_slot_of[slot].worker[kind].drains = false;
	LWLockRelease(po_segment->lock);
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

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	result = po_slot_of[slot].database == database && po_slot_of[slot].state != PO_DATABASE_HELD;
	if (result)
	{
		po_slot_of[slot].worker[kind].pid = MyProcPid;
		po_slot_of[slot].worker[kind].drains = false;
		po_segment->worker[slot][kind] = MyProc;
	}
	LWLockRelease(po_segment->lock);
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
	PoDatabaseSlot *s = &po_slot_of[slot];
	PoWorkerSlot *worker = &s->worker[kind];

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	worker->pid = 0;
	worker->left = GetCurrentTimestamp();
	po_segment->worker[slot][kind] = NULL;
	if (end == PO_END_FAILED || end == PO_END_OUTSIDE)
	{
		count_failure(worker, sqlstate);
		worker->start_after = worker->last_failed +
			Min((int64) 1 << Min(worker->failures - 1, 6), 60) * USECS_PER_SEC;
	}
	if (end == PO_END_OUTSIDE && s->state != PO_DATABASE_HELD)
	{
		s->state = PO_DATABASE_CLOSED;
		strlcpy(s->problem, "the worker could not connect", sizeof(s->problem));
	}
	/* What it had forgotten is not known now. */
	if (end != PO_END_WELL)
		worker->next_due = DT_NOBEGIN;
	po_segment_wake(po_segment->launcher);
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_failed notes that something of a worker failed which goes on itself.
 */
void
po_shared_failed(int slot, PoWorkerKind kind, int sqlstate)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	count_failure(&po_slot_of[slot].worker[kind], sqlstate);
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_recovered notes that nothing of it fails any more.
 */
void
po_shared_recovered(int slot, PoWorkerKind kind)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_slot_of[slot].worker[kind].failures = 0;
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_rest keeps the database without a worker of this kind until then: it
 * has nothing to do but what rests.
 */
void
po_shared_rest(int slot, PoWorkerKind kind, TimestampTz until)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_slot_of[slot].worker[kind].start_after = until;
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_count adds to a database's counters.
 */
void
po_shared_count(int slot, int fired, int processed, int sent, const int64 *late_ms, int nlate)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	po_slot_of[slot].fired += fired;
	po_slot_of[slot].processed += processed;
	po_slot_of[slot].sent += sent;
	for (int i = 0; i < nlate; i++)
	{
		int			bucket = 0;

		while (bucket < PO_LATENESS_BUCKETS - 1 && late_ms[i] >= (int64) 1 << bucket)
			bucket++;
		po_slot_of[slot].lateness[bucket]++;
	}
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_set_waiting tells the workers of a kind whether a database waits for
 * one of them to be free.
 */
void
po_shared_set_waiting(PoWorkerKind kind, bool waiting)
{
	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	/* Those that sleep for what is due later look whether they are to leave. */
	for (int i = 0; i < po_segment->nslots && waiting && !po_segment->waiting[kind]; i++)
		po_segment_wake(po_segment->worker[i][kind]);
	po_segment->waiting[kind] = waiting;
	LWLockRelease(po_segment->lock);
}

/*
 * po_shared_others_wait is the worker's side of it.
 */
bool
po_shared_others_wait(PoWorkerKind kind)
{
	bool		result;

	LWLockAcquire(po_segment->lock, LW_SHARED);
	result = po_segment->waiting[kind];
	LWLockRelease(po_segment->lock);
	return result;
}

/*
 * po_shared_drain notes whether a worker would leave, but for requests that are under
 * way: then it takes no other database's place.  Returns how many are so.
 */
int
po_shared_drain(int slot, PoWorkerKind kind, bool drains)
{
	int			n = 0;

	LWLockAcquire(po_segment->lock, LW_EXCLUSIVE);
	if (drains && !po_slot_of[slot].worker[kind].drains)
		po_segment_wake(po_segment->launcher);
	po_slot_of[slot].worker[kind].drains = drains;
	for (int i = 0; i < po_segment->nslots && drains; i++)
		n += po_slot_of[i].worker[kind].pid != 0 && po_slot_of[i].worker[kind].drains;
	LWLockRelease(po_segment->lock);
	return n;
}
