/*
 * counters.c
 *	  Counters of what came in, by outcome.
 *
 * They live in shared memory when the library is preloaded; otherwise each
 * backend counts for itself alone.  They are what a refused request leaves: it
 * writes nothing to the database.  Atomic, no lock; reset by a restart.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/counters.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

typedef struct PoCounters
{
	pg_atomic_uint64 outcome[PO_INGEST_NOUTCOMES];
} PoCounters;

const char *const po_ingest_outcome_name[PO_INGEST_NOUTCOMES] = {
#define X(name, label) [name] = label,
	PO_INGEST_OUTCOMES(X)
#undef X
};

static PoCounters local;
static PoCounters *counters = &local;
static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static void
init_atomics(PoCounters *target)
{
	for (int i = 0; i < PO_INGEST_NOUTCOMES; i++)
		pg_atomic_init_u64(&target->outcome[i], 0);
}

static void
request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(PoCounters)));
}

static void
startup(void)
{
	bool		found;

	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	counters = ShmemInitStruct("pg_outreach counters", sizeof(PoCounters), &found);
	if (!found)
		init_atomics(counters);
	LWLockRelease(AddinShmemInitLock);
}

/*
 * po_counters_init asks for shared memory while the server starts; called once
 * from _PG_init.
 */
void
po_counters_init(void)
{
	init_atomics(&local);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/*
 * po_count_ingest adds one; also for transactions that are rolled back later.
 */
void
po_count_ingest(PoIngestOutcome outcome)
{
	pg_atomic_fetch_add_u64(&counters->outcome[outcome], 1);
}

/*
 * po_counted returns how many there were, since the server started.
 */
uint64
po_counted(PoIngestOutcome outcome)
{
	return pg_atomic_read_u64(&counters->outcome[outcome]);
}
