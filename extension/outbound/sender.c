/*
 * sender.c
 *	  What a worker has claimed and is sending: the state of its process.
 *
 * A flight is claimed in a transaction, departs when that has committed, lands
 * with its answer, and is done when that is recorded.  None of it survives the
 * process, and none needs to: the rows say what was claimed, and by whom.
 *
 * Who claims is named by a random number, and holds a session lock of that name
 * for as long as the process lives.  It is no advisory lock, which functions
 * that timers call could release.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "core/compat.h"
#include "core/settings.h"
#include "miscadmin.h"
#include "outbound/sender.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define PO_MOST_SENDS 10000		/* of outreach.max_sends */
#define OTHER_DESCRIPTORS 100

static int64 owner = 0;			/* 0: not started */
static int	most_sends;			/* for which there are descriptors */
static PoFlight *claimed;		/* to depart when the transaction has committed */
static PoFlight *flying;		/* departed; their answers name them */
static PoFlight *landed;

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
	find_descriptors();
	if (!po_http_start(po_setting_allow_private_addresses))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("libcurl could not be started")));
	owner = who;
}

/*
 * po_require_sender raises an error unless this process may claim, and nothing
 * but the transaction can undo what it does: flights are no part of that.
 */
void
po_require_sender(void)
{
	if (owner == 0 || GetCurrentTransactionNestLevel() > 1)
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
 * po_flight_begin makes an empty flight; what belongs to it is palloc'd in its
 * context.
 */
PoFlight *
po_flight_begin(const PoAccount *account)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "outreach flight",
												  ALLOCSET_SMALL_SIZES);
	PoFlight   *flight = MemoryContextAllocZero(context, sizeof(PoFlight));

	flight->context = context;
	flight->tenant_id = MemoryContextStrdup(context, account->tenant_id);
	flight->account = MemoryContextStrdup(context, account->account);
	flight->host = MemoryContextStrdup(context, account->origin);
	return flight;
}

/*
 * po_flight_claimed hands over a flight whose row this transaction has claimed.
 */
void
po_flight_claimed(PoFlight *flight)
{
	flight->next = claimed;
	claimed = flight;
}

static int
count(const char *tenant_id, const char *account, const char *host)
{
	int			n = 0;

	for (int list = 0; list < 2; list++)
		for (PoFlight *f = list == 0 ? claimed : flying; f != NULL; f = f->next)
			n += host != NULL ? strcmp(f->host, host) == 0
				: strcmp(f->account, account) == 0 && strcmp(f->tenant_id, tenant_id) == 0;
	return n;
}

/*
 * po_flights_of_account counts what an account has under way.
 */
int
po_flights_of_account(const char *tenant_id, const char *account)
{
	return count(tenant_id, account, NULL);
}

/*
 * po_flights_to_host counts what is under way to a host.
 */
int
po_flights_to_host(const char *host)
{
	return count(NULL, NULL, host);
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
	int			n = 0;

	for (PoFlight *f = claimed; f != NULL; f = f->next)
		n++;
	for (PoFlight *f = flying; f != NULL; f = f->next)
		n++;
	for (PoFlight *f = landed; f != NULL; f = f->next)
		n++;
	return n;
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
 * po_sender_depart sends what was claimed, the transaction having committed; keep
 * sends nothing: the process is to end, and may not have waited for the commit
 * to be safe.
 */
void
po_sender_depart(bool keep)
{
	Assert(!IsTransactionState());
	po_http_allow_private(po_setting_allow_private_addresses);
	while (claimed != NULL)
	{
		PoFlight   *flight = claimed;

		claimed = flight->next;
		flight->call.tag = flight;
		if (!keep && !is_late(flight) && po_http_add(&flight->call))
		{
			flight->next = flying;
			flying = flight;
		}
		else
		{
			/* Without an answer: surely not sent. */
			flight->next = landed;
			landed = flight;
		}
	}
}

/*
 * po_sender_collect lets libcurl do what it can without waiting, and takes the
 * answers; returns whether some are to be recorded.
 */
bool
po_sender_collect(void)
{
	PoHttpAnswer *answer;

	if (owner == 0)
		return false;
	po_http_drive();
	while ((answer = po_http_next()) != NULL)
	{
		PoFlight   *flight = answer->tag;
		PoFlight  **link = &flying;

		while (*link != flight)
			link = &(*link)->next;
		*link = flight->next;
		flight->answer = answer;
		flight->next = landed;
		landed = flight;
	}
	return landed != NULL;
}

/*
 * po_landed_flights returns those that are to be recorded; they stay where they
 * are until po_flights_done().
 */
PoFlight *
po_landed_flights(void)
{
	return landed;
}

/*
 * po_flights_done frees the flight and those behind it in the list of the
 * landed, the transaction that recorded them having committed.
 */
void
po_flights_done(PoFlight *flight)
{
	PoFlight  **link = &landed;

	while (*link != NULL && *link != flight)
		link = &(*link)->next;
	*link = NULL;
	while (flight != NULL)
	{
		PoFlight   *next = flight->next;

		if (flight->answer != NULL)
			po_http_free(flight->answer);
		MemoryContextDelete(flight->context);
		flight = next;
	}
}
