/*
 * subjects.c
 *	  What webhooks are about, locked.
 *
 * What has to be locked is known before anything is: whose message a callback speaks of,
 * and which senders no lead has, is looked up without locks.  A sender whose last lead
 * has lost the phone since the look wants more than that: its webhook is done by itself.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/compat.h"
#include "core/key_probe.h"
#include "inbound/webhook.h"

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

static bool
takes_phone(const PoWebhook *webhook)
{
	return webhook->ruling.rule != NULL && webhook->ruling.rule->takes_address;
}

/* Messages whose effect depends on, or changes, what is known of the person. */
static bool
needs_person(const PoWebhook *webhook)
{
	return webhook->is_revocation || webhook->is_bounce || webhook->consent == PO_CONSENT_OPT_OUT ||
		webhook->consent == PO_CONSENT_OPT_IN || webhook->consent == PO_CONSENT_HOLD || webhook->yes ||
		webhook->from_stranger || webhook->from_unreachable || webhook->ruling.email != NULL ||
		takes_phone(webhook);
}

/* Whether it is about an address that stands in it, and the leads that have that. */
static bool
names_phone(const PoWebhook *webhook)
{
	return webhook->is_message || webhook->is_revocation || webhook->is_bounce;
}

/* Of which messages an index has the sender's phone. */
static void
probe_senders(PoWebhook **webhook, int n, const char *index_name, bool unseen, bool *has)
{
	const char **key = palloc(n * 2 * sizeof(char *));
	bool	   *found = palloc(n * sizeof(bool));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
	{
		if (!webhook[i]->is_message)
			continue;
		key[2 * nkeys] = webhook[i]->endpoint->tenant_id;
		key[2 * nkeys++ + 1] = webhook[i]->phone;
	}
	po_have_rows(index_name, key, 2, nkeys, unseen, found);
	for (int i = 0, k = 0; i < n; i++)
		has[i] = webhook[i]->is_message && found[k++];
}

/* What a round before has found out may be otherwise by now. */
static void
begin_anew(PoWebhook **webhook, int n)
{
	bool	   *has = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		if (webhook[i]->status == PO_PAYLOAD_OWN_NUMBER)
		{
			webhook[i]->outcome = PO_OUTCOME_ACCEPTED;
			webhook[i]->status = PO_PAYLOAD_DONE;
		}
		webhook[i]->own_number = false;
	}
	probe_senders(webhook, n, "leads_phone", false, has);
	for (int i = 0; i < n; i++)
		webhook[i]->from_stranger = webhook[i]->is_message && !has[i];
	probe_senders(webhook, n, "addresses_marked", true, has);
	for (int i = 0; i < n; i++)
		webhook[i]->from_unreachable = has[i];
}

static void
want(PoWants *wants, const PoWebhook *w, int member)
{
	const char *tenant_id = w->endpoint->tenant_id;

	if (names_phone(w))
	{
		if (needs_person(w))
			(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, w->phone);
		if (w->email != NULL)
			(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, w->email);
		if (w->is_message && w->ruling.email != NULL)
			(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, w->ruling.email);
		(void) po_want(wants, PO_WANT_LEADS_OF, member, tenant_id, w->phone);
		if (w->is_message)
			(void) po_want(wants, PO_WANT_REPLIES, member, tenant_id, w->phone);
	}
	if (!w->is_status || w->message_lead == NULL)
		return;
	if (po_touches_phone(w))
		(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, w->message_phone);
	(void) po_want(wants, PO_WANT_LEAD, member, tenant_id, w->message_lead);
	if (w->effect == PO_EFFECT_OPTS_OUT && w->message_phone != NULL)
		(void) po_want(wants, PO_WANT_LEADS_OF, member, tenant_id, w->message_phone);
	po_want_message(wants, member, tenant_id, &w->message_id);
}

/*
 * po_lock_subjects locks what the webhooks are about, and tells which of them others
 * hold, and which want more than was known; all of the others is locked.  Needs SPI and
 * the engine's owner as user.
 */
void
po_lock_subjects(PoUnit *unit, PoWebhook **webhook, int n, bool wait, PoMemberState *state)
{
	PoWants		wants = {0};
	bool	   *held = palloc0(n * sizeof(bool));

	begin_anew(webhook, n);
	po_find_statuses(webhook, n, true);
	for (int i = 0; i < n; i++)
		want(&wants, webhook[i], i);
	po_unit_lock(unit, &wants, wait ? PO_LOCK_WAITS : 0, held);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		state[i] = held[i] ? PO_MEMBER_HELD : PO_MEMBER_DONE;
		if (state[i] != PO_MEMBER_DONE || !w->is_message ||
			po_find_address(unit, w->endpoint->tenant_id, w->phone) != NULL ||
			po_find_subject(unit, w->endpoint->tenant_id, w->phone) != NULL)
			continue;
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
		state[i] = PO_MEMBER_GROWN;
	}
	po_find_own_numbers(unit, webhook, n, state);
}

/*
 * po_forget_subject takes what a try has found out from the webhook, for the try's
 * memory is gone.
 */
void
po_forget_subject(PoWebhook *webhook)
{
	webhook->message_lead = NULL;
	webhook->message_phone = NULL;
	webhook->account = NULL;
	webhook->channel = NULL;
	webhook->meaning = NULL;
}
