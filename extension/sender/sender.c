/*
 * sender.c
 *	  What a worker has claimed and is sending: the state of its process.
 *
 * A flight is claimed in a transaction, departs when that has committed and there is
 * room in the air, lands with its answer, and is done when that is recorded.  None of
 * it survives the process, and none needs to: the rows say what was claimed, and by
 * whom.
 *
 * What a transaction does to flights is done at its commit and undone at its
 * abort, as with its rows, and so for a subtransaction: a flight that was claimed
 * in one that aborts is dropped, and never departs; one whose answer was recorded
 * there stays landed.
 *
 * Who claims is named by a random number, and holds a session lock of that name
 * for as long as the process lives.  It is no advisory lock, which functions
 * that timers call could release.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "sender/http_transfer.h"
#include "sender/sender.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define PO_MOST_SENDS 10000		/* of outreach.max_sends */
#define OTHER_DESCRIPTORS 100
#define FIRST_PAUSE_MS 20		/* of an answer that cannot be recorded */
#define LONGEST_PAUSE_MS 1000
#define DRIVE_EVERY_MS 2
#define GATHER_MS 10			/* answers that come together are recorded together */

static int64 owner = 0;			/* 0: not started */
static int	most_sends;			/* for which there are descriptors */
static int	nflights;			/* in all lists */
static uint64 ndone;			/* that were in them */
static dlist_head claimed = DLIST_STATIC_INIT(claimed); /* by the transaction that is open */
static dlist_head ready = DLIST_STATIC_INIT(ready); /* that has committed: to depart */
static XLogRecPtr ready_at = InvalidXLogRecPtr; /* up to there */
static dlist_head cleared = DLIST_STATIC_INIT(cleared); /* to depart when there is room in the air */
static dlist_head flying = DLIST_STATIC_INIT(flying);	/* departed; their answers name them */
static dlist_head landed = DLIST_STATIC_INIT(landed);	/* to be recorded now, */
static int64 gather_until = 0;	/* by the monotonic clock in milliseconds; 0: there are none */
static dlist_head waiting = DLIST_STATIC_INIT(waiting); /* and in a while */
static dlist_head recorded = DLIST_STATIC_INIT(recorded);	/* by the transaction that is open */

static void
set_owner_tag(LOCKTAG *tag, int64 who)
{
	Oid			table = get_relname_relid("outbound_messages", get_namespace_oid("outreach", false));

	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, table, (uint32) who, (uint16) (who >> 32));
}

/*
 * Connections come on top of the files that the server may open, up to
 * max_safe_fds: without a descriptor no process can even wait.  A third of these
 * is what it leaves to others anyway.
 */
static void
find_descriptors(void)
{
	rlim_t		wanted = max_safe_fds + OTHER_DESCRIPTORS + PO_MOST_SENDS;
	struct rlimit limit;

	most_sends = max_safe_fds / 3;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < wanted)
	{
		limit.rlim_cur = Min(wanted, limit.rlim_max);
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return;
	}
	most_sends = Max(most_sends, (int) Min(limit.rlim_cur, wanted) - max_safe_fds - OTHER_DESCRIPTORS);
}

/* Locks of this kind are released by the end of a transaction alone, and there may be none. */
static void
release_owner(int code, Datum arg)
{
	AbortOutOfAnyTransaction();
	LockReleaseAll(DEFAULT_LOCKMETHOD, true);
}

static PoFlight *
pop(dlist_head *list)
{
	return dlist_container(PoFlight, node, dlist_pop_head_node(list));
}

static void
free_flight(PoFlight *flight)
{
	if (flight->answer != NULL)
		po_http_free(flight->answer);
	po_load_end(&flight->loads);
	MemoryContextDelete(flight->context);
	nflights--;
	ndone++;
}

/* Nothing here raises: the transaction has ended. */
static void
end_transaction(XactEvent event, void *arg)
{
	bool		committed = event == XACT_EVENT_COMMIT;

	if (!committed && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	while (!dlist_is_empty(&claimed))
	{
		PoFlight   *flight = pop(&claimed);

		if (committed)
		{
			dlist_push_tail(&ready, &flight->node);
			ready_at = XactLastCommitEnd;
		}
		else
			free_flight(flight);
	}
	while (!dlist_is_empty(&recorded))
	{
		PoFlight   *flight = pop(&recorded);

		if (committed)
			free_flight(flight);
		else
			dlist_push_tail(&landed, &flight->node);
	}
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	dlist_head *const list[] = {&claimed, &recorded};
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (int i = 0; i < lengthof(list); i++)
	{
		dlist_foreach_modify(iter, list[i])
		{
			PoFlight   *flight = dlist_container(PoFlight, node, iter.cur);

			if (flight->level != mine)
				continue;
			if (event == SUBXACT_EVENT_COMMIT_SUB)
			{
				flight->level = parent;
				continue;
			}
			dlist_delete(&flight->node);
			if (list[i] == &claimed)
				free_flight(flight);
			else
				dlist_push_tail(&landed, &flight->node);
		}
	}
}

/*
 * po_sender_start makes this process one that may claim.  Needs a transaction.
 */
void
po_sender_start(void)
{
	LOCKTAG		tag;
	int64		who;

	if (owner != 0)
		return;
	do
	{
		if (!pg_strong_random(&who, sizeof(who)))
			elog(ERROR, "no random number");
		who &= INT64CONST(0xffffffffffff);
		set_owner_tag(&tag, who);
	} while (who == 0 || LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL);
	before_shmem_exit(release_owner, (Datum) 0);
	po_load_start();
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
	find_descriptors();
	if (!po_http_start(po_setting_allow_private_addresses))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("libcurl could not be started")));
	owner = who;
}

