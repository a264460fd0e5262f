/*
 * decide.c
 *	  What a webhook changes: decided from what is locked, in memory.
 *
 * po_decide reads the webhook, the locked leads and phones and nothing else,
 * and leaves its decision in the change set; several messages of one lead are
 * decided in their order, each on what the one before left.
 */
#include "postgres.h"

#include "common/meaning.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/limits.h"
#include "inbound/webhook.h"
#include "lead/change.h"
#include "lead/channel.h"
#include "lead/reach.h"
#include "mb/pg_wchar.h"
#include "outbound/replied.h"

static bool
takes_phone(const PoWebhook *webhook)
{
	return webhook->ruling.rule != NULL && webhook->ruling.rule->takes_address;
}

/*
 * po_decide_opt_out opts the locked phone out, or adds what is left to do where that
 * was recorded before the rest of the webhook could be.
 */
void
po_decide_opt_out(PoUnit *unit, const PoWebhook *webhook, PoAddress *phone, const PoCause *cause)
{
	if (webhook->opted_out)
		po_complete_opt_out(unit, phone, webhook->owes_event ? &webhook->event_owed : NULL, cause);
	else
		(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_OUT, cause);
}

/* What came in, by its field names, and what was made of it. */
static Jsonb *
received_payload(const PoWebhook *webhook)
{
	const PoProviderMap *map = webhook->endpoint->map;
	const PoRuling *ruling = &webhook->ruling;
	PoObject   *object = po_object_begin();
	int			room = PO_MAX_FIELDS_BYTES;
	bool		cut = false;

	/* What is too much for an event is in the body, which is kept. */
	for (int f = 0; f < map->nfields; f++)
	{
		const PoBytes *value = &webhook->value[f];
		int			len = value->data == NULL ? 0
			: value->len <= room ? value->len : pg_mbcliplen(value->data, value->len, room);

		/* It proves that who has it may speak of the message. */
		if (f == PO_FIELD_REFERENCE)
			continue;
		po_object_text(object, map->field[f].name, value->data, len);
		cut |= len < value->len;
		room -= len;
	}
	if (cut)
		po_object_bool(object, "cut", true);
	po_object_string(object, "kind", webhook->event_type);
	if (ruling->rule != NULL)
		po_object_string(object, "rule", ruling->rule->rule);
	po_object_string(object, "extracted_email", ruling->email);
	po_object_string(object, "extracted_phone", ruling->phone);
	if (ruling->nlabels > 0)
		po_object_strings(object, "labels", ruling->label, ruling->nlabels);
	po_object_string(object, "word", webhook->word);
	if (webhook->sounds != NULL)
	{
		po_object_string(object, "sounds", webhook->sounds);
		po_object_number(object, "certainty",
						 po_revocation_probability(webhook->sound), 2);
		po_object_string(object, "model", po_meaning_version);
	}
	if (webhook->status == PO_PAYLOAD_OWN_NUMBER)
		po_object_bool(object, "from_own_number", true);
	po_object_string(object, "revoked_by", webhook->revoked_by);
	po_object_string(object, "unreachable_by", webhook->unreachable_by);
	if (webhook->overtaken)
		po_object_bool(object, "overtaken", true);
	po_object_string(object, "flaw", webhook->flaw);
	return po_object_end(object);
}

/* How far a reply takes the lead, by its rule or else as a mere reply. */
static void
advance(PoUnit *unit, PoLead *subject, const PoRule *rule, const PoCause *cause)
{
	PoState		to = PO_STATE_RESPONDED;

	if (rule != NULL && rule->to_state != NULL)
		to = po_state_from_name(rule->to_state);
	if (po_change_state(unit, subject, to, cause) == 0 && to != PO_STATE_RESPONDED)
		(void) po_change_state(unit, subject, PO_STATE_RESPONDED, cause);
}

/*
 * po_is_overtaken tells whether the consent of a phone, which is locked, has changed
 * since a kept message came: what that says does not undo what was said after it.
 */
bool
po_is_overtaken(const PoWebhook *webhook, const PoAddress *phone)
{
	return webhook->stored && phone->consent_at > webhook->received_at;
}

