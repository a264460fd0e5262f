/*
 * message_rows.c
 *	  The statements behind the messages of a unit: locked, and written.
 *
 * The lock of a message comes after those of contacts, addresses and leads, and before
 * those of our numbers, whose counters are written last.  Whoever moves a message has its
 * lead in the unit, for the event; a lead that is gone takes its events with it, and the
 * message moves all the same.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/key_probe.h"
#include "lib/qunique.h"
#include "unit/unit.h"
#include "utils/timestamp.h"

/* So many messages are locked for the replies of a call; the rest is the claim's. */
#define MOST_REPLIED 2000

/* A message that is wanted, and by which member. */
typedef struct Wanted
{
	PoMessageKey key;
	int			member;
	ItemPointerData tid;
} Wanted;

static const PoField wanted_field[] = {
	PO_FIELD_AS(Wanted, key.tenant_id, "tenant_id", TEXT, PO_TAKE),
	PO_FIELD_AS(Wanted, key.message_id, "message_id", UUID, PO_TAKE),
	PO_FIELD_AS(Wanted, tid, "ctid", TID, PO_TAKE)
};

const PoField po_message_key_field[2] = {
	PO_FIELD(PoMessageKey, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoMessageKey, message_id, UUID, PO_TAKE | PO_GIVE)
};

static const PoField message_field[] = {
	PO_FIELD(PoMessage, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoMessage, message_id, UUID, PO_TAKE | PO_GIVE),
	PO_FIELD_AS(PoMessage, tid, "ctid", TID, PO_TAKE | PO_GIVE),
	PO_FIELD(PoMessage, lead_id, TEXT, PO_GIVE),
	PO_FIELD(PoMessage, account, TEXT, PO_GIVE),
	PO_FIELD(PoMessage, from_phone, TEXT, PO_GIVE),
	PO_FIELD(PoMessage, phone, TEXT, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, channel, TEXT, PO_GIVE),
	PO_MESSAGE_STATUS(PoMessage, status, PO_SET | PO_GIVE),
	PO_FIELD(PoMessage, fence, INT, PO_SET | PO_GIVE),
	PO_FIELD_AS(PoMessage, claim_fence, "fence", INT, PO_GIVE),
	PO_FIELD_AS(PoMessage, claimed_at, "updated_at", SINCE, PO_GIVE),
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
	PO_FIELD(PoMessage, verdicts, JSONB, PO_SET | PO_GIVE)
};

/*
 * What waits or is under way is in outreach.outbound_queue, what has left in the month in
 * which it was asked for.  The queue is asked first: most are there, and a statement that
 * may find a row in any month takes locks on all of them.
 */
#define QUEUE "outreach.outbound_queue"
#define HISTORY "outreach.outbound_history"

#define BY_KEY PO_BY_KEY("m", "message_id")
#define AT_TID PO_AT_TID("m", "message_id")

