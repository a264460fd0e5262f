/*
 * change.h
 *	  What may happen to a lead, and to the consent of a person.
 */
#ifndef PO_LEAD_CHANGE_H
#define PO_LEAD_CHANGE_H

#include "unit/unit.h"

/* change.c */
extern bool po_have_one_phone(const PoLead *a, const PoLead *b);
extern void po_lead_replied(PoUnit *unit, PoLead *lead);
extern void po_timers_of_state(PoUnit *unit, PoLead *lead, PoState from, PoState state);
extern void po_cancel_all_timers(PoUnit *unit, PoLead *lead, const char *reason);
extern void po_set_timer_of_type(PoUnit *unit, PoLead *lead, const char *timer_type);
extern void po_assign_agent(PoUnit *unit, PoLead *lead, const char *agent,
							const PoCause *cause);
extern int	po_change_state(PoUnit *unit, PoLead *lead, PoState to, const PoCause *cause);
extern void po_take_address(PoUnit *unit, PoAddress *address, TimestampTz said_at,
							const PoCause *cause);

/* consent.c */
extern bool po_release_address(PoUnit *unit, PoAddress *address, PoConsent consent,
							   const PoCause *cause);
extern bool po_has_agreed_since(const PoAddress *address, TimestampTz time);
extern bool po_change_consent(PoUnit *unit, PoAddress *address, PoConsent consent,
							  const PoCause *cause);
extern void po_complete_opt_out(PoUnit *unit, PoAddress *address, const pg_uuid_t *event_owed,
								const PoCause *cause);
extern const pg_uuid_t *po_person_opted_out(PoUnit *unit, const PoAddress *address);

#endif
