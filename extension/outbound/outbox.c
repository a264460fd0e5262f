/*
 * outbox.c
 *	  Asking for messages: each is filled in, judged and inserted, once for its
 *	  send_key.
 *
 * The unique index over send_key is the only arbiter.  A key whose message was blocked
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
#include "core/limits.h"
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "miscadmin.h"
#include "outbound/draft.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* Bound what a call over many leads keeps in memory. */
#define CHUNK 1000
#define CHUNK_BYTES (16 * 1024 * 1024)	/* of texts that are not filled in yet */

static PoRowsPlan insert_messages = {
	.name = "outbox.insert",
	.expect = SPI_OK_INSERT_RETURNING,
	.before = "INSERT INTO outreach.outbound_messages AS m (tenant_id, channel, priority, send_at,"
	" created_at, updated_at, cancel_on_reply, message_id, send_key, content_hash, lead_id, account, from_phone,"
	" phone, template, template_version, subject, body, options, segments, price_micros, verdicts,"
	" status, due_at, html, bcc, media_urls)"
	" SELECT $1, $2, $3, $4, $5, $5, $6, u.message_id, u.send_key, u.content_hash, u.lead_id,"
	" u.account, u.from_phone, u.phone, u.template, u.template_version, u.subject, u.body,"
	" u.options, u.segments, u.price_micros, u.verdicts, u.status::outreach.message_status,"
	" CASE u.status WHEN 'pending' THEN $4 END, u.html, u.bcc::text[], u.media_urls::text[] FROM",
	.columns = "message_id, send_key, content_hash, lead_id, account, from_phone, phone, template,"
	" template_version, subject, body, options, segments, price_micros, verdicts, status, html, bcc, media_urls",
	.after = "ON CONFLICT (tenant_id, send_key) DO NOTHING RETURNING m.message_id",
	.nfixed = 6,
	.fixed = {TEXTOID, TEXTOID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID},
	.ncolumns = 19,
	.element = {UUIDOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID,
	TEXTOID, TEXTOID, JSONBOID, INT4OID, INT8OID, JSONBOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static PoRowsPlan select_known = {
	.name = "outbox.known",
	.expect = SPI_OK_SELECT,
	.before = "SELECT u.n, m.message_id, m.status::text, m.content_hash = u.content_hash,"
	" coalesce(m.verdicts, '[]'), m.status = 'blocked' AND m.attempts = 0 FROM",
	.columns = "send_key, content_hash",
	.after = "JOIN outreach.outbound_messages m ON m.tenant_id = $1 AND m.send_key = u.send_key",
	.nfixed = 1,
	.fixed = {TEXTOID},
	.ncolumns = 2,
	.element = {TEXTOID, UUIDOID},
	.numbered = true
};

/* CASE hides from the planner how few are blocked: it would look for all of them, for each key. */
static PoRowsPlan delete_blocked = {
	.name = "outbox.delete_blocked",
	.expect = SPI_OK_DELETE_RETURNING,
	.before = "DELETE FROM outreach.outbound_messages m USING",
	.columns = "send_key",
	.after = "WHERE m.tenant_id = $1 AND m.send_key = u.send_key"
	" AND CASE WHEN m.status = 'blocked' THEN m.attempts = 0 END"
	" RETURNING u.n, m.message_id, coalesce(m.verdicts, '[]')",
	.nfixed = 1,
	.fixed = {TEXTOID},
	.ncolumns = 1,
	.element = {TEXTOID},
	.numbered = true
};

static bool
is_blocked(const PoDraft *draft)
{
	return draft->result.verdict != PO_GUARD_ALLOW;
}

/* Takes lead locks for the drafts that are blocked, or for those that are asked anew and are not. */
static void
lock_leads_of(PoChangeSet *set, const PoSending *sending, const PoDraft *draft, int n, bool blocked)
{
	PoLeadKey  *key = palloc0(Max(n, 1) * sizeof(PoLeadKey));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
	{
		if (is_blocked(&draft[i]) != blocked || !(blocked || draft[i].asked_anew))
			continue;
		key[nkeys].tenant_id = sending->request->tenant_id;
		key[nkeys++].lead_id = draft[i].lead_id;
	}
	po_lock_leads(set, key, nkeys);
}

/* Inserts all, or those that are asked anew: those whose keys are free. */
static void
insert_drafts(const PoSending *sending, PoDraft *draft, int n, TimestampTz send_at, bool anew)
{
	const PoSendRequest *request = sending->request;
	Datum		fixed[6] = {
		CStringGetTextDatum(request->tenant_id), CStringGetTextDatum(request->channel),
		Int16GetDatum(request->priority), TimestampTzGetDatum(send_at),
		TimestampTzGetDatum(po_now()), BoolGetDatum(request->cancel_on_reply)
	};
	PoArray		column[19];
	uint64		rows;
	int			at = 0;

	po_rows_init(&insert_messages, column, n);
	for (int i = 0; i < n; i++)
	{
		PoDraft	   *d = &draft[i];
		bool		allowed = !is_blocked(d);

		if (anew && !d->asked_anew)
			continue;
		po_array_add_uuid(&column[0], &d->message_id);
		po_array_add_text(&column[1], d->send_key);
		po_array_add_uuid(&column[2], &d->content_hash);
		po_array_add_text(&column[3], d->lead_id);
		po_array_add_text(&column[4], d->account->account);
		po_array_add_text(&column[5], d->from);
		po_array_add_text(&column[6], d->address);
		po_array_add_text(&column[7], request->template);
		if (request->template != NULL)
			po_array_add(&column[8], Int32GetDatum(sending->template_version));
		else
			po_array_add_null(&column[8]);
		po_array_add_text(&column[9], d->subject);
		po_array_add_text(&column[10], d->body);
		if (d->options != NULL)
			po_array_add(&column[11], JsonbPGetDatum(d->options));
		else
			po_array_add_null(&column[11]);
		po_array_add(&column[12], Int32GetDatum(d->segments));
		po_array_add(&column[13], Int64GetDatum(d->price_micros));
		if (allowed)
			po_array_add_null(&column[14]);
		else
			po_array_add(&column[14], JsonbPGetDatum(po_guard_verdicts(&d->result)));
		po_array_add_text(&column[15], allowed ? "pending" : "blocked");
		po_array_add_text(&column[16], d->html);
		po_array_add_texts(&column[17], d->bcc, d->nbcc);
		po_array_add_texts(&column[18], request->media_url, request->nmedia);
	}
	rows = po_exec_rows(&insert_messages, fixed, column);
	/* Those that are new come back in the order they went in. */
	for (uint64 r = 0; r < rows; r++)
	{
		pg_uuid_t	message_id;

		(void) po_column_uuid(r, 1, &message_id);
		while (memcmp(&draft[at].message_id, &message_id, UUID_LEN) != 0)
			at++;
		draft[at].inserted = true;
	}
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
	PoArray		column[2];
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	bool		anew = false;
	uint64		rows;
	bool		isnull;

	po_rows_init(&select_known, column, n);
	for (int i = 0; i < n; i++)
	{
		if (draft[i].inserted)
			continue;
		position[column[0].n] = i;
		po_array_add_text(&column[0], draft[i].send_key);
		po_array_add_uuid(&column[1], &draft[i].content_hash);
	}
	rows = po_exec_rows(&select_known, &tenant, column);
	/* The other transaction has committed after our snapshot was taken. */
	if (rows < column[0].n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent message of the same send_key"),
				 errhint("Try the transaction again.")));
	for (uint64 r = 0; r < rows; r++)
	{
		int			i = position[po_column_int(r, 1) - 1];
		PoDraft    *d = &draft[i];
		PoDraft    *first = first_of_key(draft, i);
		PoSendResult *known = &result[d->item];

		if (!again && po_column_bool(r, 6) && !first->inserted)
		{
			first->asked_anew = anew = true;
			continue;
		}
		(void) po_column_uuid(r, 2, &known->message_id);
		known->status = po_message_status_from_name(po_column_text(r, 3));
		known->duplicate = true;
		known->verdicts = DatumGetJsonbPCopy(po_column(r, 5, &isnull));
		if (!po_column_bool(r, 4))
			po_reject(sending->request, known, PO_ERRCODE_SEND_KEY_USED,
					  psprintf("the send_key \"%s\" belongs to a message with other content", d->send_key),
					  psprintf("That message is %s, with status %s.",
							   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&known->message_id))),
							   po_message_status_names[known->status]),
					  "Give another send_key, or the same content.");
	}
	return anew;
}