/*
 * po_require_sender raises an error unless this process may claim.
 */
void
po_require_sender(void)
{
	if (owner == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("only a background worker sends messages"),
				 errhint("Preload the library; outreach.worker_status shows its workers.")));
}

/*
 * po_sender_owner returns the name under which this process claims.
 */
int64
po_sender_owner(void)
{
	return owner;
}

/*
 * po_owner_is_dead tells whether the process that claimed under this name is
 * gone; nobody can claim under it before the transaction ends.
 */
bool
po_owner_is_dead(int64 who)
{
	LOCKTAG		tag;

	if (who == owner)
		return false;
	set_owner_tag(&tag, who);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * po_flight_begin makes an empty flight, which departs once the transaction has
 * committed; what belongs to it is palloc'd in its context.  Whoever began it
 * fills it in, drops it or raises.
 */
PoFlight *
po_flight_begin(const PoAccount *account)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "outreach flight",
												  ALLOCSET_SMALL_SIZES);
	PoFlight   *flight = MemoryContextAllocZero(context, sizeof(PoFlight));

	flight->context = context;
	flight->level = GetCurrentSubTransactionId();
	flight->tenant_id = MemoryContextStrdup(context, account->tenant_id);
	flight->account = MemoryContextStrdup(context, account->account);
	po_load_begin(&flight->loads, account);
	dlist_push_tail(&claimed, &flight->node);
	nflights++;
	return flight;
}

/*
 * po_flight_drop takes back a flight that this transaction has begun, and frees it.
 */
void
po_flight_drop(PoFlight *flight)
{
	dlist_delete(&flight->node);
	free_flight(flight);
}

/*
 * po_flight_recorded notes that this transaction has recorded a landed flight,
 * which is freed when it commits.
 */
void
po_flight_recorded(PoFlight *flight)
{
	dlist_delete(&flight->node);
	flight->level = GetCurrentSubTransactionId();
	dlist_push_tail(&recorded, &flight->node);
}

/*
 * po_flight_waits puts off a landed flight whose answer cannot be recorded now; it
 * stays what it is, and is tried again soon, at longer and longer intervals.
 */
