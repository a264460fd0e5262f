/*
 * firing.h
 *	  Timers that are being fired.
 */
#ifndef PO_ENGINE_FIRING_H
#define PO_ENGINE_FIRING_H

#include "core/batch.h"
#include "core/turns.h"
#include "unit/unit.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* A timer under way; its row is as it was when its lead was locked. */
typedef struct PoFiring
{
	PoTimer		timer;
	ItemPointerData lead_tid;	/* where its lead was when it was found; invalid: it was not looked for */
	bool		counted;		/* taken: the attempt that is under way is counted already, */
	TimestampTz token;			/* and its due_at is this */
	bool		foreign;		/* its function failed */
	bool		locked;			/* it is to be fired */
	bool		executed;
} PoFiring;

#define PO_DUE_ARGS (5 + PO_PLACES_COLUMNS)

/* Firings that are done together. */
typedef struct PoFirings
{
	Datum	   *due;			/* PO_DUE_ARGS, of the statements that find them; NULL: they are known */
	bool		calls;			/* it is those that call a function */
	PoFiring   *firing;
	int			n;
	bool		foreign;		/* a function is running */
} PoFirings;

/* Whether this process leaves timers that call a function to another. */
extern bool po_calls_apart;

extern int	po_fire_due(int batch, TimestampTz since, int64 **late_ms);
extern void po_find_due_timers(PoFirings *firings);
extern bool po_timers_are_held(bool calls);
extern void po_calls_turn_after(const char *tenant_id);
extern void po_lock_firings(PoUnit *unit, PoFiring **firing, int n);
extern void po_fire_batch(PoBatch *batch, const int *member, int n);
extern void po_fire_one(void *arg);
extern TimestampTz po_next_try(int attempts);
extern void po_firing_failed(PoFiring *firing, int sqlstate);

extern void po_call_timer_function(const PoTimer *timer, const char *name);
extern bool po_take_due_call(TimestampTz since);
extern bool po_run_taken_call(int64 *late_ms);
extern bool po_return_taken_call(void);

#endif
