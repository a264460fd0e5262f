/*
 * outcome.c
 *	  What becomes of a webhook, and what is kept of one that cannot be processed now: its
 *	  bytes, its next try, and what of it could be done.
 *
 * Each po_be_* says one thing that has become of it.  Those that keep need SPI and the
 * engine's owner as user.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/subtransaction.h"
#include "inbound/webhook.h"

#define MAX_ATTEMPTS 10

/*
 * po_refuse turns a request away: http_status is 0 where the answers' rows say what it is
 * told.
 */
void
po_refuse(PoWebhook *webhook, PoOutcome answer, int http_status, const char *refusal)
{
	webhook->outcome.answer = answer;
	webhook->outcome.http_status = http_status;
	webhook->outcome.refusal = refusal;
}

/*
 * po_be_expected says what a webhook that has not been tried comes to when nothing
 * fails.
 */
void
po_be_expected(PoWebhook *webhook)
{
	const PoWebhookReading *reading = &webhook->reading;
	PoWebhookOutcome *outcome = &webhook->outcome;
	bool		stored = webhook->request.stored;

	if (!stored)
	{
		/* What was done of it before has been undone. */
		outcome->attempts = 0;
		outcome->opted_out = outcome->owes_event = false;
	}
	outcome->fresh = outcome->held = false;
	outcome->last_error = reading->problem != NULL ? reading->problem : reading->flaw;
	if (reading->problem != NULL)
	{
		/* What was tried and could not be read will not become readable. */
		outcome->answer = PO_OUTCOME_ERROR;
		outcome->status = PO_PAYLOAD_DEAD;
	}
	else if (webhook->endpoint->deferred && !stored)
	{
		outcome->answer = PO_OUTCOME_DEFERRED;
		outcome->status = PO_PAYLOAD_PENDING;
	}
	else
	{
		outcome->answer = PO_OUTCOME_ACCEPTED;
		outcome->status = reading->unresolved ? PO_PAYLOAD_UNRESOLVED : PO_PAYLOAD_DONE;
	}
}

/*
 * po_be_fresh: it is the first of its key, and has this receipt.
 */
void
po_be_fresh(PoWebhook *webhook, const pg_uuid_t *receipt_id)
{
	webhook->outcome.fresh = true;
	webhook->outcome.receipt_id = *receipt_id;
}

/*
 * po_be_duplicate: its key is that of an earlier webhook, whose receipt is its own.
 */
void
po_be_duplicate(PoWebhook *webhook, const pg_uuid_t *first)
{
	webhook->outcome.answer = PO_OUTCOME_DUPLICATE;
	webhook->outcome.status = PO_PAYLOAD_DONE;
	webhook->outcome.receipt_id = *first;
}

/*
 * po_be_conflict: its key was taken at that time, by a webhook with another body; what is
 * kept of it has this id.
 */
void
po_be_conflict(PoWebhook *webhook, const pg_uuid_t *receipt_id, TimestampTz first_at)
{
	po_be_duplicate(webhook, receipt_id);
	webhook->outcome.status = PO_PAYLOAD_CONFLICT;
	webhook->outcome.first_at = first_at;
	webhook->outcome.last_error = "the idempotency key was used with another body";
}

/*
 * po_be_busy: it is not received, and has to be sent again.
 */
void
po_be_busy(PoWebhook *webhook)
{
	webhook->outcome.answer = PO_OUTCOME_BUSY;
}

/*
 * po_be_own_number: it comes from the tenant itself.
 */
void
po_be_own_number(PoWebhook *webhook)
{
	webhook->outcome.answer = PO_OUTCOME_OWN_NUMBER;
	webhook->outcome.status = PO_PAYLOAD_OWN_NUMBER;
}

/*
 * po_be_opted_out: its opt-out is recorded; event_owed is the event that could not be
 * written, or NULL.
 */
void
po_be_opted_out(PoWebhook *webhook, const pg_uuid_t *event_owed)
{
	webhook->outcome.opted_out = true;
	webhook->outcome.owes_event = event_owed != NULL;
	if (event_owed != NULL)
		webhook->outcome.event_owed = *event_owed;
}

/*
 * po_end_repetition ends a stored webhook whose key another has: it has no effect.
 */
void
po_end_repetition(PoWebhook *webhook)
{
	webhook->outcome.status = PO_PAYLOAD_DONE;
	webhook->outcome.last_error = "a webhook with the same key has come since";
	po_write_payloads(&webhook, 1);
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
	const Failure *failure = arg;
	PoWebhook  *webhook = failure->webhook;
	PoWebhookOutcome *outcome = &webhook->outcome;
	PoUnit		unit = {0};
	PoEvent    *event;
	PoObject   *object = po_object_begin();
	bool		last = ++outcome->attempts >= MAX_ATTEMPTS;

	outcome->answer = PO_OUTCOME_ERROR;
	outcome->status = last ? PO_PAYLOAD_DEAD : PO_PAYLOAD_ERROR;
	/* Not the message: it may quote the payload. */
	outcome->last_error = psprintf("processing failed with SQLSTATE %s", unpack_sql_state(failure->sqlstate));
	event = po_event_list_add(&unit.events, webhook->endpoint->tenant_id,
							  "webhook.inbound.failed", webhook->endpoint->provider);
	event->receipt_id = &outcome->receipt_id;
	event->correlation_id = &webhook->request.correlation_id;
	po_object_string(object, "error", outcome->last_error);
	po_object_bool(object, "dead", last);
	event->payload = po_object_end(object);
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
	if (!po_heed_opt_out(webhook))
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
	(void) po_heed_opt_out(webhook);
	webhook->outcome.held = true;
	webhook->outcome.answer = PO_OUTCOME_DEFERRED;
	webhook->outcome.status = PO_PAYLOAD_PENDING;
	webhook->outcome.last_error = "another transaction holds what it is about";
	po_write_payloads(&webhook, 1);
}
