/*
 * outbound_api.c
 *	  The SQL functions about messages.
 *
 * Each is one statement for its caller and runs as the engine's owner, once
 * core/api.c has found that the caller may act for the tenant.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/segments.h"
#include "common/template.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lead/channel.h"
#include "outbound/message.h"
#include "outbound/options.h"
#include "outbound/outbox.h"
#include "outbound/reject.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

static PoPlan select_lead = {
	.name = "outbound_api.lead",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT lead_id FROM outreach.outbound_messages WHERE tenant_id = $1 AND message_id = $2",
	PO_ARGS(TEXTOID, UUIDOID)
};

static PoPlan keep_on_reply = {
	.name = "outbound_api.keep_on_reply",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.outbound_messages SET cancel_on_reply = false WHERE tenant_id = $1 AND message_id = $2",
	PO_ARGS(TEXTOID, UUIDOID)
};

PG_FUNCTION_INFO_V1(po_api_send_message);
PG_FUNCTION_INFO_V1(po_api_send_messages);
PG_FUNCTION_INFO_V1(po_api_preview_message);
PG_FUNCTION_INFO_V1(po_api_cancel_message);
PG_FUNCTION_INFO_V1(po_api_resolve_message);
PG_FUNCTION_INFO_V1(po_api_check_template);
PG_FUNCTION_INFO_V1(po_api_count_segments);

/* What a message says: arguments 0 and 2 to 4.  The request is otherwise as it was. */
static void
read_content(FunctionCallInfo fcinfo, PoSendRequest *request)
{
	request->tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	request->body = po_arg_text(fcinfo, 2, "body");
	request->template = PG_ARGISNULL(3) ? NULL : po_arg_id(fcinfo, 3, "template");
	request->channel = po_arg_required(fcinfo, 4, "channel");
	po_channel_require("channel", request->channel);
	if (request->body != NULL ? request->template != NULL
		: request->template == NULL && request->per_lead == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("either body or template must be given")));
}

/* Arguments 0 and 2 to 9, which both functions have. */
static void
read_arguments(FunctionCallInfo fcinfo, PoSendRequest *request)
{
	char	   *priority = po_arg_required(fcinfo, 8, "priority");

	read_content(fcinfo, request);
	request->from_phone = po_arg_text(fcinfo, 6, "from_phone");
	request->send_at = PG_ARGISNULL(7) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(7);
	request->options = po_arg_jsonb(fcinfo, 9);
	request->priority = po_priority_require("priority", priority);
	if (request->send_at == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("send_at must be finite")));
	po_read_options(request);
}

/* Message, status, duplicate and verdicts, in this order. */
static void
result_values(const PoSendResult *result, Datum *values, bool *isnull)
{
	static const PoGuardResult allowed = {PO_GUARD_ALLOW, NULL, NULL};

	values[0] = UUIDPGetDatum(&result->message_id);
	isnull[0] = result->rejected;
	values[1] = CStringGetTextDatum(result->rejected ? "rejected" : po_message_status_names[result->status]);
	values[2] = BoolGetDatum(result->duplicate && !result->rejected);
	values[3] = JsonbPGetDatum(result->verdicts != NULL ? result->verdicts : po_guard_verdicts(&allowed));
}

static void
require_addresses(const PoSendRequest *request, const char *name)
{
	if (!po_goes_to_address(request->channel))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s cannot be given for channel \"%s\"", name, request->channel),
				 errdetail("Its messages go to a lead, and to no phone or e-mail address.")));
}

/*
 * send_message(tenant_id, lead_id, body, template, channel, send_key, from_phone,
 * send_at, priority, options, address)
 */
Datum
po_api_send_message(PG_FUNCTION_ARGS)
{
	PoSendRequest request = {.n = 1};
	PoSendResult result = {0};
	const char *lead_id = PG_ARGISNULL(1) ? NULL : po_arg_id(fcinfo, 1, "lead_id");
	const char *address = po_arg_text(fcinfo, 10, "address");
	const char *send_key = po_arg_text(fcinfo, 5, "send_key");
	Datum		values[5];
	bool		isnull[5] = {false};

	read_arguments(fcinfo, &request);
	request.lead_id = &lead_id;
	if (address != NULL)
	{
		require_addresses(&request, "address");
		request.address = &address;
	}
	if (lead_id == NULL && address == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("lead_id must not be null"),
				 errhint("To send to a phone or an e-mail address of which you know no lead, give address.")));
	if (lead_id != NULL && address != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("either lead_id or address must be given")));
	request.send_key = &send_key;
	(void) po_check_item(&request, 0, &result);
	po_spi_connect();
	po_enqueue(&request, &result);
	SPI_finish();
	result_values(&result, values, isnull);
	values[4] = CStringGetTextDatum(lead_id);
	return po_result_row(fcinfo, values, isnull);
}

