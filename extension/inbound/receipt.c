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
#include "inbound/webhook.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char *const status_name[] = {
	"pending", "done", "unresolved", "error", "dead", "conflict"
};

static PoPlan insert_receipts = {
	.name = "receipts.insert",
	.expect = SPI_OK_INSERT_RETURNING,
	.sql = "INSERT INTO outreach.webhook_receipts AS r (tenant_id, provider, idempotency_key,"
	" receipt_id, event_type, body_hash, created_at)"
	" SELECT u.*, $7 FROM unnest($1, $2, $3, $4, $5, $6) AS u"
	" ON CONFLICT (tenant_id, provider, idempotency_key) DO NOTHING RETURNING r.receipt_id",
	.nargs = 7,
	.argtype = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID, TIMESTAMPTZOID}
};

static PoPlan select_receipts = {
	.name = "receipts.first",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n::int, r.receipt_id, r.body_hash"
	" FROM unnest($1, $2, $3) WITH ORDINALITY AS u(tenant_id, provider, idempotency_key, n)"
	" JOIN outreach.webhook_receipts r ON r.tenant_id = u.tenant_id"
	" AND r.provider = u.provider AND r.idempotency_key = u.idempotency_key",
	.nargs = 3,
	.argtype = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

static PoPlan insert_payloads = {
	.name = "payloads.insert",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.inbound_payloads (tenant_id, receipt_id, status, path,"
	" form_encoded, body, received_at, correlation_id, attempts, next_attempt_at, last_error)"
	" SELECT u.tenant_id, u.receipt_id, u.status::outreach.payload_status, u.path,"
	" u.form_encoded, u.body, $1, u.correlation_id, u.attempts, u.next_attempt_at, u.last_error"
	" FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	" AS u(tenant_id, receipt_id, status, path, form_encoded, body, correlation_id, attempts,"
	" next_attempt_at, last_error)",
	.nargs = 11,
	.argtype = {TIMESTAMPTZOID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		BOOLARRAYOID, BYTEAARRAYOID, UUIDARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
	TEXTARRAYOID}
};

static PoPlan update_payloads = {
	.name = "payloads.update",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.inbound_payloads p SET status = u.status::outreach.payload_status,"
	" attempts = u.attempts, next_attempt_at = u.next_attempt_at, last_error = u.last_error"
	" FROM unnest($1, $2, $3, $4, $5, $6)"
	" AS u(tenant_id, receipt_id, status, attempts, next_attempt_at, last_error)"
	" WHERE p.tenant_id = u.tenant_id AND p.receipt_id = u.receipt_id",
	.nargs = 6,
	.argtype = {TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
	TEXTARRAYOID}
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
reject_duplicate(PoWebhook *webhook, const pg_uuid_t *first, bool same_body, PoEventList *events)
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
	Datum		args[3];
	uint64		rows;

	for (int c = 0; c < 3; c++)
		po_array_init(&array[c], TEXTOID, n);
	for (int i = 0; i < n; i++)
		add_key(array, known[i]);
	for (int c = 0; c < 3; c++)
		args[c] = po_array_datum(&array[c]);
	rows = po_exec(&select_receipts, args, NULL);
	if (rows != n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a receipt is not visible to this transaction")));
	for (uint64 r = 0; r < rows; r++)
	{
		PoWebhook  *webhook = known[po_column_int(r, 1) - 1];
		pg_uuid_t	first;

		(void) po_column_uuid(r, 2, &first);
		reject_duplicate(webhook, &first, po_column_int64(r, 3) == webhook->body_hash, events);
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
	static const Oid element[6] = {TEXTOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, INT8OID};
	Datum		args[7];
	uint64		inserted;
	uint64		row = 0;
	int			nknown = 0;
	PoWebhook  *first = NULL;

	for (int c = 0; c < 6; c++)
		po_array_init(&array[c], element[c], n);
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
	for (int c = 0; c < 6; c++)
		args[c] = po_array_datum(&array[c]);
	args[6] = TimestampTzGetDatum(po_now());
	inserted = po_exec(&insert_receipts, args, NULL);

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
			reject_duplicate(w, &first->receipt_id, first->body_hash == w->body_hash, events);
	}
	if (nknown > 0)
		reject_known(known, nknown, events);
}

static Datum
body_datum(const PoWebhook *webhook)
{
	bytea	   *body = palloc(VARHDRSZ + webhook->body.len);

	SET_VARSIZE(body, VARHDRSZ + webhook->body.len);
	memcpy(VARDATA(body), webhook->body.data, webhook->body.len);
	return PointerGetDatum(body);
}

/* When an error is tried again: a minute, doubling, up to a quarter more. */
static TimestampTz
next_attempt(const PoWebhook *webhook)
{
	int64		delay = (int64) 60 * USECS_PER_SEC << Min(Max(webhook->attempts - 1, 0), 10);

	return po_now() + delay + delay / 4 * webhook->receipt_id.data[15] / 255;
}

/*
 * po_write_payloads keeps the body of each fresh webhook, and of those whose
 * key was used before, with where their processing stands; for stored ones it
 * only writes that down.  Needs SPI.
 */
void
po_write_payloads(PoWebhook **webhook, int n)
{
	static const Oid element[10] = {TEXTOID, UUIDOID, TEXTOID, TEXTOID, BOOLOID, BYTEAOID,
	UUIDOID, INT4OID, TIMESTAMPTZOID, TEXTOID};
	static const int updated[6] = {0, 1, 2, 7, 8, 9};
	PoArray		array[2][10];
	Datum		args[11];

	for (int c = 0; c < 10; c++)
	{
		po_array_init(&array[false][c], element[c], n);
		po_array_init(&array[true][c], element[c], 1);
	}
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		PoArray    *a = array[w->stored];

		if (!w->fresh && w->status != PO_PAYLOAD_CONFLICT)
			continue;
		po_array_add_text(&a[0], w->endpoint->tenant_id);
		po_array_add_uuid(&a[1], &w->receipt_id);
		po_array_add_text(&a[2], status_name[w->status]);
		po_array_add(&a[7], Int32GetDatum(w->attempts));
		if (w->status == PO_PAYLOAD_PENDING)
			po_array_add(&a[8], TimestampTzGetDatum(po_now()));
		else if (w->status == PO_PAYLOAD_ERROR)
			po_array_add(&a[8], TimestampTzGetDatum(next_attempt(w)));
		else
			po_array_add_null(&a[8]);
		po_array_add_text(&a[9], w->last_error);
		if (w->stored)
			continue;
		po_array_add_text(&a[3], w->endpoint->path);
		po_array_add(&a[4], BoolGetDatum(w->form_encoded));
		po_array_add(&a[5], body_datum(w));
		po_array_add_uuid(&a[6], &w->correlation_id);
	}
	if (array[false][0].n > 0)
	{
		args[0] = TimestampTzGetDatum(po_now());
		for (int c = 0; c < 10; c++)
			args[c + 1] = po_array_datum(&array[false][c]);
		po_exec(&insert_payloads, args, NULL);
	}
	if (array[true][0].n > 0)
	{
		for (int c = 0; c < 6; c++)
			args[c] = po_array_datum(&array[true][updated[c]]);
		po_exec(&update_payloads, args, NULL);
	}
}
