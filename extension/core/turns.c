/*
 * turns.c
 *	  Tenants in turn, where more is due than a batch holds.
 *
 * While everything fits into a batch it is taken in the order of its time, from
 * one index.  After a full batch the next ones take a few of each tenant, the
 * tenants in the order of their ids, beginning behind the last one that had its
 * turn, until a batch has held all that is due.  State of one activity in one
 * process.
 *
 * What somebody else holds counts as looked at, so that a look has an end however
 * much of it there is.  Where it fills a tenant's part of a batch, the next look at
 * that tenant begins behind it: at its place, which it keeps until the look has
 * come to the end of what the tenant has.  There is room for few places; a tenant
 * without one waits for what it holds itself.
 *
 * The index by time alone has due < infinity as its predicate, which says nothing
 * of the rows but that only queries with that words use it: the one for a backlog
 * would be answered from it by reading it through once a tenant.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "core/turns.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_PLACES 64

typedef struct Place
{
	dlist_node	node;
	char		tenant_id[PO_MAX_ID_BYTES + 1];
	char		account[PO_MAX_ID_BYTES + 1];
	TimestampTz due_at;
	pg_uuid_t	id;
	bool		kept;			/* by the last look */
} Place;

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
		dlist_push_tail(&turns->places, &place->node);
		turns->nplaces++;
	}
	place->due_at = last->due_at;
	place->id = last->id;
	place->kept = true;
}

/* Moves the places of those that were looked at: on, or back to the beginning. */
static void
move_places(PoTurns *turns, const PoSight *sight, int n, bool full)
{
	dlist_mutable_iter iter;
	int			next;

	for (int first = 0; first < n; first = next)
	{
		Place	   *place = find_place(turns, &sight[first]);
		bool		held = false;

		for (next = first; next < n && is_of_same(&sight[next], &sight[first]); next++)
			held |= sight[next].held;
		/* There may be more: it was cut off, by its own share or by the batch. */
		if ((held || place != NULL) && (next - first >= sight[first].most || (next == n && full)))
			keep_place(turns, place, &sight[next - 1]);
	}
	dlist_foreach_modify(iter, &turns->places)
	{
		Place	   *place = dlist_container(Place, node, iter.cur);
		bool		kept = place->kept;

		place->kept = false;
		if (kept || strcmp(place->tenant_id, turns->last_tenant) <= 0 ||
			(full && strcmp(place->tenant_id, sight[n - 1].tenant_id) > 0))
			continue;
		dlist_delete(&place->node);
		turns->nplaces--;
		pfree(place);
	}
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
	int			share = po_turns_share(turns, batch);

	full &= n > 0;
	if (was_backlog)
		move_places(turns, sight, n, full);
	turns->backlog = !was_backlog ? full
		: behind || (n > 0 && (full || share < batch || turns->nplaces > 0));
	turns->share = was_backlog && !full ? 2 * share : 0;
	/* The first round begins at the beginning. */
	strlcpy(turns->last_tenant, was_backlog && full ? sight[n - 1].tenant_id : "",
			sizeof(turns->last_tenant));
	return was_backlog && n == 0;
}
