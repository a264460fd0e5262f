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
#include "core/key_probe.h"
#include "core/limits.h"
#include "inbound/webhook.h"
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
 * Messages whose effect depends on, or changes, what is known of the phone; and those
 * behind which its next message may be a stranger's.
 */
static bool
needs_phone(const PoWebhook *webhook)
{
	return webhook->is_revocation || webhook->is_bounce || webhook->consent == PO_CONSENT_OPT_OUT || webhook->consent == PO_CONSENT_OPT_IN ||
		webhook->consent == PO_CONSENT_HOLD || webhook->yes || webhook->from_stranger ||
		webhook->from_unreachable || takes_phone(webhook);
}

/*
 * po_touches_phone tells whether the error code of a status callback says
 * something of the phone its message was sent to.
 */
bool
po_touches_phone(const PoWebhook *webhook)
{
	return webhook->is_status && webhook->message_lead != NULL && webhook->message_phone != NULL &&
		po_concerns_address(webhook->effect);
}

/* The lead of a status callback, and with it the leads of a phone that opts out. */
static PoLeadKey
lead_key(const PoWebhook *webhook)
{
	return (PoLeadKey)
	{
		.tenant_id = webhook->endpoint->tenant_id,.lead_id = webhook->message_lead,
		.phone = webhook->effect == PO_EFFECT_OPTS_OUT ? webhook->message_phone : NULL
	};
}

/* Whether it is about an address that stands in it, and the leads that have that. */
static bool
names_phone(const PoWebhook *webhook)
{
	return webhook->is_message || webhook->is_revocation || webhook->is_bounce;
}

static bool
is_of_message(const PoWebhook *webhook)
{
	return webhook->is_status && webhook->message_lead != NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Marks the webhooks that one of the leads is a subject of. */
static void
mark_held(PoWebhook **webhook, int n, const PoLeadKey *held, int nheld)
{
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		PoLeadKey	key = lead_key(w);

		for (int h = 0; h < nheld && !w->held; h++)
		{
			if (strcmp(w->endpoint->tenant_id, held[h].tenant_id) != 0)
				continue;
			if (names_phone(w))
				w->held = same_text(w->phone, held[h].phone);
			if (is_of_message(w) && !w->held)
				w->held = same_text(key.lead_id, held[h].lead_id) || same_text(key.phone, held[h].phone);
		}
	}
}

/* Leads of messages by their phones, leads of status callbacks by their ids. */
static void
lock_leads(PoChangeSet *set, PoWebhook **webhook, int n, const PoPhoneKey *phone, int nphones,
		   bool wait)
{
	PoLeadKey  *key = palloc0(Max(n + nphones, 1) * sizeof(PoLeadKey));
	PoLeadKey  *held;
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
		if (is_of_message(webhook[i]))
			key[nkeys++] = lead_key(webhook[i]);
	if (nkeys == 0 && wait)
	{
		po_lock_leads_of_phones(set, phone, nphones);
		return;
	}
	for (int i = 0; i < nphones; i++)
	{
		key[nkeys].tenant_id = phone[i].tenant_id;
		key[nkeys++].phone = phone[i].phone;
	}
	if (wait)
		po_lock_leads(set, key, nkeys);
	else
	{
		int			nheld = po_lock_leads_but_held(set, key, nkeys, &held);

		mark_held(webhook, n, held, nheld);
	}
}

/* The messages that the replies among the webhooks take back. */
static int
find_reply_cancels(const PoChangeSet *set, const PoPhoneKey *phone, int nphones, PoReplyCancel **cancel)
{
	const char **id = palloc(Max(set->nleads, 1) * 2 * sizeof(char *));
	bool	   *has = palloc(Max(set->nleads, 1) * sizeof(bool));
	PoLeadKey  *lead = palloc0(Max(set->nleads, 1) * sizeof(PoLeadKey));
	int			nids = 0;
	int			nleads = 0;

	for (int i = 0; i < set->nleads; i++)
	{
		const PoLead *l = &set->lead[i];
		PoPhoneKey	key = {l->tenant_id, l->phone};

		if (l->phone == NULL || po_phone_keys_find(phone, nphones, &key) < 0)
			continue;
		id[2 * nids] = l->tenant_id;
		id[2 * nids++ + 1] = l->lead_id;
	}
	po_have_rows("outbound_messages_reply", id, 2, nids, has);
	for (int i = 0; i < nids; i++)
	{
		if (!has[i])
			continue;
		lead[nleads].tenant_id = id[2 * i];
		lead[nleads++].lead_id = id[2 * i + 1];
	}
	return po_find_reply_cancels(lead, nleads, cancel);
}

