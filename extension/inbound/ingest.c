/*
 * ingest.c
 *	  Webhooks in, exactly once: the one door, and the retry of what failed.
 *
 * A batch goes through each step together: authenticate and normalise, receipts,
 * lock the subjects, decide, write.  A batch of one is the same code.  The steps
 * after the receipts run in a subtransaction; when they fail, the members are done
 * again one by one, and one that fails alone is kept with status error.  Failures that
 * are the server's rather than the webhook's (no memory, no disk, a deadlock, a
 * cancel, a shutdown) are raised: the caller has not received the webhook, and
 * the provider will send it again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi_plan.h"
#include "core/subtransaction.h"
#include "core/turns.h"
#include "funcapi.h"
#include "inbound/webhook.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_ATTEMPTS 10

#define PAYLOAD_COLUMNS \
	"p.path, p.receipt_id, p.form_encoded, p.body, p.correlation_id, p.attempts, p.tenant_id"

static PoPlan select_due = {
	.name = "payloads.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " PAYLOAD_COLUMNS " FROM outreach.inbound_payloads p"
	" WHERE p.next_attempt_at >= $1 AND p.next_attempt_at <= $2 AND p.next_attempt_at < 'infinity'"
	" ORDER BY p.next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED",
	.nargs = 3,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

static PoPlan select_fairly = {
	.name = "payloads.fairly",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT d.* FROM outreach.tenants n CROSS JOIN LATERAL"
	" (SELECT " PAYLOAD_COLUMNS " FROM outreach.inbound_payloads p"
	" WHERE p.tenant_id = n.tenant_id AND p.next_attempt_at >= $1 AND p.next_attempt_at <= $2"
	" ORDER BY p.next_attempt_at LIMIT $5 FOR UPDATE SKIP LOCKED) d"
	" WHERE n.tenant_id > $4 ORDER BY n.tenant_id LIMIT $3",
	.nargs = 5,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID}
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

static PoTurns turns;

PG_FUNCTION_INFO_V1(po_ingest_webhook);
PG_FUNCTION_INFO_V1(po_ingest_webhooks);
PG_FUNCTION_INFO_V1(po_process_payloads);

typedef struct Batch
{
	PoWebhook **webhook;
	int			n;
	bool		again;			/* something was discovered too late to be locked */
} Batch;

/* The steps that may fail, on webhooks whose receipts are written. */
static void
process(void *arg)
{
	Batch	   *batch = arg;
	PoSubjects	subjects = {0};

	batch->again = !po_lock_subjects(&subjects, batch->webhook, batch->n);
	if (batch->again)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("leads are locked before the phones of strangers")));
	for (int i = 0; i < batch->n; i++)
		po_decide(&subjects, batch->webhook[i]);
	po_write_payloads(batch->webhook, batch->n);
	po_write_messages(subjects.message, subjects.nmessages);
	/* Before the rows of numbers are locked, as where answers are recorded. */
	batch->again = !po_park_statuses(batch->webhook, batch->n);
	if (batch->again)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a message of a status callback has become known")));
	po_write_health(&subjects.health, &subjects.set);
	po_write_changes(&subjects.set);
}

/* Returns 0, or the SQLSTATE it failed with and left nothing of. */
static int
try_process(PoWebhook **webhook, int n)
{
	Batch		batch = {webhook, n, false};
	int			sqlstate;

	/* What it has discovered is locked the next time. */
	do
	{
		sqlstate = po_try(process, &batch, NULL);
	} while (batch.again);
	if (sqlstate != 0 && n == 1)
		ereport(LOG,
				(errmsg("processing of a webhook failed with SQLSTATE %s",
						unpack_sql_state(sqlstate)),
				 errdetail("Provider %s, path %s; the webhook is kept.",
						   webhook[0]->endpoint->provider, webhook[0]->endpoint->path),
				 errhidestmt(true), errhidecontext(true)));
	return sqlstate;
}

/* Keeps a webhook whose processing failed: its bytes, its next try. */
static void
keep_failed(PoWebhook *webhook, int sqlstate)
{
	PoChangeSet set = {0};
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
	event = po_event_list_add(&set.events, webhook->endpoint->tenant_id,
							  "webhook.inbound.failed", webhook->endpoint->provider);
	event->receipt_id = &webhook->receipt_id;
	event->correlation_id = &webhook->correlation_id;
	po_object_string(object, "error", webhook->last_error);
	po_object_bool(object, "dead", last);
	event->payload = po_object_end(object);
	po_write_payloads(&webhook, 1);
	po_write_changes(&set);
}

