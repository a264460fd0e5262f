/*
 * claim_find.c
 *	  Finding the messages that are due and have room.
 *
 * All that is due is taken by its time, while it is less than a batch; where it
 * is more, replies go before campaigns, and accounts take turns.  What is found
 * has its lead locked.
 *
 * An account that is found to have no room is not looked at again before it has
 * some, nor is one of a tenant that has none: then accounts take turns too, the
 * others alone, so that what waits for room is in nobody's way.  Where a round
 * stands, and who waits for room, is the state of the process.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/arming.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/limits.h"
#include "core/spi_plan.h"
#include "lib/ilist.h"
#include "outbound/claim.h"
#include "outbound/load.h"
#include "outbound/sender.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CANDIDATE_COLUMNS \
	"m.tenant_id, m.message_id, m.lead_id, m.account, m.from_phone, m.phone, m.channel," \
	" m.subject, m.body"

/*
 * The lead is found by its whole key, whatever is known of the tables when the
 * plan is made.  One that somebody else holds, as an opt-out holds all leads of its
 * phone, is not waited for, and takes nobody's place.
 */
#define CANDIDATE_TABLES \
	" FROM outreach.outbound_messages m CROSS JOIN LATERAL (SELECT FROM outreach.leads l" \
	" WHERE l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id FOR NO KEY UPDATE SKIP LOCKED) locked"

