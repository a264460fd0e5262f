/*
 * message.c
 *	  How outbound messages move, whose rows are locked in a unit with their leads.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "lead/change.h"
#include "outbound/message.h"
#include "utils/builtins.h"

/*
 * po_message_object begins the payload of an event about the message.
 */
PoObject *
po_message_object(const PoMessage *message)
{
	PoObject   *object = po_object_begin();

	po_object_string(object, "message_id", DatumGetCString(DirectFunctionCall1(uuid_out,
																			   UUIDPGetDatum(&message->message_id))));
	po_object_string(object, "channel", message->channel);
	return object;
}

/*
 * po_message_event adds an event of the message's lead, which tells that; NULL when the
 * lead is gone.
 */
PoEvent *
po_message_event(PoUnit *unit, const PoMessage *message, const char *event_type,
				 const PoCause *cause, PoObject *object)
{
	PoLead	   *lead = po_find_lead(unit, message->tenant_id, message->lead_id);
	PoEvent    *event;

	if (lead == NULL)
		return NULL;
	event = po_lead_event(unit, lead, event_type, cause);
	po_event_tells(event, object);
	return event;
}

/*
 * po_message_move takes a step, and with it what the message may not have any more;
 * returns its new status.  An error where the step is not legal.
 */
PoMessageStatus
po_message_move(PoMessage *message, PoMessageStep step)
{
	int			columns;

	message->status = po_message_require(step, message->status, message->ambiguous_since != DT_NOEND);
	message->changed = true;
	columns = po_message_columns(message->status);
	if ((columns & PO_HAS_DUE) == 0)
		message->due_at = DT_NOEND;
	if ((columns & PO_HAS_DOUBT) == 0)
		message->ambiguous_since = DT_NOEND;
	if ((columns & PO_HAS_OWNER) == 0)
		message->owner = 0;
	if ((columns & PO_HAS_HOLDER) == 0)
		message->held_by = NULL;
	return message->status;
}

/*
 * po_message_accepted notes that a provider has accepted the message: a new
 * lead is touched by it.  Known already: nothing but the id is noted.
 */
void
po_message_accepted(PoUnit *unit, PoMessage *message, const char *provider_message_id,
					const PoCause *cause)
{
	PoLead	   *lead = po_find_lead(unit, message->tenant_id, message->lead_id);
	PoMessageStatus to;
	PoObject   *object;

	message->changed = true;
	if (message->provider_message_id == NULL)
		message->provider_message_id = provider_message_id;
	if (message->sent_at != DT_NOEND)
		return;
	message->sent_at = po_now();
	message->last_error = NULL;
	message->error_code = NULL;
	/* One that is known to have left lacks the time alone. */
	if (po_message_leads(PO_STEP_ACCEPT, message->status, false, &to))
		(void) po_message_move(message, PO_STEP_ACCEPT);
	object = po_message_object(message);
	po_object_string(object, "from", message->from_phone);
	po_object_string(object, "provider_message_id", message->provider_message_id);
	(void) po_message_event(unit, message, "message.outbound.sent", cause, object);
	if (lead == NULL)
		return;
	lead->written_to = true;
	lead->changed = true;
	if (lead->business_phone == NULL)
		lead->business_phone = message->from_phone;
	if (lead->state == PO_STATE_NEW)
		(void) po_change_state(unit, lead, PO_STATE_TOUCHED, cause);
}

/*
 * po_message_report applies what a provider said of the message, with its
 * event, and returns whether it moved: a report that comes late, or says less
 * than is known, is an event alone.  It proves that the message was accepted.
 */
