/*
 * stored.c
 *	  Webhooks that were received before: deferred ones, the retry of what failed,
 *	  and the replay of what was not understood.
 *
 * What is kept of a webhook is all that is needed to read it as when it came.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/statement.h"
#include "core/turns.h"
#include "inbound/webhook.h"
#include "lead/opt_out.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A row of outreach.inbound_payloads. */
typedef struct Stored
{
	PoWebhook	webhook;
	const char *tenant_id;
	const char *provider;
	bytea	   *body;
	const char *status;
} Stored;

/* Of one that is to be replayed the status is read besides. */
#define IS_ONE PO_USE
#define IS_READ (PO_GIVE | IS_ONE)

/* The first two are looked at before it is known whether the row is read. */
#define TENANT_COLUMN 1
#define BODY_COLUMN 2

static const PoField stored_field[] = {
	PO_FIELD(Stored, tenant_id, TEXT, IS_READ),
	PO_FIELD(Stored, body, BYTEA, IS_READ),
	PO_FIELD(Stored, provider, TEXT, IS_READ),
	PO_FIELD_AS(Stored, webhook.request.path.data, "path", TEXT, IS_READ),
	PO_FIELD_AS(Stored, webhook.result.receipt_id, "receipt_id", UUID, IS_READ),
	PO_FIELD_AS(Stored, webhook.request.form_encoded, "form_encoded", BOOL, IS_READ),
	PO_FIELD_AS(Stored, webhook.request.correlation_id, "correlation_id", UUID, IS_READ),
	PO_FIELD_AS(Stored, webhook.result.attempts, "attempts", INT, IS_READ),
	PO_FIELD_AS(Stored, webhook.request.reference, "reference", TEXT, IS_READ),
	PO_FIELD_AS(Stored, webhook.request.received_at, "received_at", SINCE, IS_READ),
	PO_FIELD_AS(Stored, webhook.result.opted_out, "opted_out", BOOL, IS_READ),
	PO_FIELD_AS(Stored, webhook.result.event_owed, "event_owed", UUID, IS_READ),
	PO_FIELD_AS(Stored, webhook.request.query.data, "signed_query", TEXT, IS_READ),
	PO_FIELD_AS(Stored, status, "status::text", TEXT, IS_ONE)
};

