/*
 * outcome.c
 *	  What becomes of a webhook: each function says one thing that has.
 *
 * No statements; receipt.c writes it down.
 */
#include "postgres.h"

#include "core/compat.h"
#include "inbound/webhook.h"

#define MAX_ATTEMPTS 10

/*
 * po_refuse turns a webhook away, which has to be sent again where it is busy: http_status
 * is 0 where the answers' rows say what it is told.
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
po_be_duplicate(PoWebhook *webhook, const pg_uuid_t *receipt_id)
{
	webhook->outcome.answer = PO_OUTCOME_DUPLICATE;
	webhook->outcome.status = PO_PAYLOAD_DONE;
	webhook->outcome.receipt_id = *receipt_id;
}

/*
 * po_be_conflict: the earlier one, of that time, has another body; this one is kept under
 * an id of its own.
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
 * po_be_repetition: it was stored, and another has its key by now.
 */
void
po_be_repetition(PoWebhook *webhook)
{
	webhook->outcome.status = PO_PAYLOAD_DONE;
	webhook->outcome.last_error = "a webhook with the same key has come since";
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
 * po_be_failed: its processing has, and is tried again so many times.
 */
void
po_be_failed(PoWebhook *webhook, int sqlstate)
{
	PoWebhookOutcome *outcome = &webhook->outcome;

	outcome->attempts++;
	outcome->answer = PO_OUTCOME_ERROR;
	outcome->status = outcome->attempts >= MAX_ATTEMPTS ? PO_PAYLOAD_DEAD : PO_PAYLOAD_ERROR;
	/* Not the message: it may quote the payload. */
	outcome->last_error = psprintf("processing failed with SQLSTATE %s", unpack_sql_state(sqlstate));
}

/*
 * po_be_held: it is taken up again soon.
 */
void
po_be_held(PoWebhook *webhook)
{
	webhook->outcome.held = true;
	webhook->outcome.answer = PO_OUTCOME_DEFERRED;
	webhook->outcome.status = PO_PAYLOAD_PENDING;
	webhook->outcome.last_error = "another transaction holds what it is about";
}
