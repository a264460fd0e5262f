/*
 * reach.c
 *	  Addresses that cannot be reached in a channel: a landline does not take texts, an
 *	  e-mail address may be nobody's.
 *
 * The mark stands in the row of the address, so that a claim, which locks that, sees
 * it.  It says who said what of which message, and is shown by a view: it may be
 * wrong.  A text from the address, or the delivery of that very message, proves it so;
 * else a person lifts it.  Functions need SPI, the engine's owner as user, and the
 * address locked in the unit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/address.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/statement.h"
#include "fmgr.h"
#include "lead/address_args.h"
#include "lead/channel.h"
#include "lead/reach.h"
#include "utils/builtins.h"

/* A mark of an address, or what proves one wrong: then NULL is whatever channel or message. */
typedef struct Mark
{
	const char *tenant_id;
	const char *address;
	PoUnreachable as;
	TimestampTz said_at;
	const char *source;
} Mark;

#define LIFTED		PO_USE

static const PoField mark_field[] = {
	PO_FIELD(Mark, tenant_id, TEXT, PO_TAKE | LIFTED),
	PO_FIELD(Mark, address, TEXT, PO_TAKE | LIFTED),
	PO_FIELD_AS(Mark, as.channel, "channel", TEXT, PO_TAKE | LIFTED),
	PO_FIELD_AS(Mark, as.code, "code", TEXT, PO_TAKE),
	PO_FIELD_AS(Mark, as.reason, "reason", TEXT, PO_TAKE),
	PO_FIELD_AS(Mark, as.message_id, "message_id", UUIDP, PO_TAKE | LIFTED),
	PO_FIELD(Mark, said_at, SINCE, PO_TAKE | LIFTED),
	PO_FIELD(Mark, source, TEXT, PO_TAKE)
};

static PoStatement mark_address = {
	.name = "reach.mark",
	.expect = SPI_OK_UPDATE_RETURNING,
	.sql = "UPDATE outreach.addresses p SET line_type = 'unreachable',"
	" unreachable = coalesce(p.unreachable, '{}') || jsonb_build_object(u.channel,"
	" jsonb_strip_nulls(jsonb_build_object('since', u.said_at, 'source', u.source, 'code', u.code,"
	" 'reason', u.reason, 'message_id', u.message_id))) FROM {rows}"
	" WHERE p.tenant_id = u.tenant_id AND p.address = u.address AND NOT coalesce(p.unreachable ? u.channel, false)"
	" RETURNING p.unreachable",
	.takes = PO_FIELDS(mark_field, PO_TAKE)
};

/* Of a channel or of all, by whichever message or by that one; not what was said later. */
static PoStatement lift_mark = {
	.name = "reach.lift",
	.expect = SPI_OK_UPDATE_RETURNING,
	.sql = "UPDATE outreach.addresses p"
	" SET unreachable = nullif(coalesce(p.unreachable - u.channel, '{}'), '{}'),"
	" line_type = CASE WHEN coalesce(p.unreachable - u.channel, '{}') <> '{}' THEN p.line_type END"
	" FROM {rows} WHERE p.tenant_id = u.tenant_id AND p.address = u.address"
	" AND CASE WHEN u.channel IS NULL THEN p.unreachable IS NOT NULL ELSE p.unreachable ? u.channel"
	" AND coalesce(p.unreachable #>> ARRAY[u.channel, 'message_id'] = u.message_id::text,"
	" u.message_id IS NULL)"
	" AND (p.unreachable #>> ARRAY[u.channel, 'since'])::timestamptz <= u.said_at END"
	" RETURNING p.unreachable",
	.takes = PO_FIELDS(mark_field, LIFTED)
};

/* Runs a statement about the marks of an address; false where it changed nothing. */
static bool
change(PoStatement *statement, PoAddress *address, const PoUnreachable *mark, TimestampTz said_at,
	   const char *source)
{
	Mark		row = {
		.tenant_id = address->tenant_id, .address = address->address, .as = *mark, .said_at = said_at, .source = source
	};
	bool		isnull;
	Datum		marks;

	if (po_exec_row(statement, NULL, &row) == 0)
		return false;
	marks = po_column(0, 1, &isnull);
	address->unreachable = isnull ? NULL : DatumGetJsonbPCopy(marks);
	return true;
}

static void
note(PoUnit *unit, const PoAddress *address, const char *event_type, PoObject *object,
	 const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&unit->events, address->tenant_id, event_type, cause->source);

	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	po_event_tells(event, object);
}

/*
 * po_mark_unreachable marks an address, unless it is marked in the channel: the first
 * word counts.
 */
void
po_mark_unreachable(PoUnit *unit, PoAddress *address, const PoUnreachable *mark, const PoCause *cause)
{
	PoObject   *object;

	if (!change(&mark_address, address, mark, cause->said_at != NULL ? *cause->said_at : po_now(), cause->source))
		return;
	object = po_object_begin();
	po_object_address(object, address->address, &address->contact_id);
	po_object_string(object, "channel", mark->channel);
	po_object_string(object, "error_code", mark->code);
	po_object_detail(object, "reason", mark->reason);
	if (mark->message_id != NULL)
		po_object_string(object, "message_id",
						 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(mark->message_id))));
	note(unit, address, "address.unreachable", object, cause);
}

/*
 * po_mark_reachable lifts the mark of an address in a channel, NULL: in all, where it
 * was made for that message, NULL: for any, and not later than what proves it wrong.
 * Returns whether there was one.
 */
bool
po_mark_reachable(PoUnit *unit, PoAddress *address, const char *channel,
				  const pg_uuid_t *message_id, TimestampTz said_at, const PoCause *cause)
{
	PoUnreachable mark = {.channel = channel, .message_id = message_id};
	PoObject   *object;

	if (!change(&lift_mark, address, &mark, said_at, NULL))
		return false;
	object = po_object_begin();
	po_object_address(object, address->address, &address->contact_id);
	po_object_string(object, "channel", channel);
	po_object_cause(object, cause, "actor");
	note(unit, address, "address.reachable", object, cause);
	return true;
}

/*
 * po_is_marked tells whether an address, as it was locked, cannot be reached in a
 * channel.
 */
bool
po_is_marked(const PoAddress *address, const char *channel)
{
	return po_unreachable_reason(address->unreachable, channel) != NULL;
}

/*
 * po_unreachable_reason returns why an address with these marks, NULL: none, cannot be
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
					po_goes_to_email(channel) ? "e-mail address" : "phone", channel,
					po_jsonb_text(mark, "source", 6), code != NULL ? " " : "", code != NULL ? code : "",
					reason != NULL ? ", " : "", reason != NULL ? reason : "");
}