static bool
has_locked(const PoSubjects *subjects, const PoMessageKey *key)
{
	return po_find_message(subjects->message, subjects->nmessages, key->tenant_id, &key->message_id) != NULL;
}

/* Messages of ours: those of callbacks, and those that replies from the phones take back. */
static void
lock_messages(PoSubjects *subjects, PoWebhook **webhook, int n, const PoPhoneKey *phone, int nphones,
			  bool wait)
{
	PoChangeSet *set = &subjects->set;
	PoReplyCancel *cancel;
	int			ncancels = find_reply_cancels(set, phone, nphones, &cancel);
	PoMessageKey *key = palloc((n + ncancels) * sizeof(PoMessageKey));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
	{
		if (!is_of_message(webhook[i]))
			continue;
		key[nkeys].tenant_id = webhook[i]->endpoint->tenant_id;
		key[nkeys++].message_id = webhook[i]->message_id;
	}
	for (int i = 0; i < ncancels; i++)
		key[nkeys++] = cancel[i].key;
	subjects->nmessages = po_lock_messages(key, nkeys, wait, &subjects->message);
	if (wait)
		return;
	for (int i = 0; i < n; i++)
	{
		PoMessageKey of_callback = {webhook[i]->endpoint->tenant_id, webhook[i]->message_id};

		if (is_of_message(webhook[i]) && !has_locked(subjects, &of_callback))
			webhook[i]->held = true;
	}
	for (int c = 0; c < ncancels; c++)
	{
		const char *tenant_id = cancel[c].key.tenant_id;
		PoLeadKey	held = {.tenant_id = tenant_id,.lead_id = cancel[c].lead_id};

		if (has_locked(subjects, &cancel[c].key))
			continue;
		held.phone = po_find_lead(set, tenant_id, held.lead_id)->phone;
		mark_held(webhook, n, &held, 1);
	}
}

/* Messages from phones that are said not to take any. */
static void
find_unreachable(PoWebhook **webhook, int n)
{
	const char **key = palloc(n * 2 * sizeof(char *));
	bool	   *has = palloc(n * sizeof(bool));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
	{
		if (!webhook[i]->is_message)
			continue;
		key[2 * nkeys] = webhook[i]->endpoint->tenant_id;
		key[2 * nkeys++ + 1] = webhook[i]->phone;
	}
	po_have_rows("phones_marked", key, 2, nkeys, has);
	for (int i = 0, k = 0; i < n; i++)
		webhook[i]->from_unreachable = webhook[i]->is_message && has[k++];
}

/*
 * The phones whose rows are to be locked: of messages, in *all, whose leads are,
 * and of those and of callbacks where the consent or a new lead depends on it.
 */
static void
collect_phones(PoWebhook **webhook, int n, PoPhoneKey *all, int *nall, PoPhoneKey *locked, int *nlocked)
{
	*nall = *nlocked = 0;
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		if (po_touches_phone(w))
		{
			locked[*nlocked].tenant_id = w->endpoint->tenant_id;
			locked[(*nlocked)++].phone = w->message_phone;
		}
		if (!names_phone(w))
			continue;
		all[*nall].tenant_id = w->endpoint->tenant_id;
		all[(*nall)++].phone = w->phone;
		if (needs_phone(w))
			locked[(*nlocked)++] = all[*nall - 1];
		if (w->email != NULL)
		{
			locked[*nlocked].tenant_id = w->endpoint->tenant_id;
			locked[(*nlocked)++].phone = w->email;
		}
	}
	*nall = po_phone_keys_sort(all, *nall);
	*nlocked = po_phone_keys_sort(locked, *nlocked);
}

