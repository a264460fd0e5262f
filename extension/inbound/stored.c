/*
 * stored.c
 *	  Webhooks that were received before: deferred ones, the retry of what failed,
 *	  and the replay of what was not understood.
 *
 * What is kept of a webhook is all that is needed to read it as at the door.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi_plan.h"
#include "core/turns.h"
#include "funcapi.h"
#include "inbound/webhook.h"
#include "lead/opt_out.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define PAYLOAD_COLUMNS \
	"p.path, p.receipt_id, p.form_encoded, p.body, p.correlation_id, p.attempts, p.tenant_id," \
	" p.provider, p.reference, p.received_at, p.opted_out, p.event_owed, p.signed_query"

static PoPlan select_due = {
	.name = "payloads.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " PAYLOAD_COLUMNS " FROM outreach.inbound_payloads p"
	" WHERE p.next_attempt_at >= $1 AND p.next_attempt_at <= $2 AND p.next_attempt_at < 'infinity'"
	" ORDER BY p.next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED",
	PO_ARGS(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

static PoPlan select_fairly = {
	.name = "payloads.fairly",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT d.* FROM outreach.tenants n CROSS JOIN LATERAL"
	" (SELECT " PAYLOAD_COLUMNS " FROM outreach.inbound_payloads p"
	" WHERE p.tenant_id = n.tenant_id AND p.next_attempt_at >= $1 AND p.next_attempt_at <= $2"
	" AND p.next_attempt_at > '-infinity' ORDER BY p.next_attempt_at LIMIT $5 FOR UPDATE SKIP LOCKED) d"
	" WHERE n.tenant_id > $4 ORDER BY n.tenant_id LIMIT $3",
	PO_ARGS(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID)
};

static PoPlan select_one = {
	.name = "payloads.one",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " PAYLOAD_COLUMNS ", p.status::text FROM outreach.inbound_payloads p"
	" WHERE p.tenant_id = $1 AND p.receipt_id = $2 FOR UPDATE",
	PO_ARGS(TEXTOID, UUIDOID)
};

/* The door is gone: what came through it can no longer be read. */
static PoPlan bury = {
	.name = "payloads.bury",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.inbound_payloads SET status = 'dead', next_attempt_at = NULL,"
	" last_error = 'the endpoint no longer exists' WHERE tenant_id = $1 AND receipt_id = $2",
	PO_ARGS(TEXTOID, UUIDOID)
};

static PoTurns turns = PO_TURNS_INIT(turns);

PG_FUNCTION_INFO_V1(po_process_payloads);
PG_FUNCTION_INFO_V1(po_replay_webhook);

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
	webhook->owes_event = po_column_uuid(row, 12, &webhook->event_owed);
	webhook->query.data = po_column_text(row, 13);
	webhook->query.len = webhook->query.data != NULL ? strlen(webhook->query.data) : 0;
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
	po_spi_connect();
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
		po_read_webhook(w);
		readable[nreadable++] = w;
	}
	po_process_stored(readable, nreadable);
	SPI_finish();
	PG_RETURN_INT32(n);
}

/*
 * The payload of a webhook that is to be replayed, locked.  Returns its status.
 */
static const char *
lock_for_replay(const char *tenant_id, Datum receipt_id, PoWebhook *webhook)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), receipt_id};
	Origin		origin;
	const char *status;

	if (po_exec(&select_one, args, NULL) == 0)
		ereport(ERROR,
				(errcode(PO_ERRCODE_UNKNOWN_WEBHOOK),
				 errmsg("tenant \"%s\" has no webhook %s", tenant_id,
						DatumGetCString(DirectFunctionCall1(uuid_out, receipt_id))),
				 errhint("outreach.webhooks_unfinished lists those that can be replayed.")));
	status = po_column_text(0, 14);
	if (strcmp(status, "done") == 0 || strcmp(status, "pending") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the webhook is %s", status),
				 errhint("Only what outreach.webhooks_unfinished lists as unresolved, error, dead or conflict can be replayed.")));
	read_stored(0, webhook, &origin);
	if (!find_door(webhook, &origin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the endpoint of the webhook is gone"),
				 errdetail("It came by %s from %s.", webhook->path.data, origin.provider),
				 errhint("Make the endpoint again with outreach.create_endpoint().")));
	return status;
}

static void
write_replayed(const PoWebhook *webhook, const char *by)
{
	PoEventList events = {0};
	PoEvent    *event = po_event_list_add(&events, webhook->endpoint->tenant_id,
										  "webhook.inbound.replayed", webhook->endpoint->provider);
	PoObject   *object = po_object_begin();

	po_object_string(object, "by", by);
	po_object_string(object, "kind", webhook->event_type);
	event->payload = po_object_end(object);
	event->receipt_id = &webhook->receipt_id;
	event->correlation_id = &webhook->correlation_id;
	po_events_append(event, 1);
}

/*
 * replay_webhook(tenant_id, receipt_id, by): reads an unfinished webhook again, by
 * the rows of now, and processes it.  By new rows it may have another key; when a
 * webhook has come by that key since, this one is a repetition of it.
 */
Datum
po_replay_webhook(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *by = po_arg_required(fcinfo, 2, "by");
	PoWebhook	replayed = {0};
	PoWebhook  *webhook = &replayed;
	const char *status;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("receipt_id must not be null")));
	po_endpoints_begin();
	po_spi_connect();
	status = lock_for_replay(tenant_id, PG_GETARG_DATUM(1), webhook);
	webhook->attempts = 0;
	po_read_webhook(webhook);
	write_replayed(webhook, by);
	/* A conflict is another webhook under a key that is taken: a person says so. */
	if (strcmp(status, "conflict") != 0 && !po_take_key(webhook))
		po_repetition_found(webhook);
	else
		po_process_stored(&webhook, 1);
	SPI_finish();
	values[0] = CStringGetTextDatum(po_payload_status_name(webhook->status));
	values[1] = CStringGetTextDatum(webhook->event_type);
	return po_result_row(fcinfo, values, nulls);
}
