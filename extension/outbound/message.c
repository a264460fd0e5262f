/*
 * message.c
 *	  Outbound messages whose rows are locked: how they may move, and the
 *	  statements that lock and write them.
 *
 * The lock of a message comes after those of phones and leads.  Whoever moves a
 * message has its lead locked in the change set, for the event; a lead that is
 * gone takes its events with it, and the message moves all the same.
 *
 * Functions need SPI and the engine's owner as user, and palloc in the current
 * context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "outbound/message.h"
#include "utils/builtins.h"

static const char *const status_name[] = {
	"pending", "deferred", "review", "sending", "unknown", "uncertain", "sent",
	"undelivered", "failed", "delivered", "read", "blocked", "cancelled", "dead"
};

#define LOCK_MESSAGES(how) \
	{ \
		.name = "messages.lock" how, \
		.expect = SPI_OK_SELECT, \
		.before = "SELECT m.tenant_id, m.message_id, m.lead_id, m.account, m.from_phone, m.phone," \
		" m.channel, m.status::text, m.fence, m.attempts, m.failures, m.ambiguous_since," \
		" m.due_at, m.sent_at, m.provider_message_id, m.error_code, m.last_error, m.owner, m.held_by," \
		" m.cancel_on_reply FROM", \
		.columns = "tenant_id, message_id", \
		.after = "JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id" \
		" AND m.message_id = u.message_id ORDER BY m.tenant_id, m.message_id FOR NO KEY UPDATE OF m" how, \
		.ncolumns = 2, \
		.element = {TEXTOID, UUIDOID} \
	}

static PoRowsPlan lock_messages = LOCK_MESSAGES("");
static PoRowsPlan lock_free_messages = LOCK_MESSAGES(" SKIP LOCKED");

static PoRowsPlan select_existing = {
	.name = "messages.existing",
	.expect = SPI_OK_SELECT,
	.before = "SELECT u.n FROM",
	.columns = "tenant_id, message_id",
	.after = "JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id"
	" AND m.message_id = u.message_id",
	.ncolumns = 2,
	.element = {TEXTOID, UUIDOID},
	.numbered = true
};

static PoRowsPlan update_messages = {
	.name = "messages.update",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.outbound_messages m SET status = u.status::outreach.message_status,"
	" due_at = u.due_at, held_by = u.held_by, owner = u.owner, fence = u.fence,"
	" attempts = u.attempts, failures = u.failures, ambiguous_since = u.ambiguous_since,"
	" provider_message_id = u.provider_message_id, error_code = u.error_code,"
	" last_error = u.last_error, sent_at = u.sent_at, verdicts = coalesce(u.verdicts, m.verdicts),"
	" phone = u.phone, updated_at = $1 FROM",
	.columns = "tenant_id, message_id, status, due_at, held_by, owner, fence, attempts, failures,"
	" ambiguous_since, provider_message_id, error_code, last_error, sent_at, verdicts, phone",
	.after = "WHERE m.tenant_id = u.tenant_id AND m.message_id = u.message_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 16,
	.element = {TEXTOID, UUIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT4OID, INT4OID,
	INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, TEXTOID}
};

/*
 * The worker has died, or may before it records the answer of a message that is
 * no longer under way.  An answer, when it comes, is written over this.
 */
static PoRowsPlan end_deliveries = {
	.name = "messages.deliveries",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.message_deliveries d SET finished_at = $1, outcome = 'unknown',"
	" error = u.error FROM",
	.columns = "tenant_id, message_id, attempt, error",
	.after = "WHERE d.tenant_id = u.tenant_id AND d.message_id = u.message_id"
	" AND d.attempt = u.attempt AND d.outcome IS NULL",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 4,
	.element = {TEXTOID, UUIDOID, INT4OID, TEXTOID}
};

/*
 * po_goes_to_phone tells whether what leaves in a channel goes to a phone, and from
 * one of the tenant's numbers.
 */
bool
po_goes_to_phone(const char *channel)
{
	return strcmp(channel, "sms") == 0 || strcmp(channel, "call") == 0;
}

/*
 * po_goes_to_address tells whether it goes to a person's address, whose consent and
 * lock count: the registry has a row of it.
 */
bool
po_goes_to_address(const char *channel)
{
	return po_goes_to_phone(channel) || strcmp(channel, "email") == 0;
}

/*
 * po_message_status_name returns the name of a status.
 */