static PoStatement select_due = {
	.name = "payloads.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {p.*} FROM outreach.inbound_queue p"
	" WHERE p.next_attempt_at >= $1 AND p.next_attempt_at <= $2 AND p.next_attempt_at < 'infinity'"
	" ORDER BY p.next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED",
	.gives = PO_FIELDS(stored_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

static PoStatement select_fairly = {
	.name = "payloads.fairly",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT d.* FROM outreach.tenants n CROSS JOIN LATERAL"
	" (SELECT {p.*} FROM outreach.inbound_queue p"
	" WHERE p.tenant_id = n.tenant_id AND p.next_attempt_at >= $1 AND p.next_attempt_at <= $2"
	" AND p.next_attempt_at > '-infinity' ORDER BY p.next_attempt_at LIMIT $5 FOR UPDATE SKIP LOCKED) d"
	" WHERE n.tenant_id < $4 ORDER BY n.tenant_id DESC LIMIT $3",
	.gives = PO_FIELDS(stored_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID)
};

#define SELECT_ONE(what, table) \
	{ \
		.name = "payloads." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {p.*} FROM " table " p WHERE p.tenant_id = $1 AND p.receipt_id = $2 FOR UPDATE", \
		.gives = PO_FIELDS(stored_field, IS_ONE), \
		PO_FIXED(TEXTOID, UUIDOID) \
	}

static PoStatement select_queued = SELECT_ONE("one", "outreach.inbound_queue");
static PoStatement select_ended = SELECT_ONE("one_ended", "outreach.inbound_history");

/* One snapshot has it in one place. */
static PoPlan select_existing = {
	.name = "payloads.existing",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT FROM outreach.inbound_payloads p WHERE p.tenant_id = $1 AND p.receipt_id = $2",
	PO_ARGS(TEXTOID, UUIDOID)
};

#define BURIED "tenant_id, receipt_id, attempts, opted_out, event_owed, " PO_PAYLOAD_KEPT

/* The endpoint is gone: what came by it can no longer be read. */
static PoPlan bury = {
	.name = "payloads.bury",
	.expect = SPI_OK_INSERT,
	.sql = "WITH ended AS (DELETE FROM outreach.inbound_queue WHERE tenant_id = $1 AND receipt_id = $2"
	" RETURNING " BURIED ")"
	" INSERT INTO outreach.inbound_history (status, last_error, " BURIED ")"
	" SELECT 'dead', 'the endpoint no longer exists', " BURIED " FROM ended",
	PO_ARGS(TEXTOID, UUIDOID)
};

static PoTurns turns = PO_TURNS_INIT(turns);

static void
read_stored(const PoStatement *statement, uint64 row, Stored *stored)
{
	static const pg_uuid_t none = {{0}};
	PoWebhookRequest *request = &stored->webhook.request;
	PoWebhookResult *result = &stored->webhook.result;

	po_read_row(statement, row, stored);
	request->path.len = strlen(request->path.data);
	request->body.data = VARDATA_ANY(stored->body);
	request->body.len = VARSIZE_ANY_EXHDR(stored->body);
	request->query.len = request->query.data != NULL ? strlen(request->query.data) : 0;
	request->stored = true;
	result->owes_event = memcmp(&result->event_owed, &none, UUID_LEN) != 0;
}

/*
 * Reads it, where the endpoint that it came by is still there: the same path of the
 * same tenant and provider.  Another's that has the path now is not it.
 */
static bool
read_again(Stored *stored)
{
	PoWebhook  *webhook = &stored->webhook;

	webhook->endpoint = po_find_endpoint(webhook->request.path.data, webhook->request.path.len);
	if (webhook->endpoint == NULL || strcmp(webhook->endpoint->tenant_id, stored->tenant_id) != 0 ||
		strcmp(webhook->endpoint->provider, stored->provider) != 0)
		return false;
	po_read_webhook(webhook);
	return true;
}

/*
 * po_process_due takes up to so many payloads that are due, from the time since on,
 * deferred or failed ones, and returns how many it took.  Those that another session is
 * at are left to it, and so are those whose lead, phone or message somebody has locked.
 * Before them it suppresses what opt-outs have left.  Runs as the engine's owner;
 * connects to SPI itself.
 */
int
po_process_due(int batch, TimestampTz since)
{
	Datum		args[5];
	PoStatement *statement;
	Stored	   *stored;
	PoWebhook **readable;
	PoSight    *sight;
	int			nreadable = 0;
	Size		taken = 0;
	int			n;

	po_endpoints_begin();
	po_spi_connect();
	po_suppress_left(po_now());
	args[1] = TimestampTzGetDatum(po_now());
	args[2] = Int32GetDatum(batch);
	do
	{
		args[0] = TimestampTzGetDatum(po_turns_from(&turns, since));
		args[3] = po_turns_before(&turns);
		args[4] = Int32GetDatum(po_turns_share(&turns, batch));
		statement = turns.backlog ? &select_fairly : &select_due;
		n = po_exec_fixed(statement, args);
		sight = palloc0(Max(n, 1) * sizeof(PoSight));
		for (int i = 0; i < n; i++)
		{
			sight[i].tenant_id = po_column_text(i, TENANT_COLUMN);
			sight[i].account = "";
			sight[i].most = po_turns_share(&turns, batch);
		}
	} while (po_turns_again(&turns, sight, n, batch, n == batch));
	stored = palloc0(Max(n, 1) * sizeof(Stored));
	readable = palloc(Max(n, 1) * sizeof(PoWebhook *));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		/* What does not fit is due again in the next batch, in which others come first. */
		if (!po_fits_batch(&taken, po_column(i, BODY_COLUMN, &isnull)))
		{
			if (turns.backlog)
				po_turns_behind(&turns, sight[i - 1].tenant_id);
			n = i;
			break;
		}
		read_stored(statement, i, &stored[i]);
	}
	for (int i = 0; i < n; i++)
	{
		if (read_again(&stored[i]))
		{
			readable[nreadable++] = &stored[i].webhook;
			continue;
		}
		args[0] = CStringGetTextDatum(stored[i].tenant_id);
		args[1] = UUIDPGetDatum(&stored[i].webhook.result.receipt_id);
		if (po_exec(&bury, args, NULL) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("a payload whose endpoint is gone could not be given up")));
	}
	po_process_stored(readable, nreadable);
	SPI_finish();
	return n;
}

/*
 * Finds and locks it.  While this waits in the queue or in the history it may move to the
 * other: it is looked for until it is locked, or in neither.
 */
static bool
lock_one(Datum *args, Stored *stored)
{
	do
	{
		if (po_exec_fixed(&select_queued, args) > 0)
		{
			read_stored(&select_queued, 0, stored);
			return true;
		}
		if (po_exec_fixed(&select_ended, args) > 0)
		{
			read_stored(&select_ended, 0, stored);
			stored->webhook.request.ended = true;
			return true;
		}
	} while (po_exec(&select_existing, args, NULL) > 0);
	return false;
}

/* Locks a webhook that is to be replayed, and reads it again. */
static void
lock_for_replay(const char *tenant_id, Datum receipt_id, Stored *stored)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), receipt_id};

	if (!lock_one(args, stored))
		ereport(ERROR,
				(errcode(PO_ERRCODE_UNKNOWN_WEBHOOK),
				 errmsg("tenant \"%s\" has no webhook %s", tenant_id,
						DatumGetCString(DirectFunctionCall1(uuid_out, receipt_id))),
				 errhint("outreach.webhooks_unfinished lists those that can be replayed.")));
	if (strcmp(stored->status, "done") == 0 || strcmp(stored->status, "pending") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the webhook is %s", stored->status),
				 errhint("Only what outreach.webhooks_unfinished lists as unresolved, error, dead or conflict can be "
						 "replayed.")));
	if (!read_again(stored))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the endpoint of the webhook is gone"),
				 errdetail("It came by %s from %s.", stored->webhook.request.path.data, stored->provider),
				 errhint("Make the endpoint again with outreach.create_endpoint().")));
}