/* Whether the webhook needs the row of a phone that is not in the set. */
static bool
lacks_phone(PoChangeSet *set, const PoWebhook *webhook)
{
	const char *tenant_id = webhook->endpoint->tenant_id;

	return (po_touches_phone(webhook) && po_find_phone(set, tenant_id, webhook->message_phone) == NULL) ||
		(webhook->email != NULL && po_find_phone(set, tenant_id, webhook->email) == NULL) ||
		(names_phone(webhook) && needs_phone(webhook) && po_find_phone(set, tenant_id, webhook->phone) == NULL);
}

/* What a round before has found out may be otherwise by now. */
static void
forget_own_numbers(PoWebhook **webhook, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (webhook[i]->status == PO_PAYLOAD_OWN_NUMBER)
		{
			webhook[i]->outcome = PO_OUTCOME_ACCEPTED;
			webhook[i]->status = PO_PAYLOAD_DONE;
		}
		webhook[i]->own_number = false;
	}
}

/*
 * po_lock_subjects locks what the webhooks are about: phones first, then leads,
 * then messages of ours.  Without wait those whose subjects another transaction
 * has locked are marked as held, and the rest is locked.
 *
 * Which phones have no lead yet is known only when the leads are locked; it has then
 * marked those messages, and starts again.  Where that would be against the order of
 * locks it returns false, and is to be called again when those it holds are gone.
 * Needs SPI.
 */
bool
po_lock_subjects(PoSubjects *subjects, PoWebhook **webhook, int n, bool wait)
{
	PoChangeSet *set = &subjects->set;
	PoPhoneKey *all = palloc(n * sizeof(PoPhoneKey));
	PoPhoneKey *locked = palloc(3 * n * sizeof(PoPhoneKey));
	int			nall;
	int			nlocked;
	bool		complete = true;

	forget_own_numbers(webhook, n);
	po_find_statuses(webhook, n);
	find_unreachable(webhook, n);
	collect_phones(webhook, n, all, &nall, locked, &nlocked);
	if (wait)
		po_lock_phones(set, locked, nlocked);
	else
		po_lock_free_phones(set, locked, nlocked);
	for (int i = 0; i < n; i++)
		webhook[i]->held = !wait && lacks_phone(set, webhook[i]);
	lock_leads(set, webhook, n, all, nall, wait);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		PoLead	   *subject;

		if (!w->is_message || w->held || po_find_phone(set, w->endpoint->tenant_id, w->phone) != NULL)
			continue;
		subject = po_find_subject(set, w->endpoint->tenant_id, w->phone);
		w->from_stranger |= subject == NULL;
		complete &= subject != NULL;
	}
	if (!complete && set->nphones == 0 && set->nleads == 0)
		return po_lock_subjects(subjects, webhook, n, wait);
	if (!complete)
		return false;
	lock_messages(subjects, webhook, n, all, nall, wait);
	po_find_own_numbers(set, webhook, n);
	return true;
}

/*
 * po_decide_opt_out opts the locked phone out, or adds what is left to do where that
 * was recorded before the rest of the webhook could be.
 */
