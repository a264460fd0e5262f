/*
 * receipt.c
 *	  The rows that make a webhook's effects happen once, and keep its bytes.
 *
 * The ledger outreach.webhook_receipts is the only arbiter.  Receipts are inserted in the
 * order of their keys, so that two batches that hold the same webhooks in different orders
 * wait for each other in one direction alone.  The text that a key is made from stands in
 * the payload.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/key_probe.h"
#include "core/ledger.h"
#include "core/limits.h"
#include "core/statement.h"
#include "core/wakeup.h"
#include "inbound/webhook.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define HELD_PAUSE		(50 * INT64CONST(1000))
#define HELD_PAUSE_MAX	(60 * USECS_PER_SEC)

static const char *const status_name[] = {
	"pending", "done", "unresolved", "error", "dead", "conflict", "own_number"
};

typedef struct Receipt
{
	const char *tenant_id;
	pg_uuid_t	key;
	pg_uuid_t	receipt_id;
	int64		body_hash;
} Receipt;

static const PoField receipt_field[] = {
	PO_FIELD(Receipt, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Receipt, key, UUID, PO_TAKE),
	PO_FIELD(Receipt, receipt_id, UUID, PO_TAKE),
	PO_FIELD(Receipt, body_hash, INT64, PO_TAKE)
};

static PoStatement insert_receipts = {
	.name = "receipts.insert",
	.expect = SPI_OK_INSERT_RETURNING,
	.sql = "INSERT INTO outreach.webhook_receipts AS r ({columns}) SELECT {u.*} FROM {rows}"
	" ON CONFLICT (key) DO NOTHING RETURNING r.receipt_id",
	.takes = PO_FIELDS(receipt_field, PO_TAKE)
};

typedef struct Payload
{
	const char *tenant_id;
	pg_uuid_t	receipt_id;
	PoPayloadStatus status;
	int			attempts;
	TimestampTz next_attempt_at;
	const char *last_error;
	bool		opted_out;
	const pg_uuid_t *event_owed;
	const char *path;
	const char *provider;
	bool		form_encoded;
	bytea	   *body;
	const char *reference;
	const pg_uuid_t *correlation_id;
	const char *signed_query;
	const char *idempotency_key;
	const char *event_type;
	Jsonb	   *reading;
	Jsonb	   *about;
} Payload;

/* Where the processing stands. */
#define STANDS PO_USE

static const PoField payload_field[] = {
	PO_FIELD(Payload, tenant_id, TEXT, PO_TAKE | STANDS),
	PO_FIELD(Payload, receipt_id, UUID, PO_TAKE | STANDS),
	PO_NAME(Payload, status, PoPayloadStatus, status_name, "outreach.payload_status", PO_SET | STANDS),
	PO_FIELD(Payload, attempts, INT, PO_SET | STANDS),
	PO_FIELD(Payload, next_attempt_at, UNTIL, PO_SET | STANDS),
	PO_FIELD(Payload, last_error, TEXT, PO_SET | STANDS),
	PO_FIELD(Payload, opted_out, BOOL, PO_SET | STANDS),
	PO_FIELD(Payload, event_owed, UUIDP, PO_SET | STANDS),
	PO_FIELD(Payload, reading, JSONB, PO_SET | STANDS),
	PO_FIELD(Payload, about, JSONB, PO_SET | STANDS),
	PO_FIELD(Payload, path, TEXT, PO_TAKE),
	PO_FIELD(Payload, provider, TEXT, PO_TAKE),
	PO_FIELD(Payload, form_encoded, BOOL, PO_TAKE),
	PO_FIELD(Payload, body, BYTEA, PO_TAKE),
	PO_FIELD(Payload, reference, TEXT, PO_TAKE),
	PO_FIELD(Payload, correlation_id, UUIDP, PO_TAKE),
	PO_FIELD(Payload, signed_query, TEXT, PO_TAKE),
	PO_FIELD(Payload, idempotency_key, TEXT, PO_TAKE),
	PO_FIELD(Payload, event_type, TEXT, PO_TAKE)
};

/*
 * What is to be processed is in the queue, the rest in the month in which it came.  A row
 * moves with its status.
 */
#define QUEUE "outreach.inbound_queue"
#define HISTORY "outreach.inbound_history"

#define INSERT_INTO(table) \
	.expect = SPI_OK_INSERT, \
	.sql = "INSERT INTO " table " ({columns}, received_at) SELECT {u.*}, $1 FROM {rows}", \
	.takes = PO_FIELDS(payload_field, PO_TAKE), \
	PO_FIXED(TIMESTAMPTZOID)

