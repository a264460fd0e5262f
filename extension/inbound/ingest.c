/*
 * ingest.c
 *	  Webhooks in, exactly once: whether a request is its endpoint's, and its answer.
 *
 * A batch goes through each step together: authenticate and read, receipts,
 * lock the subjects, decide, write (process.c).  A batch of one is the same code.
 *
 * Who proves nothing learns nothing: a path that is nobody's is answered like a
 * wrong proof, after as much work.
 */
#include "postgres.h"

#include "common/authenticate.h"
#include "common/document.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "inbound/webhook.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* So many events are taken in one call: what memory is needed for. */
#define MAX_AT_ONCE 2000

static const PoBytes *
header_value(const PoWebhookRequest *request, const char *name)
{
	int			len = strlen(name);

	for (int i = 0; i < request->nheaders; i++)
		if (request->header[i].name.len == len && memcmp(request->header[i].name.data, name, len) == 0)
			return &request->header[i].value;
	return NULL;
}

/*
 * Senders declare JSON and send forms, and the reverse: the first byte decides,
 * and the declaration, or else the provider's habit, only where it cannot.
 */
static bool
looks_form_encoded(const PoWebhookRequest *request, const PoEndpoint *endpoint)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const PoBytes *body = &request->body;
	const PoBytes *type;
	int			i = po_byte_order_mark(body->data, body->len);

	if (request->is_get)
		return true;
	while (i < body->len && po_is_json_space(body->data[i]))
		i++;
	if (i < body->len && (body->data[i] == '{' || body->data[i] == '['))
		return false;
	type = header_value(request, "content-type");
	return endpoint->form_encoded ||
		(type != NULL && type->len >= sizeof(form) - 1 && pg_strncasecmp(type->data, form, sizeof(form) - 1) == 0);
}

/*
 * Whether it proves to be its endpoint's.  What is signed is what was sent: where the
 * scheme signs the fields of a form, they are decoded for that alone.
 */
