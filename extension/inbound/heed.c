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
#include "inbound/kinds.h"
#include "lead/opt_out.h"

/*
 * po_heed_opt_out records the opt-out of a webhook that cannot be processed; whether
 * there is one that is.
 */
bool
po_heed_opt_out(PoWebhook *webhook)
{
	bool		conflict = webhook->outcome.status == PO_PAYLOAD_CONFLICT;
	PoCause		cause;
	PoOptOut	opt_out = {.tenant_id = webhook->endpoint->tenant_id,.cause = &cause};
	const PoHandler *handler;

	/* This is a try of its own: what the one before has found is gone with it. */
	webhook->subject = (PoWebhookSubject) {0};
	for (int h = 0; h < PO_NHANDLERS; h++)
		if (po_handler[h]->find != NULL)
			po_handler[h]->find(&webhook, 1, false);
	handler = po_opts_out(webhook, &opt_out.address);
	if (handler == NULL)
		return false;
	cause = po_webhook_cause(webhook);
	if (handler->is_told_late)
		opt_out.unless_agreed_since = cause.said_at;
	else if (conflict)
		opt_out.unless_agreed_since = &webhook->outcome.first_at;
	/* Where a conflict has changed nothing, a person's replay of it is to decide anew. */
	if (!webhook->outcome.opted_out && po_record_opt_out(&opt_out) == 0 && (opt_out.changed || !conflict))
		po_be_opted_out(webhook, opt_out.owes_event ? &opt_out.event_owed : NULL);
	return webhook->outcome.opted_out;
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
	Address		address = {.tenant_id = webhook->endpoint->tenant_id,.wait_ms = wait_ms};

	(void) po_opts_out(webhook, &address.address);
	if (po_try(lock_address_in_time, &address, NULL) == ERRCODE_LOCK_NOT_AVAILABLE)
		return false;
	(void) po_heed_opt_out(webhook);
	return true;
}
