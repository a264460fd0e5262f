/*
 * worker_api.c
 *	  The SQL functions that do what is due: workers call them in turn, and so may
 *	  whoever runs the engine without any (run_once).
 *
 * Each does one batch in the transaction of its caller.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "engine/firing.h"
#include "fmgr.h"
#include "inbound/webhook.h"
#include "sender/claim.h"
#include "sender/record.h"
#include "sender/settle.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(po_process_payloads);
PG_FUNCTION_INFO_V1(po_fire_timers);
PG_FUNCTION_INFO_V1(po_take_call);
PG_FUNCTION_INFO_V1(po_run_call);
PG_FUNCTION_INFO_V1(po_return_call);
PG_FUNCTION_INFO_V1(po_claim_messages);
PG_FUNCTION_INFO_V1(po_record_deliveries);
PG_FUNCTION_INFO_V1(po_settle_messages);

static int
batch_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n) || PG_GETARG_INT32(n) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be at least 1")));
	return PG_GETARG_INT32(n);
}

/* Null: from the first on. */
static TimestampTz
since_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(n);
}

/*
 * process_payloads(batch, since): takes up webhooks that are due again; returns how many.
 */
Datum
po_process_payloads(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(po_process_due(batch_argument(fcinfo, 0), since_argument(fcinfo, 1)));
}

/*
 * fire_timers(batch, since): fires timers that are due; returns how late each was, in
 * milliseconds.
 */
Datum
po_fire_timers(PG_FUNCTION_ARGS)
{
	int64	   *late_ms;
	int			n = po_fire_due(batch_argument(fcinfo, 0), since_argument(fcinfo, 1), &late_ms);
	PoArray		late;

	po_array_init(&late, INT8OID, n);
	for (int i = 0; i < n; i++)
		po_array_add(&late, Int64GetDatum(late_ms[i]));
	PG_RETURN_DATUM(po_array_datum(&late));
}

/*
 * take_call(since): takes a timer that is due and calls a function; false when there
 * is none.
 */
Datum
po_take_call(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(po_take_due_call(since_argument(fcinfo, 0)));
}

/*
 * run_call(): fires the timer that was taken, in a transaction after that; returns
 * how many milliseconds late, null when it did not fire.
 */
Datum
po_run_call(PG_FUNCTION_ARGS)
{
	int64		late_ms;

	if (!po_run_taken_call(&late_ms))
		PG_RETURN_NULL();
	PG_RETURN_INT64(late_ms);
}

/*
 * return_call(): gives back the timer that was taken and did not come to its end
 * for no fault of its own.  False when none was.
 */
Datum
po_return_call(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(po_return_taken_call());
}

/*
 * claim_messages(since): claims what is due and has room, for this process to
 * send when the transaction has committed; returns how many messages moved.
 */
Datum
po_claim_messages(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(po_claim(since_argument(fcinfo, 0)));
}

/*
 * record_deliveries(): records the answers that this process has and nobody holds
 * up, and returns how many.
 */
Datum
po_record_deliveries(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(po_record());
}

/*
 * settle_messages(): takes over what dead workers had claimed, and settles what
 * is unknown and due; returns how many messages were looked at.
 */
Datum
po_settle_messages(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(po_settle());
}