#define UPDATE_OF(table) \
	.expect = SPI_OK_UPDATE, \
	.sql = "UPDATE " table " p SET {set} FROM {rows}" \
	" WHERE p.tenant_id = u.tenant_id AND p.receipt_id = u.receipt_id", \
	.takes = PO_FIELDS(payload_field, STANDS)

#define MOVE(from, to) \
	.expect = SPI_OK_INSERT, \
	.sql = PO_MOVE_ROWS(from, to, PO_BY_KEY("m", "receipt_id"), PO_PAYLOAD_KEPT, "", ""), \
	.takes = PO_FIELDS(payload_field, STANDS)

static PoStatement insert_queued = {.name = "payloads.insert_queued", INSERT_INTO(QUEUE)};
static PoStatement insert_ended = {.name = "payloads.insert", INSERT_INTO(HISTORY)};
static PoStatement update_queued = {.name = "payloads.update", UPDATE_OF(QUEUE)};
static PoStatement update_ended = {.name = "payloads.update_ended", UPDATE_OF(HISTORY)};
static PoStatement end_payloads = {.name = "payloads.end", MOVE(QUEUE, HISTORY)};
static PoStatement queue_again = {.name = "payloads.again", MOVE(HISTORY, QUEUE)};

/* It is the first of another key too. */
static PoPlan rename_payload = {
	.name = "payloads.rename",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.inbound_payloads p SET idempotency_key = $3, event_type = $4"
	" WHERE p.tenant_id = $1 AND p.receipt_id = $2",
	PO_ARGS(TEXTOID, UUIDOID, TEXTOID, TEXTOID)
};

/* A webhook in the order of the keys. */
typedef struct Position
{
	PoWebhook  *webhook;
	int			position;
	struct Position *first;		/* of the key in this call; what follows counts there */
	Receipt		receipt;
	bool		is_known;		/* the receipt is an earlier webhook's */
	bool		is_new;			/* it is this one's */
} Position;

static int
position_compare(const void *a, const void *b)
{
	const Position *x = a;
	const Position *y = b;
	int			c = memcmp(&x->receipt.key, &y->receipt.key, UUID_LEN);

	return c != 0 ? c : x->position - y->position;
}

/* What it is to be, but for its id. */
static Receipt
receipt_of(const PoWebhook *webhook)
{
	return (Receipt) {
		.tenant_id = webhook->endpoint->tenant_id,
		.key = po_provider_key(webhook->endpoint->tenant_id, PO_LEDGER_WEBHOOK, webhook->endpoint->provider,
							   webhook->reading.key),
		.body_hash = webhook->reading.body_hash
	};
}

/*
 * A duplicate leaves an event and nothing else; only where the body is another
 * than the first time is it kept, for a person to look at.
 */
static void
reject_duplicate(PoWebhook *webhook, const Receipt *first, PoEventList *events)
{
	PoEvent    *event = po_event_list_add(events, webhook->endpoint->tenant_id,
										  "webhook.inbound.duplicate_rejected",
										  webhook->endpoint->provider);

	event->correlation_id = &webhook->request.correlation_id;
	event->receipt_id = &webhook->result.receipt_id;
	if (webhook->reading.body_hash != first->body_hash)
	{
		PoObject   *object = po_object_begin();
		pg_uuid_t	receipt_id;

		po_object_bool(object, "body_differs", true);
		po_event_tells(event, object);
		po_uuid_v7(&receipt_id);
		po_be_conflict(webhook, &receipt_id, po_time_of_id(&first->receipt_id));
	}
	else
		po_be_duplicate(webhook, &first->receipt_id);
}

/* Makes it the first one of its key, if there is one. */
static bool
read_receipt(PoLedger *ledger, Receipt *receipt)
{
	static const char *const column[] = {"receipt_id", "body_hash"};
	NullableDatum value[lengthof(column)];

	if (!po_read_ledger(ledger, &receipt->key, column, lengthof(column), value))
		return false;
	receipt->receipt_id = *DatumGetUUIDP(value[0].value);
	receipt->body_hash = DatumGetInt64(value[1].value);
	return true;
}

static void
look_up(Position **key, int n)
{
	PoLedger   *ledger = po_open_ledger("webhook_receipts");

	for (int i = 0; i < n; i++)
		if (!key[i]->is_new && !key[i]->is_known)
			key[i]->is_known = read_receipt(ledger, &key[i]->receipt);
	po_close_ledger(ledger);
}

