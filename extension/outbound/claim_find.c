/*
 * claim_find.c
 *	  Finding the messages that are due and have room.
 *
 * All that is due is taken by its time, while it is less than a batch; where it
 * is more, replies go before campaigns, and accounts take turns.  What is found
 * has its lead locked.  Where a round stands, and whether something waits for
 * room, is the state of the process.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/arming.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "outbound/claim.h"
#include "outbound/sender.h"
#include "utils/builtins.h"
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

/* Of one priority, so many of each account. */
static PoPlan select_fairly = {
	.name = "claim.fairly",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT d.* FROM outreach.sending_accounts a CROSS JOIN LATERAL"
	" (SELECT " CANDIDATE_COLUMNS CANDIDATE_TABLES
	" WHERE m.tenant_id = a.tenant_id AND m.account = a.account AND m.priority = $6"
	" AND m.due_at >= $1 AND m.due_at <= $2 AND m.status < 'sending'"
	" ORDER BY m.due_at LIMIT $5) d"
	" WHERE (a.tenant_id, a.account) > ($4, $7) ORDER BY a.tenant_id, a.account LIMIT $3",
	.nargs = 7,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID, INT2OID, TEXTOID}
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

static bool backlog = false;
static Turn turn[PO_CLAIM_PRIORITIES];
static bool no_room = false;	/* something due waits for a flight to land */

/* What is under way of an account, or to a host, claims of this batch included. */
static int *
usage_of(PoClaim *claim, const PoAccount *account, bool of_host)
{
	PoUsage	   *usage;

	for (int i = 0; i < claim->nusages; i++)
	{
		usage = &claim->usage[i];
		if (of_host ? usage->host != NULL && strcmp(usage->host, account->origin) == 0
			: usage->account == account)
			return &usage->n;
	}
	usage = &claim->usage[claim->nusages++];
	usage->account = of_host ? NULL : account;
	usage->host = of_host ? account->origin : NULL;
	usage->n = of_host ? po_flights_to_host(account->origin)
		: po_flights_of_account(account->tenant_id, account->account);
	return &usage->n;
}

static bool
take_room(PoClaim *claim, const PoAccount *account)
{
	int		   *of_account;
	int		   *to_host;

	if (account == NULL || account->problem != NULL)
		return true;
	of_account = usage_of(claim, account, false);
	to_host = usage_of(claim, account, true);
	if (*of_account >= account->profile->max_in_flight || *to_host >= po_setting_max_sends_per_host)
	{
		no_room = true;
		return false;
	}
	(*of_account)++;
	(*to_host)++;
	return true;
}

/* Takes over those of the last statement's rows for which there is room. */
static void
add_candidates(PoClaim *claim, int n)
{
	int			first = claim->n;

	for (int i = 0; i < n; i++)
	{
		PoCandidate  *c = &claim->candidate[first + i];

		memset(c, 0, sizeof(*c));
		c->key.tenant_id = po_column_text(i, 1);
		(void) po_column_uuid(i, 2, &c->key.message_id);
		c->lead_id = po_column_text(i, 3);
		c->account_name = po_column_text(i, 4);
		c->from_phone = po_column_text(i, 5);
		c->phone = po_column_text(i, 6);
		c->channel = po_column_text(i, 7);
		c->subject = po_column_text(i, 8);
		c->body = po_column_text(i, 9);
	}
	for (int i = first; i < first + n; i++)
	{
		PoCandidate  *c = &claim->candidate[i];

		c->account = po_find_account(c->key.tenant_id, c->account_name);
		if (take_room(claim, c->account))
			claim->candidate[claim->n++] = *c;
	}
}

/*
 * po_find_due finds what is due since a time and has room: the candidates of the
 * claim, whose arrays are big enough.
 */
void
po_find_due(PoClaim *claim, TimestampTz since, int room)
{
	Datum		args[7] = {
		TimestampTzGetDatum(since), TimestampTzGetDatum(po_now()), Int32GetDatum(room)
	};
	int			n;

	if (!backlog)
	{
		n = po_exec(&select_due, args, NULL);
		backlog = n == room;
		add_candidates(claim, n);
		if (n == 0 && po_arming_problem() == NULL)
			(void) po_exec(&cancel_orphans, args, NULL);
		return;
	}
	backlog = false;
	for (int p = 0; p < PO_CLAIM_PRIORITIES && claim->n < room; p++)
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
		backlog |= n > 0;
		t->share = n < size ? 2 * share : 0;
		add_candidates(claim, n);
	}
}

/*
 * po_claim_begins notes how much room there is for the next claim.
 */
void
po_claim_begins(int room)
{
	no_room = room == 0;
}

/*
 * po_sends_wait tells whether something due waits for a flight to land, so that
 * looking again before is useless.
 */
bool
po_sends_wait(void)
{
	return no_room;
}
