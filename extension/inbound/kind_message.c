/*
 * kind_message.c
 *	  A message that somebody has sent to a number of the tenant's.
 *
 * Of one lead several are decided in their order, each on what the one before left.  A
 * sender whose last lead has lost the phone since the look without locks wants more than
 * was locked: its webhook is done by itself.
 *
 * A message from one of the tenant's own numbers (its people trying something out, or one
 * number answering another) makes no lead: nobody is to be worked by it.  Where there is a
 * lead with the phone, a person has made it, and the message is its.  An opt-out is
 * recorded from whomever it comes, and what opts in again lifts it; nothing else is read
 * out of the message.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/key_probe.h"
#include "core/statement.h"
#include "inbound/kinds.h"
#include "lead/change.h"
#include "lead/channel.h"
#include "lead/reach.h"
#include "outbound/replied.h"

static PoStatement select_own_numbers = {
	.name = "own_number.find",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows}"
	" WHERE EXISTS (SELECT FROM outreach.numbers o WHERE o.tenant_id = u.tenant_id AND o.phone = u.address)",
	.takes = PO_FIELDS(po_address_key_field, PO_TAKE),
	.numbered = true
};

static bool
is_message(const PoWebhook *webhook)
{
	return webhook->reading.is & PO_IS_MESSAGE;
}

static bool
takes_phone(const PoWebhookReading *reading)
{
	return reading->ruling.rule != NULL && reading->ruling.rule->takes_address;
}

/* ---- reading ---- */

static bool
read_sender(const PoWebhook *webhook, PoWebhookReading *reading)
{
	const PoBytes *from = &reading->value[PO_FIELD_FROM];
	const PoBytes *to = &reading->value[PO_FIELD_TO];

	if (from->data == NULL || !po_phone_e164(from->data, from->len, reading->phone))
	{
		reading->unresolved = true;
		return false;
	}
	if (to->data == NULL || !po_phone_e164(to->data, to->len, reading->business_phone))
		reading->business_phone[0] = '\0';
	return true;
}

/* Consent, as the provider itself says, or else as the text does. */
static PoConsentReading
read_consent(const PoWebhookReading *reading, const PoTenantRules *rules, const PoText *text)
{
	const PoBytes *said = &reading->value[PO_FIELD_OPT_OUT_TYPE];
	PoConsentReading consent = {PO_CONSENT_NONE};

	if (reading->kind->effect == PO_KIND_EFFECT_OPT_OUT || po_value_is(said, "STOP"))
		consent.action = PO_CONSENT_OPT_OUT;
	else if (po_value_is(said, "START"))
		consent.action = PO_CONSENT_OPT_IN;
	if (consent.action != PO_CONSENT_NONE)
		consent.word = reading->event_type;
	else if (reading->kind->effect == PO_KIND_EFFECT_HELP || po_value_is(said, "HELP"))
		consent.action = PO_CONSENT_HELP;
	else
		consent = po_read_consent(&rules->words, text);
	return consent;
}

/*
 * What the tenant's words and rules make of the text.  What the provider itself says of
 * consent counts for more.
 */
static void
hear_text(const PoWebhook *webhook, PoWebhookReading *reading)
{
	const PoBytes *body = &reading->value[PO_FIELD_BODY];
	const PoTenantRules *rules = po_tenant_rules(webhook->endpoint->tenant_id);
	PoText	   *text = palloc(sizeof(PoText));	/* what is read points into it */
	PoConsentReading consent;

	po_text_read(text, body->data ? body->data : "", body->len);
	consent = read_consent(reading, rules, text);
	reading->consent = consent.action;
	reading->word = consent.word;
	reading->sound = consent.heard.sound;
	if (consent.action != PO_CONSENT_NONE && consent.by_sound)
		reading->sounds = po_revocation_words(text);
	po_classify(&rules->rules, text, &consent, po_text_phone(text, reading->phone, reading->business_phone),
				&reading->ruling);
	reading->yes = reading->consent == PO_CONSENT_NONE && rules->yes_opts_in &&
		text->len == 3 && memcmp(text->folded, "yes", 3) == 0;
	reading->reason = reading->word != NULL ? reading->word : reading->sounds != NULL ? reading->sounds
		: reading->ruling.rule != NULL ? reading->ruling.rule->rule : NULL;
}

