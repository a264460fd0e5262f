/*
 * claim_find.c
 *	  Finding the messages that are due and have room.
 *
 * All that is due is taken by its time, while it is less than a batch; where it
 * is more, replies go before campaigns, and tenants take turns, each with a part of
 * every account.  What is found has its lead locked; what has a lead that somebody
 * else holds is looked at and left.
 *
 * An account that is found to have no room is not looked at again before it has
 * some, nor is one of a tenant that has none: then tenants take turns too, the
 * others alone, so that what waits for room is in nobody's way.  Where a round
 * stands, and who waits for room, is the state of the process.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/address.h"
#include "core/args.h"
#include "core/arming.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/limits.h"
#include "core/statement.h"
#include "core/turns.h"
#include "lead/channel.h"
#include "lib/ilist.h"
#include "sender/claim.h"
#include "sender/load.h"
#include "sender/sender.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A tenant has a hundred accounts at most, and others that are gone. */
#define MOST_NAMES 200

/* A message that is due, without its texts. */
typedef struct Found
{
	PoMessageKey key;
	ItemPointerData tid;
	const char *lead_id;
	const char *account;
	const char *from_phone;
	const char *phone;
	const char *channel;
	TimestampTz due_at;
	ItemPointerData lead_tid;	/* invalid: it could not be locked; what follows is the lead's too */
	const char *lead_phone;
	const char *lead_email;
	pg_uuid_t	contact_id;
} Found;

static const PoField found_field[] = {
	PO_FIELD_AS(Found, key.tenant_id, "tenant_id", TEXT, PO_GIVE),
	PO_FIELD_AS(Found, key.message_id, "message_id", UUID, PO_GIVE),
	PO_VALUE(Found, tid, "m.ctid AS tid", TID),
	PO_FIELD(Found, lead_id, TEXT, PO_GIVE),
	PO_FIELD(Found, account, TEXT, PO_GIVE),
	PO_FIELD(Found, from_phone, TEXT, PO_GIVE),
	PO_FIELD(Found, phone, TEXT, PO_GIVE),
	PO_FIELD(Found, channel, TEXT, PO_GIVE),
	PO_FIELD(Found, due_at, SINCE, PO_GIVE),
	PO_VALUE(Found, lead_tid, "locked.tid AS lead_tid", TID),
	PO_VALUE(Found, lead_phone, "locked.phone AS lead_phone", TEXT),
	PO_VALUE(Found, lead_email, "locked.email AS lead_email", TEXT),
	PO_VALUE(Found, contact_id, "locked.contact_id", UUID)
};

/* Behind these, its texts, which are read only if they are not too long together. */
#define CANDIDATE_COLUMNS "{m.*}, m.subject, m.body, m.html, m.bcc, m.media_urls"
enum
{
	C_SUBJECT = lengthof(found_field) + 1, C_BODY, C_HTML, C_BCC, C_MEDIA, C_MOST
};

/*
 * The lead is found by its whole key, whatever is known of the tables when the
 * plan is made.  One that somebody else holds, as an opt-out holds all leads of its
 * phone, is not waited for; one that is gone cannot be locked either.
 */
#define CANDIDATE_TABLES \
	" FROM outreach.outbound_queue m LEFT JOIN LATERAL (SELECT l.ctid AS tid, l.phone, l.email, l.contact_id" \
	" FROM outreach.leads l" \
	" WHERE l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id FOR NO KEY UPDATE SKIP LOCKED) locked ON true"