bool
po_message_report(PoUnit *unit, PoMessage *message, const PoReport *report,
				  const PoCause *cause)
{
	PoMessageStep step = po_message_report_step(report->status);
	PoMessageStatus to;
	bool		moves = message->attempts > 0 && po_message_leads(step, message->status, false, &to);
	PoObject   *object;

	if (moves && message->status == PO_MESSAGE_SENDING)
		message->delivery_error = "a status callback came before the answer";
	if (moves && message->sent_at == DT_NOEND)
		po_message_accepted(unit, message, NULL, cause);
	object = po_message_object(message);
	po_object_string(object, "previous_status", po_message_status_names[message->status]);
	po_object_string(object, "status", po_message_status_names[report->status]);
	po_object_string(object, "error_code", report->error_code);
	po_object_bool(object, "applied", moves);
	(void) po_message_event(unit, message, "message.delivery.status_updated", cause, object);
	if (!moves)
		return false;
	if (message->status != report->status)
		(void) po_message_move(message, step);
	if (report->error_code != NULL)
		message->error_code = report->error_code;
	return true;
}

/*
 * po_message_cancel takes back a message that waits to leave, with its event, and
 * returns true; one that may have left once is no longer repeated, but uncertain.
 */
bool
po_message_cancel(PoUnit *unit, PoMessage *message, const PoCause *cause)
{
	PoObject   *object;

	if (po_message_move(message, PO_STEP_CANCEL) == PO_MESSAGE_UNCERTAIN)
	{
		po_message_in_doubt(unit, message, cause);
		return false;
	}
	object = po_message_object(message);
	po_object_string(object, "outcome", po_message_status_names[message->status]);
	po_object_cause(object, cause, "by");
	(void) po_message_event(unit, message, "message.outbound.cancelled", cause, object);
	return true;
}

/*
 * po_message_in_doubt is the event of a message that has become uncertain.
 */
void
po_message_in_doubt(PoUnit *unit, const PoMessage *message, const PoCause *cause)
{
	PoObject   *object = po_message_object(message);

	po_object_string(object, "error_code", message->error_code);
	po_object_detail(object, "error", message->last_error);
	po_object_cause(object, cause, "by");
	(void) po_message_event(unit, message, "message.outbound.uncertain", cause, object);
}

/*
 * po_message_uncertain leaves a message to a person, or to a late callback: it
 * may have been accepted, and nothing more can be found out.
 */
void
po_message_uncertain(PoUnit *unit, PoMessage *message, const PoCause *cause)
{
	(void) po_message_move(message, PO_STEP_DOUBT);
	po_message_in_doubt(unit, message, cause);
}

/*
 * po_effect_of_report returns what of an error code's effect a report has: a message
 * that has arrived, whatever is said of a part of it, has reached its phone.
 */
PoOutcomeEffect
po_effect_of_report(const PoMessage *message, const PoReport *report, PoOutcomeEffect effect)
{
	bool		lost = report->status == PO_MESSAGE_UNDELIVERED || report->status == PO_MESSAGE_FAILED;

	return effect == PO_OUTCOME_EFFECT_UNREACHABLE && (!lost || po_message_arrived(message->status)) ?
		PO_OUTCOME_EFFECT_NONE : effect;
}

/*
 * po_apply_to_address applies what a provider says of an address, locked in the unit:
 * it holds whatever became of the message.
 */
void
po_apply_to_address(PoUnit *unit, PoAddress *address, PoOutcomeEffect effect,
					const PoUnreachable *mark, const PoCause *cause)
{
	if (effect == PO_OUTCOME_EFFECT_OPT_OUT)
		(void) po_change_consent(unit, address, PO_CONSENT_OPTED_OUT, cause);
	else if (effect == PO_OUTCOME_EFFECT_UNREACHABLE)
		po_mark_unreachable(unit, address, mark, cause);
	else if (effect == PO_OUTCOME_EFFECT_REACHED)
		(void) po_mark_reachable(unit, address, mark->channel, mark->message_id, po_now(), cause);
}

/*
 * po_message_unknown notes that a request may have been accepted or may yet be:
 * it is looked at again once it can no longer be on its way.
 */
void
po_message_unknown(PoMessage *message, TimestampTz since, int64 settle_time, const char *error)
{
	(void) po_message_move(message, PO_STEP_LOSE);
	message->ambiguous_since = Min(message->ambiguous_since, since);
	message->due_at = po_now() + settle_time;
	message->last_error = error;
}
