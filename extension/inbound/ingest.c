/*
 * ingest.c
 *	  Webhooks in, exactly once: the one door, and the retry of what failed.
 *
 * A batch goes through each step together: authenticate and normalise, receipts,
 * lock the subjects, decide, write.  A batch of one is the same code.  The steps
 * that write run in a subtransaction; when they fail, the members are done again
 * one by one, and one that fails alone is kept with status error.  Failures that
 * are the server's rather than the webhook's (no memory, no disk, a deadlock, a
 * cancel, a shutdown) are raised: the caller has not received the webhook, and
 * the provider will send it again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "funcapi.h"
#include "inbound/webhook.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#define MAX_ATTEMPTS 10

static PoPlan select_due = {
	.name = "payloads.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT path, receipt_id, form_encoded, body, correlation_id, attempts, tenant_id"
	" FROM outreach.inbound_payloads WHERE next_attempt_at <= $1"
	" ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED",
	.nargs = 2,
	.argtype = {TIMESTAMPTZOID, INT4OID}
};

/* The door is gone: what came through it can no longer be read. */
static PoPlan bury = {
	.name = "payloads.bury",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.inbound_payloads SET status = 'dead', next_attempt_at = NULL,"
	" last_error = 'the endpoint no longer exists' WHERE tenant_id = $1 AND receipt_id = $2",
	.nargs = 2,
	.argtype = {TEXTOID, UUIDOID}
};

PG_FUNCTION_INFO_V1(po_ingest_webhook);
PG_FUNCTION_INFO_V1(po_ingest_webhooks);
PG_FUNCTION_INFO_V1(po_process_payloads);

static bool
is_servers_fault(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return sqlstate == ERRCODE_DATA_CORRUPTED || sqlstate == ERRCODE_INDEX_CORRUPTED;
	}
}

static void
process(PoWebhook **webhook, int n)
{
	PoChangeSet set = {0};
	PoWebhook **received = palloc(n * sizeof(PoWebhook *));
	int			nreceived = 0;

	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		w->fresh = w->stored;
		w->outcome = w->problem != NULL ? PO_OUTCOME_ERROR
			: w->endpoint->deferred && !w->stored ? PO_OUTCOME_DEFERRED : PO_OUTCOME_ACCEPTED;
		/* What was tried and could not be read will not become readable. */
		w->status = w->problem != NULL ? PO_PAYLOAD_DEAD
			: w->outcome == PO_OUTCOME_DEFERRED ? PO_PAYLOAD_PENDING
			: w->status == PO_PAYLOAD_UNRESOLVED ? PO_PAYLOAD_UNRESOLVED : PO_PAYLOAD_DONE;
		w->last_error = w->problem;
		if (!w->stored)
			received[nreceived++] = w;
	}
	if (nreceived > 0)
		po_write_receipts(received, nreceived, &set.events);
	/* Deferred ones wait with their payload; everything else is decided now. */
	nreceived = 0;
	for (int i = 0; i < n; i++)
		if (webhook[i]->fresh && webhook[i]->status != PO_PAYLOAD_PENDING)
			received[nreceived++] = webhook[i];
	po_lock_subjects(&set, received, nreceived);
	for (int i = 0; i < nreceived; i++)
		po_decide(&set, received[i]);
	po_write_payloads(webhook, n);
	po_write_changes(&set);
}

/* Keeps a webhook whose processing failed: its receipt, its bytes, its next try. */
static void
keep_failed(PoWebhook *webhook, int sqlstate)
{
	PoChangeSet set = {0};
	PoEvent    *event;
	PoObject   *object = po_object_begin();
	bool		last;

	webhook->fresh = webhook->stored;
	webhook->outcome = PO_OUTCOME_ERROR;
	webhook->attempts++;
	last = webhook->attempts >= MAX_ATTEMPTS;
	webhook->status = last ? PO_PAYLOAD_DEAD : PO_PAYLOAD_ERROR;
	/* Not the message: it may quote the payload. */
	webhook->last_error = psprintf("processing failed with SQLSTATE %s",
								   unpack_sql_state(sqlstate));
	if (!webhook->stored)
		po_write_receipts(&webhook, 1, &set.events);
	if (webhook->fresh)
	{
		event = po_event_list_add(&set.events, webhook->endpoint->tenant_id,
								  "webhook.inbound.failed", webhook->endpoint->provider);
		event->receipt_id = &webhook->receipt_id;
		event->correlation_id = &webhook->correlation_id;
		po_object_string(object, "error", webhook->last_error);
		po_object_bool(object, "dead", last);
		event->payload = po_object_end(object);
	}
	po_write_payloads(&webhook, 1);
	po_write_changes(&set);
}

