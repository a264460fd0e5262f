/*
 * outbox.c
 *	  Asking for messages: each is filled in, judged and inserted, once for its
 *	  send_key.
 *
 * The ledger outreach.send_keys is the only arbiter.  A key whose message was blocked
 * before it ever left has done nothing yet: that message makes room, and the guards are
 * asked anew.  Of leads only those are locked whose message is blocked, before the
 * insertion, for the event, or makes room; what is read of the others without a lock is
 * looked at again at the claim.  Keys are inserted in their order, so that two callers do
 * not wait for each other.
 *
 * po_enqueue needs SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ledger.h"
#include "core/limits.h"
#include "core/statement.h"
#include "core/wakeup.h"
#include "miscadmin.h"
#include "outbound/message.h"
#include "outbound/outbox.h"
#include "outbound/reject.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* Bound what a call over many leads keeps in memory. */
#define CHUNK 1000
#define CHUNK_BYTES (16 * 1024 * 1024)	/* of texts that are not filled in yet */

/* A send_key in the ledger. */
typedef struct Key
{
	pg_uuid_t	key;
	pg_uuid_t	message_id;
	pg_uuid_t	content_hash;
} Key;

static const PoField key_field[] = {
	PO_FIELD(Key, key, UUID, PO_TAKE),
	PO_FIELD(Key, message_id, UUID, PO_TAKE | PO_GIVE),
	PO_FIELD(Key, content_hash, UUID, PO_TAKE | PO_SET)
};

static PoStatement insert_keys = {
	.name = "outbox.keys",
	.expect = SPI_OK_INSERT_RETURNING,
	.sql = "INSERT INTO outreach.send_keys AS k (tenant_id, {columns}) SELECT $1, {u.*} FROM {rows}"
	" ON CONFLICT (key) DO NOTHING RETURNING {k.*}",
	.takes = PO_FIELDS(key_field, PO_TAKE),
	.gives = PO_FIELDS(key_field, PO_GIVE),
	PO_FIXED(TEXTOID)
};

/* Of keys that are used again. */
static PoStatement update_keys = {
	.name = "outbox.reuse",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.send_keys k SET {set} FROM {rows} WHERE k.key = u.key",
	.takes = PO_FIELDS(key_field, PO_TAKE)
};

/* What is inserted of a draft. */
typedef struct Row
{
	pg_uuid_t	message_id;
	const char *send_key;
	const char *lead_id;
	const char *account;
	const char *from_phone;
	const char *phone;
	const char *template;
	int			template_version;	/* 0: none */
	const char *subject;
	const char *body;
	const char *html;
	Jsonb	   *options;
	int			segments;
	int64		price_micros;
	Jsonb	   *verdicts;
	PoMessageStatus status;
	const char *bcc;			/* arrays as text */
	const char *media_urls;
} Row;

static const PoField row_field[] = {
	PO_FIELD(Row, message_id, UUID, PO_TAKE),
	PO_FIELD(Row, send_key, TEXT, PO_TAKE),
	PO_FIELD(Row, lead_id, TEXT, PO_TAKE),
	PO_FIELD(Row, account, TEXT, PO_TAKE),
	PO_FIELD(Row, from_phone, TEXT, PO_TAKE),
	PO_FIELD(Row, phone, TEXT, PO_TAKE),
	PO_FIELD(Row, template, TEXT, PO_TAKE),
	PO_FIELD(Row, template_version, NUMBER, PO_TAKE),
	PO_FIELD(Row, subject, TEXT, PO_TAKE),
	PO_FIELD(Row, body, TEXT, PO_TAKE),
	PO_FIELD(Row, html, TEXT, PO_TAKE),
	PO_FIELD(Row, options, JSONB, PO_TAKE),
	PO_FIELD(Row, segments, INT, PO_TAKE),
	PO_FIELD(Row, price_micros, INT64, PO_TAKE),
	PO_FIELD(Row, verdicts, JSONB, PO_TAKE),
	PO_MESSAGE_STATUS(Row, status, PO_TAKE),
	PO_CAST(Row, bcc, "text[]", PO_TAKE),
	PO_CAST(Row, media_urls, "text[]", PO_TAKE)
};

