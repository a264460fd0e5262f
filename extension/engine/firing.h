/*
 * firing.h
 *	  Timers that are being fired.
 */
#ifndef PO_SCHEDULE_FIRING_H
#define PO_SCHEDULE_FIRING_H

#include "core/turns.h"
#include "lead/change_set.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

typedef struct PoFiring
{
	const char *tenant_id;
	const char *lead_id;
	const char *timer_type;
	pg_uuid_t	timer_id;
	TimestampTz due_at;
	const char *action;
	Jsonb	   *action_payload;
	int			attempts;
	int			max_attempts;
	bool		cancel_on_reply;
	bool		opted_out;		/* the lead's phone */
	bool		counted;		/* taken: the attempt that is under way is counted already, */
	TimestampTz token;			/* and its due_at is this */
	bool		foreign;		/* its function failed */
	bool		locked;
	bool		executed;
	const char *last_error;
	TimestampTz next_due;		/* DT_NOEND: none */
} PoFiring;

#define PO_DUE_ARGS (5 + PO_PLACES_COLUMNS)

/* Firings that are done together. */
typedef struct PoBatch
{
	Datum	   *due;			/* PO_DUE_ARGS, of the statements that find them; NULL: they are known */
	bool		calls;			/* it is those that call a function */
	PoFiring   *firing;
	int			n;
	int			at;				/* the one being done; -1: all of them together */
	bool		foreign;		/* its function is running */
} PoBatch;

/* Whether this process leaves timers that call a function to another. */
extern bool po_calls_apart;

extern void po_find_due_timers(PoBatch *batch);
extern bool po_timers_are_held(bool calls);
extern void po_calls_turn_after(const char *tenant_id);
extern void po_lock_firings(PoChangeSet *set, PoFiring *firing, int n);
extern void po_write_firings(PoFiring *firing, int n);
extern void po_fire_batch(void *arg);
extern TimestampTz po_next_try(int attempts);
extern void po_firing_failed(PoFiring *firing, int sqlstate);

extern void po_call_timer_function(const PoFiring *firing, const char *name);

#endif