const char *
po_message_status_name(PoMessageStatus status)
{
	return status_name[status];
}

/*
 * po_message_status_from_name is the reverse, for a name out of a table.
 */
PoMessageStatus
po_message_status_from_name(const char *name)
{
	for (int s = 0; s < lengthof(status_name); s++)
		if (strcmp(name, status_name[s]) == 0)
			return s;
	elog(ERROR, "unknown message status \"%s\"", name);
}

static TimestampTz
column_time_or_end(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/*
 * po_lock_messages locks messages by their keys, in the order of these, and
 * returns how many there are; those that somebody else holds are waited for, or
 * left out.
 */
int
po_lock_messages(const PoMessageKey *key, int n, bool wait, PoMessage **message)
{
	PoRowsPlan *plan = wait ? &lock_messages : &lock_free_messages;
	PoArray		column[2];
	int			found;

	po_rows_init(plan, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_uuid(&column[1], &key[i].message_id);
	}
	found = po_exec_rows(plan, NULL, column);
	*message = palloc0(Max(found, 1) * sizeof(PoMessage));
	for (int i = 0; i < found; i++)
	{
		PoMessage  *m = &(*message)[i];
		bool		isnull;
		Datum		owner;

		m->tenant_id = po_column_text(i, 1);
		(void) po_column_uuid(i, 2, &m->message_id);
		m->lead_id = po_column_text(i, 3);
		m->account = po_column_text(i, 4);
		m->from_phone = po_column_text(i, 5);
		m->phone = po_column_text(i, 6);
		m->channel = po_column_text(i, 7);
		m->status = po_message_status_from_name(po_column_text(i, 8));
		m->fence = po_column_int(i, 9);
		m->attempts = po_column_int(i, 10);
		m->failures = po_column_int(i, 11);
		m->ambiguous_since = column_time_or_end(i, 12);
		m->due_at = column_time_or_end(i, 13);
		m->sent_at = column_time_or_end(i, 14);
		m->provider_message_id = po_column_text(i, 15);
		m->error_code = po_column_text(i, 16);
		m->last_error = po_column_text(i, 17);
		owner = po_column(i, 18, &isnull);
		m->owner = isnull ? 0 : DatumGetInt64(owner);
		m->held_by = po_column_text(i, 19);
		m->cancel_on_reply = po_column_bool(i, 20);
	}
	return found;
}

/*
 * po_find_message finds one among those that po_lock_messages gave.
 */
PoMessage *
po_find_message(PoMessage *message, int n, const char *tenant_id, const pg_uuid_t *message_id)
{
	int			low = 0;
	int			high = n;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			c = strcmp(tenant_id, message[middle].tenant_id);

		if (c == 0)
			c = memcmp(message_id, &message[middle].message_id, UUID_LEN);
		if (c == 0)
			return &message[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_lock_messages_or_tell locks those that nobody else holds, and sets held for the
 * others that there are: it never waits.
 */
int
po_lock_messages_or_tell(const PoMessageKey *key, int n, PoMessage **message, bool *held)
{
	int			found = po_lock_messages(key, n, false, message);
	PoArray		column[2];
	uint64		rows;

	if (found == n)
		return found;
	po_rows_init(&select_existing, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_uuid(&column[1], &key[i].message_id);
	}
	rows = po_exec_rows(&select_existing, NULL, column);
	for (uint64 r = 0; r < rows; r++)
	{
		int			i = po_column_int(r, 1) - 1;

		held[i] |= po_find_message(*message, found, key[i].tenant_id, &key[i].message_id) == NULL;
	}
	return found;
}

static void
add_time(PoArray *array, TimestampTz time)
{
	if (time == DT_NOEND)
		po_array_add_null(array);
	else
		po_array_add(array, TimestampTzGetDatum(time));
}

/*
 * po_write_messages writes those that changed.
 */
void
po_write_messages(PoMessage *message, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		column[16];
	PoArray		ended[4];

	po_rows_init(&update_messages, column, n);
	po_rows_init(&end_deliveries, ended, n);
	for (int i = 0; i < n; i++)
	{
		PoMessage  *m = &message[i];

		if (!m->changed)
			continue;
		po_array_add_text(&column[0], m->tenant_id);
		po_array_add_uuid(&column[1], &m->message_id);
		po_array_add_text(&column[2], status_name[m->status]);
		add_time(&column[3], m->due_at);
		po_array_add_text(&column[4], m->held_by);
		if (m->owner == 0)
			po_array_add_null(&column[5]);
		else
			po_array_add(&column[5], Int64GetDatum(m->owner));
		po_array_add(&column[6], Int32GetDatum(m->fence));
		po_array_add(&column[7], Int32GetDatum(m->attempts));
		po_array_add(&column[8], Int32GetDatum(m->failures));
		add_time(&column[9], m->ambiguous_since);
		po_array_add_text(&column[10], m->provider_message_id);
		po_array_add_text(&column[11], m->error_code);
		po_array_add_text(&column[12], m->last_error);
		add_time(&column[13], m->sent_at);
		if (m->verdicts == NULL)
			po_array_add_null(&column[14]);
		else
			po_array_add(&column[14], JsonbPGetDatum(m->verdicts));
		po_array_add_text(&column[15], m->phone);
		if (m->delivery_error == NULL)
			continue;
		po_array_add_text(&ended[0], m->tenant_id);
		po_array_add_uuid(&ended[1], &m->message_id);
		po_array_add(&ended[2], Int32GetDatum(m->attempts));
		po_array_add_text(&ended[3], m->delivery_error);
	}
	(void) po_exec_rows(&update_messages, &now, column);
	(void) po_exec_rows(&end_deliveries, &now, ended);
}

/*
 * po_message_object begins the payload of an event about the message.
 */
PoObject *
po_message_object(const PoMessage *message)
{
	PoObject   *object = po_object_begin();

	po_object_string(object, "message_id", DatumGetCString(DirectFunctionCall1(uuid_out,
																			   UUIDPGetDatum(&message->message_id))));
	po_object_string(object, "channel", message->channel);
	return object;
}

/*
 * po_message_event adds an event of the message's lead; NULL when the lead is
 * gone.
 */
PoEvent *
po_message_event(PoChangeSet *set, const PoMessage *message, const char *event_type,
				 const PoCause *cause, Jsonb *payload)
{
	PoLead	   *lead = po_find_lead(set, message->tenant_id, message->lead_id);
	PoEvent    *event;

	if (lead == NULL)
		return NULL;
	event = po_lead_event(set, lead, event_type, cause);
	event->payload = payload;
	return event;
}

static void
settle(PoMessage *message, PoMessageStatus status)
{
	message->status = status;
	message->due_at = DT_NOEND;
	message->ambiguous_since = DT_NOEND;
	message->owner = 0;
	message->held_by = NULL;
	message->changed = true;
}

/*
 * po_message_accepted notes that a provider has accepted the message: a new
 * lead is touched by it.  Known already: nothing but the id is noted.
 */
void
po_message_accepted(PoChangeSet *set, PoMessage *message, const char *provider_message_id,
					const PoCause *cause)
{
	PoLead	   *lead = po_find_lead(set, message->tenant_id, message->lead_id);
	PoObject   *object;

	message->changed = true;
	if (message->provider_message_id == NULL)
		message->provider_message_id = provider_message_id;
	message->owner = 0;
	if (message->status >= PO_MESSAGE_SENT && message->sent_at != DT_NOEND)
		return;
	message->sent_at = po_now();
	message->last_error = NULL;
	message->error_code = NULL;
	settle(message, PO_MESSAGE_SENT);
	object = po_message_object(message);
	po_object_string(object, "from", message->from_phone);
	po_object_string(object, "provider_message_id", message->provider_message_id);
	(void) po_message_event(set, message, "message.outbound.sent", cause, po_object_end(object));
	if (lead == NULL)
		return;
	lead->written_to = true;
	lead->changed = true;
	if (lead->business_phone == NULL)
		lead->business_phone = message->from_phone;
	if (lead->state == PO_STATE_NEW)
		(void) po_change_state(set, lead, PO_STATE_TOUCHED, cause);
}

/* Where a report may take a message: only upwards, and only one that was tried. */
static bool
may_move(const PoMessage *message, PoMessageStatus to)
{
	switch (message->status)
	{
		case PO_MESSAGE_BLOCKED:
		case PO_MESSAGE_CANCELLED:
			return false;
		case PO_MESSAGE_DEAD:
			return message->attempts > 0;
		case PO_MESSAGE_UNDELIVERED:
		case PO_MESSAGE_FAILED:
			return to >= PO_MESSAGE_DELIVERED;
		default:
			return message->attempts > 0 && to > message->status;
	}
}

/*
 * po_message_report applies what a provider said of the message, with its
 * event, and returns whether it moved: a report that comes late, or says less
 * than is known, is an event alone.  It proves that the message was accepted.
 */
bool
po_message_report(PoChangeSet *set, PoMessage *message, const PoReport *report,
				  const PoCause *cause)
{
	bool		moves = may_move(message, report->status);
	PoObject   *object;

	if (moves && message->status == PO_MESSAGE_SENDING)
		message->delivery_error = "a status callback came before the answer";
	if (moves && message->sent_at == DT_NOEND)
		po_message_accepted(set, message, NULL, cause);
	object = po_message_object(message);
	po_object_string(object, "previous_status", status_name[message->status]);
	po_object_string(object, "status", status_name[report->status]);
	po_object_string(object, "error_code", report->error_code);
	po_object_bool(object, "applied", moves);
	(void) po_message_event(set, message, "message.delivery.status_updated", cause,
							po_object_end(object));
	if (!moves)
		return false;
	settle(message, report->status);
	if (report->error_code != NULL)
		message->error_code = report->error_code;
	return true;
}

/*
 * po_message_cancel takes back a message that waits to leave, with its event, and
 * returns true; one that may have left once is no longer repeated, but uncertain.
 */
bool
po_message_cancel(PoChangeSet *set, PoMessage *message, const PoCause *cause)
{
	PoObject   *object;

	if (message->ambiguous_since != DT_NOEND)
	{
		po_message_uncertain(set, message, cause);
		return false;
	}
	settle(message, PO_MESSAGE_CANCELLED);
	object = po_message_object(message);
	po_object_string(object, "outcome", status_name[PO_MESSAGE_CANCELLED]);
	po_object_string(object, "reason", cause->reason);
	po_object_string(object, "by", cause->actor);
	(void) po_message_event(set, message, "message.outbound.cancelled", cause, po_object_end(object));
	return true;
}

/*
 * po_message_uncertain leaves a message to a person, or to a late callback: it
 * may have been accepted, and nothing more can be found out.
 */
void
po_message_uncertain(PoChangeSet *set, PoMessage *message, const PoCause *cause)
{
	PoObject   *object = po_message_object(message);

	message->status = PO_MESSAGE_UNCERTAIN;
	message->due_at = DT_NOEND;
	message->owner = 0;
	message->held_by = NULL;
	message->changed = true;
	po_object_string(object, "error_code", message->error_code);
	po_object_string(object, "error", message->last_error);
	po_object_string(object, "reason", cause->reason);
	(void) po_message_event(set, message, "message.outbound.uncertain", cause, po_object_end(object));
}

/*
 * po_effect_of_report returns what of an error code's effect a report has: a message
 * that has arrived, whatever is said of a part of it, has reached its phone.
 */
PoVerdictEffect
po_effect_of_report(const PoMessage *message, const PoReport *report, PoVerdictEffect effect)
{
	bool		lost = report->status == PO_MESSAGE_UNDELIVERED || report->status == PO_MESSAGE_FAILED;

	return effect == PO_EFFECT_UNREACHABLE && (!lost || message->status == PO_MESSAGE_DELIVERED ||
											 message->status == PO_MESSAGE_READ) ? PO_NO_EFFECT : effect;
}

/*
 * po_apply_to_phone applies what a provider says of a phone, locked in the set:
 * it holds whatever became of the message.
 */
void
po_apply_to_phone(PoChangeSet *set, PoPhone *phone, PoVerdictEffect effect,
				  const PoUnreachable *mark, const PoCause *cause)
{
	if (effect == PO_EFFECT_OPTS_OUT)
		(void) po_change_consent(set, phone, PO_CONSENT_OPTED_OUT, cause);
	else if (effect == PO_EFFECT_UNREACHABLE)
		po_mark_unreachable(set, phone, mark, cause);
	else if (effect == PO_EFFECT_REACHED)
		(void) po_mark_reachable(set, phone, mark->channel, mark->message_id, po_now(), cause);
}

/*
 * po_message_unknown notes that a request may have been accepted or may yet be:
 * it is looked at again once it can no longer be on its way.
 */
void
po_message_unknown(PoMessage *message, TimestampTz since, int64 settle_time, const char *error)
{
	message->status = PO_MESSAGE_UNKNOWN;
	message->ambiguous_since = Min(message->ambiguous_since, since);
	message->due_at = po_now() + settle_time;
	message->owner = 0;
	message->last_error = error;
	message->changed = true;
}