static PoStatement insert_messages = {
	.name = "outbox.insert",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.outbound_messages AS m (tenant_id, channel, priority, send_at, created_at,"
	" updated_at, cancel_on_reply, due_at, {columns})"
	" SELECT $1, $2, $3, $4, $5, $5, $6, CASE u.status WHEN 'pending' THEN $4 END, {u.*} FROM {rows}",
	.takes = PO_FIELDS(row_field, PO_TAKE),
	PO_FIXED(TEXTOID, TEXTOID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID)
};

/* What stands under a send_key. */
typedef struct Known
{
	pg_uuid_t	key;
	pg_uuid_t	content_hash;
	pg_uuid_t	message_id;
	PoMessageStatus status;
	Jsonb	   *verdicts;
	bool		same;			/* its content is */
	bool		never_left;		/* it was blocked before */
	int			n;				/* the row's that asked for it */
} Known;

static const PoField known_field[] = {
	PO_FIELD(Known, key, UUID, PO_TAKE),
	PO_FIELD(Known, content_hash, UUID, PO_TAKE),
	PO_FIELD(Known, message_id, UUID, PO_GIVE),
	PO_VALUE(Known, verdicts, "coalesce(m.verdicts, '[]')", JSONB),
	PO_VALUE(Known, n, "u.n", INT),
	PO_NAME_VALUE(Known, status, PoMessageStatus, "coalesce(m.status, 'expired')", po_message_status_names),
	PO_VALUE(Known, same, "k.content_hash = u.content_hash", BOOL),
	PO_VALUE(Known, never_left, "coalesce(m.status = 'blocked' AND m.attempts = 0, false)", BOOL)
};

static PoStatement select_known = {
	.name = "outbox.known",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {k.*} FROM {rows} JOIN outreach.send_keys k ON k.key = u.key"
	" LEFT JOIN outreach.outbound_messages m ON m.tenant_id = $1 AND m.message_id = k.message_id",
	.takes = PO_FIELDS(known_field, PO_TAKE),
	.gives = PO_FIELDS(known_field, PO_GIVE),
	PO_FIXED(TEXTOID),
	.numbered = true
};

static const PoField deleted_field[] = {
	PO_FIELD(Known, message_id, UUID, PO_TAKE),
	PO_VALUE(Known, verdicts, "coalesce(m.verdicts, '[]')", JSONB),
	PO_VALUE(Known, n, "u.n", INT)
};

/* CASE hides from the planner how few are a tenant's or blocked: it would look for all of them. */
static PoStatement delete_blocked = {
	.name = "outbox.delete_blocked",
	.expect = SPI_OK_DELETE_RETURNING,
	.sql = "DELETE FROM outreach.outbound_history m USING {rows} WHERE m.message_id = u.message_id"
	" AND CASE WHEN m.tenant_id = $1 AND m.status = 'blocked' THEN m.attempts = 0 END RETURNING {m.*}",
	.takes = PO_FIELDS(deleted_field, PO_TAKE),
	.gives = PO_FIELDS(deleted_field, PO_GIVE),
	PO_FIXED(TEXTOID),
	.numbered = true
};

static bool
is_blocked(const PoDraft *draft)
{
	return draft->result.verdict != PO_GUARD_ALLOW;
}

/* Takes lead locks for the drafts that are blocked, or for those that are asked anew and are not. */
static void
lock_leads_of(PoUnit *unit, const PoSending *sending, const PoDraft *draft, int n, bool blocked)
{
	PoWants		wants = {0};

	for (int i = 0; i < n; i++)
	{
		if (is_blocked(&draft[i]) != blocked || !(blocked || draft[i].asked_anew))
			continue;
		po_want(&wants, PO_WANT_LEAD, 0, sending->request->tenant_id, draft[i].lead_id);
	}
	po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
}

/* Takes the keys that are free. */
static void
take_keys(const PoSending *sending, PoDraft *draft, int n)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	PoRows		rows = po_rows(&insert_keys, n);
	uint64		taken;
	int			at = 0;

	for (int i = 0; i < n; i++)
	{
		draft[i].key = po_ledger_key(sending->request->tenant_id, PO_LEDGER_SEND, draft[i].send_key);
		po_rows_add(&rows, &(Key) {draft[i].key, draft[i].message_id, draft[i].content_hash});
	}
	taken = po_rows_exec(&rows, &tenant);
	/* Those that are new come back in the order they went in. */
	for (uint64 r = 0; r < taken; r++)
	{
		Key			key;

		po_read_row(&insert_keys, r, &key);
		while (memcmp(&draft[at].message_id, &key.message_id, UUID_LEN) != 0)
			at++;
		draft[at].inserted = true;
	}
}