/* The leads or addresses that messages are for, and their keys: arguments 1, 5 and 11. */
static void
read_items(FunctionCallInfo fcinfo, PoSendRequest *request)
{
	int			nkeys;

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(11))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("either lead_ids or addresses must be given")));
	if (!PG_ARGISNULL(11))
	{
		require_addresses(request, "addresses");
		request->address = po_texts(po_arg_array(fcinfo, 11, "addresses"), &request->n);
		request->lead_id = palloc0(Max(request->n, 1) * sizeof(char *));
	}
	else
		request->lead_id = po_texts(po_arg_array(fcinfo, 1, "lead_ids"), &request->n);
	if (PG_ARGISNULL(5))
		return;
	request->send_key = po_texts(po_arg_array(fcinfo, 5, "send_keys"), &nkeys);
	if (nkeys != request->n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("send_keys must have as many elements as %s",
						request->address != NULL ? "addresses" : "lead_ids")));
}

/*
 * send_messages: to many leads; lead_ids, send_keys and addresses are arrays, and per_lead
 * is what differs.
 */
Datum
po_api_send_messages(PG_FUNCTION_ARGS)
{
	PoSendRequest request = {.each = true, .per_lead = po_arg_jsonb(fcinfo, 10)};
	PoSendResult *result;

	read_arguments(fcinfo, &request);
	read_items(fcinfo, &request);
	InitMaterializedSRF(fcinfo, 0);
	if (request.n == 0)
		return (Datum) 0;
	result = palloc0(request.n * sizeof(PoSendResult));
	for (int i = 0; i < request.n; i++)
		(void) po_check_item(&request, i, &result[i]);
	po_spi_connect();
	po_enqueue(&request, result);
	SPI_finish();
	for (int i = 0; i < request.n; i++)
	{
		Datum		values[6] = {Int32GetDatum(i + 1)};
		bool		isnull[6] = {false};

		po_set_text(values, isnull, 1, request.lead_id[i]);
		result_values(&result[i], &values[2], &isnull[2]);
		po_result_add(fcinfo, values, isnull);
	}
	return (Datum) 0;
}

/*
 * preview_message(tenant_id, lead_id, body, template, channel, options): what send_message
 * would ask for, and what the guards say of it now.
 */
Datum
po_api_preview_message(PG_FUNCTION_ARGS)
{
	const char *lead_id = po_arg_id(fcinfo, 1, "lead_id");
	PoSendRequest request = {.n = 1};
	PoDraft		draft;
	PoMessageStatus status;
	Datum		values[9];
	bool		isnull[9] = {false};

	read_content(fcinfo, &request);
	request.options = po_arg_jsonb(fcinfo, 5);
	request.priority = PO_PRIORITY_NORMAL;
	po_read_options(&request);
	request.lead_id = &lead_id;
	po_spi_connect();
	po_preview(&request, &draft);
	SPI_finish();
	status = draft.result.verdict == PO_GUARD_ALLOW ? PO_MESSAGE_PENDING : PO_MESSAGE_BLOCKED;
	values[0] = CStringGetTextDatum(po_message_status_names[status]);
	values[1] = JsonbPGetDatum(po_guard_verdicts(&draft.result));
	po_set_text(values, isnull, 2, draft.address);
	po_set_text(values, isnull, 3, draft.from);
	po_set_text(values, isnull, 4, draft.subject);
	po_set_text(values, isnull, 5, draft.body);
	po_set_text(values, isnull, 6, draft.html);
	values[7] = Int32GetDatum(draft.segments);
	values[8] = Int64GetDatum(draft.price_micros);
	return po_result_row(fcinfo, values, isnull);
}

/* Locks a message with its lead; an error when there is none. */
static PoMessage *
require_message(PoUnit *unit, const char *tenant_id, const pg_uuid_t *message_id)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), UUIDPGetDatum(message_id)};
	PoWants		wants = {0};
	PoMessage  *message = NULL;

	if (po_exec(&select_lead, args, NULL) > 0)
	{
		po_want(&wants, PO_WANT_LEAD, 0, tenant_id, po_column_text(0, 1));
		po_want_message(&wants, 0, tenant_id, message_id);
		po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
		message = po_find_message(unit, tenant_id, message_id);
	}
	if (message == NULL)
		ereport(ERROR,
				(errcode(PO_ERRCODE_UNKNOWN_MESSAGE),
				 errmsg("tenant \"%s\" has no message %s", tenant_id,
						DatumGetCString(DirectFunctionCall1(uuid_out, args[1])))));
	return message;
}

static pg_uuid_t
message_id_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("message_id must not be null")));
	return *PG_GETARG_UUID_P(1);
}

/*
 * cancel_message(tenant_id, message_id, reason): takes back what has not left.
 */
