/*
 * message.h
 *	  Outbound messages whose rows are locked, and how they may move.
 */
#ifndef PO_OUTBOUND_MESSAGE_H
#define PO_OUTBOUND_MESSAGE_H

#include "core/statement.h"
#include "lead/reach.h"
#include "outbound/profile.h"
#include "unit/message_states.h"

/* What a provider said of a message that it has accepted. */
typedef struct PoReport
{
	PoMessageStatus status;
	const char *error_code;
} PoReport;


extern PoMessageStatus po_message_move(PoMessage *message, PoMessageStep step);
extern PoEvent *po_message_event(PoUnit *unit, const PoMessage *message, const char *event_type,
								 const PoCause *cause, PoObject *object);
extern PoObject *po_message_object(const PoMessage *message);
extern void po_message_accepted(PoUnit *unit, PoMessage *message, const char *provider_message_id,
								const PoCause *cause);
extern bool po_message_report(PoUnit *unit, PoMessage *message, const PoReport *report,
							  const PoCause *cause);
extern bool po_message_cancel(PoUnit *unit, PoMessage *message, const PoCause *cause);
extern void po_message_in_doubt(PoUnit *unit, const PoMessage *message, const PoCause *cause);
extern void po_message_uncertain(PoUnit *unit, PoMessage *message, const PoCause *cause);
extern PoOutcomeEffect po_effect_of_report(const PoMessage *message, const PoReport *report,
										   PoOutcomeEffect effect);
extern void po_apply_to_address(PoUnit *unit, PoAddress *phone, PoOutcomeEffect effect,
								const PoUnreachable *mark, const PoCause *cause);
extern void po_message_unknown(PoMessage *message, TimestampTz since, int64 settle, const char *error);

#endif