static void
write_replayed(const PoWebhook *webhook, const char *by)
{
	PoEventList events = {0};
	PoEvent    *event = po_event_list_add(&events, webhook->endpoint->tenant_id,
										  "webhook.inbound.replayed", webhook->endpoint->provider);
	PoObject   *object = po_object_begin();

	po_object_detail(object, "by", by);
	po_object_string(object, "kind", webhook->reading.event_type);
	po_event_tells(event, object);
	event->receipt_id = &webhook->result.receipt_id;
	event->correlation_id = &webhook->request.correlation_id;
	po_events_append(event, 1);
}

/*
 * po_replay reads an unfinished webhook again, by the rows of now, and processes it; fills
 * in its status and its kind, which are valid until the transaction ends.  By new rows it
 * may have another key; when a webhook has come by that key since, this one is a
 * repetition of it.  Runs as the engine's owner; connects to SPI itself; locks the
 * webhook, and waits for who holds it.
 */
void
po_replay(const char *tenant_id, const pg_uuid_t *receipt_id, const char *by, const char **status,
		  const char **event_type)
{
	Stored		stored = {0};
	PoWebhook  *webhook = &stored.webhook;

	po_endpoints_begin();
	po_spi_connect();
	lock_for_replay(tenant_id, UUIDPGetDatum(receipt_id), &stored);
	webhook->result.attempts = 0;
	write_replayed(webhook, by);
	/* A conflict is another webhook under a key that is taken: a person says so. */
	if (strcmp(stored.status, "conflict") != 0 && !po_take_key(webhook))
	{
		po_be_repetition(webhook);
		po_write_payloads(&webhook, 1);
	}
	else
		po_process_stored(&webhook, 1);
	SPI_finish();
	*status = po_payload_status_name(webhook->result.status);
	*event_type = webhook->reading.event_type;
}