static PoPlan select_due = {
	.name = "claim.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " CANDIDATE_COLUMNS CANDIDATE_TABLES
	" WHERE m.due_at >= $1 AND m.due_at <= $2 AND m.due_at < 'infinity' AND m.status < 'sending'"
	" ORDER BY m.due_at LIMIT $3",
	.nargs = 3,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

/* Accounts for which something waits, behind a pair, in order: a step of the index each. */
#define WAITING_ACCOUNTS(tenant_id, account) \
	"WITH RECURSIVE a AS ((" NEXT_ACCOUNT(tenant_id, account) ") UNION ALL" \
	" SELECT n.tenant_id, n.account FROM a CROSS JOIN LATERAL (" NEXT_ACCOUNT("a.tenant_id", "a.account") ") n)"
#define NEXT_ACCOUNT(tenant_id, account) \
	"SELECT w.tenant_id, w.account FROM outreach.outbound_messages w" \
	" WHERE (w.tenant_id, w.account) > (" tenant_id ", " account ")" \
	" AND w.due_at IS NOT NULL AND w.status < 'sending'" \
	" ORDER BY w.tenant_id, w.account LIMIT 1"

/* Those that have room: not of the tenants, nor among the accounts, that have none. */
#define HAVE_ROOM(tenants, of_tenant, accounts) \
	" a.tenant_id <> ALL (" tenants ") AND (a.tenant_id, a.account) NOT IN" \
	" (SELECT f.t, f.a FROM unnest(" of_tenant ", " accounts ") f (t, a))"

/* Of one priority, so many of each account. */
static PoPlan select_fairly = {
	.name = "claim.fairly",
	.expect = SPI_OK_SELECT,
	.sql = WAITING_ACCOUNTS("$4", "$7") " SELECT d.* FROM a CROSS JOIN LATERAL"
	" (SELECT " CANDIDATE_COLUMNS CANDIDATE_TABLES
	" WHERE m.tenant_id = a.tenant_id AND m.account = a.account AND m.priority = $6"
	" AND m.due_at >= $1 AND m.due_at <= $2 AND m.status < 'sending'"
	" ORDER BY m.due_at LIMIT $5) d"
	" WHERE" HAVE_ROOM("$8", "$9", "$10") " LIMIT $3",
	.nargs = 10,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID, INT2OID, TEXTOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* When the next is due for which there is room. */
static PoPlan select_next = {
	.name = "claim.next",
	.expect = SPI_OK_SELECT,
	.sql = WAITING_ACCOUNTS("''", "''") " SELECT min(d.due_at) FROM a CROSS JOIN generate_series(0, 2) p"
	" CROSS JOIN LATERAL (SELECT m.due_at FROM outreach.outbound_messages m"
	" WHERE m.tenant_id = a.tenant_id AND m.account = a.account AND m.priority = p"
	" AND m.due_at IS NOT NULL AND m.status < 'sending' ORDER BY m.due_at LIMIT 1) d"
	" WHERE" HAVE_ROOM("$1", "$2", "$3"),
	.nargs = 3,
	.argtype = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* What is due and not found by them has its lead locked, or has none any more. */
static PoPlan cancel_orphans = {
	.name = "claim.orphans",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.outbound_messages m SET due_at = NULL, held_by = NULL, updated_at = $2,"
	" status = CASE WHEN m.ambiguous_since IS NULL THEN 'cancelled' ELSE 'uncertain'"
	" END::outreach.message_status, last_error = 'the lead is gone' FROM"
	" (SELECT o.tenant_id, o.message_id FROM outreach.outbound_messages o"
	" WHERE o.due_at >= $1 AND o.due_at <= $2 AND o.due_at < 'infinity' AND o.status < 'sending'"
	" AND NOT EXISTS (SELECT FROM outreach.leads l"
	" WHERE l.tenant_id = o.tenant_id AND l.lead_id = o.lead_id)"
	" ORDER BY o.due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) d"
	" WHERE m.tenant_id = d.tenant_id AND m.message_id = d.message_id",
	.nargs = 3,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

/* Where the next round of a priority begins, while there is a backlog. */
typedef struct Turn
{
	int			share;			/* of one account; 0: an eighth of a batch */
	char		last_tenant[PO_MAX_ID_BYTES + 1];
	char		last_account[PO_MAX_ID_BYTES + 1];
} Turn;

/* An account that was found to have no room. */
typedef struct TurnedAway
{
	dlist_node	node;
	char		tenant_id[PO_MAX_ID_BYTES + 1];
	char		account[PO_MAX_ID_BYTES + 1];
} TurnedAway;

static bool backlog = false;
static Turn turn[PO_CLAIM_PRIORITIES];
static dlist_head turned_away = DLIST_STATIC_INIT(turned_away);
static bool crowded = false;	/* some have no room, */
static TimestampTz others_due;	/* and then the next of the others is due */
static bool some_left = true;	/* due before what is known to be next */
static uint64 done_before;		/* flights, when it was found out who has room */

/* In this claim already; then it is the last, or nearly so. */
static bool
is_turned_away(const PoAccount *account)
{
	dlist_iter	iter;

	if (account != NULL)
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

/*
 * Who has no room still, as three arrays: tenants, and accounts with theirs.  Those
 * that have been turned away for longest are asked first.
 */
static void
find_crowded(Datum array[3])
{
	PoArray		column[2];
	dlist_mutable_iter iter;

	po_array_init(&column[0], TEXTOID, 8);
	po_array_init(&column[1], TEXTOID, 8);
	dlist_foreach_modify(iter, &turned_away)
	{
		TurnedAway *entry = dlist_container(TurnedAway, node, iter.cur);
		const PoAccount *account = po_find_account(entry->tenant_id, entry->account);

		if (account == NULL || account->problem != NULL || po_load_may_plan(account))
		{
			dlist_delete(&entry->node);
			pfree(entry);
			continue;
		}
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
	for (int column = 8; column <= 9 && !claim->full; column++)
	{
		bool		isnull;
		Datum		text = po_column(row, column, &isnull);

		claim->full = !isnull && !po_fits_batch(&claim->bytes, text);
	}
	return !claim->full;
}

/* Takes over those of the last statement's rows for which there is room. */
static void
add_candidates(PoClaim *claim, int nrows)
{
	int			first = claim->n;
	int			n;

	for (n = 0; n < nrows && fits(claim, n); n++)
	{
		PoCandidate  *c = &claim->candidate[first + n];

		memset(c, 0, sizeof(*c));
		c->key.tenant_id = po_column_text(n, 1);
		(void) po_column_uuid(n, 2, &c->key.message_id);
		c->lead_id = po_column_text(n, 3);
		c->account_name = po_column_text(n, 4);
		c->from_phone = po_column_text(n, 5);
		c->phone = po_column_text(n, 6);
		c->channel = po_column_text(n, 7);
		c->subject = po_column_text(n, 8);
		c->body = po_column_text(n, 9);
	}
	for (int i = first; i < first + n; i++)
	{
		PoCandidate  *c = &claim->candidate[i];

		c->account = po_find_account(c->key.tenant_id, c->account_name);
		if (is_turned_away(c->account))
			continue;
		if (take_room(c->account))
			claim->candidate[claim->n++] = *c;
	}
}

/* By time, as far as a batch goes. */
static void
find_by_time(PoClaim *claim, TimestampTz since, int room)
{
	Datum		args[3] = {
		TimestampTzGetDatum(since), TimestampTzGetDatum(po_now()), Int32GetDatum(room)
	};
	int			n = po_exec(&select_due, args, NULL);

	add_candidates(claim, n);
	backlog = n == room || claim->full;
	some_left = backlog || crowded;
	if (n == 0 && po_arming_problem() == NULL)
		(void) po_exec(&cancel_orphans, args, NULL);
}

/* In turn, of accounts that have room; returns whether there is any such message. */
static bool
find_in_turn(PoClaim *claim, const Datum full[3], int room)
{
	Datum		args[10] = {
		TimestampTzGetDatum(DT_NOBEGIN), TimestampTzGetDatum(po_now()),
		[7] = full[0], [8] = full[1], [9] = full[2]
	};
	bool		any = false;
	int			n;

	for (int p = 0; p < PO_CLAIM_PRIORITIES && claim->n < room && !claim->full; p++)
	{
		Turn	   *t = &turn[p];
		int			size = room - claim->n;
		int			share = Min(Max(t->share, Max(size / 8, 1)), size);
		bool		again;

		args[2] = Int32GetDatum(size);
		args[4] = Int32GetDatum(share);
		args[5] = Int16GetDatum(p);
		do
		{
			args[3] = CStringGetTextDatum(t->last_tenant);
			args[6] = CStringGetTextDatum(t->last_account);
			n = po_exec(&select_fairly, args, NULL);
			/* Nothing behind those that had their turn: from the beginning. */
			again = n == 0 && t->last_tenant[0] != '\0';
			strlcpy(t->last_tenant, n == size ? po_column_text(n - 1, 1) : "", sizeof(t->last_tenant));
			strlcpy(t->last_account, n == size ? po_column_text(n - 1, 4) : "", sizeof(t->last_account));
		} while (again);
		any |= n > 0;
		t->share = n < size ? 2 * share : 0;
		add_candidates(claim, n);
	}
	return any;
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
		backlog = find_in_turn(claim, full, room);
		some_left = true;
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
	return some_left ? DT_NOBEGIN : since;
}

/*
 * po_claim_due returns when to claim next, where the tables have something that is
 * due then: not before there is room for it.
 */
TimestampTz
po_claim_due(TimestampTz due)
{
	return po_sender_room() == 0 ? DT_NOEND : crowded ? others_due : due;
}

/*
 * po_room_has_come tells whether those that were turned away may have room now.
 */
bool
po_room_has_come(void)
{
	return crowded && po_sender_done() != done_before;
}
