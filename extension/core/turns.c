/*
 * turns.c
 *	  Tenants in turn, where more is due than a batch holds.
 *
 * While everything fits into a batch it is taken in the order of its time, from
 * one index.  After a full batch the next ones take a few of each tenant, the
 * tenants in the reverse order of their ids, beginning behind the last one that had its
 * turn, until a batch has held all that is due.  State of one activity in one
 * process.
 *
 * The order is reverse because an index that begins with the tenant has the dead rows
 * of what is done at the front of each: whoever comes from behind finds the next tenant
 * that has something without reading them.
 *
 * What somebody else holds counts as looked at, so that a look has an end however
 * much of it there is.  Where a tenant has more than its part of a batch, the next
 * look at it begins behind that part: at its place, which it keeps until the look has
 * come to the end of what the tenant has.  So neither what is held is looked at again
 * and again, nor the dead rows of what is done.  After half a minute the place goes back
 * to the beginning, then after one, two, four …, so that a slow machine comes to the
 * end, too.  There is room for few places; a tenant without one waits for what it holds
 * itself.
 *
 * What is held stays due, and a look begins there, while dead rows of all that was done
 * meanwhile gather behind it.  Where that makes a look long which has seen all that is
 * due, by the pages it has read, the next ones begin a little before it, and seldom at
 * the beginning.
 *
 * The index by time alone has due < infinity as its predicate, which says nothing
 * of the rows but that only queries with that words use it: the one for a backlog
 * would be answered from it by reading it through once a tenant.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "core/turns.h"
#include "executor/instrument.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_PLACES 64
#define PLACE_LIFE (30 * USECS_PER_SEC)
#define LONGEST_LIFE (64 * PLACE_LIFE)

#define LAST_CHAR "\xF4\x8F\xBF\xBF"	/* of UTF-8 */

#define LONG_LOOK_PAGES	2000	/* some 5 ms */
#define SELDOM			10		/* times as long as it takes */
#define LATE_COMMIT_USECS (5 * USECS_PER_SEC)	/* what is due now may be committed so much later */

typedef struct Place
{
	dlist_node	node;
	char		tenant_id[PO_MAX_ID_BYTES + 1];
	char		account[PO_MAX_ID_BYTES + 1];
	TimestampTz due_at;
	pg_uuid_t	id;
	TimestampTz made;			/* by the wall clock */
	int64		life;
	bool		kept;			/* by the last look */
} Place;

static int64
pages_read(void)
{
	return pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read;
}

/*
 * po_turns_from returns the time since which to look, a time before all that is due
 * or a later one.  To be followed by po_turns_again().
 */
TimestampTz
po_turns_from(PoTurns *turns, TimestampTz since)
{
	TimestampTz from = since;

	turns->began = GetCurrentTimestamp();
	turns->pages = pages_read();
	/* The clock may have been set back. */
	if (turns->began < turns->again && turns->again <= turns->began + SELDOM * USECS_PER_SEC)
		from = Max(since, turns->looked - LATE_COMMIT_USECS);
	turns->whole = from == since;
	turns->looked = po_now();
	return from;
}

/*
 * po_turns_before returns the tenant, as text in the current context, from which the next
 * look goes down: behind all ids where it is to begin at the beginning.
 */
Datum
po_turns_before(const PoTurns *turns)
{
	StringInfoData greatest;

	if (turns->last_tenant[0] != '\0')
		return CStringGetTextDatum(turns->last_tenant);
	initStringInfo(&greatest);
	for (int i = 0; i <= PO_MAX_ID; i++)
		appendStringInfoString(&greatest, LAST_CHAR);
	return CStringGetTextDatum(greatest.data);
}

/*
 * po_turns_share returns how many of one tenant the next batch of a backlog takes.
 */
int
po_turns_share(const PoTurns *turns, int batch)
{
	return Min(Max(turns->share, Max(batch / 8, 1)), batch);
}

/*
 * po_turns_places returns the places as arrays, in the current context.
 */
void
po_turns_places(PoTurns *turns, Datum array[PO_PLACES_COLUMNS])
{
	static const Oid element[PO_PLACES_COLUMNS] = {TEXTOID, TEXTOID, TIMESTAMPTZOID, UUIDOID};
	PoArray		column[PO_PLACES_COLUMNS];
	dlist_iter	iter;

	for (int i = 0; i < PO_PLACES_COLUMNS; i++)
		po_array_init(&column[i], element[i], turns->nplaces);
	dlist_foreach(iter, &turns->places)
	{
		const Place *place = dlist_container(Place, node, iter.cur);

		po_array_add_text(&column[0], place->tenant_id);
		po_array_add_text(&column[1], place->account);
		po_array_add(&column[2], TimestampTzGetDatum(place->due_at));
		po_array_add_uuid(&column[3], &place->id);
	}
	for (int i = 0; i < PO_PLACES_COLUMNS; i++)
		array[i] = po_array_datum(&column[i]);
}