/* Returns whether all that were not known are new: another may have inserted one since. */
static bool
insert(Position **key, int n)
{
	PoRows		row = po_rows(&insert_receipts, n);
	uint64		inserted;
	uint64		r = 0;

	for (int i = 0; i < n; i++)
	{
		if (key[i]->is_known)
			continue;
		po_uuid_v7(&key[i]->receipt.receipt_id);
		po_rows_add(&row, &key[i]->receipt);
	}
	inserted = po_rows_exec(&row, NULL);
	/* They come back in the order they went in. */
	for (int i = 0; i < n && r < inserted; i++)
	{
		pg_uuid_t	receipt_id;

		key[i]->is_new = !key[i]->is_known && po_column_uuid(r, 1, &receipt_id) &&
			memcmp(&receipt_id, &key[i]->receipt.receipt_id, UUID_LEN) == 0;
		r += key[i]->is_new;
	}
	return inserted == row.n;
}

/*
 * po_write_receipts inserts the receipts and marks each webhook fresh or
 * duplicate, the latter with its event.  Needs SPI.  What is known is looked up first: a
 * duplicate costs no statement.
 */
void
po_write_receipts(PoWebhook **webhook, int n, PoEventList *events)
{
	Position   *sorted = palloc(n * sizeof(Position));
	Position  **key = palloc(n * sizeof(Position *));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
		sorted[i] = (Position) {.webhook = webhook[i], .receipt = receipt_of(webhook[i]), .position = i};
	qsort(sorted, n, sizeof(Position), position_compare);
	for (int i = 0; i < n; i++)
	{
		sorted[i].first = i > 0 && memcmp(&sorted[i - 1].receipt.key, &sorted[i].receipt.key, UUID_LEN) == 0
			? sorted[i - 1].first : &sorted[i];
		if (sorted[i].first == &sorted[i])
			key[nkeys++] = &sorted[i];
	}

	look_up(key, nkeys);
	if (!insert(key, nkeys))
		look_up(key, nkeys);
	for (int i = 0; i < n; i++)
	{
		Position   *first = sorted[i].first;

		if (!first->is_new && !first->is_known)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("a receipt is not visible to this transaction")));
		if (first->is_new && first == &sorted[i])
			po_be_fresh(first->webhook, &first->receipt.receipt_id);
		else
			reject_duplicate(sorted[i].webhook, &first->receipt, events);
	}
}

static bool
insert_key(const PoWebhook *webhook)
{
	Receipt		receipt = receipt_of(webhook);
	PoLedger   *ledger;
	bool		is_own;

	receipt.receipt_id = webhook->result.receipt_id;
	if (po_exec_row(&insert_receipts, NULL, &receipt) == 1)
		return true;
	ledger = po_open_ledger("webhook_receipts");
	is_own = read_receipt(ledger, &receipt) &&
		memcmp(&receipt.receipt_id, &webhook->result.receipt_id, UUID_LEN) == 0;
	po_close_ledger(ledger);
	return is_own;
}

/*
 * po_take_key makes the webhook's key its own, beside the one that it was received
 * under, and returns whether it is: not when another has come by it.  Then its row tells
 * this key, and what it is.  Needs SPI.
 */
bool
po_take_key(const PoWebhook *webhook)
{
	Datum		args[4] = {
		CStringGetTextDatum(webhook->endpoint->tenant_id), UUIDPGetDatum(&webhook->result.receipt_id),
		CStringGetTextDatum(webhook->reading.key), CStringGetTextDatum(webhook->reading.event_type)
	};

	if (!insert_key(webhook))
		return false;
	(void) po_exec(&rename_payload, args, NULL);
	return true;
}

/*
 * po_payload_status_name returns the name that the type outreach.payload_status has.
 */
const char *
po_payload_status_name(PoPayloadStatus status)
{
	return status_name[status];
}

static bytea *
body_of(const PoWebhookRequest *request)
{
	bytea	   *body = palloc(VARHDRSZ + request->body.len);

	SET_VARSIZE(body, VARHDRSZ + request->body.len);
	memcpy(VARDATA(body), request->body.data, request->body.len);
	return body;
}

/* What was read from the body: fields by their names, and what was found in their text. */
static Jsonb *
reading_of(const PoWebhook *webhook)
{
	const PoProviderMap *map = webhook->endpoint->map;
	const PoWebhookReading *reading = &webhook->reading;
	PoObject   *object = po_object_begin();
	int			room = PO_MAX_FIELDS_BYTES;
	bool		cut = false;

	for (int f = 0; f < map->nfields; f++)
	{
		const PoBytes *value = &reading->value[f];
		int			len = value->data == NULL ? 0
			: value->len <= room ? value->len : pg_mbcliplen(value->data, value->len, room);

		/* It proves that who has it may speak of the message. */
		if (f == PO_FIELD_REFERENCE)
			continue;
		po_object_text(object, map->field[f].name, value->data, len);
		cut |= len < value->len;
		room -= len;
	}
	/* The rest is in the body alone. */
	if (cut)
		po_object_bool(object, "cut", true);
	po_object_string(object, "extracted_email", reading->ruling.email);
	po_object_string(object, "extracted_phone", reading->ruling.phone);
	po_object_string(object, "sounds", reading->sounds);
	po_object_string(object, "revoked_by", reading->revoked_by);
	po_object_string(object, "unreachable_by", reading->unreachable_by);
	return po_object_end(object);
}