/* Inserts the messages that have their keys, or those that are asked anew. */
static void
insert_drafts(const PoSending *sending, PoDraft *draft, int n, TimestampTz send_at, bool anew)
{
	const PoSendRequest *request = sending->request;
	Datum		fixed[6] = {
		CStringGetTextDatum(request->tenant_id), CStringGetTextDatum(request->channel),
		Int16GetDatum(request->priority), TimestampTzGetDatum(send_at),
		TimestampTzGetDatum(po_now()), BoolGetDatum(request->cancel_on_reply)
	};
	PoRows		rows = po_rows(&insert_messages, n);

	for (int i = 0; i < n; i++)
	{
		PoDraft    *d = &draft[i];
		bool		allowed = !is_blocked(d);

		if (!d->inserted || d->asked_anew != anew)
			continue;
		po_rows_add(&rows, &(Row) {
			.message_id = d->message_id, .send_key = d->send_key,
			.lead_id = d->lead_id, .account = d->account->account, .from_phone = d->from, .phone = d->address,
			.template = request->template,
			.template_version = request->template != NULL ? sending->template_version : 0,
			.subject = d->subject, .body = d->body, .html = d->html, .options = d->options,
			.segments = d->segments, .price_micros = d->price_micros,
			.verdicts = allowed ? NULL : po_guard_verdicts(&d->result),
			.status = allowed ? PO_MESSAGE_PENDING : PO_MESSAGE_BLOCKED,
			.bcc = po_texts_as_text(d->bcc, d->nbcc), .media_urls = po_texts_as_text(request->media_url,
			request->nmedia)
		});
	}
	(void) po_rows_exec(&rows, fixed);
}

/* The first draft of the call with the key of the i-th. */
static PoDraft *
first_of_key(PoDraft *draft, int i)
{
	while (i > 0 && strcmp(draft[i].send_key, draft[i - 1].send_key) == 0)
		i--;
	return &draft[i];
}

/*
 * What stands under the keys of those that were not inserted.  Where that was blocked
 * before it ever left, and not by this call, the first draft of the key is asked anew,
 * and all are read again; returns whether there is one.
 */
static bool
read_known(const PoSending *sending, PoDraft *draft, int n, PoSendResult *result, bool again)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	PoRows		keys = po_rows(&select_known, n);
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	bool		anew = false;
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		if (draft[i].inserted)
			continue;
		position[keys.n] = i;
		po_rows_add(&keys, &(Known) {draft[i].key, draft[i].content_hash});
	}
	found = po_rows_exec(&keys, &tenant);
	/* The other transaction has committed after our snapshot was taken. */
	if (found < keys.n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent message of the same send_key"),
				 errhint("Try the transaction again.")));
	for (uint64 r = 0; r < found; r++)
	{
		Known		known;
		PoDraft    *d;
		PoDraft    *first;
		PoSendResult *outcome;

		po_read_row(&select_known, r, &known);
		d = &draft[position[known.n - 1]];
		first = first_of_key(draft, position[known.n - 1]);
		outcome = &result[d->item];
		if (!again && known.never_left && !first->inserted)
		{
			first->asked_anew = anew = true;
			first->message_id = known.message_id;
			continue;
		}
		outcome->message_id = known.message_id;
		outcome->status = known.status;
		outcome->duplicate = true;
		outcome->verdicts = known.verdicts;
		if (!known.same)
			po_reject(sending->request, outcome, PO_ERRCODE_SEND_KEY_USED,
					  psprintf("the send_key \"%s\" belongs to a message with other content", d->send_key),
					  psprintf("That message is %s, with status %s.",
							   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&known.message_id))),
							   po_message_status_names[known.status]),
					  "Give another send_key, or the same content.");
	}
	return anew;
}