/* ---- what it is about ---- */

/* Of which messages an index has the sender's phone. */
static void
probe_senders(PoWebhook **webhook, int n, const char *index_name, bool unseen, bool *has)
{
	const char **key = palloc(n * 2 * sizeof(char *));
	bool	   *found = palloc(n * sizeof(bool));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
	{
		if (!is_message(webhook[i]))
			continue;
		key[2 * nkeys] = webhook[i]->endpoint->tenant_id;
		key[2 * nkeys++ + 1] = webhook[i]->reading.phone;
	}
	po_have_rows(index_name, key, 2, nkeys, unseen, found);
	for (int i = 0, k = 0; i < n; i++)
		has[i] = is_message(webhook[i]) && found[k++];
}

static void
find_senders(PoWebhook **webhook, int n, bool all)
{
	bool	   *has;

	if (!all)
		return;
	has = palloc(n * sizeof(bool));
	probe_senders(webhook, n, "leads_phone", false, has);
	for (int i = 0; i < n; i++)
		webhook[i]->subject.from_stranger = is_message(webhook[i]) && !has[i];
	probe_senders(webhook, n, "addresses_marked", true, has);
	for (int i = 0; i < n; i++)
		webhook[i]->subject.from_unreachable = has[i];
}

/* Whether its effect depends on, or changes, what is known of the person. */
static bool
needs_person(const PoWebhookReading *reading, const PoWebhookSubject *subject)
{
	return reading->consent == PO_CONSENT_OPT_OUT || reading->consent == PO_CONSENT_OPT_IN ||
		reading->consent == PO_CONSENT_HOLD || reading->yes || subject->from_stranger ||
		subject->from_unreachable || reading->ruling.email != NULL || takes_phone(reading);
}

static void
want_person(const PoWebhook *webhook, PoWants *wants, int member)
{
	const char *tenant_id = webhook->endpoint->tenant_id;
	const PoWebhookReading *reading = &webhook->reading;

	if (needs_person(reading, &webhook->subject))
		(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, reading->phone);
	if (reading->ruling.email != NULL)
		(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, reading->ruling.email);
	(void) po_want(wants, PO_WANT_LEADS_OF, member, tenant_id, reading->phone);
	(void) po_want(wants, PO_WANT_REPLIES, member, tenant_id, reading->phone);
}

/* Which come from a number of the tenant's own, among those that may find no lead. */
static void
find_own_numbers(PoUnit *unit, PoWebhook **webhook, int n, PoMemberState *state)
{
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	PoRows		sender = po_rows(&select_own_numbers, n);
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		const char *phone = w->reading.phone;

		if (!is_message(w) || state[i] != PO_MEMBER_DONE)
			continue;
		if (po_find_address(unit, w->endpoint->tenant_id, phone) != NULL)
		{
			/* A message to itself shows that the number is ours, whatever is known of it. */
			w->subject.own_number = strcmp(phone, w->reading.business_phone) == 0;
			position[sender.n] = i;
			po_rows_add(&sender, &(PoAddressKey) {w->endpoint->tenant_id, phone});
		}
		else if (po_find_subject(unit, w->endpoint->tenant_id, phone) == NULL)
		{
			if (IsolationUsesXactSnapshot())
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not serialize access due to concurrent update")));
			state[i] = PO_MEMBER_GROWN;
		}
	}
	found = po_rows_exec(&sender, NULL);
	for (uint64 r = 0; r < found; r++)
		webhook[position[po_column_int(r, 1) - 1]]->subject.own_number = true;
}

/* ---- what it changes ---- */

/*
 * Whether the consent of a phone has changed since a kept message came: what that says does
 * not undo what was said after it.
 */
