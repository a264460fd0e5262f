/*
 * settle.c
 *	  Finding out what became of messages whose outcome is not known.
 *
 * What a dead worker had claimed is taken over: its fence is raised, so that a
 * result of that worker would count no more, and it is unknown.  Dead is a
 * process whose session lock is gone, however long it has been silent.
 *
 * An unknown message is looked at when its request can no longer be accepted:
 * it is repeated under the same idempotency key while the provider remembers
 * that, or looked up, or left to a person.  A status callback settles it at any
 * time, also afterwards.
 *
 * Nobody is waited for: what somebody else holds is left for the next time.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ledger.h"
#include "core/shared.h"
#include "core/statement.h"
#include "core/wakeup.h"
#include "lead/channel.h"
#include "sender/answer.h"
#include "sender/load.h"
#include "sender/settle.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BATCH 200
#define HELD_USECS USECS_PER_SEC	/* at least, until one whose lead somebody holds is looked at again */
#define CROWDED_USECS (5 * USECS_PER_SEC)	/* until one that had no room to be looked up is */
#define STALLED_USECS (60 * USECS_PER_SEC)	/* until a silent owner is looked at again */

static PoPlan select_owners = {
	.name = "settle.owners",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT owner, min(due_at) FROM outreach.outbound_queue"
	" WHERE status = 'sending' AND owner <> $1 GROUP BY owner",
	PO_ARGS(INT8OID)
};

/* A message of which nobody knows what became, as it was found. */
typedef struct Found
{
	PoMessageKey key;
	const char *lead_id;
	const char *body;
	int64		owner;
} Found;

static const PoField claimed_field[] = {
	PO_FIELD_AS(Found, key.tenant_id, "tenant_id", TEXT, PO_GIVE),
	PO_FIELD_AS(Found, key.message_id, "message_id", UUID, PO_GIVE),
	PO_FIELD(Found, owner, ID, PO_GIVE)
};

static PoStatement select_claimed = {
	.name = "settle.claimed",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {m.*} FROM outreach.outbound_queue m"
	" WHERE m.status = 'sending' AND m.owner = ANY ($1)",
	.gives = PO_FIELDS(claimed_field, PO_GIVE),
	PO_FIXED(INT8ARRAYOID)
};

