/*
 * reach.c
 *	  Addresses that cannot be reached in a channel: a landline does not take texts, an
 *	  e-mail address may be nobody's.
 *
 * The mark stands in the row of the address, so that a claim, which locks that, sees
 * it.  It says who said what of which message, and is shown by a view: it may be
 * wrong.  A text from the phone, or the delivery of that very message, proves it so;
 * else a person lifts it.  Functions need SPI, the engine's owner as user, and the
 * phone locked in the set.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi_plan.h"
#include "fmgr.h"
#include "lead/address.h"
#include "lead/address_args.h"
#include "lead/reach.h"
#include "utils/builtins.h"

static PoPlan mark_phone = {
	.name = "reach.mark",
	.expect = SPI_OK_UPDATE_RETURNING,
	.sql = "UPDATE outreach.phones SET line_type = 'unreachable', unreachable = coalesce(unreachable, '{}')"
	" || jsonb_build_object($3, jsonb_strip_nulls(jsonb_build_object('since', $4, 'source', $5, 'code', $6,"
	" 'reason', $7, 'message_id', $8)))"
	" WHERE tenant_id = $1 AND phone = $2 AND NOT coalesce(unreachable ? $3, false) RETURNING unreachable",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID)
};

/* Of a channel or of all, by whichever message or by that one; not what was said later. */
static PoPlan lift_mark = {
	.name = "reach.lift",
	.expect = SPI_OK_UPDATE_RETURNING,
	.sql = "UPDATE outreach.phones p SET unreachable = nullif(coalesce(p.unreachable - $3, '{}'), '{}'),"
	" line_type = CASE WHEN coalesce(p.unreachable - $3, '{}') <> '{}' THEN p.line_type END"
	" WHERE p.tenant_id = $1 AND p.phone = $2 AND CASE WHEN $3 IS NULL THEN p.unreachable IS NOT NULL"
	" ELSE p.unreachable ? $3 AND coalesce(p.unreachable #>> ARRAY[$3, 'message_id'] = $4::text, $4 IS NULL)"
	" AND (p.unreachable #>> ARRAY[$3, 'since'])::timestamptz <= $5 END"
	" RETURNING p.unreachable",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID, UUIDOID, TIMESTAMPTZOID)
};

PG_FUNCTION_INFO_V1(po_api_mark_reachable);

/* Runs a statement about the marks of a phone; false where it changed nothing. */
static bool
change(PoPlan *plan, PoPhone *phone, Datum *args, const char *nulls)
{
	bool		isnull;
	Datum		marks;

	if (po_exec(plan, args, nulls) == 0)
		return false;
	marks = po_column(0, 1, &isnull);
	phone->unreachable = isnull ? NULL : DatumGetJsonbPCopy(marks);
	return true;
}

static void
note(PoChangeSet *set, const PoPhone *phone, const char *event_type, PoObject *object,
	 const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&set->events, phone->tenant_id, event_type, cause->source);

	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	event->payload = po_object_end(object);
}

/*
 * po_mark_unreachable marks a phone, unless it is marked in the channel: the first
 * word counts.
 */
void
po_mark_unreachable(PoChangeSet *set, PoPhone *phone, const PoUnreachable *mark, const PoCause *cause)
{
	Datum		args[8] = {
		CStringGetTextDatum(phone->tenant_id), CStringGetTextDatum(phone->phone),
		CStringGetTextDatum(mark->channel),
		TimestampTzGetDatum(cause->said_at != NULL ? *cause->said_at : po_now()),
		CStringGetTextDatum(cause->source),
		mark->code != NULL ? CStringGetTextDatum(mark->code) : (Datum) 0,
		mark->reason != NULL ? CStringGetTextDatum(mark->reason) : (Datum) 0,
		mark->message_id != NULL ? UUIDPGetDatum(mark->message_id) : (Datum) 0
	};
	char		nulls[] = "        ";
	PoObject   *object;

	nulls[5] = mark->code != NULL ? ' ' : 'n';
	nulls[6] = mark->reason != NULL ? ' ' : 'n';
	nulls[7] = mark->message_id != NULL ? ' ' : 'n';
	if (!change(&mark_phone, phone, args, nulls))
		return;
	object = po_object_begin();
	po_object_string(object, po_address_kind(phone->phone), phone->phone);
	po_object_string(object, "channel", mark->channel);
	po_object_string(object, "error_code", mark->code);
	po_object_string(object, "reason", mark->reason);
	if (mark->message_id != NULL)
		po_object_string(object, "message_id",
						 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(mark->message_id))));
	note(set, phone, "address.unreachable", object, cause);
}