#define LOCK_MESSAGES(what, table, which, how) \
	{ \
		.name = "messages." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {m.*} FROM {rows} JOIN " table " m ON " which \
		" ORDER BY m.tenant_id, m.message_id FOR NO KEY UPDATE OF m" how, \
		.takes = PO_FIELDS(wanted_field, PO_TAKE), \
		.gives = PO_FIELDS(message_field, PO_GIVE) \
	}

static PoStatement lock_queued = LOCK_MESSAGES("lock", QUEUE, BY_KEY, "");
static PoStatement lock_free_queued = LOCK_MESSAGES("lock_free", QUEUE, BY_KEY, " SKIP LOCKED");
static PoStatement lock_free_at = LOCK_MESSAGES("lock_free_at", QUEUE, AT_TID, " SKIP LOCKED");
static PoStatement lock_ended = LOCK_MESSAGES("lock_ended", HISTORY, BY_KEY, "");
static PoStatement lock_free_ended = LOCK_MESSAGES("lock_free_ended", HISTORY, BY_KEY, " SKIP LOCKED");

static PoStatement select_existing = {
	.name = "messages.existing",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id"
	" AND m.message_id = u.message_id",
	.takes = PO_FIELDS(po_message_key_field, PO_TAKE),
	.numbered = true
};

/* What a reply of a lead takes back. */
static PoStatement select_unsent = {
	.name = "messages.unsent",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {m.*}, u.n FROM {rows} JOIN " QUEUE " m ON m.tenant_id = u.tenant_id AND m.lead_id = u.lead_id"
	" WHERE m.cancel_on_reply AND " PO_UNSENT("m") " LIMIT " CppAsString2(MOST_REPLIED),
	.takes = PO_FIELDS(po_lead_key_field, PO_TAKE),
	.gives = PO_FIELDS(po_message_key_field, PO_GIVE),
	.numbered = true
};

#define N_OF_UNSENT (lengthof(po_message_key_field) + 1)

#define UPDATE_MESSAGES(what, table, which) \
	{ \
		.name = "messages." what, \
		.expect = SPI_OK_UPDATE, \
		.sql = "UPDATE " table " m SET {set}, updated_at = $1" \
		" FROM {rows} WHERE " which, \
		.takes = PO_FIELDS(message_field, PO_TAKE), \
		PO_FIXED(TIMESTAMPTZOID) \
	}

/* A row moves between the queue and its month with its status. */
#define MOVE_MESSAGES(what, from, to, which) \
	{ \
		.name = "messages." what, \
		.expect = SPI_OK_INSERT, \
		.sql = PO_MOVE_ROWS(from, to, which, KEPT, ", updated_at", ", $1"), \
		.takes = PO_FIELDS(message_field, PO_TAKE), \
		PO_FIXED(TIMESTAMPTZOID) \
	}
/* The columns that are not set. */
#define KEPT \
	"send_key, lead_id, channel, account, from_phone, template, template_version, subject, body, html, bcc," \
	" media_urls, options, segments, price_micros, priority, cancel_on_reply, send_at, created_at"

/* The months have each its own ctids. */
static PoStatement update_queued = UPDATE_MESSAGES("update", QUEUE, AT_TID);
static PoStatement update_ended = UPDATE_MESSAGES("update_ended", HISTORY, BY_KEY);
static PoStatement end_messages = MOVE_MESSAGES("end", QUEUE, HISTORY, AT_TID);
static PoStatement queue_again = MOVE_MESSAGES("again", HISTORY, QUEUE, BY_KEY);

/* The request of a message that was under way when it was locked. */
static const PoField delivery_field[] = {
	PO_FIELD(PoMessage, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoMessage, message_id, UUID, PO_TAKE),
	PO_FIELD_AS(PoMessage, attempts, "attempt", INT, PO_TAKE),
	PO_FIELD_AS(PoMessage, claim_fence, "fence", INT, PO_TAKE),
	PO_FIELD(PoMessage, account, TEXT, PO_TAKE),
	PO_FIELD(PoMessage, from_phone, TEXT, PO_TAKE),
	PO_FIELD_AS(PoMessage, claimed_at, "started_at", SINCE, PO_TAKE),
	PO_FIELD_AS(PoMessage, delivery_error, "error", TEXT, PO_TAKE)
};

/*
 * The worker has died, or may before it records the answer of a message that is
 * no longer under way.  An answer, when it comes, is written over this: each request that
 * may have been made has one row, which whoever ends it has written.
 */
static PoStatement end_deliveries = {
	.name = "messages.deliveries",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.message_deliveries ({columns}, finished_at, outcome) SELECT {u.*}, $1, 'unknown'"
	" FROM {rows}",
	.takes = PO_FIELDS(delivery_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* The row of a number of ours. */
typedef struct Number
{
	const char *tenant_id;
	const char *phone;
	const char *channel;
} Number;

static const PoField number_field[] = {
	PO_FIELD(Number, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Number, phone, TEXT, PO_TAKE),
	PO_FIELD(Number, channel, TEXT, PO_TAKE)
};

/* Those that somebody else holds. */
static PoStatement lock_numbers = {
	.name = "messages.numbers",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.numbers o ON o.tenant_id = u.tenant_id AND o.phone = u.phone"
	" AND o.channel = u.channel LEFT JOIN LATERAL (SELECT l.phone FROM outreach.numbers l"
	" WHERE l.tenant_id = u.tenant_id AND l.phone = u.phone AND l.channel = u.channel"
	" FOR NO KEY UPDATE SKIP LOCKED) free ON true WHERE free.phone IS NULL",
	.takes = PO_FIELDS(number_field, PO_TAKE),
	.numbered = true
};

static int
message_compare(const void *a, const void *b)
{
	const PoMessage *x = a;
	const PoMessage *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : memcmp(&x->message_id, &y->message_id, UUID_LEN);
}

/* Whether a reply from an address that is wanted is the lead's or its person's, and which member's. */
static int
member_of_reply(PoUnit *unit, const PoWants *wants, const PoLead *lead)
{
	for (int i = 0; i < wants->n; i++)
	{
		const PoWant *want = &wants->want[i];
		const PoAddress *address;

		if (want->kind != PO_WANT_REPLIES || strcmp(want->tenant_id, lead->tenant_id) != 0)
			continue;
		if (lead->phone != NULL && strcmp(want->name, lead->phone) == 0)
			return want->member;
		address = po_find_address(unit, want->tenant_id, want->name);
		if (address != NULL && !address->shared && memcmp(&address->contact_id, &lead->contact_id, UUID_LEN) == 0)
			return want->member;
	}
	return -1;
}

/* The messages that replies take back: an index tells of most leads that there is none. */
static int
find_unsent(PoUnit *unit, const PoWants *wants, Wanted **wanted, int n)
{
	const char **id = palloc(Max(unit->nleads, 1) * 2 * sizeof(char *));
	int		   *member = palloc(Max(unit->nleads, 1) * sizeof(int));
	bool	   *has = palloc(Max(unit->nleads, 1) * sizeof(bool));
	PoRows		rows = po_rows(&select_unsent, 1);
	int			nids = 0;
	uint64		found;

	for (int i = 0; i < unit->nleads; i++)
	{
		const PoLead *lead = &unit->lead[i];

		member[nids] = member_of_reply(unit, wants, lead);
		if (member[nids] < 0)
			continue;
		id[2 * nids] = lead->tenant_id;
		id[2 * nids++ + 1] = lead->lead_id;
	}
	po_have_rows("outbound_queue_reply", id, 2, nids, true, has);
	for (int i = 0; i < nids; i++)
	{
		if (!has[i])
			continue;
		member[rows.n] = member[i];
		po_rows_add(&rows, &(PoLeadKey) {id[2 * i], id[2 * i + 1]});
	}
	found = po_rows_exec(&rows, NULL);
	if (found > 0)
		*wanted = repalloc(*wanted, (n + found) * sizeof(Wanted));
	for (uint64 r = 0; r < found; r++)
	{
		(*wanted)[n] = (Wanted) {0};
		po_read_row(&select_unsent, r, &(*wanted)[n].key);
		(*wanted)[n++].member = member[po_column_int(r, N_OF_UNSENT) - 1];
	}
	return n;
}

static void
mark_held(PoUnit *unit, const Wanted *wanted, int n, bool *held)
{
	PoRows		rows = po_rows(&select_existing, n);
	uint64		existing;

	if (unit->nmessages == n)
		return;
	for (int i = 0; i < n; i++)
		po_rows_add(&rows, &wanted[i].key);
	existing = po_rows_exec(&rows, NULL);
	for (uint64 r = 0; r < existing; r++)
	{
		const Wanted *w = &wanted[po_column_int(r, 1) - 1];

		held[w->member] |= po_find_message(unit, w->key.tenant_id, &w->key.message_id) == NULL;
	}
}

/* The rows that counters of numbers are in: nobody waits for them. */
static void
lock_numbers_of(const PoWants *wants, bool *held)
{
	PoRows		rows = po_rows(&lock_numbers, 1);
	int		   *member = palloc(Max(wants->n, 1) * sizeof(int));
	uint64		nheld;

	for (int i = 0; i < wants->n; i++)
	{
		const PoWant *want = &wants->want[i];

		if (want->kind != PO_WANT_NUMBER)
			continue;
		member[rows.n] = want->member;
		po_rows_add(&rows, &(Number) {want->tenant_id, want->name, want->channel});
	}
	nheld = po_rows_exec(&rows, NULL);
	for (uint64 r = 0; r < nheld; r++)
		held[member[po_column_int(r, 1) - 1]] = true;
}

/* Locks those that the statement finds of the ones that have not been found. */
static void
lock_among(PoUnit *unit, PoStatement *statement, const Wanted *wanted, int n)
{
	PoRows		rows = po_rows(statement, n);
	PoMessage  *found = &unit->message[unit->nmessages];
	int			nfound;

	for (int i = 0; i < n; i++)
		if (po_find_message(unit, wanted[i].key.tenant_id, &wanted[i].key.message_id) == NULL)
			po_rows_add(&rows, &wanted[i]);
	nfound = po_rows_exec(&rows, NULL);
	po_read_rows(statement, nfound, found);
	/* One that two members want comes twice. */
	nfound = qunique(found, nfound, sizeof(PoMessage), message_compare);
	for (int i = 0; i < nfound; i++)
	{
		found[i].ended = !po_message_queued(found[i].status);
		found[i].under_way = found[i].status == PO_MESSAGE_SENDING;
	}
	if (nfound > 0 && unit->nmessages > 0)
		qsort(unit->message, unit->nmessages + nfound, sizeof(PoMessage), message_compare);
	unit->nmessages += nfound;
}

/*
 * po_lock_messages locks the messages that are wanted, those that replies take back, and
 * our numbers; the leads are locked.
 */
void
po_lock_messages(PoUnit *unit, const PoWants *wants, int how, bool *held)
{
	Wanted	   *wanted = palloc(Max(wants->n, 1) * sizeof(Wanted));
	int			n = 0;
	bool		replies = false;
	bool		numbers = false;

	for (int i = 0; i < wants->n; i++)
	{
		const PoWant *want = &wants->want[i];

		replies |= want->kind == PO_WANT_REPLIES;
		numbers |= want->kind == PO_WANT_NUMBER;
		if (want->kind == PO_WANT_MESSAGE)
			wanted[n++] = (Wanted) {{want->tenant_id, want->id}, want->member, want->tid};
	}
	if (replies)
		n = find_unsent(unit, wants, &wanted, n);
	unit->message = palloc0(Max(n, 1) * sizeof(PoMessage));
	unit->nmessages = 0;
	if ((how & PO_LOCK_WAITS) == 0 && n > 0 && ItemPointerIsValid(&wanted[0].tid))
		lock_among(unit, &lock_free_at, wanted, n);
	if (unit->nmessages < n)
		lock_among(unit, how & PO_LOCK_WAITS ? &lock_queued : &lock_free_queued, wanted, n);
	if (unit->nmessages < n)
		lock_among(unit, how & PO_LOCK_WAITS ? &lock_ended : &lock_free_ended, wanted, n);
	if ((how & PO_LOCK_WAITS) == 0)
		mark_held(unit, wanted, n, held);
	if (numbers)
		lock_numbers_of(wants, held);
}

/*
 * po_write_messages writes those that changed.
 */
void
po_write_messages(PoUnit *unit)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		rows[2][2] = {		/* before, and now: ended */
		{po_rows(&update_queued, unit->nmessages), po_rows(&end_messages, unit->nmessages)},
		{po_rows(&queue_again, 1), po_rows(&update_ended, 1)}
	};
	PoRows		deliveries = po_rows(&end_deliveries, 1);

	for (int i = 0; i < unit->nmessages; i++)
	{
		const PoMessage *message = &unit->message[i];

		if (!message->changed)
			continue;
		po_rows_add(&rows[message->ended][!po_message_queued(message->status)], message);
		if (message->under_way && message->status != PO_MESSAGE_SENDING)
			po_rows_add(&deliveries, message);
	}
	for (int before = 0; before < 2; before++)
		for (int after = 0; after < 2; after++)
			po_rows_write(&rows[before][after], &now);
	(void) po_rows_exec(&deliveries, &now);
}
