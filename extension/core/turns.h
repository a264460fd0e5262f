/*
 * turns.h
 *	  Tenants in turn, where more is due than a batch holds.
 */
#ifndef PO_TURNS_H
#define PO_TURNS_H

#include "core/limits.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "utils/uuid.h"

typedef struct PoTurns
{
	bool		backlog;
	int			share;			/* how many of one tenant, once more than an eighth */
	char		last_tenant[PO_MAX_ID_BYTES + 1];
	dlist_head	places;
	int			nplaces;
	TimestampTz began;			/* of the last look, by the wall clock, */
	TimestampTz looked;			/* and by po_now() */
	int64		pages;			/* read by the process until then */
	bool		whole;			/* it was from the beginning */
	TimestampTz again;			/* the next such is not before, by the wall clock */
} PoTurns;

#define PO_TURNS_INIT(turns) {.places = DLIST_STATIC_INIT((turns).places)}

/* Something due, as a statement found it. */
typedef struct PoSight
{
	const char *tenant_id;
	const char *account;		/* "" where a tenant's are not divided by account */
	TimestampTz due_at;
	pg_uuid_t	id;
	int			most;			/* so many of its tenant, or account, were looked at */
	bool		held;			/* by somebody else */
	bool		left;			/* there was no room: the next look begins with it */
} PoSight;

#define PO_PLACES_COLUMNS 4
/* The parameters of a statement that po_turns_places() fills in. */
#define PO_PLACES_TYPES TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID

extern TimestampTz po_turns_from(PoTurns *turns, TimestampTz since);
extern Datum po_turns_before(const PoTurns *turns);
extern int	po_turns_share(const PoTurns *turns, int batch);
extern void po_turns_places(PoTurns *turns, Datum array[PO_PLACES_COLUMNS]);
extern void po_turns_behind(PoTurns *turns, const char *tenant_id);
extern bool po_turns_again(PoTurns *turns, const PoSight *sight, int n, int batch, bool full);

/* Where the look at what is due of a tenant begins, in a statement that names it so. */
#define PO_PLACE(places, tenant_id, account) \
	" LEFT JOIN LATERAL (SELECT p.due_at, p.id FROM unnest(" places ") p (tenant_id, account, due_at, id)" \
	" WHERE p.tenant_id = " tenant_id " AND p.account = " account " LIMIT 1) place ON true"
#define PO_BEHIND_PLACE(due_at, id) \
	" AND (" due_at ", " id ") > (coalesce(place.due_at, '-infinity')," \
	" coalesce(place.id, '00000000-0000-0000-0000-000000000000'))"

#endif