Datum
po_api_cancel_message(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	pg_uuid_t	message_id = message_id_argument(fcinfo);
	PoCause		cause = {.source = "sql", .reason = po_arg_text(fcinfo, 2, "reason")};
	PoUnit		unit = {0};
	PoMessage  *message;
	bool		cancelled;

	po_spi_connect();
	message = require_message(&unit, tenant_id, &message_id);
	cancelled = po_message_waits(message->status);
	if (cancelled)
	{
		cancelled = po_message_cancel(&unit, message, &cause);
		po_unit_write(&unit);
	}
	SPI_finish();
	PO_RETURN_ROW(UUIDPGetDatum(&message_id), CStringGetTextDatum(po_message_status_names[message->status]),
				  BoolGetDatum(cancelled));
}

/*
 * resolve_message(tenant_id, message_id, outcome, reason, attempt): what a person has found
 * out about a message whose outcome is not known, or wants of one that was given up.
 */
Datum
po_api_resolve_message(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	pg_uuid_t	message_id = message_id_argument(fcinfo);
	char	   *outcome = po_arg_required(fcinfo, 2, "outcome");
	PoCause		cause = {.source = "sql", .reason = po_arg_required(fcinfo, 3, "reason")};
	bool		sent = strcmp(outcome, "sent") == 0;
	bool		failed = strcmp(outcome, "failed") == 0;
	bool		retry = strcmp(outcome, "retry") == 0;
	PoUnit		unit = {0};
	PoMessage  *message;
	bool		open;
	bool		refused;
	PoObject   *object;

	if (!sent && !failed && !retry)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome must be sent, failed or retry")));
	po_spi_connect();
	message = require_message(&unit, tenant_id, &message_id);
	/* Before its time an unknown one may yet be accepted. */
	open = message->status == PO_MESSAGE_UNCERTAIN ||
		(message->status == PO_MESSAGE_UNKNOWN && (sent || message->due_at <= po_now()));
	/* What was surely refused cannot turn out to be sent. */
	refused = (message->status == PO_MESSAGE_REVIEW && !sent) ||
		(retry && message->sent_at == DT_NOEND &&
		 (message->status == PO_MESSAGE_DEAD || message->status == PO_MESSAGE_FAILED));
	/* What a person has seen of another attempt says nothing of this one. */
	if ((!open && !refused) ||
		(!PG_ARGISNULL(4) && PG_GETARG_INT32(4) != message->attempts))
		ereport(ERROR,
				(errcode(PO_ERRCODE_MESSAGE_NOT_RESOLVABLE),
				 errmsg("message is %s after %d attempts: that is not for a person to decide",
						po_message_status_names[message->status], message->attempts),
				 errdetail("Uncertain messages can be resolved, unknown ones when they are due or as sent; those in "
						   "review can fail or be tried again, failed and dead ones that were never accepted can be "
						   "tried again.")));
	message->changed = true;
	object = po_message_object(message);
	po_object_string(object, "outcome", outcome);
	po_object_cause(object, &cause, "by");
	(void) po_message_event(&unit, message, "message.outbound.resolved", &cause, object);
	if (sent)
		po_message_accepted(&unit, message, NULL, &cause);
	else
	{
		(void) po_message_move(message, failed ? PO_STEP_ABANDON : PO_STEP_RETRY);
		message->ambiguous_since = DT_NOEND;
		message->failures = 0;
		message->due_at = failed ? DT_NOEND : po_now();
		/* A person wants it after whatever the lead has replied. */
		if (retry && message->cancel_on_reply)
		{
			Datum		args[2] = {CStringGetTextDatum(tenant_id), UUIDPGetDatum(&message_id)};

			(void) po_exec(&keep_on_reply, args, NULL);
		}
		if (retry)
			po_wake_at(message->due_at);
	}
	po_unit_write(&unit);
	SPI_finish();
	PO_RETURN_ROW(UUIDPGetDatum(&message_id), CStringGetTextDatum(po_message_status_names[message->status]));
}

/*
 * check_template(text): null, or what is wrong with it and where.
 */
Datum
po_api_check_template(PG_FUNCTION_ARGS)
{
	char	   *template = po_arg_text(fcinfo, 0, "body");
	PoTemplateProblem problem;

	if (po_template_check(PO_TEMPLATE_OF_MESSAGE, template, strlen(template), &problem) == PO_TEMPLATE_OK)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s, at byte %d", problem.reason, problem.position + 1)));
}

/*
 * count_segments(body): encoding and number of parts of an SMS.
 */
Datum
po_api_count_segments(PG_FUNCTION_ARGS)
{
	char	   *body = po_arg_text(fcinfo, 0, "body");
	bool		ucs2;
	int			segments = po_segments(body, strlen(body), &ucs2);

	PO_RETURN_ROW(CStringGetTextDatum(ucs2 ? "UCS-2" : "GSM-7"), Int32GetDatum(segments));
}
