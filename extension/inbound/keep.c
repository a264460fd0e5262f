/*
 * keep.c
 *	  What is kept of webhooks that cannot be processed now: their bytes, their next try,
 *	  and what of them could be done.
 *
 * Functions need SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/subtransaction.h"
#include "inbound/webhook.h"

#define MAX_ATTEMPTS 10

/* Keeps a webhook whose processing failed: its bytes, its next try. */
static void
keep_failed(PoWebhook *webhook, int sqlstate)
{
	PoUnit unit = {0};
	PoEvent    *event;
	PoObject   *object = po_object_begin();
	bool		last;

	webhook->outcome = PO_OUTCOME_ERROR;
	webhook->attempts++;
	last = webhook->attempts >= MAX_ATTEMPTS;
	webhook->status = last ? PO_PAYLOAD_DEAD : PO_PAYLOAD_ERROR;
	/* Not the message: it may quote the payload. */
	webhook->last_error = psprintf("processing failed with SQLSTATE %s",
								   unpack_sql_state(sqlstate));
	event = po_event_list_add(&unit.events, webhook->endpoint->tenant_id,
							  "webhook.inbound.failed", webhook->endpoint->provider);
	event->receipt_id = &webhook->receipt_id;
	event->correlation_id = &webhook->correlation_id;
	po_object_string(object, "error", webhook->last_error);
	po_object_bool(object, "dead", last);
	event->payload = po_object_end(object);
	po_write_payloads(&webhook, 1);
	po_unit_write(&unit);
}

typedef struct Failure
{
	PoWebhook  *webhook;
	int			sqlstate;
} Failure;

static void
keep_opted_out(void *arg)
{
	Failure    *failure = arg;

	keep_failed(failure->webhook, failure->sqlstate);
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
	if (!po_heed_opt_out(webhook))
	{
		keep_failed(webhook, sqlstate);
		return;
	}
	/* What cannot even be kept takes the opt-out with it no more. */
	sqlstate = po_try(keep_opted_out, &failure, &foreign);
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
	(void) po_heed_opt_out(webhook);
	webhook->held = true;
	webhook->outcome = PO_OUTCOME_DEFERRED;
	webhook->status = PO_PAYLOAD_PENDING;
	webhook->last_error = "another transaction holds what it is about";
	po_write_payloads(&webhook, 1);
}
