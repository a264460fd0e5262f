/*
 * decide.c
 *	  What a webhook changes: decided from what is locked, in memory.
 *
 * po_decide reads the webhook and what is locked and nothing else, and leaves its decision
 * in the unit.  What the webhook is decides for itself (kinds.h); one of which no
 * lead has an event leaves one of its own.
 */
#include "postgres.h"

#include "common/meaning.h"
#include "core/compat.h"
#include "inbound/kinds.h"
#include "lead/change.h"
#include "utils/timestamp.h"

/*
 * po_decide_opt_out opts the locked address out, or adds what is left to do where that
 * was recorded before the rest of the webhook could be.
 */
void
po_decide_opt_out(PoUnit *unit, const PoWebhookResult *result, PoAddress *address, const PoCause *cause)
{
	if (result->opted_out)
		po_complete_opt_out(unit, address, result->owes_event ? &result->event_owed : NULL, cause);
	else
		(void) po_change_consent(unit, address, PO_CONSENT_OPTED_OUT, cause);
}

/*
 * po_received_event tells what was made of a webhook.  What it says is in the reading of
 * its body (po_write_payloads).
 */
void
po_received_event(PoEvent *event, const PoWebhook *webhook)
{
	const PoWebhookReading *reading = &webhook->reading;
	const PoRuling *ruling = &reading->ruling;
	PoObject   *object = po_object_begin();

	po_object_string(object, "kind", reading->event_type);
	if (ruling->rule != NULL)
		po_object_string(object, "rule", ruling->rule->rule);
	if (ruling->nlabels > 0)
		po_object_strings(object, "labels", ruling->label, ruling->nlabels);
	po_object_string(object, "word", reading->word);
	if (reading->sounds != NULL)
	{
		po_object_number(object, "certainty",
						 po_revocation_probability(reading->sound), 2);
		po_object_string(object, "model", po_meaning_version);
	}
	if (webhook->result.status == PO_PAYLOAD_OWN_NUMBER)
		po_object_bool(object, "from_own_number", true);
	if (webhook->subject.overtaken)
		po_object_bool(object, "overtaken", true);
	po_object_string(object, "flaw", reading->flaw);
	po_event_tells(event, object);
}

/*
 * po_webhook_cause returns what the events of a webhook's effects name.
 */
PoCause
po_webhook_cause(const PoWebhook *webhook)
{
	const PoWebhookReading *reading = &webhook->reading;

	return (PoCause) {
		.source = webhook->endpoint->provider,
		.reason = reading->reason,
		.reason_is_class = reading->reason != reading->sounds && reading->reason != reading->revoked_by,
		.version = reading->consent != PO_CONSENT_NONE
		? psprintf("%s/%s", PO_VERSION, po_meaning_version) : NULL,
		.said_at = reading->said_at != DT_NOEND ? &reading->said_at : NULL,
		.receipt_id = &webhook->result.receipt_id,
		.correlation_id = &webhook->request.correlation_id
	};
}

/*
 * po_decide adds to the set what the webhook changes.
 */
void
po_decide(PoSubjects *subjects, PoWebhook *webhook)
{
	PoCause		cause = po_webhook_cause(webhook);
	const char *problem = webhook->reading.problem;
	PoEvent    *event;

	for (int h = 0; h < PO_NHANDLERS; h++)
		if (webhook->reading.is & po_handler[h]->is)
			webhook->subject.is_of_lead |= po_handler[h]->decide(subjects, webhook, &cause);
	if (webhook->subject.is_of_lead)
		return;
	event = po_event_list_add(&subjects->unit.events, webhook->endpoint->tenant_id,
							  problem != NULL ? "webhook.inbound.failed" : "webhook.inbound.received",
							  cause.source);
	event->receipt_id = cause.receipt_id;
	event->correlation_id = cause.correlation_id;
	if (problem == NULL)
		po_received_event(event, webhook);
	else
	{
		PoObject   *object = po_object_begin();

		po_object_string(object, "error", problem);
		po_event_tells(event, object);
	}
}