void
po_decide_opt_out(PoChangeSet *set, const PoWebhook *webhook, PoPhone *phone, const PoCause *cause)
{
	if (webhook->opted_out)
		po_complete_opt_out(set, phone, webhook->owes_event ? &webhook->event_owed : NULL, cause);
	else
		(void) po_change_consent(set, phone, PO_CONSENT_OPTED_OUT, cause);
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
advance(PoChangeSet *set, PoLead *subject, const PoRule *rule, const PoCause *cause)
{
	PoState		to = PO_STATE_RESPONDED;

	if (rule != NULL && rule->to_state != NULL)
		to = po_state_from_name(rule->to_state);
	if (po_change_state(set, subject, to, cause) == 0 && to != PO_STATE_RESPONDED)
		(void) po_change_state(set, subject, PO_STATE_RESPONDED, cause);
}

/*
 * po_is_overtaken tells whether the consent of a phone, which is locked, has changed
 * since a kept message came: what that says does not undo what was said after it.
 */
bool
po_is_overtaken(const PoWebhook *webhook, const PoPhone *phone)
{
	return webhook->stored && phone->consent_at > webhook->received_at;
}

static void
decide_message(PoSubjects *subjects, PoWebhook *webhook, PoCause *cause)
{
	PoChangeSet *set = &subjects->set;
	const char *tenant_id = webhook->endpoint->tenant_id;
	PoPhone    *phone = po_find_phone(set, tenant_id, webhook->phone);
	PoLead	   *subject = po_find_subject(set, tenant_id, webhook->phone);
	bool		known = subject != NULL;

	if (!known)
	{
		PoCause		inbound = *cause;

		/* Its lock keeps two sessions from making a lead each. */
		Assert(phone != NULL);
		inbound.source = "inbound";
		subject = po_create_lead(set, tenant_id, NULL, webhook->phone, &inbound);
	}
	po_lead_replied(set, subject);
	if (phone != NULL && po_is_marked(phone, PO_CHANNEL_SMS))
		(void) po_mark_reachable(set, phone, PO_CHANNEL_SMS, NULL,
								 webhook->stored ? webhook->received_at : po_now(), cause);
	po_cancel_on_reply(set, subjects->message, subjects->nmessages, subject, cause);
	if (webhook->business_phone[0] != '\0')
		subject->business_phone = webhook->business_phone;
	if (webhook->ruling.email != NULL && !subject->has_email)
	{
		subject->email = webhook->ruling.email;
		subject->has_email = true;
	}
	po_lead_event(set, subject, "webhook.inbound.received", cause)->payload =
		received_payload(webhook);

	switch (webhook->consent)
	{
		case PO_CONSENT_OPT_OUT:
			po_decide_opt_out(set, webhook, phone, cause);
			break;
		case PO_CONSENT_HOLD:
			(void) po_change_consent(set, phone, PO_CONSENT_HELD, cause);
			(void) po_change_state(set, subject, PO_STATE_RESPONDED, cause);
			break;
		case PO_CONSENT_OPT_IN:
			if (!po_is_overtaken(webhook, phone))
				(void) po_change_consent(set, phone, PO_CONSENT_OPTED_IN, cause);
			(void) po_change_state(set, subject, PO_STATE_RESPONDED, cause);
			break;
		case PO_CONSENT_HELP:
			(void) po_change_state(set, subject, PO_STATE_RESPONDED, cause);
			break;
		case PO_CONSENT_NONE:
		case PO_CONSENT_COURTESY:
			if (webhook->yes && phone->consent == PO_CONSENT_OPTED_OUT && !po_is_overtaken(webhook, phone))
			{
				cause->reason = "yes";
				(void) po_change_consent(set, phone, PO_CONSENT_OPTED_IN, cause);
			}
			advance(set, subject, webhook->ruling.rule, cause);
			/* the lead that this message made is its sender */
			if (takes_phone(webhook) && known)
			{
				PoPhoneKey	key = {tenant_id, webhook->phone};

				po_take_phone(set, &key, webhook->stored ? webhook->received_at : po_now(), cause);
			}
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
	PoChangeSet *set = &subjects->set;
	PoCause		cause = po_webhook_cause(webhook);
	bool		from_ourselves = webhook->own_number &&
		po_find_subject(set, webhook->endpoint->tenant_id, webhook->phone) == NULL;
	PoEvent    *event;

	if (webhook->is_message && !from_ourselves)
	{
		decide_message(subjects, webhook, &cause);
		return;
	}
	if (from_ourselves)
		po_decide_own_number(set, webhook, &cause);
	if (webhook->is_revocation || webhook->is_bounce)
		po_decide_contact(set, webhook, &cause);
	if (webhook->is_status)
		po_decide_status(subjects, webhook, &cause);
	event = po_event_list_add(&set->events, webhook->endpoint->tenant_id,
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