/* Webhooks whose receipts are written, together or else one by one. */
static void
process_fresh(PoWebhook **webhook, int n)
{
	int			together = n > 0 ? try_process(webhook, n) : 0;

	for (int i = 0; i < n && together != 0; i++)
	{
		int			sqlstate = n == 1 ? together : try_process(&webhook[i], 1);

		if (sqlstate != 0)
			keep_failed(webhook[i], sqlstate);
	}
}

static void
set_outcome(PoWebhook *webhook)
{
	bool		deferred = webhook->endpoint->deferred && !webhook->stored;

	webhook->last_error = webhook->problem;
	if (webhook->problem != NULL)
	{
		/* What was tried and could not be read will not become readable. */
		webhook->outcome = PO_OUTCOME_ERROR;
		webhook->status = PO_PAYLOAD_DEAD;
	}
	else if (deferred)
	{
		webhook->outcome = PO_OUTCOME_DEFERRED;
		webhook->status = PO_PAYLOAD_PENDING;
	}
	else
	{
		webhook->outcome = PO_OUTCOME_ACCEPTED;
		if (webhook->status != PO_PAYLOAD_UNRESOLVED)
			webhook->status = PO_PAYLOAD_DONE;
	}
}

/*
 * Webhooks just received: their receipts first, for duplicates end there; then
 * the fresh ones are processed, unless they are deferred.
 */
static void
process_received(PoWebhook **webhook, int n)
{
	PoEventList duplicates = {0};
	PoWebhook **fresh = palloc(n * sizeof(PoWebhook *));
	PoWebhook **kept = palloc(n * sizeof(PoWebhook *));
	int			nfresh = 0;
	int			nkept = 0;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		set_outcome(webhook[i]);
	po_write_receipts(webhook, n, &duplicates);
	for (int i = 0; i < n; i++)
	{
		if (webhook[i]->fresh && webhook[i]->status != PO_PAYLOAD_PENDING)
			fresh[nfresh++] = webhook[i];
		else if (webhook[i]->fresh || webhook[i]->status == PO_PAYLOAD_CONFLICT)
			kept[nkept++] = webhook[i];
	}
	process_fresh(fresh, nfresh);
	po_write_payloads(kept, nkept);
	po_events_append(duplicates.event, duplicates.n);
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
	{
		po_read_message(webhook);
		po_read_status(webhook);
	}
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
	process_received(admitted, nadmitted);
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

	po_limit_arguments(fcinfo);
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

	po_limit_arguments(fcinfo);
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
 * process_payloads(batch, since): takes up to that many payloads that are due,
 * from the time since on, deferred or failed ones, and returns how many it took.  Those that another session is
 * at are left to it.
 */
Datum
po_process_payloads(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[5];
	PoWebhook  *webhook;
	PoWebhook **readable;
	int			nreadable = 0;
	Size		taken = 0;
	int			n;

	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be at least 1")));
	po_endpoints_begin();
	SPI_connect();
	MemoryContextSwitchTo(context);
	args[0] = TimestampTzGetDatum(PG_ARGISNULL(1) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(1));
	args[1] = TimestampTzGetDatum(po_now());
	args[2] = PG_GETARG_DATUM(0);
	do
	{
		args[3] = CStringGetTextDatum(turns.last_tenant);
		args[4] = Int32GetDatum(po_turns_share(&turns, PG_GETARG_INT32(0)));
		n = po_exec(turns.backlog ? &select_fairly : &select_due, args, NULL);
	} while (po_turns_again(&turns, n, PG_GETARG_INT32(0), n > 0 ? po_column_text(n - 1, 7) : ""));
	webhook = palloc0(Max(n, 1) * sizeof(PoWebhook));
	readable = palloc(Max(n, 1) * sizeof(PoWebhook *));
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = &webhook[i];
		bool		isnull;
		bytea	   *body;

		/* What does not fit is due again in the next batch, in which others come first. */
		if (!po_fits_batch(&taken, po_column(i, 4, &isnull)))
		{
			if (turns.backlog)
				strlcpy(turns.last_tenant, po_column_text(i - 1, 7), sizeof(turns.last_tenant));
			n = i;
			break;
		}
		body = po_column_bytea(i, 4);
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
		set_outcome(w);
		readable[nreadable++] = w;
	}
	process_fresh(readable, nreadable);
	SPI_finish();
	PG_RETURN_INT32(n);
}
