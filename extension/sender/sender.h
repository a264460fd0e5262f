/*
 * sender.h
 *	  What a worker has claimed and is sending.
 */
#ifndef PO_SENDER_SENDER_H
#define PO_SENDER_SENDER_H

#include "lib/ilist.h"
#include "outbound/profile.h"
#include "portability/instr_time.h"
#include "sender/http.h"
#include "sender/load.h"
#include "sender/request.h"

/* A request that leaves later after its claim does not leave. */
#define PO_LATEST_DEPARTURE_MS 5000

/* Nor one for which there was no room so long after it might have. */
#define PO_LONGEST_QUEUE_MS 250

/* A request from its claim to its record.  Everything is in its own context. */
typedef struct PoFlight
{
	MemoryContext context;
	dlist_node	node;
	SubTransactionId level;		/* that has claimed or recorded it, while that is open */
	const char *tenant_id;
	pg_uuid_t	message_id;
	const char *lead_id;
	const char *phone;			/* NULL: the channel has none */
	const char *account;
	const char *from_phone;
	const char *body;
	int			fence;
	int			attempt;
	TimestampTz started_at;
	TimestampTz landed_at;		/* when its answer was taken, or later */
	instr_time	claimed_at;
	int64		cleared_at;		/* when it might leave, by the monotonic clock in milliseconds */
	PoLoads		loads;
	bool		lookup;			/* asks, sends nothing */
	PoHttpCall	call;
	PoHttpAnswer *answer;		/* once it has landed */
	int			pause_ms;		/* since its answer could not be recorded; 0: never tried */
	int64		try_at;			/* again, by the monotonic clock in milliseconds */
} PoFlight;

extern void po_sender_start(void);
extern void po_require_sender(void);
extern int64 po_sender_owner(void);
extern bool po_owner_is_dead(int64 owner);

extern PoFlight *po_flight_begin(const PoAccount *account);
extern void po_flight_drop(PoFlight *flight);
extern void po_flight_recorded(PoFlight *flight);
extern void po_flight_waits(PoFlight *flight);
extern int	po_sender_room(void);
extern PoFlight **po_landed_flights(int *n);

extern bool po_commits_are_replicated(void);
extern void po_sender_depart(bool keep);
extern bool po_sender_collect(void);
extern void po_sender_postpone(void);
extern void po_sender_drive(void);
extern long po_sender_timeout_ms(void);
extern int	po_sender_busy(void);
extern uint64 po_sender_done(void);
extern bool po_sender_holds(void);

#endif
