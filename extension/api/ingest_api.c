/*
 * ingest_api.c
 *	  The SQL functions that take in webhooks, and take one up again.
 *
 * A batch is one call; a batch of one is the same code.  What a request is told is decided
 * in inbound/ingest.c.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "funcapi.h"
#include "inbound/webhook.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_ingest_webhook);
PG_FUNCTION_INFO_V1(po_ingest_webhooks);
PG_FUNCTION_INFO_V1(po_replay_webhook);

/* Outcome, receipt_id, http_status, content_type, body and lane. */
static void
reply_values(const PoReply *reply, Datum *values, bool *nulls)
{
	values[0] = CStringGetTextDatum(po_ingest_outcome_name[reply->outcome]);
	nulls[1] = !reply->proven || reply->outcome == PO_INGEST_BUSY;
	values[1] = UUIDPGetDatum(&reply->receipt_id);
	values[2] = Int32GetDatum(reply->http_status);
	values[3] = CStringGetTextDatum(reply->content_type);
	values[4] = CStringGetTextDatum(reply->body);
	nulls[5] = !reply->proven;
	values[5] = Int64GetDatum(reply->lane);
}

/*
 * ingest_webhook(envelope)
 */
Datum
po_ingest_webhook(PG_FUNCTION_ARGS)
{
	Jsonb	   *envelope = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	PoReply		reply;
	Datum		values[6];
	bool		nulls[6] = {false};

	po_ingest_requests(&envelope, 1, &reply);
	reply_values(&reply, values, nulls);
	return po_result_row(fcinfo, values, nulls);
}

/*
 * ingest_webhooks(envelopes)
 */
Datum
po_ingest_webhooks(PG_FUNCTION_ARGS)
{
	Jsonb	  **envelope;
	PoReply    *reply;
	Datum	   *element;
	bool	   *isnull;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), JSONBOID, -1, false, TYPALIGN_INT, &element, &isnull, &n);
	envelope = palloc(Max(n, 1) * sizeof(Jsonb *));
	reply = palloc(Max(n, 1) * sizeof(PoReply));
	for (int i = 0; i < n; i++)
		envelope[i] = isnull[i] ? NULL : DatumGetJsonbP(element[i]);
	po_ingest_requests(envelope, n, reply);
	for (int i = 0; i < n; i++)
	{
		Datum		values[7] = {Int32GetDatum(i + 1)};
		bool		nulls[7] = {false};

		reply_values(&reply[i], values + 1, nulls + 1);
		po_result_add(fcinfo, values, nulls);
	}
	return (Datum) 0;
}

/*
 * replay_webhook(tenant_id, receipt_id, by)
 */
Datum
po_replay_webhook(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *by = po_arg_required(fcinfo, 2, "by");
	const char *status;
	const char *event_type;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("receipt_id must not be null")));
	po_replay(tenant_id, PG_GETARG_UUID_P(1), by, &status, &event_type);
	PO_RETURN_ROW(CStringGetTextDatum(status), CStringGetTextDatum(event_type));
}