static bool
is_overtaken(const PoWebhookRequest *request, const PoAddress *phone)
{
	return request->stored && phone->consent_at > request->received_at;
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

static void
decide_own_number(PoUnit *unit, PoWebhook *webhook, PoAddress *phone, const PoCause *cause)
{
	const PoWebhookReading *reading = &webhook->reading;

	if (reading->consent == PO_CONSENT_OPT_OUT)
		po_decide_opt_out(unit, &webhook->result, phone, cause);
	else if (reading->consent == PO_CONSENT_OPT_IN && phone->consent == PO_CONSENT_OPTED_OUT &&
			 !is_overtaken(&webhook->request, phone))
		(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_IN, cause);
	po_be_own_number(webhook);
}

/* The sender's lead, whose reply it is. */
static PoLead *
reply(PoUnit *unit, const PoWebhook *webhook, PoLead *subject, PoAddress *phone, TimestampTz at,
	  const PoCause *cause)
{
	const PoWebhookReading *reading = &webhook->reading;

	if (subject == NULL)
	{
		PoCause		inbound = *cause;

		/* Its lock keeps two sessions from making a lead each. */
		Assert(phone != NULL);
		inbound.source = "inbound";
		subject = po_create_lead(unit, webhook->endpoint->tenant_id, NULL, reading->phone, &inbound);
	}
	po_lead_replied(unit, subject);
	if (phone != NULL && po_is_marked(phone, PO_CHANNEL_SMS))
		(void) po_mark_reachable(unit, phone, PO_CHANNEL_SMS, NULL, at, cause);
	po_cancel_on_reply(unit, subject, cause);
	if (reading->business_phone[0] != '\0')
		subject->business_phone = reading->business_phone;
	if (reading->ruling.email != NULL && !subject->has_email)
	{
		subject->email = reading->ruling.email;
		subject->has_email = true;
	}
	po_received_event(po_lead_event(unit, subject, "webhook.inbound.received", cause), webhook);
	return subject;
}

static bool
decide_message(PoSubjects *subjects, PoWebhook *webhook, const PoCause *of_webhook)
{
	PoUnit	   *unit = &subjects->unit;
	const PoWebhookReading *reading = &webhook->reading;
	const char *tenant_id = webhook->endpoint->tenant_id;
	TimestampTz at = webhook->request.stored ? webhook->request.received_at : po_now();
	PoAddress  *phone = po_find_address(unit, tenant_id, reading->phone);
	PoLead	   *known = po_find_subject(unit, tenant_id, reading->phone);
	PoCause		cause = *of_webhook;
	PoLead	   *subject;

	if (known == NULL && webhook->subject.own_number)
	{
		decide_own_number(unit, webhook, phone, &cause);
		return false;
	}
	subject = reply(unit, webhook, known, phone, at, &cause);
	switch (reading->consent)
	{
		case PO_CONSENT_OPT_OUT:
			po_decide_opt_out(unit, &webhook->result, phone, &cause);
			break;
		case PO_CONSENT_HOLD:
			(void) po_change_consent(unit, phone, PO_CONSENT_HELD, &cause);
			(void) po_change_state(unit, subject, PO_STATE_RESPONDED, &cause);
			break;
		case PO_CONSENT_OPT_IN:
			if (!is_overtaken(&webhook->request, phone))
				(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_IN, &cause);
			(void) po_change_state(unit, subject, PO_STATE_RESPONDED, &cause);
			break;
		case PO_CONSENT_HELP:
			(void) po_change_state(unit, subject, PO_STATE_RESPONDED, &cause);
			break;
		case PO_CONSENT_NONE:
		case PO_CONSENT_COURTESY:
			if (reading->yes && phone->consent == PO_CONSENT_OPTED_OUT && !is_overtaken(&webhook->request, phone))
			{
				cause.reason = "yes";
				cause.reason_is_class = true;
				(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_IN, &cause);
			}
			advance(unit, subject, reading->ruling.rule, &cause);
			/* the lead that this message made is its sender */
			if (takes_phone(reading) && known != NULL)
				po_take_address(unit, phone, at, &cause);
			break;
	}
	return true;
}

static const char *
opts_sender_out(const PoWebhook *webhook)
{
	return webhook->reading.consent == PO_CONSENT_OPT_OUT ? webhook->reading.phone : NULL;
}

const PoHandler po_message_handler = {
	.is = PO_IS_MESSAGE,
	.effects = 1 << PO_KIND_EFFECT_MESSAGE | 1 << PO_KIND_EFFECT_OPT_OUT | 1 << PO_KIND_EFFECT_HELP,
	.read = read_sender,
	.hear = hear_text,
	.find = find_senders,
	.want = want_person,
	.look_again = find_own_numbers,
	.decide = decide_message,
	.opts_out = opts_sender_out
};