/*
 * Makes the keys of drafts that are asked anew free.  What never left has no history
 * but its events: the new message takes its place and its id.
 */
static void
delete_known(const PoSending *sending, PoDraft *draft, int n)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	PoArray		column;
	uint64		rows;

	po_rows_init(&delete_blocked, &column, n);
	for (int i = 0; i < n; i++)
	{
		if (!draft[i].asked_anew)
			continue;
		position[column.n] = i;
		po_array_add_text(&column, draft[i].send_key);
	}
	rows = po_exec_rows(&delete_blocked, &tenant, &column);
	for (uint64 r = 0; r < rows; r++)
	{
		PoDraft    *d = &draft[position[po_column_int(r, 1) - 1]];
		bool		isnull;

		(void) po_column_uuid(r, 2, &d->message_id);
		d->verdicts_before = DatumGetJsonbPCopy(po_column(r, 3, &isnull));
	}
}

static void
note_blocked(PoChangeSet *set, const PoSending *sending, const PoDraft *draft)
{
	PoCause		cause = {.source = "sql", .reason = draft->result.reason};
	PoMessage	message = {
		.tenant_id = sending->request->tenant_id, .message_id = draft->message_id,
		.lead_id = draft->lead_id, .channel = sending->request->channel
	};
	PoObject   *object = po_message_object(&message);

	po_object_string(object, "guard", draft->result.guard);
	po_object_string(object, "reason", draft->result.reason);
	(void) po_message_event(set, &message, "message.outbound.blocked", &cause, po_object_end(object));
}

/* What becomes of a draft that was inserted.  Blocked again for the same it has no new event. */
static void
note_inserted(PoChangeSet *set, const PoSending *sending, const PoDraft *draft, TimestampTz send_at,
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
		note_blocked(set, sending, draft);
}

static void
enqueue_chunk(const PoSending *sending, PoDraft *draft, int n, PoSendResult *result,
			  TimestampTz send_at)
{
	PoChangeSet set = {0};
	PoChangeSet others = {0};

	lock_leads_of(&set, sending, draft, n, true);
	insert_drafts(sending, draft, n, send_at, false);
	if (read_known(sending, draft, n, result, false))
	{
		lock_leads_of(&others, sending, draft, n, false);
		delete_known(sending, draft, n);
		insert_drafts(sending, draft, n, send_at, true);
		(void) read_known(sending, draft, n, result, true);
	}
	for (int i = 0; i < n; i++)
		if (draft[i].inserted)
			note_inserted(&set, sending, &draft[i], send_at, &result[draft[i].item]);
	po_write_changes(&set);
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
	po_make_addresses(sending, draft, n);
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
	po_recall_erased(&sending, draft);
	po_write_draft(&sending, draft);
}