/*
 * Makes room for drafts that are asked anew.  What never left has no history but its
 * events: the new message takes its place and its id.  Where somebody else has done so
 * meanwhile, that message stands.
 */
static void
replace_blocked(const PoSending *sending, PoDraft *draft, int n)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	PoRows		blocked = po_rows(&delete_blocked, n);
	PoRows		keys = po_rows(&update_keys, n);
	uint64		deleted;

	for (int i = 0; i < n; i++)
	{
		if (!draft[i].asked_anew)
			continue;
		position[blocked.n] = i;
		po_rows_add(&blocked, &(Known) {.message_id = draft[i].message_id});
	}
	deleted = po_rows_exec(&blocked, &tenant);
	for (uint64 r = 0; r < deleted; r++)
	{
		Known		known;
		PoDraft    *d;

		po_read_row(&delete_blocked, r, &known);
		d = &draft[position[known.n - 1]];
		d->inserted = true;
		d->verdicts_before = known.verdicts;
		po_rows_add(&keys, &(Key) {d->key, d->message_id, d->content_hash});
	}
	(void) po_rows_exec(&keys, NULL);
}

static void
note_blocked(PoUnit *unit, const PoSending *sending, const PoDraft *draft)
{
	PoCause		cause = {.source = "sql", .reason = draft->result.reason};
	PoMessage	message = {
		.tenant_id = sending->request->tenant_id, .message_id = draft->message_id,
		.lead_id = draft->lead_id, .channel = sending->request->channel
	};
	PoObject   *object = po_message_object(&message);

	po_object_string(object, "guard", draft->result.guard);
	po_object_cause(object, &cause, "by");
	(void) po_message_event(unit, &message, "message.outbound.blocked", &cause, object);
}

/* What becomes of a draft that was inserted.  Blocked again for the same it has no new event. */
static void
note_inserted(PoUnit *unit, const PoSending *sending, const PoDraft *draft, TimestampTz send_at,
			  PoSendResult *result)
{
	result->message_id = draft->message_id;
	result->status = is_blocked(draft) ? PO_MESSAGE_BLOCKED : PO_MESSAGE_PENDING;
	if (!is_blocked(draft))
	{
		po_wake_at(send_at);
		return;
	}
	result->verdicts = po_guard_verdicts(&draft->result);
	if (draft->verdicts_before == NULL ||
		compareJsonbContainers(&draft->verdicts_before->root, &result->verdicts->root) != 0)
		note_blocked(unit, sending, draft);
}

static void
enqueue_chunk(const PoSending *sending, PoDraft *draft, int n, PoSendResult *result,
			  TimestampTz send_at)
{
	PoUnit		unit = {0};
	PoUnit		others = {0};

	lock_leads_of(&unit, sending, draft, n, true);
	take_keys(sending, draft, n);
	insert_drafts(sending, draft, n, send_at, false);
	if (read_known(sending, draft, n, result, false))
	{
		lock_leads_of(&others, sending, draft, n, false);
		replace_blocked(sending, draft, n);
		insert_drafts(sending, draft, n, send_at, true);
		(void) read_known(sending, draft, n, result, true);
	}
	for (int i = 0; i < n; i++)
		if (draft[i].inserted)
			note_inserted(&unit, sending, &draft[i], send_at, &result[draft[i].item]);
	po_unit_write(&unit);
}

static int
compare_items(const void *a, const void *b, void *arg)
{
	const PoSendRequest *request = arg;
	int			x = *(const int *) a;
	int			y = *(const int *) b;
	const char *key[2] = {
		request->send_key != NULL ? request->send_key[x] : NULL,
		request->send_key != NULL ? request->send_key[y] : NULL
	};

	return strcmp(key[0] != NULL ? key[0] : request->lead_id[x],
				  key[1] != NULL ? key[1] : request->lead_id[y]);
}