/*
 * po_mark_reachable lifts the mark of a phone in a channel, NULL: in all, where it
 * was made for that message, NULL: for any, and not later than what proves it wrong.
 * Returns whether there was one.
 */
bool
po_mark_reachable(PoChangeSet *set, PoPhone *phone, const char *channel,
				  const pg_uuid_t *message_id, TimestampTz said_at, const PoCause *cause)
{
	Datum		args[5] = {
		CStringGetTextDatum(phone->tenant_id), CStringGetTextDatum(phone->phone),
		channel != NULL ? CStringGetTextDatum(channel) : (Datum) 0,
		message_id != NULL ? UUIDPGetDatum(message_id) : (Datum) 0,
		TimestampTzGetDatum(said_at)
	};
	char		nulls[] = "     ";
	PoObject   *object;

	nulls[2] = channel != NULL ? ' ' : 'n';
	nulls[3] = message_id != NULL ? ' ' : 'n';
	if (!change(&lift_mark, phone, args, nulls))
		return false;
	object = po_object_begin();
	po_object_string(object, po_address_kind(phone->phone), phone->phone);
	po_object_string(object, "channel", channel);
	po_object_string(object, "reason", cause->reason);
	po_object_string(object, "actor", cause->actor);
	note(set, phone, "address.reachable", object, cause);
	return true;
}

/*
 * po_is_marked tells whether a phone, as it was locked, cannot be reached in a
 * channel.
 */
bool
po_is_marked(const PoPhone *phone, const char *channel)
{
	return po_unreachable_reason(phone->unreachable, channel) != NULL;
}

/*
 * po_unreachable_reason returns why a phone with these marks, NULL: none, cannot be
 * reached in a channel, palloc'd; NULL when it can.
 */
const char *
po_unreachable_reason(Jsonb *marks, const char *channel)
{
	JsonbValue	value;
	Jsonb	   *mark;
	const char *code;
	const char *reason;

	if (marks == NULL ||
		getKeyJsonValueFromContainer(&marks->root, channel, strlen(channel), &value) == NULL)
		return NULL;
	mark = JsonbValueToJsonb(&value);
	code = po_jsonb_text(mark, "code", 4);
	reason = po_jsonb_text(mark, "reason", 6);
	return psprintf("the %s cannot be reached by %s: %s%s%s%s%s",
					strcmp(channel, "email") == 0 ? "e-mail address" : "phone", channel,
					po_jsonb_text(mark, "source", 6), code != NULL ? " " : "", code != NULL ? code : "",
					reason != NULL ? ", " : "", reason != NULL ? reason : "");
}

/*
 * mark_reachable(tenant_id, address, by, reason, channel): a person knows better.
 */
Datum
po_api_mark_reachable(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *address = po_arg_address(fcinfo, 1, "address");
	PoCause		cause = {
		.source = "sql",
		.actor = po_arg_required(fcinfo, 2, "by"),
		.reason = po_arg_required(fcinfo, 3, "reason")
	};
	char	   *channel = po_arg_text(fcinfo, 4, "channel");
	PoChangeSet set = {0};
	PoPhoneKey	key = {tenant_id, address};
	Datum		values[2];
	bool		isnull[2] = {false};
	bool		changed;

	if (channel != NULL && strcmp(channel, "sms") != 0 && strcmp(channel, "call") != 0 && strcmp(channel, "email") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("channel must be sms, call or email")));
	po_spi_connect();
	po_lock_phones(&set, &key, 1);
	changed = po_mark_reachable(&set, &set.phone[0], channel, NULL, po_now(), &cause);
	po_write_changes(&set);
	SPI_finish();
	values[0] = CStringGetTextDatum(address);
	values[1] = BoolGetDatum(changed);
	return po_result_row(fcinfo, values, isnull);
}
