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
#include "outbound/message.h"
#include "utils/builtins.h"

const PoField po_message_key_field[2] = {
	PO_FIELD(PoMessageKey, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoMessageKey, message_id, UUID, PO_TAKE)
};

static const PoField message_field[] = {
	PO_FIELD(PoMessage, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoMessage, message_id, UUID, PO_TAKE | PO_GIVE),
	PO_FIELD(PoMessage, lead_id, TEXT, PO_GIVE),
	PO_FIELD(PoMessage, account, TEXT, PO_GIVE),
	PO_FIELD(PoMessage, from_phone, TEXT, PO_GIVE),
	PO_FIELD(PoMessage, phone, TEXT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, channel, TEXT, PO_GIVE),
	PO_MESSAGE_STATUS(PoMessage, status, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, fence, INT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, attempts, INT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, failures, INT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, ambiguous_since, UNTIL, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, due_at, UNTIL, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, sent_at, UNTIL, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, provider_message_id, TEXT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, error_code, TEXT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, last_error, TEXT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, owner, ID, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, held_by, TEXT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, cancel_on_reply, BOOL, PO_GIVE),
	PO_FIELD(PoMessage, verdicts, JSONB, PO_TAKE)
};

#define LOCK_MESSAGES(how) \
	{ \
		.name = "messages.lock" how, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {m.*} FROM {rows} JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id" \
		" AND m.message_id = u.message_id ORDER BY m.tenant_id, m.message_id FOR NO KEY UPDATE OF m" how, \
		.takes = PO_FIELDS(po_message_key_field, PO_TAKE), \
		.gives = PO_FIELDS(message_field, PO_GIVE) \
	}

static PoStatement lock_messages = LOCK_MESSAGES("");
static PoStatement lock_free_messages = LOCK_MESSAGES(" SKIP LOCKED");

static PoStatement select_existing = {
	.name = "messages.existing",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id"
	" AND m.message_id = u.message_id",
	.takes = PO_FIELDS(po_message_key_field, PO_TAKE),
	.numbered = true
};

static PoStatement update_messages = {
	.name = "messages.update",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.outbound_messages m SET {set}, verdicts = coalesce(u.verdicts, m.verdicts),"
	" updated_at = $1 FROM {rows} WHERE m.tenant_id = u.tenant_id AND m.message_id = u.message_id",
	.takes = PO_FIELDS(message_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static const PoField ended_field[] = {
	PO_FIELD(PoMessage, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoMessage, message_id, UUID, PO_TAKE),
	PO_FIELD_AS(PoMessage, attempts, "attempt", INT, PO_TAKE),
	PO_FIELD_AS(PoMessage, delivery_error, "error", TEXT, PO_TAKE)
};

/*
 * The worker has died, or may before it records the answer of a message that is
 * no longer under way.  An answer, when it comes, is written over this.
 */
static PoStatement end_deliveries = {
	.name = "messages.deliveries",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.message_deliveries d SET finished_at = $1, outcome = 'unknown',"
	" error = u.error FROM {rows} WHERE d.tenant_id = u.tenant_id AND d.message_id = u.message_id"
	" AND d.attempt = u.attempt AND d.outcome IS NULL",
	.takes = PO_FIELDS(ended_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/*
 * po_lock_messages locks messages by their keys, in the order of these, and
 * returns how many there are; those that somebody else holds are waited for, or
 * left out.
 */
int
po_lock_messages(const PoMessageKey *key, int n, bool wait, PoMessage **message)
{
	PoStatement *statement = wait ? &lock_messages : &lock_free_messages;
	int			found = po_exec_rows(statement, NULL, key, n);

	*message = palloc0(Max(found, 1) * sizeof(PoMessage));
	po_read_rows(statement, found, *message);
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
	uint64		existing;

	if (found == n)
		return found;
	existing = po_exec_rows(&select_existing, NULL, key, n);
	for (uint64 r = 0; r < existing; r++)
	{
		int			i = po_column_int(r, 1) - 1;

		held[i] |= po_find_message(*message, found, key[i].tenant_id, &key[i].message_id) == NULL;
	}
	return found;
}

/*
 * po_write_messages writes those that changed.
 */
void
po_write_messages(PoMessage *message, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		changed = po_rows(&update_messages, n);
	PoRows		ended = po_rows(&end_deliveries, n);

	for (int i = 0; i < n; i++)
	{
		if (!message[i].changed)
			continue;
		po_rows_add(&changed, &message[i]);
		if (message[i].delivery_error != NULL)
			po_rows_add(&ended, &message[i]);
	}
	(void) po_rows_exec(&changed, &now);
	(void) po_rows_exec(&ended, &now);
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

/*
 * po_message_move takes a step, and with it what the message may not have any more;
 * returns its new status.  An error where the step is not legal.
 */
PoMessageStatus
po_message_move(PoMessage *message, PoMessageStep step)
{
	int			columns;

	message->status = po_message_require(step, message->status, message->ambiguous_since != DT_NOEND);
	message->changed = true;
	columns = po_message_columns(message->status);
	if ((columns & PO_HAS_DUE) == 0)
		message->due_at = DT_NOEND;
	if ((columns & PO_HAS_DOUBT) == 0)
		message->ambiguous_since = DT_NOEND;
	if ((columns & PO_HAS_OWNER) == 0)
		message->owner = 0;
	if ((columns & PO_HAS_HOLDER) == 0)
		message->held_by = NULL;
	return message->status;
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
	PoMessageStatus to;
	PoObject   *object;

	message->changed = true;
	if (message->provider_message_id == NULL)
		message->provider_message_id = provider_message_id;
	if (message->sent_at != DT_NOEND)
		return;
	message->sent_at = po_now();
	message->last_error = NULL;
	message->error_code = NULL;
	/* One that is known to have left lacks the time alone. */
	if (po_message_leads(PO_STEP_ACCEPT, message->status, false, &to))
		(void) po_message_move(message, PO_STEP_ACCEPT);
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

/*
 * po_message_report applies what a provider said of the message, with its
 * event, and returns whether it moved: a report that comes late, or says less
 * than is known, is an event alone.  It proves that the message was accepted.
 */
bool
po_message_report(PoChangeSet *set, PoMessage *message, const PoReport *report,
				  const PoCause *cause)
{
	PoMessageStep step = po_message_report_step(report->status);
	PoMessageStatus to;
	bool		moves = message->attempts > 0 && po_message_leads(step, message->status, false, &to);
	PoObject   *object;

	if (moves && message->status == PO_MESSAGE_SENDING)
		message->delivery_error = "a status callback came before the answer";
	if (moves && message->sent_at == DT_NOEND)
		po_message_accepted(set, message, NULL, cause);
	object = po_message_object(message);
	po_object_string(object, "previous_status", po_message_status_names[message->status]);
	po_object_string(object, "status", po_message_status_names[report->status]);
	po_object_string(object, "error_code", report->error_code);
	po_object_bool(object, "applied", moves);
	(void) po_message_event(set, message, "message.delivery.status_updated", cause,
							po_object_end(object));
	if (!moves)
		return false;
	if (message->status != report->status)
		(void) po_message_move(message, step);
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

	if (po_message_move(message, PO_STEP_CANCEL) == PO_MESSAGE_UNCERTAIN)
	{
		po_message_in_doubt(set, message, cause);
		return false;
	}
	object = po_message_object(message);
	po_object_string(object, "outcome", po_message_status_names[message->status]);
	po_object_string(object, "reason", cause->reason);
	po_object_string(object, "by", cause->actor);
	(void) po_message_event(set, message, "message.outbound.cancelled", cause, po_object_end(object));
	return true;
}

/*
 * po_message_in_doubt is the event of a message that has become uncertain.
 */
void
po_message_in_doubt(PoChangeSet *set, const PoMessage *message, const PoCause *cause)
{
	PoObject   *object = po_message_object(message);

	po_object_string(object, "error_code", message->error_code);
	po_object_string(object, "error", message->last_error);
	po_object_string(object, "reason", cause->reason);
	(void) po_message_event(set, message, "message.outbound.uncertain", cause, po_object_end(object));
}

/*
 * po_message_uncertain leaves a message to a person, or to a late callback: it
 * may have been accepted, and nothing more can be found out.
 */
void
po_message_uncertain(PoChangeSet *set, PoMessage *message, const PoCause *cause)
{
	(void) po_message_move(message, PO_STEP_DOUBT);
	po_message_in_doubt(set, message, cause);
}

/*
 * po_effect_of_report returns what of an error code's effect a report has: a message
 * that has arrived, whatever is said of a part of it, has reached its phone.
 */
PoVerdictEffect
po_effect_of_report(const PoMessage *message, const PoReport *report, PoVerdictEffect effect)
{
	bool		lost = report->status == PO_MESSAGE_UNDELIVERED || report->status == PO_MESSAGE_FAILED;

	return effect == PO_EFFECT_UNREACHABLE && (!lost || po_message_arrived(message->status)) ? PO_NO_EFFECT : effect;
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
	(void) po_message_move(message, PO_STEP_LOSE);
	message->ambiguous_since = Min(message->ambiguous_since, since);
	message->due_at = po_now() + settle_time;
	message->last_error = error;
}