/* The addresses that its fields name, as keys: of one to which no lead's event leads. */
static Jsonb *
about(const PoWebhook *webhook)
{
	static const int where[] = {PO_FIELD_PHONE, PO_FIELD_FROM, PO_FIELD_TO, PO_FIELD_EMAIL};
	const PoWebhookReading *reading = &webhook->reading;
	PoObject   *object = po_object_begin();

	if (reading->phone[0] != '\0')
		po_object_bool(object, reading->phone, true);
	for (int i = 0; i < lengthof(where); i++)
	{
		const PoBytes *value = &reading->value[where[i]];
		char		folded[PO_ADDRESS_SIZE];

		if (value->data != NULL && po_address_fold(value->data, value->len, folded))
			po_object_bool(object, pstrdup(folded), true);
	}
	return po_object_end(object);
}

/*
 * When a payload is taken up (again).  What waits for a lock: soon, and the longer
 * it has waited the later.  An error: a minute, doubling, up to a quarter more.
 */
static TimestampTz
next_attempt(const PoWebhookRequest *request, const PoWebhookResult *result)
{
	int64		delay;

	if (result->held)
	{
		int64		age = request->stored ? po_now() - request->received_at : 0;

		return po_now() + Min(Max(age / 8, HELD_PAUSE), HELD_PAUSE_MAX);
	}
	if (result->status == PO_PAYLOAD_PENDING)
		return po_now();
	delay = (int64) 60 * USECS_PER_SEC << Min(Max(result->attempts - 1, 0), 10);
	return po_now() + delay + delay / 4 * result->receipt_id.data[15] / 255;
}

/* What is done and stays due would be done again. */
static void
write_stored(PoRows *stored)
{
	if (po_rows_exec(stored, NULL) != stored->n)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("where the processing of a webhook stands could not be written down")));
}

/*
 * po_write_payloads keeps the body of each webhook with where its processing
 * stands; of stored ones it only writes down the latter.  Needs SPI.
 */
void
po_write_payloads(PoWebhook **webhook, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		new[2] = {po_rows(&insert_queued, 1), po_rows(&insert_ended, n)};
	PoRows		stored[2][2] = {	/* before, and now: ended */
		{po_rows(&update_queued, 1), po_rows(&end_payloads, 1)},
		{po_rows(&queue_again, 1), po_rows(&update_ended, 1)}
	};

	for (int i = 0; i < n; i++)
	{
		const PoWebhook *w = webhook[i];
		const PoWebhookRequest *request = &w->request;
		const PoWebhookResult *result = &w->result;
		bool		queued = result->status == PO_PAYLOAD_PENDING || result->status == PO_PAYLOAD_ERROR;
		Payload		payload = {
			.tenant_id = w->endpoint->tenant_id,
			.receipt_id = result->receipt_id,
			.status = result->status,
			.attempts = result->attempts,
			.next_attempt_at = DT_NOEND,
			.last_error = result->last_error,
			.opted_out = result->opted_out,
			.event_owed = result->owes_event && result->status != PO_PAYLOAD_DONE ? &result->event_owed : NULL,
			.path = w->endpoint->path,
			.provider = w->endpoint->provider,
			.form_encoded = request->form_encoded,
			.reference = w->reading.reference,
			.correlation_id = &request->correlation_id,
			.idempotency_key = w->reading.key,
			.event_type = w->reading.event_type
		};

		if (queued)
		{
			payload.next_attempt_at = next_attempt(request, result);
			po_wake_at(payload.next_attempt_at);
		}
		if (w->reading.problem == NULL &&
			(request->stored || result->status == PO_PAYLOAD_DONE || result->status == PO_PAYLOAD_UNRESOLVED ||
			 result->status == PO_PAYLOAD_OWN_NUMBER))
			payload.reading = reading_of(w);
		if (w->reading.problem == NULL && !w->subject.is_of_lead && w->subject.lead_id == NULL)
			payload.about = about(w);
		if (!request->stored)
		{
			PoBytes		query = po_signed_query(request, &w->endpoint->credential);

			payload.body = body_of(request);
			payload.signed_query = query.len > 0 ? pnstrdup(query.data, query.len) : NULL;
		}
		po_rows_add(request->stored ? &stored[request->ended][!queued] : &new[!queued], &payload);
	}
	for (int ended = 0; ended < 2; ended++)
	{
		(void) po_rows_exec(&new[ended], &now);
		for (int before = 0; before < 2; before++)
			write_stored(&stored[before][ended]);
	}
}