static PoPlan postpone = {
	.name = "settle.postpone",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.outbound_queue m SET due_at = $2 FROM"
	" (SELECT tenant_id, message_id FROM outreach.outbound_queue"
	" WHERE status = 'sending' AND due_at <= $1 FOR NO KEY UPDATE SKIP LOCKED) free"
	" WHERE m.tenant_id = free.tenant_id AND m.message_id = free.message_id",
	PO_ARGS(TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static const PoField unknown_field[] = {
	PO_FIELD_AS(Found, key.tenant_id, "tenant_id", TEXT, PO_GIVE),
	PO_FIELD_AS(Found, key.message_id, "message_id", UUID, PO_GIVE),
	PO_FIELD(Found, lead_id, TEXT, PO_GIVE),
	PO_FIELD(Found, body, TEXT, PO_GIVE)
};

static PoStatement select_unknown = {
	.name = "settle.unknown",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {m.*} FROM outreach.outbound_queue m"
	" WHERE m.status = 'unknown' AND m.due_at <= $1 ORDER BY m.due_at LIMIT $2",
	.gives = PO_FIELDS(unknown_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, INT4OID)
};

/*
 * Out of the way of the others, whose time may be later; for longer, the longer its
 * outcome is not known.
 */
static PoStatement put_off = {
	.name = "settle.put_off",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.outbound_queue m SET due_at = $1 +"
	" least(greatest(($1 - m.ambiguous_since) / 8, '1 s'), '1 min') FROM"
	" (SELECT o.tenant_id, o.message_id FROM {rows} JOIN outreach.outbound_queue o ON o.tenant_id = u.tenant_id"
	" AND o.message_id = u.message_id"
	" WHERE o.status = 'unknown' FOR NO KEY UPDATE OF o SKIP LOCKED) free"
	" WHERE m.tenant_id = free.tenant_id AND m.message_id = free.message_id",
	.takes = PO_FIELDS(po_message_key_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* A provider's id that a look-up listed, in the ledger. */
typedef struct ListedKey
{
	pg_uuid_t	key;
} ListedKey;

static const PoField listed_field[] = {
	PO_FIELD(ListedKey, key, UUID, PO_TAKE)
};

static PoStatement select_others = {
	.name = "settle.others",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.provider_message_ids p ON p.key = u.key AND p.message_id <> $1",
	.takes = PO_FIELDS(listed_field, PO_TAKE),
	PO_FIXED(UUIDOID),
	.numbered = true
};

/* The same text from the same number to the same phone, whose outcome is open too. */
static PoPlan select_twin = {
	.name = "settle.twin",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT FROM outreach.leads l JOIN outreach.outbound_queue o"
	" ON o.tenant_id = l.tenant_id AND o.lead_id = l.lead_id"
	" WHERE l.tenant_id = $1 AND l.phone = $2 AND o.phone = $2 AND o.from_phone = $3"
	" AND o.body = $4 AND o.message_id <> $5"
	" AND (o.status = 'sending' OR o.ambiguous_since IS NOT NULL) LIMIT 1",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID)
};

static bool claims_left = false;	/* of dead workers, because somebody held the messages */

/*
 * po_settle_waits tells whether there is something to take over whose time does not
 * tell.
 */
bool
po_settle_waits(void)
{
	return claims_left;
}

/*
 * po_quiet_time tells how long after the end of a request it is certain what
 * the provider has: nothing is on its way any more, and a look-up shows it.
 */
int64
po_quiet_time(const PoProfile *profile)
{
	return profile->settle + (profile->lookup_url != NULL ? profile->lookup_lag : 0);
}

/* The claims of workers that are dead, all of them, but for what somebody holds. */
static int
take_over_from(const int64 *owner, int nowners)
{
	Datum	   *element = palloc(nowners * sizeof(Datum));
	Datum		owners;
	Found	   *found;
	PoWants		wants = {0};
	PoUnit		unit = {0};
	bool	   *held;
	int			n;

	for (int i = 0; i < nowners; i++)
		element[i] = Int64GetDatum(owner[i]);
	owners = PointerGetDatum(construct_array(element, nowners, INT8OID, 8, FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE));
	n = po_exec_fixed(&select_claimed, &owners);
	found = palloc0(Max(n, 1) * sizeof(Found));
	held = palloc0(Max(n, 1) * sizeof(bool));
	po_read_rows(&select_claimed, n, found);
	for (int i = 0; i < n; i++)
		po_want_message(&wants, i, found[i].key.tenant_id, &found[i].key.message_id);
	po_unit_lock(&unit, &wants, 0, held);
	claims_left = false;
	for (int i = 0; i < n; i++)
	{
		PoMessage  *m = po_find_message(&unit, found[i].key.tenant_id, &found[i].key.message_id);
		const PoAccount *account;

		claims_left |= held[i];
		if (m == NULL || m->status != PO_MESSAGE_SENDING || m->owner != found[i].owner)
			continue;
		account = po_find_account(m->tenant_id, m->account);
		m->fence++;
		po_message_unknown(m, m->claimed_at, account != NULL && account->profile != NULL
						   ? po_quiet_time(account->profile) : PO_DEFAULT_QUIET, "its worker ended");
		po_wake_at(m->due_at);
		m->delivery_error = m->last_error;
	}
	po_unit_write(&unit);
	return unit.nmessages;
}

static int
take_over(void)
{
	TimestampTz now = po_now();
	Datum		me = Int64GetDatum(po_sender_owner());
	Datum		args[2] = {TimestampTzGetDatum(now), TimestampTzGetDatum(now + STALLED_USECS)};
	int			n = po_exec(&select_owners, &me, NULL);
	int64	   *dead = palloc(Max(n, 1) * sizeof(int64));
	int			ndead = 0;
	bool		stalled = false;

	claims_left = false;
	for (int i = 0; i < n; i++)
		dead[i] = po_column_int64(i, 1);
	for (int i = 0; i < n; i++)
	{
		if (po_owner_is_dead(dead[i]))
			dead[ndead++] = dead[i];
		else
			stalled = true;
	}
	if (ndead > 0)
		return take_over_from(dead, ndead);
	if (po_exec(&postpone, args, NULL) > 0 && stalled)
		ereport(WARNING,
				(errmsg("a worker that has claimed messages neither sends them nor ends"),
				 errdetail("Its messages wait, so that none is sent twice."),
				 errhint("End it with pg_terminate_backend().")));
	return 0;
}

/* Asks the provider; false: the request cannot be made. */
static bool
look_up(PoMessage *message, const PoAccount *account, const char *body)
{
	PoFlight   *flight = po_flight_begin(account);
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	PoRequestInput input = {
		.account = account, .message_id = message->message_id,
		.to = message->phone, .from = message->from_phone, .started_at = message->ambiguous_since
	};
	const char *problem = po_lookup_request(&input, &flight->call);

	flight->message_id = message->message_id;
	flight->lead_id = pstrdup(message->lead_id);
	flight->from_phone = message->from_phone != NULL ? pstrdup(message->from_phone) : NULL;
	flight->phone = message->phone != NULL && po_goes_to_address(message->channel) ? pstrdup(message->phone) : NULL;
	flight->body = pstrdup(body);
	flight->fence = message->fence;
	flight->started_at = po_now();
	INSTR_TIME_SET_CURRENT(flight->claimed_at);
	flight->lookup = true;
	MemoryContextSwitchTo(old);
	if (problem != NULL)
	{
		po_flight_drop(flight);
		return false;
	}
	/* Should the answer never be recorded, it is asked again then. */
	message->due_at = po_now() + account->profile->timeout_ms * INT64CONST(1000) + 5 * USECS_PER_SEC;
	return true;
}

static int64
retry_delay(const PoMessage *message, const PoProfile *profile)
{
	return message->failures == 0 || profile->nretries == 0 ? 0
		: profile->retry_delay[Min(message->failures, profile->nretries) - 1];
}

static void
settle(PoUnit *unit, PoMessage *message, const char *body)
{
	const PoAccount *account = po_find_account(message->tenant_id, message->account);
	const PoProfile *profile = account != NULL ? account->profile : NULL;
	PoCause		cause = {.source = "engine"};
	int64		calm = profile != NULL ? po_quiet_time(profile) - po_shared_calm_for() : 0;

	message->changed = true;
	if (message->provider_message_id != NULL)
		po_message_accepted(unit, message, NULL, &cause);
	else if (calm > 0)
	{
		/* The wall clock jumped: its time may not have passed. */
		message->due_at = po_now() + calm;
		po_wake_at(message->due_at);
	}
	else if (profile != NULL && profile->idempotency_header != NULL &&
			 message->failures <= profile->nretries)
	{
		(void) po_message_move(message, PO_STEP_REPEAT);
		message->due_at = po_now() + retry_delay(message, profile);
		po_wake_at(message->due_at);
	}
	else if (profile == NULL || profile->lookup_url == NULL || account->problem != NULL ||
			 message->failures > profile->nretries)
		po_message_uncertain(unit, message, &cause);
	else if (!po_load_may_begin(account, po_sender_room()))
	{
		message->due_at = po_now() + CROWDED_USECS;
		po_wake_at(message->due_at);
	}
	else if (!look_up(message, account, body))
		po_message_uncertain(unit, message, &cause);
}

static int
settle_unknown(int room)
{
	TimestampTz now = po_now();
	Datum		args[2] = {TimestampTzGetDatum(now), Int32GetDatum(Min(room, BATCH))};
	int			n = po_exec_fixed(&select_unknown, args);
	Found	   *found = palloc0(Max(n, 1) * sizeof(Found));
	bool	   *held = palloc0(Max(n, 1) * sizeof(bool));
	PoRows		later = po_rows(&put_off, n);
	PoWants		wants = {0};
	PoUnit		unit = {0};

	po_read_rows(&select_unknown, n, found);
	for (int i = 0; i < n; i++)
	{
		(void) po_want(&wants, PO_WANT_LEAD, i, found[i].key.tenant_id, found[i].lead_id);
		po_want_message(&wants, i, found[i].key.tenant_id, &found[i].key.message_id);
	}
	po_unit_lock(&unit, &wants, 0, held);
	po_load_plan_begins(room);
	for (int i = 0; i < n; i++)
	{
		PoMessage  *m = po_find_message(&unit, found[i].key.tenant_id, &found[i].key.message_id);

		if (held[i])
			po_rows_add(&later, &found[i].key);
		else if (m != NULL && m->status == PO_MESSAGE_UNKNOWN && m->due_at <= now)
			settle(&unit, m, found[i].body);
	}
	po_unit_write(&unit);
	if (later.n > 0)
	{
		(void) po_rows_exec(&later, args);
		po_wake_at(now + HELD_USECS);
	}
	return n;
}

/* Whether what a look-up lists may as well be another message of ours. */
static bool
has_twin(const PoMessage *message, const char *body)
{
	Datum		args[5] = {
		CStringGetTextDatum(message->tenant_id), CStringGetTextDatum(message->phone),
		CStringGetTextDatum(message->from_phone), CStringGetTextDatum(body),
		UUIDPGetDatum(&message->message_id)
	};

	return po_exec(&select_twin, args, NULL) > 0;
}

/*
 * po_settle_by_lookup settles an unknown message by what its provider listed; found, it
 * has the provider's id.  A message of ours that is known by another key is not this one,
 * nor is one of another number or time.  Of what is left
 * one alone with the text is it; one with another text may be it, changed on the way,
 * and one with the same may be its twin, which only a person can tell.
 */
void
po_settle_by_lookup(PoUnit *unit, PoMessage *message, const PoAccount *account,
					const PoFlight *flight, const PoCause *cause)
{
	Datum		self = UUIDPGetDatum(&message->message_id);
	PoRows		keys = po_rows(&select_others, 1);
	PoSought	sought = {
		.body = flight->body, .to = message->phone, .from = message->from_phone,
		.since = message->ambiguous_since,
		.until = message->ambiguous_since + PO_LATEST_DEPARTURE_MS * INT64CONST(1000) +
		account->profile->timeout_ms * INT64CONST(1000) + account->profile->settle,
		.asked_at = flight->started_at, .answered_at = flight->landed_at
	};
	PoListed   *listed = NULL;
	const char *found = NULL;
	int			n = po_read_lookup(account->profile, &flight->call, flight->answer, &sought, &listed);
	int			others;
	int			unsure = 0;

	if (message->status != PO_MESSAGE_UNKNOWN)
		return;
	message->changed = true;
	if (n < 0)
	{
		message->failures++;
		message->last_error = "the look-up told nothing";
		message->due_at = po_now() + STALLED_USECS;
		if (message->failures > account->profile->nretries)
			po_message_uncertain(unit, message, cause);
		else
			po_wake_at(message->due_at);
		return;
	}
	for (int i = 0; i < n; i++)
		po_rows_add(&keys, &(ListedKey) {
			po_provider_key(message->tenant_id, PO_LEDGER_MESSAGE_ID, account->profile->provider, listed[i].id)
		});
	others = po_rows_exec(&keys, &self);
	for (int r = 0; r < others; r++)
		listed[po_column_int(r, 1) - 1].id = NULL;
	for (int i = 0; i < n; i++)
	{
		if (listed[i].id == NULL || listed[i].likeness == PO_ANOTHER)
			continue;
		if (listed[i].likeness == PO_PERHAPS || found != NULL || has_twin(message, flight->body))
			unsure++;
		else
			found = listed[i].id;
	}
	if (unsure > 0)
		found = NULL;
	if (found != NULL)
		po_message_accepted(unit, message, found, cause);
	else if (unsure > 0)
	{
		message->last_error = "the look-up lists a message that may be this one";
		po_message_uncertain(unit, message, cause);
	}
	else
	{
		(void) po_message_move(message, PO_STEP_MISS);
		message->ambiguous_since = DT_NOEND;
		message->due_at = po_now() + retry_delay(message, account->profile);
		po_wake_at(message->due_at);
	}
}

/*
 * po_settle takes over what dead workers had claimed, and settles what is unknown and
 * due; returns how many messages were looked at.  As the engine's owner; connects to SPI
 * itself.
 */
int
po_settle(void)
{
	int			room = po_sender_room();
	int			n;

	po_require_sender();
	po_spi_connect();
	po_profiles_begin();
	n = take_over();
	/* Not with it: leads are locked before messages. */
	if (n == 0 && room > 0)
		n = settle_unknown(room);
	SPI_finish();
	return n;
}
