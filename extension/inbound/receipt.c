/*
 * receipt.c
 *	  The rows that make a webhook's effects happen once, and keep its bytes.
 *
 * The primary key of outreach.webhook_receipts is the only arbiter.  Receipts
 * are inserted in the order of that key, so that two batches that hold the same
 * webhooks in different orders wait for each other in one direction alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "inbound/webhook.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define HELD_PAUSE		(50 * INT64CONST(1000))
#define HELD_PAUSE_MAX	(60 * USECS_PER_SEC)

static const char *const status_name[] = {
	"pending", "done", "unresolved", "error", "dead", "conflict", "own_number"
};

static PoRowsPlan insert_receipts = {
	.name = "receipts.insert",
	.expect = SPI_OK_INSERT_RETURNING,
	.before = "INSERT INTO outreach.webhook_receipts AS r (tenant_id, provider, idempotency_key,"
	" receipt_id, event_type, body_hash, created_at) SELECT u.*, $1 FROM",
	.columns = "tenant_id, provider, idempotency_key, receipt_id, event_type, body_hash",
	.after = "ON CONFLICT (tenant_id, provider, idempotency_key) DO NOTHING RETURNING r.receipt_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 6,
	.element = {TEXTOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, INT8OID}
};

static PoRowsPlan select_receipts = {
	.name = "receipts.first",
	.expect = SPI_OK_SELECT,
	.before = "SELECT u.n, r.receipt_id, r.body_hash, r.created_at FROM",
	.columns = "tenant_id, provider, idempotency_key",
	.after = "JOIN outreach.webhook_receipts r ON r.tenant_id = u.tenant_id"
	" AND r.provider = u.provider AND r.idempotency_key = u.idempotency_key",
	.ncolumns = 3,
	.element = {TEXTOID, TEXTOID, TEXTOID},
	.numbered = true
};

static PoRowsPlan insert_payloads = {
	.name = "payloads.insert",
	.expect = SPI_OK_INSERT,
	.before = "INSERT INTO outreach.inbound_payloads (tenant_id, receipt_id, status, path,"
	" provider, form_encoded, body, reference, received_at, correlation_id, attempts, next_attempt_at,"
	" last_error, opted_out, event_owed, signed_query)"
	" SELECT u.tenant_id, u.receipt_id, u.status::outreach.payload_status, u.path,"
	" u.provider, u.form_encoded, u.body, u.reference, $1, u.correlation_id, u.attempts,"
	" u.next_attempt_at, u.last_error, u.opted_out, u.event_owed, u.signed_query FROM",
	.columns = "tenant_id, receipt_id, status, attempts, next_attempt_at, last_error, opted_out, event_owed, path,"
	" provider, form_encoded, body, reference, correlation_id, signed_query",
	.after = "",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 15,
	.element = {TEXTOID, UUIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, BOOLOID, UUIDOID, TEXTOID, TEXTOID,
	BOOLOID, BYTEAOID, TEXTOID, UUIDOID, TEXTOID}
};

/* The first columns of insert_payloads. */
static PoRowsPlan update_payloads = {
	.name = "payloads.update",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.inbound_payloads p SET status = u.status::outreach.payload_status,"
	" attempts = u.attempts, next_attempt_at = u.next_attempt_at, last_error = u.last_error,"
	" opted_out = u.opted_out, event_owed = u.event_owed FROM",
	.columns = "tenant_id, receipt_id, status, attempts, next_attempt_at, last_error, opted_out, event_owed",
	.after = "WHERE p.tenant_id = u.tenant_id AND p.receipt_id = u.receipt_id",
	.ncolumns = 8,
	.element = {TEXTOID, UUIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, BOOLOID, UUIDOID}
};

static int
key_compare(const PoWebhook *a, const PoWebhook *b)
{
	int			c = strcmp(a->endpoint->tenant_id, b->endpoint->tenant_id);

	if (c == 0)
		c = strcmp(a->endpoint->provider, b->endpoint->provider);
	return c != 0 ? c : strcmp(a->key, b->key);
}

typedef struct Position
{
	PoWebhook  *webhook;
	int			position;
} Position;

static int
position_compare(const void *a, const void *b)
{
	const Position *x = a;
	const Position *y = b;
	int			c = key_compare(x->webhook, y->webhook);

	return c != 0 ? c : x->position - y->position;
}

static void
add_key(PoArray array[3], const PoWebhook *webhook)
{
	po_array_add_text(&array[0], webhook->endpoint->tenant_id);
	po_array_add_text(&array[1], webhook->endpoint->provider);
	po_array_add_text(&array[2], webhook->key);
}

