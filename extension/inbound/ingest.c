/*
 * ingest.c
 *	  Webhooks in, exactly once: the one door.
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
#include "funcapi.h"
#include "inbound/webhook.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/* So many events are taken in one call: what memory is needed for. */
#define MAX_AT_ONCE 2000

PG_FUNCTION_INFO_V1(po_ingest_webhook);
PG_FUNCTION_INFO_V1(po_ingest_webhooks);

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

/* What an envelope holds: nearly always one event. */
typedef struct Request
{
	PoWebhook  *webhook;
	int			n;
} Request;

/* Who proves nothing: all are told the same, after as much work. */
static bool
turn_away(PoWebhook *webhook, PoOutcome outcome)
{
	webhook->outcome = outcome;
	even_out(webhook);
	if (webhook->is_get)
		po_refuse_get(webhook);
	return false;
}

/* Whether the request is its endpoint's. */
static bool
admit(PoWebhook *webhook, Jsonb *envelope)
{
	po_read_envelope(webhook, envelope);
	if (webhook->http_status != 0)
		return false;
	webhook->endpoint = po_find_endpoint(webhook->path.data, webhook->path.len);
	if (webhook->endpoint == NULL)
		return turn_away(webhook, PO_OUTCOME_UNKNOWN_ENDPOINT);
	if (webhook->is_get && !webhook->endpoint->allow_get)
		return turn_away(webhook, PO_OUTCOME_REJECTED);
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
		return turn_away(webhook, PO_OUTCOME_REJECTED);
	if (webhook->is_get)
		po_take_query(webhook);
	return true;
}

/*
 * Everything up to the first write; returns how many webhooks there are to process.
 * Behind others in the same call, an array that would be too many comes again.
 */
static int
read_request(Request *request, Jsonb *envelope, int before)
{
	PoWebhook	whole = {0};
	PoBytes    *event;
	int			n = 0;
	bool		admitted = admit(&whole, envelope);

	if (admitted && !whole.is_get)
		n = po_split_body(whole.body, &event);
	if (n > 1 && before > 0 && before + n > MAX_AT_ONCE)
	{
		whole.outcome = PO_OUTCOME_BUSY;
		admitted = false;
		n = 0;
	}
	request->n = n > 1 ? n : 1;
	request->webhook = palloc(request->n * sizeof(PoWebhook));
	for (int i = 0; i < request->n; i++)
	{
		request->webhook[i] = whole;
		if (n > 1)
			request->webhook[i].body = event[i];
		if (admitted)
			po_read_webhook(&request->webhook[i]);
	}
	return admitted ? request->n : 0;
}

/* Tells tenants apart without naming them. */
static int64
lane(const PoEndpoint *endpoint)
{
	return (int64) (hash_bytes_extended((const unsigned char *) endpoint->tenant_id,
										strlen(endpoint->tenant_id), 0) >> 1);
}

/*
 * The webhook that answers for the request.  One that was not received must come
 * again, and the others with it: they will be duplicates.  Else one that is new.
 */
static const PoWebhook *
speaker(const Request *request)
{
	static const int rank[PO_NOUTCOMES] = {
		[PO_OUTCOME_BUSY] = 4,[PO_OUTCOME_ERROR] = 3,[PO_OUTCOME_ACCEPTED] = 2,[PO_OUTCOME_DEFERRED] = 1
	};
	const PoWebhook *first = request->webhook;

	for (int i = 1; i < request->n; i++)
		if (rank[request->webhook[i].outcome] > rank[first->outcome])
			first = &request->webhook[i];
	return first;
}

/* Fills in outcome, receipt_id, http_status, content_type, body and lane. */
static void
answer(const Request *request, Datum *values, bool *nulls)
{
	const PoWebhook *webhook = speaker(request);
	bool		unproven = webhook->outcome == PO_OUTCOME_REJECTED ||
		webhook->outcome == PO_OUTCOME_UNKNOWN_ENDPOINT;
	const PoAnswer *policy;

	for (int i = 0; i < request->n; i++)
		po_count_outcome(request->webhook[i].outcome);
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
static Request *
ingest(Datum *envelope, bool *isnull, int n)
{
	MemoryContext context = CurrentMemoryContext;
	Request    *request = palloc(Max(n, 1) * sizeof(Request));
	PoWebhook **admitted;
	int			nadmitted = 0;

	po_endpoints_begin();
	for (int i = 0; i < n; i++)
		nadmitted += read_request(&request[i], isnull[i] ? NULL : DatumGetJsonbP(envelope[i]), nadmitted);
	admitted = palloc(Max(nadmitted, 1) * sizeof(PoWebhook *));
	nadmitted = 0;
	for (int i = 0; i < n; i++)
		for (int k = 0; k < request[i].n && request[i].webhook[k].key != NULL; k++)
			admitted[nadmitted++] = &request[i].webhook[k];
	po_spi_connect();
	po_receive_webhooks(admitted, nadmitted);
	SPI_finish();
	MemoryContextSwitchTo(context);
	return request;
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
	Request    *request;
	Datum	   *envelope;
	bool	   *isnull;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), JSONBOID, -1, false, TYPALIGN_INT,
					  &envelope, &isnull, &n);
	request = ingest(envelope, isnull, n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = Int32GetDatum(i + 1);
		answer(&request[i], values + 1, nulls + 1);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
