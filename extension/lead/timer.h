/*
 * timer.h
 *	  Timer types, as tenants have them.
 */
#ifndef PO_LEAD_TIMER_H
#define PO_LEAD_TIMER_H

#include "datatype/timestamp.h"
#include "unit/states.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* A timer type, as a tenant has it. */
typedef struct PoTimerType
{
	const char *timer_type;
	Interval   *delay;			/* NULL: a time must be given */
	const char *action;
	Jsonb	   *action_payload;
	PoState		set_on;			/* PO_STATE_NONE: by nothing */
	bool		cancel_on_reply;
	int			max_attempts;
} PoTimerType;

extern const PoTimerType *po_timer_type(const char *tenant_id, const char *timer_type);
extern const PoTimerType *po_timer_types(const char *tenant_id, int *n);
extern TimestampTz po_timer_after(const Interval *delay);
extern const char *po_action_member(int i);
extern const char *po_check_action_payload(Jsonb *payload, bool of_type);

#endif
