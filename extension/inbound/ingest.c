/*
 * ingest.c
 *	  Webhooks in, exactly once: the one door, and the retry of what failed.
 *
 * A batch goes through each step together: authenticate and normalise, receipts,
 * lock the subjects, decide, write (process.c).  A batch of one is the same code.
 *
 * Who proves nothing learns nothing: a path that is nobody's is answered like a
 * wrong proof, after as much work.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "core/turns.h"
#include "funcapi.h"
#include "inbound/webhook.h"
#include "lead/opt_out.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define PAYLOAD_COLUMNS \
	"p.path, p.receipt_id, p.form_encoded, p.body, p.correlation_id, p.attempts, p.tenant_id," \
	" p.provider, p.reference, p.received_at, p.opted_out"

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
	" AND p.next_attempt_at > '-infinity' ORDER BY p.next_attempt_at LIMIT $5 FOR UPDATE SKIP LOCKED) d"
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

static PoTurns turns = PO_TURNS_INIT(turns);

PG_FUNCTION_INFO_V1(po_ingest_webhook);
PG_FUNCTION_INFO_V1(po_ingest_webhooks);
PG_FUNCTION_INFO_V1(po_process_payloads);

/*
 * What a wrong proof costs, and a path that is nobody's: one look for the path and
 * one signature over the body.
 */
static void
even_out(PoWebhook *webhook)
{
	static const char no_secret[] = "nobody's secret";
	const PoSignedRequest request = {.body = webhook->body,.query = webhook->query,
	.header = webhook->header,.nheaders = webhook->nheaders};
	const PoCredential credential = {.scheme = PO_SCHEME_HMAC_SHA256,
	.secret = {{no_secret, sizeof(no_secret) - 1}},.nsecrets = 1};

	if (webhook->endpoint != NULL)
		po_look_for_endpoint(webhook->path.data, webhook->path.len);
	else
		(void) po_authenticate(&credential, &request);
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
		even_out(webhook);
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
	{
		even_out(webhook);
		return false;
	}
	po_normalize(webhook);
	if (webhook->problem == NULL)
	{
		po_read_message(webhook);
		po_read_status(webhook);
	}
	return true;
}

/* Tells tenants apart without naming them. */
static int64
lane(const PoEndpoint *endpoint)
{
	return (int64) (hash_bytes_extended((const unsigned char *) endpoint->tenant_id,
										strlen(endpoint->tenant_id), 0) >> 1);
}

