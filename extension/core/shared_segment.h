/*
 * shared_segment.h
 *	  The segment of shared memory as it lies there; for shared.c and
 *	  shared_workers.c alone.
 */
#ifndef PO_SHARED_SEGMENT_H
#define PO_SHARED_SEGMENT_H

#include "core/shared.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"

typedef struct PoSegment
{
	LWLock	   *lock;
	PGPROC	   *launcher;		/* NULL: not running */
	bool		rescan;			/* the launcher is to look at pg_database */
	bool		waiting[PO_WORKER_KINDS];	/* a database waits for one to be free */
	int			nslots;
	PGPROC	   *worker[FLEXIBLE_ARRAY_MEMBER][PO_WORKER_KINDS]; /* a row a slot; then the slots */
} PoSegment;

extern PoSegment *po_segment;	/* NULL: not preloaded */
extern PoDatabaseSlot *po_slot_of;

/* With the lock held. */
static inline void
po_segment_wake(PGPROC *proc)
{
	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

#endif