static PoStatement select_due = {
	.name = "claim.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " CANDIDATE_COLUMNS CANDIDATE_TABLES
	" WHERE m.due_at >= $1 AND m.due_at <= $2 AND m.due_at < 'infinity' AND " PO_CLAIMABLE("m")
	" ORDER BY m.due_at LIMIT $3",
	.gives = PO_FIELDS(found_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

/*
 * Tenants for which something waits, before one, in the reverse order of their ids: a step
 * of the index each, which comes from behind, where what waits is and not what is done.
 */
#define WAITING_TENANTS(before) \
	"WITH RECURSIVE n AS ((" NEXT_TENANT(before) ") UNION ALL" \
	" SELECT x.tenant_id FROM n CROSS JOIN LATERAL (" NEXT_TENANT(" AND w.tenant_id < n.tenant_id") ") x)"
#define NEXT_TENANT(before) \
	"SELECT w.tenant_id FROM outreach.outbound_queue w" \
	" WHERE w.due_at > '-infinity' AND " PO_CLAIMABLE("w") before " ORDER BY w.tenant_id DESC LIMIT 1"

/*
 * The accounts of such a tenant that have room, and how many there are.  So many names that
 * accounts are gone under that not all are found keep none of those that are there out.
 */
#define WAITING_ACCOUNTS(of_tenant, accounts) \
	" CROSS JOIN LATERAL (WITH RECURSIVE a AS ((" NEXT_ACCOUNT("") ") UNION ALL" \
	" SELECT x.account FROM a CROSS JOIN LATERAL (" NEXT_ACCOUNT(" AND w.account < a.account") ") x)," \
	" f AS MATERIALIZED (SELECT a.account FROM a LIMIT " CppAsString2(MOST_NAMES) ")" \
	" SELECT a.account, count(*) OVER ()::int AS n FROM (SELECT f.account FROM f UNION ALL" \
	" SELECT s.account FROM outreach.sending_accounts s WHERE (SELECT count(*) FROM f) = " CppAsString2(MOST_NAMES) \
	" AND s.tenant_id = n.tenant_id AND s.account NOT IN (SELECT f.account FROM f)" \
	" AND EXISTS (" NEXT_ACCOUNT(" AND w.account = s.account") ")) a" \
	" WHERE (n.tenant_id, a.account) NOT IN" \
	" (SELECT f.t, f.a FROM unnest(" of_tenant ", " accounts ") f (t, a))) a"
#define NEXT_ACCOUNT(before) \
	"SELECT w.account FROM outreach.outbound_queue w WHERE w.tenant_id = n.tenant_id" \
	" AND w.due_at > '-infinity' AND " PO_CLAIMABLE("w") before " ORDER BY w.account DESC LIMIT 1"

/* Of one priority, so many of each tenant, as many of each of its accounts as have room. */
static PoStatement select_fairly = {
	.name = "claim.fairly",
	.expect = SPI_OK_SELECT,
	.sql = WAITING_TENANTS(" AND w.tenant_id < $4") " SELECT d.*, b.most FROM n" WAITING_ACCOUNTS("$8", "$9")
	" CROSS JOIN LATERAL (SELECT least(greatest($5 / a.n, 1), "
	PO_ROOM("$14, $15, $16", "n.tenant_id", "a.account") ") AS most) b"
	PO_PLACE("$10, $11, $12, $13", "n.tenant_id", "a.account")
	" CROSS JOIN LATERAL (SELECT " CANDIDATE_COLUMNS CANDIDATE_TABLES
	" WHERE m.tenant_id = n.tenant_id AND m.account = a.account AND m.priority = $6"
	" AND m.due_at >= $1 AND m.due_at <= $2 AND m.due_at > '-infinity' AND " PO_CLAIMABLE("m")
	PO_BEHIND_PLACE("m.due_at", "m.message_id") " ORDER BY m.due_at, m.message_id LIMIT b.most) d"
	" WHERE n.tenant_id <> ALL ($7) LIMIT $3",
	.gives = PO_FIELDS(found_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID, INT2OID, TEXTARRAYOID, TEXTARRAYOID,
			 TEXTARRAYOID, PO_PLACES_TYPES, PO_ROOMS_TYPES)
};

/* When the next is due for which there is room. */
static PoPlan select_next = {
	.name = "claim.next",
	.expect = SPI_OK_SELECT,
	.sql = WAITING_TENANTS("") " SELECT min(d.due_at) FROM n" WAITING_ACCOUNTS("$2", "$3")
	" CROSS JOIN outreach.priorities() p"
	" CROSS JOIN LATERAL (SELECT m.due_at FROM outreach.outbound_queue m"
	" WHERE m.tenant_id = n.tenant_id AND m.account = a.account AND m.priority = p.number"
	" AND m.due_at > '-infinity' AND " PO_CLAIMABLE("m") " ORDER BY m.due_at LIMIT 1) d"
	" WHERE n.tenant_id <> ALL ($1)",
	PO_ARGS(TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID)
};

/* Of those whose lead could not be locked. */
static PoStatement cancel_orphans = {
	.name = "claim.orphans",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.outbound_messages m SET due_at = NULL, held_by = NULL, updated_at = $1,"
	" status = outreach_impl.message_after('cancel', m.status::text, m.ambiguous_since IS NOT NULL)"
	"::outreach.message_status, last_error = 'the lead is gone' FROM"
	" (SELECT o.tenant_id, o.message_id FROM {rows} JOIN outreach.outbound_queue o ON o.tenant_id = u.tenant_id"
	" AND o.message_id = u.message_id"
	" WHERE o.due_at <= $1 AND " PO_CLAIMABLE("o") " AND NOT EXISTS"
	" (SELECT FROM outreach.leads l WHERE l.tenant_id = o.tenant_id AND l.lead_id = o.lead_id)"
	" FOR NO KEY UPDATE OF o SKIP LOCKED) d"
	" WHERE m.tenant_id = d.tenant_id AND m.message_id = d.message_id AND " PO_CLAIMABLE("m"),
	.takes = PO_FIELDS(po_message_key_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* An account that was found to have no room. */
typedef struct TurnedAway
{
	dlist_node	node;
	char		tenant_id[PO_MAX_ID_BYTES + 1];
	char		account[PO_MAX_ID_BYTES + 1];
} TurnedAway;

/* While there is a backlog, and the turns of each priority then. */
static bool backlog = false;
static PoTurns turns[PO_NPRIORITIES] = {
#define X(name, number, label, description) PO_TURNS_INIT(turns[PO_PLACE_OF_##name]),
	PO_PRIORITIES(X)
#undef X
};
static PoTurns by_time = PO_TURNS_INIT(by_time);	/* while there is none */

static dlist_head turned_away = DLIST_STATIC_INIT(turned_away);
static bool crowded = false;	/* some have no room, */
static TimestampTz others_due;	/* and then the next of the others is due */
static TimestampTz first_due = DT_NOBEGIN;	/* of all that waits, when the tables were read last */
static uint64 done_before;		/* flights, when it was found out who has room */

/* In this claim already; then it is the last, or nearly so. */
static bool
is_turned_away(const PoAccount *account)
{
	dlist_iter	iter;

	if (account == NULL)
		return false;
	dlist_reverse_foreach(iter, &turned_away)
	{
		const TurnedAway *entry = dlist_container(TurnedAway, node, iter.cur);

		if (strcmp(entry->account, account->account) == 0 &&
			strcmp(entry->tenant_id, account->tenant_id) == 0)
			return true;
	}
	return false;
}

static bool
take_room(const PoAccount *account)
{
	TurnedAway *entry;

	if (account == NULL || account->problem != NULL || po_load_plan(account))
		return true;
	crowded = true;
	entry = MemoryContextAllocZero(TopMemoryContext, sizeof(TurnedAway));
	strlcpy(entry->tenant_id, account->tenant_id, sizeof(entry->tenant_id));
	strlcpy(entry->account, account->account, sizeof(entry->account));
	dlist_push_tail(&turned_away, &entry->node);
	return false;
}

/* One that waits, and what decides whose turn it is. */
typedef struct Waiting
{
	TurnedAway *entry;
	uint64		turn;			/* of its tenant */
	int			place;			/* in the list */
} Waiting;

static int
compare_turns(const void *a, const void *b)
{
	const Waiting *x = a;
	const Waiting *y = b;

	return x->turn != y->turn ? (x->turn < y->turn ? -1 : 1) : x->place - y->place;
}

/* Lets one in again if it has room; first: and if it is the first of its tenant. */
static void
let_in(Waiting *waiting, bool first)
{
	TurnedAway *entry = waiting->entry;
	const PoAccount *account = po_find_account(entry->tenant_id, entry->account);

	if (account == NULL || account->problem != NULL || po_load_may_plan(account, first))
	{
		dlist_delete(&entry->node);
		pfree(entry);
		waiting->entry = NULL;
	}
}

/*
 * Lets those in again that have room, those first whose tenant's turn is the longest ago:
 * one of each tenant, and then more.
 */
static void
let_all_in(void)
{
	dlist_iter	iter;
	Waiting    *waiting;
	int			n = 0;

	dlist_foreach(iter, &turned_away)
		n++;
	waiting = palloc(Max(n, 1) * sizeof(Waiting));
	n = 0;
	dlist_foreach(iter, &turned_away)
	{
		TurnedAway *entry = dlist_container(TurnedAway, node, iter.cur);

		waiting[n] = (Waiting) {entry, po_load_turn(entry->tenant_id), n};
		n++;
	}
	qsort(waiting, n, sizeof(Waiting), compare_turns);
	for (int first = 1; first >= 0; first--)
		for (int i = 0; i < n; i++)
			if (waiting[i].entry != NULL)
				let_in(&waiting[i], first);
}

/*
 * Who has no room still, as three arrays: tenants, and accounts with theirs.  What those
 * have that are let in is older than any other look.
 */
static void
find_crowded(Datum array[3])
{
	PoArray		column[2];
	dlist_iter	iter;

	if (!dlist_is_empty(&turned_away))
	{
		by_time.again = 0;
		for (int p = 0; p < PO_NPRIORITIES; p++)
			turns[p].again = 0;
	}
	let_all_in();
	po_array_init(&column[0], TEXTOID, 8);
	po_array_init(&column[1], TEXTOID, 8);
	dlist_foreach(iter, &turned_away)
	{
		const TurnedAway *entry = dlist_container(TurnedAway, node, iter.cur);

		po_array_add_text(&column[0], entry->tenant_id);
		po_array_add_text(&column[1], entry->account);
	}
	array[0] = po_loaded_tenants(&crowded);
	crowded |= column[0].n > 0;
	array[1] = po_array_datum(&column[0]);
	array[2] = po_array_datum(&column[1]);
}

/* Whether the texts of a row are not too long for the batch. */
static bool
fits(PoClaim *claim, int row)
{
	for (int column = C_SUBJECT; column <= C_MEDIA && !claim->full; column++)
	{
		bool		isnull;
		Datum		text = po_column(row, column, &isnull);

		claim->full = !isnull && !po_fits_batch(&claim->bytes, text);
	}
	return !claim->full;
}

/* Where a message goes, as its locked lead has it now; NULL: nowhere. */
static const char *
address_of(const Found *found)
{
	const char *given = found->lead_email;
	char		email[PO_ADDRESS_SIZE];

	if (!po_goes_to_address(found->channel))
		return found->phone;
	if (po_goes_to_phone(found->channel))
		return found->lead_phone;
	return given != NULL && po_email_fold(given, strlen(given), email) ? pstrdup(email) : NULL;
}

/*
 * Takes over those of the last statement's rows whose lead is locked and for which
 * there is room.  Returns how many rows it looked at: the rest, where the batch is
 * full, is as if it had not been found.
 */
static int
add_candidates(PoClaim *claim, int nrows, PoSight *sight)
{
	int			first = claim->n;
	int			n = first;
	PoSight   **of = palloc(Max(nrows, 1) * sizeof(PoSight *));
	int			row;
	PoRows		held = po_rows(&cancel_orphans, nrows);

	for (row = 0; row < nrows; row++)
	{
		PoCandidate *c = &claim->candidate[n];
		PoSight    *s = &sight[row];
		Found		found;

		po_read_row(&select_due, row, &found);
		s->tenant_id = found.key.tenant_id;
		s->id = found.key.message_id;
		s->account = found.account;
		s->due_at = found.due_at;
		s->left = false;
		s->held = !ItemPointerIsValid(&found.lead_tid);
		if (s->held)
		{
			po_rows_add(&held, &found.key);
			continue;
		}
		if (!fits(claim, row))
			break;
		of[n - first] = s;
		*c = (PoCandidate) {
			.key = found.key, .tid = found.tid, .lead_tid = found.lead_tid, .lead_id = found.lead_id,
			.contact_id = found.contact_id, .account_name = found.account,
			.from_phone = found.from_phone, .channel = found.channel, .phone = address_of(&found),
			.content = {
				.subject = po_column_text(row, C_SUBJECT), .body = po_column_text(row, C_BODY),
				.html = po_column_text(row, C_HTML)
			}
		};
		c->content.bcc = po_column_texts(row, C_BCC, &c->content.nbcc);
		c->content.media_url = po_column_texts(row, C_MEDIA, &c->content.nmedia);
		n++;
	}
	for (int i = first; i < n; i++)
	{
		PoCandidate *c = &claim->candidate[i];

		c->account = po_find_account(c->key.tenant_id, c->account_name);
		if (!is_turned_away(c->account) && take_room(c->account))
			claim->candidate[claim->n++] = *c;
		else
			of[i - first]->left = true;
	}
	if (held.n > 0 && po_arming_problem() == NULL)
	{
		Datum		now = TimestampTzGetDatum(po_now());

		(void) po_rows_exec(&held, &now);
	}
	return row;
}

/* By time, as far as a batch goes. */
static void
find_by_time(PoClaim *claim, TimestampTz since, int room)
{
	Datum		args[3] = {
		TimestampTzGetDatum(po_turns_from(&by_time, since)), TimestampTzGetDatum(po_now()), Int32GetDatum(room)
	};
	int			n = po_exec_fixed(&select_due, args);
	PoSight    *sight = palloc(Max(n, 1) * sizeof(PoSight));

	(void) add_candidates(claim, n, sight);
	by_time.backlog = false;
	(void) po_turns_again(&by_time, sight, n, room, n == room || claim->full);
	backlog = by_time.backlog;
}

/* In turn, of accounts that have room; returns whether there may be more. */
static bool
find_in_turn(PoClaim *claim, const Datum full[3], TimestampTz since, int room)
{
	Datum		args[9 + PO_PLACES_COLUMNS + PO_ROOMS_COLUMNS] = {
		[1] = TimestampTzGetDatum(po_now()),
		[6] = full[0], [7] = full[1], [8] = full[2]
	};
	bool		more = false;

	for (int p = 0; p < PO_NPRIORITIES; p++)
	{
		PoTurns    *t = &turns[p];
		int			size = room - claim->n;

		args[2] = Int32GetDatum(size);
		args[5] = Int16GetDatum(po_priority(p));
		t->backlog = true;
		for (bool again = true; again && t->backlog;)
		{
			PoSight    *sight;
			int			n;
			int			looked;

			if (size == 0 || claim->full)
				return true;
			args[0] = TimestampTzGetDatum(po_turns_from(t, since));
			args[3] = po_turns_before(t);
			args[4] = Int32GetDatum(po_turns_share(t, size));
			po_turns_places(t, &args[9]);
			po_load_rooms(&args[9 + PO_PLACES_COLUMNS]);
			n = po_exec_fixed(&select_fairly, args);
			sight = palloc(Max(n, 1) * sizeof(PoSight));
			for (int i = 0; i < n; i++)
				sight[i].most = po_column_int(i, C_MOST);
			looked = add_candidates(claim, n, sight);
			if (looked == 0 && n > 0)
				return true;
			again = po_turns_again(t, sight, looked, size, n == size || looked < n);
		}
		more |= t->backlog;
	}
	return more;
}

/*
 * po_find_due finds what is due since a time and has room: the candidates of the
 * claim, whose array is big enough.
 */
void
po_find_due(PoClaim *claim, TimestampTz since, int room)
{
	Datum		full[3];

	done_before = po_sender_done();
	po_load_plan_begins(po_sender_room());
	find_crowded(full);
	others_due = po_now();
	if (!backlog && !crowded)
		find_by_time(claim, since, room);
	else
	{
		backlog = find_in_turn(claim, full, since, room);
		/* Whoever was turned away before waits for what is under way. */
		if (!backlog && crowded)
		{
			bool		isnull;
			Datum		due;

			(void) po_exec(&select_next, full, NULL);
			due = po_column(0, 1, &isnull);
			others_due = isnull ? DT_NOEND : DatumGetTimestampTz(due);
		}
	}
}

/*
 * po_claim_since returns the time since which to look: what was left behind may be
 * due earlier than what is known to be next.
 */
TimestampTz
po_claim_since(TimestampTz since)
{
	return Min(since, first_due);
}

/*
 * po_claim_due returns when to claim next, where the first thing in the tables is
 * due then: not before there is room for it.
 */
TimestampTz
po_claim_due(TimestampTz due)
{
	first_due = due;
	return po_sender_room() == 0 ? DT_NOEND : crowded ? others_due : due;
}

/*
 * po_messages_are_held tells whether the last look came to much that somebody else
 * holds, and has not yet seen what is behind it.
 */
bool
po_messages_are_held(void)
{
	for (int p = 0; p < PO_NPRIORITIES; p++)
		if (turns[p].nplaces > 0)
			return true;
	return false;
}

/*
 * po_room_has_come tells whether those that were turned away may have room now.
 */
bool
po_room_has_come(void)
{
	return crowded && po_sender_done() != done_before;
}