/* Fills in outcome, receipt_id, http_status, content_type, body and lane. */
static void
answer(const PoWebhook *webhook, Datum *values, bool *nulls)
{
	bool		unproven = webhook->outcome == PO_OUTCOME_REJECTED ||
		webhook->outcome == PO_OUTCOME_UNKNOWN_ENDPOINT;
	const PoAnswer *policy;

	po_count_outcome(webhook->outcome);
	values[0] = CStringGetTextDatum(po_outcome_name[webhook->outcome]);
	nulls[1] = unproven || webhook->outcome == PO_OUTCOME_BUSY;
	values[1] = UUIDPGetDatum(&webhook->receipt_id);
	nulls[5] = unproven;
	values[5] = Int64GetDatum(unproven ? 0 : lane(webhook->endpoint));
	if (webhook->http_status != 0)
	{
		values[2] = Int32GetDatum(webhook->http_status);
		values[3] = CStringGetTextDatum("application/json");
		values[4] = CStringGetTextDatum(webhook->problem == NULL
										? "{\"error\":\"temporarily unavailable\"}"
										: psprintf("{\"error\":\"%s\"}", webhook->problem));
		return;
	}
	if (unproven)
		policy = po_find_answer(po_shipped_map(), "*", PO_OUTCOME_REJECTED);
	else
		policy = po_find_answer(webhook->endpoint->map,
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
	po_receive_webhooks(admitted, nadmitted);
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
	Datum		values[6];
	bool		nulls[6] = {false};

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
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = Int32GetDatum(i + 1);
		answer(&webhook[i], values + 1, nulls + 1);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

typedef struct Origin
{
	const char *tenant_id;
	const char *provider;
} Origin;

/* Takes over a row of PAYLOAD_COLUMNS. */
static void
read_stored(uint64 row, PoWebhook *webhook, Origin *origin)
{
	bytea	   *body = po_column_bytea(row, 4);

	webhook->path.data = po_column_text(row, 1);
	webhook->path.len = strlen(webhook->path.data);
	(void) po_column_uuid(row, 2, &webhook->receipt_id);
	webhook->form_encoded = po_column_bool(row, 3);
	webhook->body.data = VARDATA_ANY(body);
	webhook->body.len = VARSIZE_ANY_EXHDR(body);
	(void) po_column_uuid(row, 5, &webhook->correlation_id);
	webhook->attempts = po_column_int(row, 6);
	webhook->reference = po_column_text(row, 9);
	webhook->received_at = po_column_time(row, 10);
	webhook->opted_out = po_column_bool(row, 11);
	webhook->stored = true;
	origin->tenant_id = po_column_text(row, 7);
	origin->provider = po_column_text(row, 8);
}

/*
 * Whether the door that the payload came through is still there: the same path of
 * the same tenant and provider.  Another's that has the path now is not it.
 */
static bool
find_door(PoWebhook *webhook, const Origin *origin)
{
	webhook->endpoint = po_find_endpoint(webhook->path.data, webhook->path.len);
	return webhook->endpoint != NULL &&
		strcmp(webhook->endpoint->tenant_id, origin->tenant_id) == 0 &&
		strcmp(webhook->endpoint->provider, origin->provider) == 0;
}

/*
 * process_payloads(batch, since): takes up to that many payloads that are due,
 * from the time since on, deferred or failed ones, and returns how many it took.
 * Those that another session is at are left to it, and so are those whose lead,
 * phone or message somebody has locked.  Before them it suppresses what opt-outs
 * have left.
 */
Datum
po_process_payloads(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[5];
	PoWebhook  *webhook;
	PoWebhook **readable;
	Origin	   *origin;
	PoSight    *sight;
	TimestampTz since = PG_ARGISNULL(1) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(1);
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
	po_suppress_left(po_now());
	args[1] = TimestampTzGetDatum(po_now());
	args[2] = PG_GETARG_DATUM(0);
	do
	{
		args[0] = TimestampTzGetDatum(po_turns_from(&turns, since));
		args[3] = CStringGetTextDatum(turns.last_tenant);
		args[4] = Int32GetDatum(po_turns_share(&turns, PG_GETARG_INT32(0)));
		n = po_exec(turns.backlog ? &select_fairly : &select_due, args, NULL);
		sight = palloc0(Max(n, 1) * sizeof(PoSight));
		for (int i = 0; i < n; i++)
		{
			sight[i].tenant_id = po_column_text(i, 7);
			sight[i].account = "";
			sight[i].most = po_turns_share(&turns, PG_GETARG_INT32(0));
		}
	} while (po_turns_again(&turns, sight, n, PG_GETARG_INT32(0), n == PG_GETARG_INT32(0)));
	webhook = palloc0(Max(n, 1) * sizeof(PoWebhook));
	readable = palloc(Max(n, 1) * sizeof(PoWebhook *));
	origin = palloc(Max(n, 1) * sizeof(Origin));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		/* What does not fit is due again in the next batch, in which others come first. */
		if (!po_fits_batch(&taken, po_column(i, 4, &isnull)))
		{
			if (turns.backlog)
				po_turns_behind(&turns, sight[i - 1].tenant_id);
			n = i;
			break;
		}
		read_stored(i, &webhook[i], &origin[i]);
	}
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = &webhook[i];

		if (!find_door(w, &origin[i]))
		{
			args[0] = CStringGetTextDatum(origin[i].tenant_id);
			args[1] = UUIDPGetDatum(&w->receipt_id);
			if (po_exec(&bury, args, NULL) != 1)
				ereport(ERROR,
						(errcode(ERRCODE_INTERNAL_ERROR),
						 errmsg("a payload whose endpoint is gone could not be given up")));
			continue;
		}
		po_normalize(w);
		if (w->problem == NULL)
		{
			po_read_message(w);
			po_read_status(w);
		}
		readable[nreadable++] = w;
	}
	po_process_stored(readable, nreadable);
	SPI_finish();
	PG_RETURN_INT32(n);
}