static bool
is_proven(const PoWebhookRequest *request, const PoCredential *credential)
{
	PoSignedRequest sent = {
		.is_get = request->is_get, .body = request->body, .query = request->query,
		.header = request->header, .nheaders = request->nheaders
	};
	PoFormPair *pairs;

	sent.now_ms = (po_now() + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
	if (credential->scheme == PO_SCHEME_TWILIO && request->form_encoded)
	{
		sent.nform = po_form_pairs(request->body, &pairs);
		sent.form = pairs;
	}
	return po_authenticate(credential, &sent);
}

/*
 * What a wrong proof costs, and a path that is nobody's: one look for the path and
 * one signature over the body.
 */
static void
even_out(const PoWebhookRequest *request, const PoEndpoint *endpoint)
{
	static const char no_secret[] = "nobody's secret";
	const PoSignedRequest sent = {
		.body = request->body, .query = request->query,
		.header = request->header, .nheaders = request->nheaders
	};
	const PoCredential credential = {
		.scheme = PO_SCHEME_HMAC_SHA256,
		.secret = {{no_secret, sizeof(no_secret) - 1}}, .nsecrets = 1
	};

	if (endpoint != NULL)
		po_look_for_endpoint(request->path.data, request->path.len);
	else
		(void) po_authenticate(&credential, &sent);
}

/* What an envelope holds: nearly always one event. */
typedef struct Request
{
	PoWebhook  *webhook;
	int			n;
} Request;

/* Who proves nothing: all are told the same, after as much work. */
static bool
turn_away(PoWebhook *webhook, PoIngestOutcome outcome)
{
	even_out(&webhook->request, webhook->endpoint);
	if (webhook->request.is_get)
		po_refuse(webhook, PO_INGEST_REJECTED, 405, PO_NOT_POST);
	else
		po_refuse(webhook, outcome, 0, NULL);
	return false;
}

/* Whether the request is its endpoint's; it is complete then. */
static bool
admit(PoWebhook *webhook, Jsonb *envelope)
{
	PoWebhookRequest *request = &webhook->request;
	const PoEndpoint *endpoint;

	po_read_envelope(webhook, envelope);
	if (webhook->result.http_status != 0)
		return false;
	endpoint = webhook->endpoint = po_find_endpoint(request->path.data, request->path.len);
	if (endpoint == NULL)
		return turn_away(webhook, PO_INGEST_UNKNOWN_ENDPOINT);
	if (request->is_get && !endpoint->allow_get)
		return turn_away(webhook, PO_INGEST_REJECTED);
	if (endpoint->problem != NULL)
	{
		ereport(WARNING,
				(errmsg("webhooks of endpoint \"%s\" cannot be authenticated", endpoint->path),
				 errdetail("%s", endpoint->problem)));
		po_refuse(webhook, PO_INGEST_REJECTED, 503, NULL);
		return false;
	}
	request->form_encoded = looks_form_encoded(request, endpoint);
	if (!is_proven(request, &endpoint->credential))
		return turn_away(webhook, PO_INGEST_REJECTED);
	if (request->is_get)
		request->body = po_query_body(request->query, &endpoint->credential);
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

	if (admitted && !whole.request.is_get)
		n = po_split_body(whole.request.body, &event);
	if (n > 1 && before > 0 && before + n > MAX_AT_ONCE)
	{
		po_refuse(&whole, PO_INGEST_BUSY, 0, NULL);
		admitted = false;
		n = 0;
	}
	request->n = n > 1 ? n : 1;
	request->webhook = palloc(request->n * sizeof(PoWebhook));
	for (int i = 0; i < request->n; i++)
	{
		request->webhook[i] = whole;
		if (n > 1)
			request->webhook[i].request.body = event[i];
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
	static const int rank[PO_INGEST_NOUTCOMES] = {
		[PO_INGEST_BUSY] = 4, [PO_INGEST_ERROR] = 3, [PO_INGEST_ACCEPTED] = 2, [PO_INGEST_DEFERRED] = 1
	};
	const PoWebhook *first = request->webhook;

	for (int i = 1; i < request->n; i++)
		if (rank[request->webhook[i].result.outcome] > rank[first->result.outcome])
			first = &request->webhook[i];
	return first;
}

/* What a request is told. */
static void
answer(const Request *request, PoReply *reply)
{
	const PoWebhook *webhook = speaker(request);
	const PoWebhookResult *result = &webhook->result;
	const PoAnswer *policy;

	for (int i = 0; i < request->n; i++)
		po_count_ingest(request->webhook[i].result.outcome);
	reply->outcome = result->outcome;
	reply->proven = result->outcome != PO_INGEST_REJECTED && result->outcome != PO_INGEST_UNKNOWN_ENDPOINT;
	reply->receipt_id = result->receipt_id;
	reply->lane = reply->proven ? lane(webhook->endpoint) : 0;
	if (result->http_status != 0)
	{
		reply->http_status = result->http_status;
		reply->content_type = "application/json";
		reply->body = result->refusal == NULL ? "{\"error\":\"temporarily unavailable\"}"
			: psprintf("{\"error\":\"%s\"}", result->refusal);
		return;
	}
	if (!reply->proven)
		policy = po_find_answer(po_shipped_map(), "*", PO_INGEST_REJECTED);
	else
		policy = po_find_answer(webhook->endpoint->map,
								webhook->reading.event_type != NULL ? webhook->reading.event_type : "*",
								result->outcome);
	reply->http_status = policy->http_status;
	reply->content_type = policy->content_type;
	reply->body = policy->body;
}

/*
 * po_ingest_requests takes in what the envelopes hold, NULL for none, in one
 * transaction's worth, and fills in what each is told; its texts are valid until the
 * transaction ends.  Runs as the engine's owner; connects to SPI itself.  Which locks are
 * taken, process.c says.
 */
void
po_ingest_requests(Jsonb **envelope, int n, PoReply *reply)
{
	MemoryContext context = CurrentMemoryContext;
	Request    *request = palloc(Max(n, 1) * sizeof(Request));
	PoWebhook **admitted;
	int			nadmitted = 0;

	po_endpoints_begin();
	for (int i = 0; i < n; i++)
		nadmitted += read_request(&request[i], envelope[i], nadmitted);
	admitted = palloc(Max(nadmitted, 1) * sizeof(PoWebhook *));
	nadmitted = 0;
	for (int i = 0; i < n; i++)
		for (int k = 0; k < request[i].n && request[i].webhook[k].reading.key != NULL; k++)
			admitted[nadmitted++] = &request[i].webhook[k];
	po_spi_connect();
	po_receive_webhooks(admitted, nadmitted);
	SPI_finish();
	MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
		answer(&request[i], &reply[i]);
}
