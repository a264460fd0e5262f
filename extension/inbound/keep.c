/*
 * keep.c
 *	  What is kept of webhooks that have no effect, or not yet: what failed, what others
 *	  hold, and what came under a key that is taken; their opt-outs are heeded.
 *
 * Functions need SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/lock_wait.h"
#include "core/subtransaction.h"
#include "inbound/kinds.h"
#include "lead/opt_out.h"

/* Records the opt-out of a webhook that cannot be processed; whether there is one that is. */
static bool
heed_opt_out(PoWebhook *webhook)
{
	bool		conflict = webhook->result.status == PO_PAYLOAD_CONFLICT;
	PoCause		cause;
	PoOptOut	opt_out = {.tenant_id = webhook->endpoint->tenant_id, .cause = &cause};
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
		opt_out.unless_agreed_since = &webhook->result.first_at;
	/* Where a conflict has changed nothing, a person's replay of it is to decide anew. */
	if (!webhook->result.opted_out && po_record_opt_out(&opt_out) == 0 && (opt_out.changed || !conflict))
		po_be_opted_out(webhook, opt_out.owes_event ? &opt_out.event_owed : NULL);
	return webhook->result.opted_out;
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
	Address		address = {.tenant_id = webhook->endpoint->tenant_id, .wait_ms = wait_ms};

	(void) po_opts_out(webhook, &address.address);
	if (po_try(lock_address_in_time, &address, NULL) == ERRCODE_LOCK_NOT_AVAILABLE)
		return false;
	(void) heed_opt_out(webhook);
	return true;
}

/* A webhook whose processing failed. */
typedef struct Failure
{
	PoWebhook  *webhook;
	int			sqlstate;
} Failure;

/* Keeps its bytes and its next try. */
static void
keep_failed(void *arg)
{
	PoWebhook  *webhook = ((Failure *) arg)->webhook;
	const PoWebhookResult *result = &webhook->result;
	PoUnit		unit = {0};
	PoEvent    *event;
	PoObject   *object = po_object_begin();

	po_be_failed(webhook, ((Failure *) arg)->sqlstate);
	event = po_event_list_add(&unit.events, webhook->endpoint->tenant_id,
							  "webhook.inbound.failed", webhook->endpoint->provider);
	event->receipt_id = &result->receipt_id;
	event->correlation_id = &webhook->request.correlation_id;
	po_object_string(object, "error", result->last_error);
	po_object_bool(object, "dead", result->status == PO_PAYLOAD_DEAD);
	po_event_tells(event, object);
	po_write_payloads(&webhook, 1);
	po_unit_write(&unit);
}

/*
 * po_log_failure tells the server's log what failed of a webhook, and nothing of what is
 * in it.
 */
void
po_log_failure(const PoWebhook *webhook, int sqlstate, const char *what)
{
	ereport(LOG,
			(errmsg("%s of a webhook failed with SQLSTATE %s", what, unpack_sql_state(sqlstate)),
			 errdetail("Provider %s, path %s.", webhook->endpoint->provider, webhook->endpoint->path),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * po_give_up keeps one that failed alone, with its opt-out where it has one.
 */
void
po_give_up(PoWebhook *webhook, int sqlstate)
{
	Failure		failure = {webhook, sqlstate};
	const bool	foreign = true;

	po_log_failure(webhook, sqlstate, "processing");
	if (!heed_opt_out(webhook))
	{
		keep_failed(&failure);
		return;
	}
	/* What cannot even be kept takes the opt-out with it no more. */
	sqlstate = po_try(keep_failed, &failure, &foreign);
	if (sqlstate != 0)
		po_log_failure(webhook, sqlstate, "keeping");
}

/*
 * po_keep_held keeps one whose subject another transaction holds, to be taken up soon,
 * with its opt-out.
 */
void
po_keep_held(PoWebhook *webhook)
{
	(void) heed_opt_out(webhook);
	po_be_held(webhook);
	po_write_payloads(&webhook, 1);
}
