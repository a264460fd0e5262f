/*
 * heed.c
 *	  Opt-outs of webhooks that have no other effect, or not yet: what failed, what
 *	  others hold, and what came under a key that is taken.
 *
 * Functions need SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/lock_wait.h"
#include "core/subtransaction.h"
#include "inbound/webhook.h"
#include "lead/opt_out.h"

/*
 * po_opts_out tells whether a webhook opts an address out.
 */
bool
po_opts_out(const PoWebhook *webhook)
{
	return (webhook->is_message && webhook->consent == PO_CONSENT_OPT_OUT) || webhook->is_revocation ||
		(po_touches_phone(webhook) && webhook->effect == PO_EFFECT_OPTS_OUT);
}

/* The address that it opts out. */
static const char *
address_of(const PoWebhook *webhook)
{
	return webhook->is_message || webhook->is_revocation ? webhook->phone : webhook->message_phone;
}

/*
 * po_heed_opt_out records the opt-out of a webhook that cannot be processed; whether
 * there is one that is.
 */
bool
po_heed_opt_out(PoWebhook *webhook)
{
	bool		conflict = webhook->status == PO_PAYLOAD_CONFLICT;
	PoCause		cause;
	PoOptOut	opt_out = {.tenant_id = webhook->endpoint->tenant_id,.cause = &cause};

	if (webhook->is_status)
		po_find_statuses(&webhook, 1, false);
	if (!po_opts_out(webhook))
		return false;
	cause = po_webhook_cause(webhook);
	opt_out.address = address_of(webhook);
	if (webhook->is_revocation)
		opt_out.unless_agreed_since = cause.said_at;
	else if (conflict)
		opt_out.unless_agreed_since = &webhook->first_at;
	/* Where a conflict has changed nothing, a person's replay of it is to decide anew. */
	if (!webhook->opted_out && po_record_opt_out(&opt_out) == 0 && (opt_out.changed || !conflict))
	{
		webhook->opted_out = true;
		webhook->owes_event = opt_out.owes_event;
		webhook->event_owed = opt_out.event_owed;
	}
	return webhook->opted_out;
}

/* An address that is to be locked, and for how long that may wait. */
typedef struct Address
{
	const char *tenant_id;
	const char *address;
	int			wait_ms;
} Address;

static void
lock_address(void *arg)
{
	const Address *address = arg;
	PoUnit		unit = {0};

	(void) po_require_address(&unit, address->tenant_id, address->address);
}

static void
lock_address_in_time(void *arg)
{
	po_wait_at_most(lock_address, arg, ((Address *) arg)->wait_ms);
}

/*
 * po_heed_conflict heeds an opt-out under a key that is taken: whoever says so does not
 * wait for the person who looks, be it another sender, whose gateway numbers as the first
 * one's does, or the same, whose gateway has begun anew.  Nobody tries it again: where the
 * address is held for longer than wait_ms it is not received,
 * and has to be sent again: false.
 */
bool
po_heed_conflict(PoWebhook *webhook, int wait_ms)
{
	Address		address = {webhook->endpoint->tenant_id, address_of(webhook), wait_ms};

	if (po_try(lock_address_in_time, &address, NULL) == ERRCODE_LOCK_NOT_AVAILABLE)
		return false;
	(void) po_heed_opt_out(webhook);
	return true;
}