static bool
is_of_same(const PoSight *a, const PoSight *b)
{
	return strcmp(a->tenant_id, b->tenant_id) == 0 && strcmp(a->account, b->account) == 0;
}

static Place *
find_place(PoTurns *turns, const PoSight *sight)
{
	dlist_iter	iter;

	dlist_foreach(iter, &turns->places)
	{
		Place	   *place = dlist_container(Place, node, iter.cur);

		if (strcmp(place->tenant_id, sight->tenant_id) == 0 && strcmp(place->account, sight->account) == 0)
			return place;
	}
	return NULL;
}

static void
keep_place(PoTurns *turns, Place *place, const PoSight *last)
{
	if (place == NULL)
	{
		if (turns->nplaces == MAX_PLACES)
			return;
		place = MemoryContextAllocZero(TopMemoryContext, sizeof(Place));
		strlcpy(place->tenant_id, last->tenant_id, sizeof(place->tenant_id));
		strlcpy(place->account, last->account, sizeof(place->account));
		place->made = GetCurrentTimestamp();
		place->life = PLACE_LIFE;
		dlist_push_tail(&turns->places, &place->node);
		turns->nplaces++;
	}
	place->due_at = last->due_at;
	place->id = last->id;
	place->kept = true;
}

/*
 * Moves the places of those that were looked at: on, or back to the beginning.
 * Returns whether there may be more of one of them.
 */
static bool
move_places(PoTurns *turns, const PoSight *sight, int n, bool full)
{
	dlist_mutable_iter iter;
	TimestampTz now = GetCurrentTimestamp();
	bool		more = false;
	int			next;

	for (int first = 0; first < n; first = next)
	{
		Place	   *place = find_place(turns, &sight[first]);
		const PoSight *last = NULL;
		bool		left = false;

		for (next = first; next < n && is_of_same(&sight[next], &sight[first]); next++)
		{
			left |= sight[next].left;
			if (!left)
				last = &sight[next];
		}
		/* That was all, unless it was cut off: by room, by its share, by the batch. */
		if (!left && next - first < sight[first].most && !(next == n && full))
			continue;
		more = true;
		if (last != NULL)
			keep_place(turns, place, last);
		else if (place != NULL)
			place->kept = true;
	}
	dlist_foreach_modify(iter, &turns->places)
	{
		Place	   *place = dlist_container(Place, node, iter.cur);
		bool		kept = place->kept;

		place->kept = false;
		if (kept && (now < place->made || now >= place->made + place->life))
		{
			place->due_at = DT_NOBEGIN;
			memset(&place->id, 0, sizeof(place->id));
			place->made = now;
			place->life = Min(2 * place->life, LONGEST_LIFE);
		}
		if (kept || (turns->last_tenant[0] != '\0' && strcmp(place->tenant_id, turns->last_tenant) >= 0) ||
			(full && strcmp(place->tenant_id, sight[n - 1].tenant_id) < 0))
			continue;
		dlist_delete(&place->node);
		turns->nplaces--;
		pfree(place);
	}
	return more || turns->nplaces > 0;
}

/*
 * po_turns_again notes what a look found, in its order; full: the batch holds no
 * more, or there may be more.  True when it found nothing and is to be repeated: it
 * began behind the tenants that have something, or is to be by time.  The share
 * grows while batches have room, so that a backlog of few tenants is not worked off
 * in small batches.
 */
bool
po_turns_again(PoTurns *turns, const PoSight *sight, int n, int batch, bool full)
{
	bool		was_backlog = turns->backlog;
	bool		behind = turns->last_tenant[0] != '\0';
	TimestampTz now = GetCurrentTimestamp();
	int64		took = Min(now - turns->began, USECS_PER_SEC);

	full &= n > 0;
	turns->backlog = full;
	if (was_backlog)
		turns->backlog = move_places(turns, sight, n, full) || full || behind;
	turns->share = was_backlog && !full ? 2 * po_turns_share(turns, batch) : 0;
	/* The first round begins at the beginning. */
	strlcpy(turns->last_tenant, was_backlog && full ? sight[n - 1].tenant_id : "",
			sizeof(turns->last_tenant));
	if (turns->backlog)
		turns->again = 0;
	else if (turns->whole)
		turns->again = pages_read() - turns->pages > LONG_LOOK_PAGES ? now + SELDOM * took : 0;
	return was_backlog && n == 0;
}

/*
 * po_turns_behind makes the next look begin behind a tenant, and of each at the
 * beginning: what the last one found was not taken.
 */
void
po_turns_behind(PoTurns *turns, const char *tenant_id)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &turns->places)
	{
		dlist_delete(iter.cur);
		pfree(dlist_container(Place, node, iter.cur));
	}
	turns->nplaces = 0;
	strlcpy(turns->last_tenant, tenant_id, sizeof(turns->last_tenant));
}