/*
 * A duplicate leaves an event and nothing else; only where the body is another
 * than the first time is it kept, for a person to look at.
 */
static void
reject_duplicate(PoWebhook *webhook, const pg_uuid_t *first, TimestampTz first_at, bool same_body,
				 PoEventList *events)
{
	PoEvent    *event = po_event_list_add(events, webhook->endpoint->tenant_id,
										  "webhook.inbound.duplicate_rejected",
										  webhook->endpoint->provider);

	webhook->outcome = PO_OUTCOME_DUPLICATE;
	event->correlation_id = &webhook->correlation_id;
	if (!same_body)
	{
		PoObject   *object = po_object_begin();

		po_object_bool(object, "body_differs", true);
		event->payload = po_object_end(object);
		po_uuid_v7(&webhook->receipt_id);
		webhook->status = PO_PAYLOAD_CONFLICT;
		webhook->first_at = first_at;
		webhook->last_error = "the idempotency key was used with another body";
		event->receipt_id = &webhook->receipt_id;
		return;
	}
	webhook->status = PO_PAYLOAD_DONE;
	webhook->receipt_id = *first;
	event->receipt_id = &webhook->receipt_id;
}

static void
reject_known(PoWebhook **known, int n, PoEventList *events)
{
	PoArray		array[3];
	uint64		rows;

	po_rows_init(&select_receipts, array, n);
	for (int i = 0; i < n; i++)
		add_key(array, known[i]);
	rows = po_exec_rows(&select_receipts, NULL, array);
	if (rows != n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a receipt is not visible to this transaction")));
	for (uint64 r = 0; r < rows; r++)
	{
		PoWebhook  *webhook = known[po_column_int(r, 1) - 1];
		pg_uuid_t	first;

		(void) po_column_uuid(r, 2, &first);
		reject_duplicate(webhook, &first, po_column_time(r, 4),
						 po_column_int64(r, 3) == webhook->body_hash, events);
	}
}

/*
 * po_write_receipts inserts the receipts and marks each webhook fresh or
 * duplicate, the latter with its event.  Needs SPI.
 */
void
po_write_receipts(PoWebhook **webhook, int n, PoEventList *events)
{
	Position   *sorted = palloc(n * sizeof(Position));
	PoWebhook **known = palloc(n * sizeof(PoWebhook *));
	PoArray		array[6];
	Datum		now = TimestampTzGetDatum(po_now());
	uint64		inserted;
	uint64		row = 0;
	int			nknown = 0;
	PoWebhook  *first = NULL;

	po_rows_init(&insert_receipts, array, n);
	for (int i = 0; i < n; i++)
	{
		sorted[i].webhook = webhook[i];
		sorted[i].position = i;
	}
	qsort(sorted, n, sizeof(Position), position_compare);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = sorted[i].webhook;

		if (i > 0 && key_compare(sorted[i - 1].webhook, w) == 0)
			continue;
		po_uuid_v7(&w->receipt_id);
		add_key(array, w);
		po_array_add_uuid(&array[3], &w->receipt_id);
		po_array_add_text(&array[4], w->event_type);
		po_array_add(&array[5], Int64GetDatum(w->body_hash));
	}
	inserted = po_exec_rows(&insert_receipts, &now, array);

	/* The new ones come back in the order they went in. */
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = sorted[i].webhook;
		pg_uuid_t	receipt_id;

		if (i > 0 && key_compare(sorted[i - 1].webhook, w) == 0)
		{
			if (!first->fresh)
				known[nknown++] = w;
			continue;
		}
		first = w;
		if (row < inserted && po_column_uuid(row, 1, &receipt_id) &&
			memcmp(&receipt_id, &w->receipt_id, UUID_LEN) == 0)
		{
			w->fresh = true;
			row++;
		}
		else
			known[nknown++] = w;
	}
	/* Repetitions within the batch of one that is new. */
	first = NULL;
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = sorted[i].webhook;

		if (i == 0 || key_compare(sorted[i - 1].webhook, w) != 0)
			first = w;
		else if (first->fresh)
			reject_duplicate(w, &first->receipt_id, po_now(), first->body_hash == w->body_hash, events);
	}
	if (nknown > 0)
		reject_known(known, nknown, events);
}

/*
 * po_take_key makes the webhook's key its own, beside the one that it was received
 * under, and returns whether it is: not when another has come by it.  Needs SPI.
 */
