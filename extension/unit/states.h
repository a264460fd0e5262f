/*
 * states.h
 *	  The states of a lead, and which change is legal.
 */
#ifndef PO_UNIT_STATES_H
#define PO_UNIT_STATES_H

/* The values of the type outreach.lead_state; their order has no meaning. */
typedef enum PoState
{
	PO_STATE_NONE = -1,
	PO_STATE_NEW,
	PO_STATE_TOUCHED,
	PO_STATE_RETARGETING,
	PO_STATE_RESPONDED,
	PO_STATE_SOFT_INTEREST,
	PO_STATE_EMAIL_CAPTURED,
	PO_STATE_CONTENT_NURTURE,
	PO_STATE_HIGH_INTENT,
	PO_STATE_APPOINTMENT_BOOKED,
	PO_STATE_IN_CALL_QUEUE,
	PO_STATE_CLOSED,
	PO_STATE_SUPPRESSED,
	PO_NSTATES
} PoState;

/* What of a tenant's transitions a decision needs; valid until the transaction ends. */
typedef struct PoTransitions PoTransitions;

/* A lead in one of these has no living timers, and gets none. */
static inline bool
po_state_ends_timers(PoState state)
{
	return state == PO_STATE_CLOSED || state == PO_STATE_SUPPRESSED;
}

/* A lead in one of these has not answered. */
static inline bool
po_state_is_silent(PoState state)
{
	return state == PO_STATE_NEW || state == PO_STATE_TOUCHED || state == PO_STATE_RETARGETING;
}

extern const char *const po_state_names[PO_NSTATES];

/* A field of this type, for a statement (core/statement.h). */
#define PO_STATE_FIELD(row, field, used) \
	PO_NAME(row, field, PoState, po_state_names, "outreach.lead_state", used)

extern const char *po_state_name(PoState state);
extern PoState po_state_from_name(const char *name);
extern PoState po_state_require(const char *name);

extern const PoTransitions *po_transitions(const char *tenant_id);
extern bool po_transition_step(const PoTransitions *transitions, PoState from, PoState to);
extern int	po_transition_path(const PoTransitions *transitions, PoState from, PoState to,
							   PoState path[2]);
extern void po_illegal_transition(const PoTransitions *transitions, PoState from, PoState to);

extern void po_begin_recorded_changes(void);
extern void po_end_recorded_changes(void);
extern bool po_changes_are_recorded(void);

#endif