/* How many messages are made at a time. */
static int
chunk_size(const PoSending *sending)
{
	Size		bytes = (sending->body != NULL ? strlen(sending->body) : 0)
		+ (sending->request->per_lead != NULL ? po_limit_of("body") : 0)
		+ (sending->html != NULL ? strlen(sending->html) : 0);

	return Min(CHUNK, CHUNK_BYTES / (bytes + 1));
}

static int
compare_drafts(const void *a, const void *b)
{
	return strcmp(((const PoDraft *) a)->send_key, ((const PoDraft *) b)->send_key);
}

/* Moves drafts that are not rejected to the front, in their order; how many they are. */
static int
drop_rejected(PoDraft *draft, int n)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
		if (!draft[i].outcome->rejected)
			draft[kept++] = draft[i];
	return kept;
}

/* Drafts are made and judged; how many can be messages. */
static int
write_drafts(const PoSending *sending, PoDraft *draft, int n)
{
	for (int i = 0; i < n; i++)
		po_read_content(sending, &draft[i]);
	n = drop_rejected(draft, n);
	po_read_addressees(sending, draft, n);
	n = drop_rejected(draft, n);
	for (int i = 0; i < n; i++)
		po_write_draft(sending, &draft[i]);
	return drop_rejected(draft, n);
}

/*
 * po_enqueue asks for a message to each lead and sets what became of each, in their
 * order.  The caller has zeroed the results; those that it has rejected stay so.  Where a
 * message cannot be made, for an unknown lead or a key that was used for other content,
 * po_reject decides what that means for the others.
 */
void
po_enqueue(const PoSendRequest *request, PoSendResult *result)
{
	int		   *order = palloc(Max(request->n, 1) * sizeof(int));
	TimestampTz send_at = Max(request->send_at, po_now());
	PoSending	sending = {.request = request};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext chunk = AllocSetContextCreate(caller, "outreach messages", ALLOCSET_DEFAULT_SIZES);
	int			nmessages = 0;
	int			most;

	po_profiles_begin();
	po_read_sending(&sending);
	po_read_copies(&sending);
	po_check_per_lead(request);
	if (request->address != NULL)
		po_find_or_make_leads(request, result);
	most = chunk_size(&sending);
	for (int i = 0; i < request->n; i++)
		if (!result[i].rejected)
			order[nmessages++] = i;
	qsort_arg(order, nmessages, sizeof(int), compare_items, unconstify(PoSendRequest *, request));
	for (int first = 0; first < nmessages; first += most)
	{
		int			n = Min(most, nmessages - first);
		int			made;
		PoDraft    *draft;

		MemoryContextSwitchTo(chunk);
		draft = palloc0(n * sizeof(PoDraft));
		for (int i = 0; i < n; i++)
		{
			draft[i].item = order[first + i];
			draft[i].outcome = &result[draft[i].item];
			draft[i].lead_id = request->lead_id[draft[i].item];
			if (request->send_key != NULL)
				draft[i].send_key = request->send_key[draft[i].item];
		}
		made = write_drafts(&sending, draft, n);
		qsort(draft, made, sizeof(PoDraft), compare_drafts);
		enqueue_chunk(&sending, draft, made, result, send_at);
		MemoryContextSwitchTo(caller);
		for (int i = 0; i < n; i++)
		{
			PoSendResult *r = &result[order[first + i]];

			if (r->verdicts != NULL)
				r->verdicts = (Jsonb *) pg_detoast_datum_copy((struct varlena *) r->verdicts);
		}
		MemoryContextReset(chunk);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(chunk);
}

/*
 * po_preview fills in and judges the one message of the request, and writes nothing.
 */
void
po_preview(const PoSendRequest *request, PoDraft *draft)
{
	PoSending	sending = {.request = request};

	po_profiles_begin();
	po_read_sending(&sending);
	po_read_copies(&sending);
	memset(draft, 0, sizeof(PoDraft));
	draft->outcome = palloc0(sizeof(PoSendResult));
	draft->lead_id = request->lead_id[0];
	po_read_content(&sending, draft);
	po_read_addressees(&sending, draft, 1);
	po_write_draft(&sending, draft);
}