bool
po_take_key(PoWebhook *webhook)
{
	PoArray		array[6];
	Datum		now = TimestampTzGetDatum(po_now());
	pg_uuid_t	holder;

	po_rows_init(&insert_receipts, array, 1);
	add_key(array, webhook);
	po_array_add_uuid(&array[3], &webhook->receipt_id);
	po_array_add_text(&array[4], webhook->event_type);
	po_array_add(&array[5], Int64GetDatum(webhook->body_hash));
	if (po_exec_rows(&insert_receipts, &now, array) == 1)
		return true;
	po_rows_init(&select_receipts, array, 1);
	add_key(array, webhook);
	return po_exec_rows(&select_receipts, NULL, array) == 1 && po_column_uuid(0, 2, &holder) &&
		memcmp(&holder, &webhook->receipt_id, UUID_LEN) == 0;
}

/*
 * po_repetition_found ends a stored webhook whose key another has: it has no effect.
 */
void
po_repetition_found(PoWebhook *webhook)
{
	webhook->status = PO_PAYLOAD_DONE;
	webhook->last_error = "a webhook with the same key has come since";
	po_write_payloads(&webhook, 1);
}

/*
 * po_payload_status_name returns the name that the type outreach.payload_status has.
 */
const char *
po_payload_status_name(PoPayloadStatus status)
{
	return status_name[status];
}

static Datum
body_datum(const PoWebhook *webhook)
{
	bytea	   *body = palloc(VARHDRSZ + webhook->body.len);

	SET_VARSIZE(body, VARHDRSZ + webhook->body.len);
	memcpy(VARDATA(body), webhook->body.data, webhook->body.len);
	return PointerGetDatum(body);
}

/*
 * When a payload is taken up (again).  What waits for a lock: soon, and the longer
 * it has waited the later.  An error: a minute, doubling, up to a quarter more.
 */
static TimestampTz
next_attempt(const PoWebhook *webhook)
{
	int64		delay;

	if (webhook->held)
	{
		int64		age = webhook->stored ? po_now() - webhook->received_at : 0;

		return po_now() + Min(Max(age / 8, HELD_PAUSE), HELD_PAUSE_MAX);
	}
	if (webhook->status == PO_PAYLOAD_PENDING)
		return po_now();
	delay = (int64) 60 * USECS_PER_SEC << Min(Max(webhook->attempts - 1, 0), 10);
	return po_now() + delay + delay / 4 * webhook->receipt_id.data[15] / 255;
}

/*
 * po_write_payloads keeps the body of each webhook with where its processing
 * stands; of stored ones it only writes down the latter.  Needs SPI.
 */
void
po_write_payloads(PoWebhook **webhook, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		array[2][15];

	po_rows_init(&insert_payloads, array[false], n);
	po_rows_init(&update_payloads, array[true], 1);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		PoArray    *a = array[w->stored];
		PoBytes		query;

		po_array_add_text(&a[0], w->endpoint->tenant_id);
		po_array_add_uuid(&a[1], &w->receipt_id);
		po_array_add_text(&a[2], status_name[w->status]);
		po_array_add(&a[3], Int32GetDatum(w->attempts));
		if (w->status == PO_PAYLOAD_PENDING || w->status == PO_PAYLOAD_ERROR)
		{
			TimestampTz due = next_attempt(w);

			po_array_add(&a[4], TimestampTzGetDatum(due));
			po_wake_at(due);
		}
		else
			po_array_add_null(&a[4]);
		po_array_add_text(&a[5], w->last_error);
		po_array_add(&a[6], BoolGetDatum(w->opted_out));
		po_array_add_uuid(&a[7], w->owes_event && w->status != PO_PAYLOAD_DONE ? &w->event_owed : NULL);
		if (w->stored)
			continue;
		query = po_signed_query(w);
		po_array_add_text(&a[8], w->endpoint->path);
		po_array_add_text(&a[9], w->endpoint->provider);
		po_array_add(&a[10], BoolGetDatum(w->form_encoded));
		po_array_add(&a[11], body_datum(w));
		po_array_add_text(&a[12], w->reference);
		po_array_add_uuid(&a[13], &w->correlation_id);
		po_array_add_text_len(&a[14], query.len > 0 ? query.data : NULL, query.len);
	}
	(void) po_exec_rows(&insert_payloads, &now, array[false]);
	/* What is done and stays due would be done again. */
	if (po_exec_rows(&update_payloads, NULL, array[true]) != array[true][0].n)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("where the processing of a webhook stands could not be written down")));
}