/*
 * Runs process() in a subtransaction.  Returns 0, or the SQLSTATE it failed
 * with, in which case nothing of it is left.
 */
static int
try_process(PoWebhook **webhook, int n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int sqlstate = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		process(webhook, n);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		/* Also before raising it again: a caller that catches it ends its own. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (is_servers_fault(error->sqlerrcode))
			ReThrowError(error);
		sqlstate = error->sqlerrcode;
		if (n == 1)
			ereport(LOG,
					(errmsg("processing of a webhook failed with SQLSTATE %s",
							unpack_sql_state(error->sqlerrcode)),
					 errdetail("Provider %s, path %s; the webhook is kept.",
							   webhook[0]->endpoint->provider, webhook[0]->endpoint->path),
					 errhidestmt(true), errhidecontext(true)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return sqlstate;
}

/*
 * po_process_webhooks takes authenticated, normalised webhooks through the
 * steps that write, and leaves each one's outcome.  Needs SPI; memory stays in
 * the current context.
 */
void
po_process_webhooks(PoWebhook **webhook, int n)
{
	if (n == 0 || try_process(webhook, n) == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		int			sqlstate = try_process(&webhook[i], 1);

		if (sqlstate != 0)
			keep_failed(webhook[i], sqlstate);
	}
}

/* Everything up to the first write; true when there is something to process. */
static bool
admit(PoWebhook *webhook, Jsonb *envelope)
{
	po_read_envelope(webhook, envelope);
	if (webhook->http_status != 0)
		return false;
	webhook->endpoint = po_find_endpoint(webhook->path.data, webhook->path.len);
	if (webhook->endpoint == NULL)
	{
		webhook->outcome = PO_OUTCOME_UNKNOWN_ENDPOINT;
		return false;
	}
	if (webhook->endpoint->problem != NULL)
	{
		ereport(WARNING,
				(errmsg("webhooks of endpoint \"%s\" cannot be authenticated",
						webhook->endpoint->path),
				 errdetail("%s", webhook->endpoint->problem)));
		webhook->outcome = PO_OUTCOME_REJECTED;
		webhook->http_status = 503;
		return false;
	}
	webhook->outcome = PO_OUTCOME_ACCEPTED;
	po_authenticate_webhook(webhook);
	if (webhook->outcome == PO_OUTCOME_REJECTED)
		return false;
	po_normalize(webhook);
	if (webhook->problem == NULL)
		po_read_message(webhook);
	return true;
}

/* Fills in outcome, receipt_id, http_status, content_type and body. */
static void
answer(const PoWebhook *webhook, Datum *values, bool *nulls)
{
	const PoAnswer *policy;

	po_count_outcome(webhook->outcome);
	values[0] = CStringGetTextDatum(po_outcome_name[webhook->outcome]);
	nulls[1] = webhook->outcome == PO_OUTCOME_REJECTED ||
		webhook->outcome == PO_OUTCOME_UNKNOWN_ENDPOINT;
	values[1] = UUIDPGetDatum(&webhook->receipt_id);
	if (webhook->http_status != 0)
	{
		values[2] = Int32GetDatum(webhook->http_status);
		values[3] = CStringGetTextDatum("application/json");
		values[4] = CStringGetTextDatum(webhook->problem == NULL
										? "{\"error\":\"temporarily unavailable\"}"
										: psprintf("{\"error\":\"%s\"}", webhook->problem));
		return;
	}
	policy = po_find_answer(webhook->endpoint != NULL ? webhook->endpoint->map
							: po_shipped_map(),
							webhook->event_type != NULL ? webhook->event_type : "*",
							webhook->outcome);
	values[2] = Int32GetDatum(policy->http_status);
	values[3] = CStringGetTextDatum(policy->content_type);
	values[4] = CStringGetTextDatum(policy->body);
}

/* One transaction's worth; the webhooks are palloc'd in the current context. */
static PoWebhook *
ingest(Datum *envelope, bool *isnull, int n)
{
	MemoryContext context = CurrentMemoryContext;
	PoWebhook  *webhook = palloc0(Max(n, 1) * sizeof(PoWebhook));
	PoWebhook **admitted = palloc(Max(n, 1) * sizeof(PoWebhook *));
	int			nadmitted = 0;

	po_endpoints_begin();
	for (int i = 0; i < n; i++)
		if (admit(&webhook[i], isnull[i] ? NULL : DatumGetJsonbP(envelope[i])))
			admitted[nadmitted++] = &webhook[i];
	SPI_connect();
	MemoryContextSwitchTo(context);
	po_process_webhooks(admitted, nadmitted);
	SPI_finish();
	MemoryContextSwitchTo(context);
	return webhook;
}

/*
 * ingest_webhook(envelope)
 */
Datum
po_ingest_webhook(PG_FUNCTION_ARGS)
{
	Datum		envelope = PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0);
	bool		isnull = PG_ARGISNULL(0);
	Datum		values[5];
	bool		nulls[5] = {false};

	answer(ingest(&envelope, &isnull, 1), values, nulls);
	return po_result_row(fcinfo, values, nulls);
}

