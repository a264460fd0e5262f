/*
 * load.h
 *	  How much is under way of what has a limit, and whether there is room for more.
 */
#ifndef PO_SENDER_LOAD_H
#define PO_SENDER_LOAD_H

#include "outbound/profile.h"
#include "utils/array.h"

/* What a flight counts in: its account, its host and its tenant. */
typedef struct PoLoads
{
	struct PoLoad *account;
	struct PoLoad *host;
	struct PoLoad *tenant;
	int			max_in_flight;	/* of the account */
} PoLoads;

extern void po_load_start(void);
extern void po_load_begin(PoLoads *loads, const PoAccount *account);
extern bool po_load_departs(PoLoads *loads);
extern void po_load_lands(PoLoads *loads);
extern void po_load_end(PoLoads *loads);

extern void po_load_plan_begins(int room);
extern bool po_load_may_plan(const PoAccount *account, bool first);
extern uint64 po_load_turn(const char *tenant_id);
extern bool po_load_plan(const PoAccount *account);
extern bool po_load_may_begin(const PoAccount *account, int room);
extern Datum po_loaded_tenants(bool *any);

/* The parameters of a statement that po_load_rooms() fills in. */
#define PO_ROOMS_COLUMNS 3
#define PO_ROOMS_TYPES TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID

extern void po_load_rooms(Datum array[PO_ROOMS_COLUMNS]);

/* How many of an account a look is to find, null: as many as there are. */
#define PO_ROOM(rooms, tenant_id, account) \
	"(SELECT r.room + 1 FROM unnest(" rooms ") r (tenant_id, account, room)" \
	" WHERE r.tenant_id = " tenant_id " AND r.account = " account " LIMIT 1)"

#endif