void
po_flight_waits(PoFlight *flight)
{
	dlist_delete(&flight->node);
	flight->pause_ms = Min(Max(2 * flight->pause_ms, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
	flight->try_at = po_monotonic_ms() + flight->pause_ms;
	dlist_push_tail(&waiting, &flight->node);
}

/*
 * po_sender_room tells how many more may be claimed.
 */
int
po_sender_room(void)
{
	return Max(Min(po_setting_max_sends, most_sends) - po_sender_busy(), 0);
}

/*
 * po_sender_busy counts flights that are not done.
 */
int
po_sender_busy(void)
{
	return nflights;
}

/*
 * po_sender_done counts flights that were: it has grown where there may be room.
 */
uint64
po_sender_done(void)
{
	return ndone;
}

/* Whether it is too late for a request: what its claim has seen no longer holds. */
static bool
is_late(const PoFlight *flight)
{
	instr_time	passed;

	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, flight->claimed_at);
	return INSTR_TIME_GET_MILLISEC(passed) > PO_LATEST_DEPARTURE_MS;
}

/*
 * po_commits_are_replicated tells whether commits of this process wait for synchronous
 * standbys.
 */
bool
po_commits_are_replicated(void)
{
	return SyncRepRequested() && SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

/*
 * Whether commits up to there are on the synchronous standbys, if there are to be
 * any.  A commit whose wait for them was cancelled is not: after a failover what
 * has left would be sent again.
 */
static bool
is_replicated(XLogRecPtr up_to)
{
	bool		replicated;

	/* The wait may have been for what a reload has brought. */
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (!po_commits_are_replicated())
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	replicated = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH] >= up_to;
	LWLockRelease(SyncRepLock);
	return replicated;
}

/* Sends those for which there is room; returns whether some have left. */
static bool
depart(void)
{
	dlist_mutable_iter iter;
	bool		departed = false;

	dlist_foreach_modify(iter, &cleared)
	{
		PoFlight   *flight = dlist_container(PoFlight, node, iter.cur);
		bool		stays = ShutdownRequestPending || is_late(flight);

		if (!stays && !po_load_departs(&flight->loads))
		{
			if (po_monotonic_ms() <= flight->cleared_at + PO_LONGEST_QUEUE_MS)
				continue;
			stays = true;
		}
		dlist_delete(&flight->node);
		flight->call.tag = flight;
		if (!stays && po_http_add(&flight->call))
		{
			dlist_push_tail(&flying, &flight->node);
			departed = true;
			continue;
		}
		if (!stays)
			po_load_lands(&flight->loads);
		/* Without an answer: surely not sent. */
		dlist_push_tail(&landed, &flight->node);
	}
	return departed;
}

/*
 * po_sender_depart sends what committed transactions have claimed, at once or as room
 * comes; keep sends nothing: the process is to end, and may not have waited for the
 * commit to be safe.
 */
void
po_sender_depart(bool keep)
{
	int64		now = po_monotonic_ms();

	Assert(!IsTransactionState());
	po_http_allow_private(po_setting_allow_private_addresses);
	keep = keep || (!dlist_is_empty(&ready) && !is_replicated(ready_at));
	while (!dlist_is_empty(&ready))
	{
		PoFlight   *flight = pop(&ready);

		flight->cleared_at = now;
		dlist_push_tail(keep ? &landed : &cleared, &flight->node);
	}
	(void) depart();
}

/* Takes the answers that libcurl has. */
static void
land(void)
{
	PoHttpAnswer *answer;

	while ((answer = po_http_next()) != NULL)
	{
		PoFlight   *flight = answer->tag;

		flight->answer = answer;
		flight->landed_at = po_now();
		po_load_lands(&flight->loads);
		dlist_delete(&flight->node);
		dlist_push_tail(&landed, &flight->node);
	}
}

/*
 * po_sender_collect lets libcurl do what it can without waiting, takes the answers, and
 * sends what has room then; returns whether some are to be recorded: a while after the
 * first of them, or when no other can come.  Outside of transactions.
 */
bool
po_sender_collect(void)
{
	dlist_mutable_iter iter;

	if (owner == 0)
		return false;
	Assert(!IsTransactionState());
	do
	{
		po_http_drive();
		land();
	} while (depart());
	dlist_foreach_modify(iter, &waiting)
	{
		PoFlight   *flight = dlist_container(PoFlight, node, iter.cur);

		if (flight->try_at > po_monotonic_ms())
			continue;
		dlist_delete(&flight->node);
		dlist_push_tail(&landed, &flight->node);
	}
	if (dlist_is_empty(&landed))
		gather_until = 0;
	else if (gather_until == 0)
		gather_until = po_monotonic_ms() + GATHER_MS;
	return gather_until != 0 &&
		(po_monotonic_ms() >= gather_until || (dlist_is_empty(&flying) && dlist_is_empty(&cleared)));
}

/*
 * po_sender_postpone puts off all that has landed: recording it failed as a whole.
 */
void
po_sender_postpone(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &landed)
		po_flight_waits(dlist_container(PoFlight, node, iter.cur));
}

/*
 * po_sender_drive lets libcurl do what it can without waiting, so that long work
 * does not keep providers waiting: to be called between its parts, at any time and
 * as often as one likes.  It raises nothing, and answers are taken later.
 */
void
po_sender_drive(void)
{
	static int64 next = 0;

	if (dlist_is_empty(&flying) || po_monotonic_ms() < next)
		return;
	po_http_drive();
	next = po_monotonic_ms() + DRIVE_EVERY_MS;
}

/*
 * po_sender_timeout_ms tells in how many milliseconds po_sender_collect() has
 * something to do, if no socket has before; -1: never.
 */
long
po_sender_timeout_ms(void)
{
	int64		at = PG_INT64_MAX;
	long		timeout = po_http_timeout_ms();
	dlist_iter	iter;

	dlist_foreach(iter, &waiting)
		at = Min(at, dlist_container(PoFlight, node, iter.cur)->try_at);
	if (!dlist_is_empty(&cleared))
		at = Min(at, dlist_head_element(PoFlight, node, &cleared)->cleared_at + PO_LONGEST_QUEUE_MS + 1);
	/* Once that has passed, whoever records them knows: it may be resting. */
	if (gather_until > po_monotonic_ms())
		at = Min(at, gather_until);
	if (at == PG_INT64_MAX)
		return timeout;
	at = Max(at - po_monotonic_ms(), 0);
	return timeout < 0 ? at : Min(timeout, at);
}

/*
 * po_sender_holds tells whether there are answers that others keep from being
 * recorded, and nothing else is under way.
 */
bool
po_sender_holds(void)
{
	return !dlist_is_empty(&waiting) && dlist_is_empty(&flying) && dlist_is_empty(&ready) && dlist_is_empty(&cleared);
}

/*
 * po_landed_flights returns those that are to be recorded, palloc'd; they stay
 * landed until po_flight_recorded() or po_flight_waits().
 */
PoFlight **
po_landed_flights(int *n)
{
	PoFlight  **flight = palloc(Max(nflights, 1) * sizeof(PoFlight *));
	dlist_iter	iter;

	*n = 0;
	dlist_foreach(iter, &landed)
		flight[(*n)++] = dlist_container(PoFlight, node, iter.cur);
	return flight;
}