/*
 * ingest_webhooks(envelopes)
 */
Datum
po_ingest_webhooks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	PoWebhook  *webhook;
	Datum	   *envelope;
	bool	   *isnull;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), JSONBOID, -1, false, TYPALIGN_INT,
					  &envelope, &isnull, &n);
	webhook = ingest(envelope, isnull, n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = Int32GetDatum(i + 1);
		answer(&webhook[i], values + 1, nulls + 1);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * process_payloads(batch): takes up to that many payloads that are due, deferred
 * or failed ones, and returns how many it took.  Those that another session is
 * at are left to it.
 */
Datum
po_process_payloads(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[2];
	PoWebhook  *webhook;
	PoWebhook **readable;
	int			nreadable = 0;
	int			n;

	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be at least 1")));
	po_endpoints_begin();
	SPI_connect();
	MemoryContextSwitchTo(context);
	args[0] = TimestampTzGetDatum(po_now());
	args[1] = PG_GETARG_DATUM(0);
	n = po_exec(&select_due, args, NULL);
	webhook = palloc0(Max(n, 1) * sizeof(PoWebhook));
	readable = palloc(Max(n, 1) * sizeof(PoWebhook *));
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = &webhook[i];
		bytea	   *body = po_column_bytea(i, 4);

		w->path.data = po_column_text(i, 1);
		w->path.len = strlen(w->path.data);
		(void) po_column_uuid(i, 2, &w->receipt_id);
		w->form_encoded = po_column_bool(i, 3);
		w->body.data = VARDATA_ANY(body);
		w->body.len = VARSIZE_ANY_EXHDR(body);
		(void) po_column_uuid(i, 5, &w->correlation_id);
		w->attempts = po_column_int(i, 6);
		w->stored = true;
		w->event_type = po_column_text(i, 7);	/* the tenant, until it is read */
	}
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = &webhook[i];

		w->endpoint = po_find_endpoint(w->path.data, w->path.len);
		if (w->endpoint == NULL)
		{
			args[0] = CStringGetTextDatum(w->event_type);
			args[1] = UUIDPGetDatum(&w->receipt_id);
			po_exec(&bury, args, NULL);
			continue;
		}
		po_normalize(w);
		if (w->problem == NULL)
			po_read_message(w);
		readable[nreadable++] = w;
	}
	po_process_webhooks(readable, nreadable);
	SPI_finish();
	PG_RETURN_INT32(n);
}
