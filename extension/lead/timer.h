/*
 * timer.h
 *	  Setting and cancelling the timers of leads.
 */
#ifndef PO_LEAD_TIMER_H
#define PO_LEAD_TIMER_H

#include "datatype/timestamp.h"
#include "lead/states.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* A kind of timer, as a tenant has it. */
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

/* A timer to be set. */
typedef struct PoNewTimer
{
	const char *tenant_id;
	const char *lead_id;
	const char *timer_type;
	TimestampTz trigger_at;
	const char *action;
	Jsonb	   *action_payload;
	bool		cancel_on_reply;
	int			max_attempts;
	pg_uuid_t	timer_id;		/* filled in by po_set_timers */
} PoNewTimer;

/* The timers of a lead to be cancelled. */
typedef struct PoTimerCancel
{
	const char *tenant_id;
	const char *lead_id;
	const char *timer_type;		/* NULL: of any kind */
	bool		on_reply;		/* only those that a reply cancels */
	const char *reason;
} PoTimerCancel;

extern const PoTimerType *po_timer_type(const char *tenant_id, const char *timer_type);
extern const PoTimerType *po_timer_types(const char *tenant_id, int *n);
extern TimestampTz po_timer_after(const Interval *delay);
extern void po_timers_not_before(TimestampTz time);
extern TimestampTz po_timer_time(TimestampTz time);
extern const char *po_action_member(int i);
extern const char *po_check_action_payload(Jsonb *payload, bool of_kind);
extern int	po_cancel_timers(const PoTimerCancel *cancel, int n);
extern void po_set_timers(const PoNewTimer *timer, int n);

#endif
