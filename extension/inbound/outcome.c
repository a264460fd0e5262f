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
po_refuse(PoWebhook *webhook, PoIngestOutcome outcome, int http_status, const char *refusal)
{
	webhook->result.outcome = outcome;
	webhook->result.http_status = http_status;
	webhook->result.refusal = refusal;
}

/*
 * po_be_expected says what a webhook that has not been tried comes to when nothing
 * fails.
 */
void
po_be_expected(PoWebhook *webhook)
{
	const PoWebhookReading *reading = &webhook->reading;
	PoWebhookResult *result = &webhook->result;
	bool		stored = webhook->request.stored;

	if (!stored)
	{
		/* What was done of it before has been undone. */
		result->attempts = 0;
		result->opted_out = result->owes_event = false;
	}
	result->fresh = result->held = false;
	result->last_error = reading->problem != NULL ? reading->problem : reading->flaw;
	if (reading->problem != NULL)
	{
		/* What was tried and could not be read will not become readable. */
		result->outcome = PO_INGEST_ERROR;
		result->status = PO_PAYLOAD_DEAD;
	}
	else if (webhook->endpoint->deferred && !stored)
	{
		result->outcome = PO_INGEST_DEFERRED;
		result->status = PO_PAYLOAD_PENDING;
	}
	else
	{
		result->outcome = PO_INGEST_ACCEPTED;
		result->status = reading->unresolved ? PO_PAYLOAD_UNRESOLVED : PO_PAYLOAD_DONE;
	}
}

/*
 * po_be_fresh: it is the first of its key, and has this receipt.
 */
void
po_be_fresh(PoWebhook *webhook, const pg_uuid_t *receipt_id)
{
	webhook->result.fresh = true;
	webhook->result.receipt_id = *receipt_id;
}

/*
 * po_be_duplicate: its key is that of an earlier webhook, whose receipt is its own.
 */
void
po_be_duplicate(PoWebhook *webhook, const pg_uuid_t *receipt_id)
{
	webhook->result.outcome = PO_INGEST_DUPLICATE;
	webhook->result.status = PO_PAYLOAD_DONE;
	webhook->result.receipt_id = *receipt_id;
}

/*
 * po_be_conflict: the earlier one, of that time, has another body; this one is kept under
 * an id of its own.
 */
void
po_be_conflict(PoWebhook *webhook, const pg_uuid_t *receipt_id, TimestampTz first_at)
{
	po_be_duplicate(webhook, receipt_id);
	webhook->result.status = PO_PAYLOAD_CONFLICT;
	webhook->result.first_at = first_at;
	webhook->result.last_error = "the idempotency key was used with another body";
}

/*
 * po_be_repetition: it was stored, and another has its key by now.
 */
void
po_be_repetition(PoWebhook *webhook)
{
	webhook->result.status = PO_PAYLOAD_DONE;
	webhook->result.last_error = "a webhook with the same key has come since";
}

/*
 * po_be_own_number: it comes from the tenant itself.
 */
void
po_be_own_number(PoWebhook *webhook)
{
	webhook->result.outcome = PO_INGEST_OWN_NUMBER;
	webhook->result.status = PO_PAYLOAD_OWN_NUMBER;
}

/*
 * po_be_opted_out: its opt-out is recorded; event_owed is the event that could not be
 * written, or NULL.
 */
void
po_be_opted_out(PoWebhook *webhook, const pg_uuid_t *event_owed)
{
	webhook->result.opted_out = true;
	webhook->result.owes_event = event_owed != NULL;
	if (event_owed != NULL)
		webhook->result.event_owed = *event_owed;
}

/*
 * po_be_failed: its processing has, and is tried again so many times.
 */
void
po_be_failed(PoWebhook *webhook, int sqlstate)
{
	PoWebhookResult *result = &webhook->result;

	result->attempts++;
	result->outcome = PO_INGEST_ERROR;
	result->status = result->attempts >= MAX_ATTEMPTS ? PO_PAYLOAD_DEAD : PO_PAYLOAD_ERROR;
	/* Not the message: it may quote the payload. */
	result->last_error = psprintf("processing failed with SQLSTATE %s", unpack_sql_state(sqlstate));
}

/*
 * po_be_held: it is taken up again soon.
 */
void
po_be_held(PoWebhook *webhook)
{
	webhook->result.held = true;
	webhook->result.outcome = PO_INGEST_DEFERRED;
	webhook->result.status = PO_PAYLOAD_PENDING;
	webhook->result.last_error = "another transaction holds what it is about";
}
