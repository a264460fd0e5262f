/*
 * turns.h
 *	  Tenants in turn, where more is due than a batch holds.
 *
 * While everything fits into a batch it is taken in the order of its time, from
 * one index.  After a full batch the next ones take a few of each tenant, the
 * tenants in the order of their ids, beginning behind the last one that had its
 * turn, until a round finds nothing more.  State of one activity in one process.
 *
 * The index by time alone has due < infinity as its predicate, which says nothing
 * of the rows but that only queries with that words use it: the one for a backlog
 * would be answered from it by reading it through once a tenant.
 */
#ifndef PO_TURNS_H
#define PO_TURNS_H

#include "core/args.h"

typedef struct PoTurns
{
	bool		backlog;
	int			share;			/* how many of one tenant, once more than an eighth */
	char		last_tenant[PO_MAX_ID_BYTES + 1];
} PoTurns;

/* How many of one tenant the next batch of a backlog takes. */
static inline int
po_turns_share(const PoTurns *turns, int batch)
{
	return Min(Max(turns->share, Max(batch / 8, 1)), batch);
}

/*
 * Notes how full a batch was and which tenant was its last; true when it was
 * empty only because the round began behind the tenants that have something.
 * The share grows while batches have room, so that a backlog of few tenants is
 * not worked off in small batches.
 */
static inline bool
po_turns_again(PoTurns *turns, int n, int batch, const char *last_tenant)
{
	bool		was_backlog = turns->backlog;
	bool		full = n == batch;

	turns->backlog = was_backlog ? n > 0 || turns->last_tenant[0] != '\0' : full;
	turns->share = was_backlog && !full ? 2 * po_turns_share(turns, batch) : 0;
	/* The first round begins at the beginning. */
	strlcpy(turns->last_tenant, was_backlog && turns->backlog && full ? last_tenant : "",
			sizeof(turns->last_tenant));
	return was_backlog && n == 0;
}

#endif