static void
decide_message(PoSubjects *subjects, PoWebhook *webhook, PoCause *cause)
{
	PoUnit *unit = &subjects->unit;
	const char *tenant_id = webhook->endpoint->tenant_id;
	PoAddress    *phone = po_find_address(unit, tenant_id, webhook->phone);
	PoLead	   *subject = po_find_subject(unit, tenant_id, webhook->phone);
	bool		known = subject != NULL;

	if (!known)
	{
		PoCause		inbound = *cause;

		/* Its lock keeps two sessions from making a lead each. */
		Assert(phone != NULL);
		inbound.source = "inbound";
		subject = po_create_lead(unit, tenant_id, NULL, webhook->phone, &inbound);
	}
	po_lead_replied(unit, subject);
	if (phone != NULL && po_is_marked(phone, PO_CHANNEL_SMS))
		(void) po_mark_reachable(unit, phone, PO_CHANNEL_SMS, NULL,
								 webhook->stored ? webhook->received_at : po_now(), cause);
	po_cancel_on_reply(unit, subject, cause);
	if (webhook->business_phone[0] != '\0')
		subject->business_phone = webhook->business_phone;
	if (webhook->ruling.email != NULL && !subject->has_email)
	{
		subject->email = webhook->ruling.email;
		subject->has_email = true;
	}
	po_lead_event(unit, subject, "webhook.inbound.received", cause)->payload =
		received_payload(webhook);

	switch (webhook->consent)
	{
		case PO_CONSENT_OPT_OUT:
			po_decide_opt_out(unit, webhook, phone, cause);
			break;
		case PO_CONSENT_HOLD:
			(void) po_change_consent(unit, phone, PO_CONSENT_HELD, cause);
			(void) po_change_state(unit, subject, PO_STATE_RESPONDED, cause);
			break;
		case PO_CONSENT_OPT_IN:
			if (!po_is_overtaken(webhook, phone))
				(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_IN, cause);
			(void) po_change_state(unit, subject, PO_STATE_RESPONDED, cause);
			break;
		case PO_CONSENT_HELP:
			(void) po_change_state(unit, subject, PO_STATE_RESPONDED, cause);
			break;
		case PO_CONSENT_NONE:
		case PO_CONSENT_COURTESY:
			if (webhook->yes && phone->consent == PO_CONSENT_OPTED_OUT && !po_is_overtaken(webhook, phone))
			{
				cause->reason = "yes";
				(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_IN, cause);
			}
			advance(unit, subject, webhook->ruling.rule, cause);
			/* the lead that this message made is its sender */
			if (takes_phone(webhook) && known)
				po_take_address(unit, phone, webhook->stored ? webhook->received_at : po_now(), cause);
			break;
	}
}

/*
 * po_webhook_cause returns what the events of a webhook's effects name.
 */
PoCause
po_webhook_cause(const PoWebhook *webhook)
{
	return (PoCause)
	{
		.source = webhook->endpoint->provider,
		.reason = webhook->is_revocation ? webhook->revoked_by : webhook->word != NULL ? webhook->word
		: webhook->sounds != NULL ? webhook->sounds : webhook->ruling.rule != NULL ? webhook->ruling.rule->rule : NULL,
		.version = webhook->consent != PO_CONSENT_NONE
		? psprintf("%s/%s", PO_VERSION, po_meaning_version) : NULL,
		.said_at = webhook->is_revocation ? &webhook->said_at : webhook->stored ? &webhook->received_at : NULL,
		.receipt_id = &webhook->receipt_id,
		.correlation_id = &webhook->correlation_id
	};
}

/*
 * po_decide adds to the set what the webhook changes.
 */
void
po_decide(PoSubjects *subjects, PoWebhook *webhook)
{
	PoUnit *unit = &subjects->unit;
	PoCause		cause = po_webhook_cause(webhook);
	bool		from_ourselves = webhook->own_number &&
		po_find_subject(unit, webhook->endpoint->tenant_id, webhook->phone) == NULL;
	PoEvent    *event;

	if (webhook->is_message && !from_ourselves)
	{
		decide_message(subjects, webhook, &cause);
		return;
	}
	if (from_ourselves)
		po_decide_own_number(unit, webhook, &cause);
	if (webhook->is_revocation || webhook->is_bounce)
		po_decide_contact(unit, webhook, &cause);
	if (webhook->is_status)
		po_decide_status(subjects, webhook, &cause);
	event = po_event_list_add(&unit->events, webhook->endpoint->tenant_id,
							  webhook->problem != NULL ? "webhook.inbound.failed"
							  : "webhook.inbound.received", cause.source);
	event->receipt_id = cause.receipt_id;
	event->correlation_id = cause.correlation_id;
	if (webhook->problem == NULL)
		event->payload = received_payload(webhook);
	else
	{
		PoObject   *object = po_object_begin();

		po_object_string(object, "error", webhook->problem);
		event->payload = po_object_end(object);
	}
}
