/*
 * claim.c
 *	  Claiming due messages: what is committed before the first byte leaves.
 *
 * A claim sees kill switches and consent as they are when it commits.  It shares a
 * lock of each row that a stop has to lock before it can commit, that of arming for
 * everything and the tenant's for the rest; of each stop that holds a message of
 * it, which resume_sending() has to delete; and of each person, whose address it is or
 * whose lead, against an opt-out.
 * Nothing that somebody else holds is waited for, so that the order of these locks
 * is no matter, and neither does a claim insert a key that others may be inserting.
 * It goes before nobody who waits for a row that it would share, for claims follow
 * each other without a gap.
 * What it cannot lock it leaves for the next.  Due messages are found with their
 * leads, and looked at again under their own lock.
 *
 * A message whose outcome was once unknown is claimed again only while its
 * provider takes the same idempotency key for the same message.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "core/arming.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/statement.h"
#include "core/wakeup.h"
#include "lead/channel.h"
#include "outbound/replied.h"
#include "sender/claim.h"
#include "sender/health.h"
#include "sender/sender.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BATCH 200
#define RETRY_SETUP_USECS (60 * USECS_PER_SEC)	/* an account that cannot send yet */

/*
 * KEY SHARE: only a stop's FOR UPDATE and a deletion exclude it, not a change of the
 * tenant's name or of a stop's reason.
 */
static PoPlan lock_arming = {
	.name = "claim.arming",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT FROM outreach.arming WHERE NOT outreach_impl.is_awaited(tableoid, ctid)"
	" FOR KEY SHARE SKIP LOCKED"
};

/* Null: locked by somebody else, or about to be.  A tenant that is gone is not there. */
static const PoField tenant_field[] = {
	PO_FIELD(PoClaimTenant, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_VALUE(PoClaimTenant, locked, "l.tenant_id IS NOT NULL", BOOL)
};

static PoStatement lock_tenants = {
	.name = "claim.tenants",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {t.*} FROM {rows} JOIN outreach.tenants t ON t.tenant_id = u.tenant_id"
	" LEFT JOIN LATERAL (SELECT k.tenant_id FROM outreach.tenants k"
	" WHERE k.tenant_id = t.tenant_id AND NOT outreach_impl.is_awaited(k.tableoid, k.ctid)"
	" FOR KEY SHARE SKIP LOCKED) l ON true",
	.takes = PO_FIELDS(tenant_field, PO_TAKE),
	.gives = PO_FIELDS(tenant_field, PO_GIVE)
};

static const PoField stop_field[] = {
	PO_FIELD(PoStop, tenant_id, TEXT, PO_GIVE),
	PO_FIELD(PoStop, scope, TEXT, PO_GIVE),
	PO_FIELD(PoStop, id, TEXT, PO_GIVE)
};

static PoStatement select_stops = {
	.name = "claim.stops",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {s.*} FROM outreach.sending_stops s",
	.gives = PO_FIELDS(stop_field, PO_GIVE)
};

static PoPlan lock_stop = {
	.name = "claim.stop",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT FROM outreach.sending_stops WHERE tenant_id = $1 AND scope = $2 AND id = $3"
	" FOR KEY SHARE SKIP LOCKED",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID)
};

/* The stop that holds a message, or NULL. */
static PoStop *
stop_of(const PoClaim *claim, const PoCandidate *candidate)
{
	const char *tenant_id = candidate->key.tenant_id;

	for (int i = 0; i < claim->nstops; i++)
	{
		PoStop	   *s = &claim->stop[i];
		const char *id = strcmp(s->scope, "account") == 0 ? candidate->account_name
			: strcmp(s->scope, "number") == 0 ? candidate->from_phone : s->id;

		if ((strcmp(s->tenant_id, "*") == 0 || strcmp(s->tenant_id, tenant_id) == 0) &&
			id != NULL && strcmp(s->id, id) == 0)
			return s;
	}
	return NULL;
}

/* Whether resume_sending() waits for us before it looks for what the stop holds. */
static bool
is_locked(PoStop *stop)
{
	Datum		args[3];

	if (!stop->looked)
	{
		args[0] = CStringGetTextDatum(stop->tenant_id);
		args[1] = CStringGetTextDatum(stop->scope);
		args[2] = CStringGetTextDatum(stop->id);
		stop->locked = po_exec(&lock_stop, args, NULL) > 0;
		stop->looked = true;
	}
	return stop->locked;
}

static int
compare_tenants(const void *a, const void *b)
{
	return strcmp(((const PoClaimTenant *) a)->tenant_id, ((const PoClaimTenant *) b)->tenant_id);
}

/* Locks the tenants of the candidates against stops. */
static void
lock_tenants_of(PoClaim *claim)
{
	PoRows		rows = po_rows(&lock_tenants, claim->n);
	const char *last = NULL;
	int			n = 0;

	claim->tenant = palloc(claim->n * sizeof(PoClaimTenant));
	for (int i = 0; i < claim->n; i++)
		claim->tenant[i].tenant_id = claim->candidate[i].key.tenant_id;
	qsort(claim->tenant, claim->n, sizeof(PoClaimTenant), compare_tenants);
	for (int i = 0; i < claim->n; i++)
	{
		if (last == NULL || strcmp(last, claim->tenant[i].tenant_id) != 0)
			po_rows_add(&rows, &claim->tenant[i]);
		last = claim->tenant[i].tenant_id;
	}
	n = po_rows_exec(&rows, NULL);
	po_read_rows(&lock_tenants, n, claim->tenant);
	claim->ntenants = n;
	qsort(claim->tenant, n, sizeof(PoClaimTenant), compare_tenants);
	for (int i = 0; i < claim->n; i++)
	{
		PoClaimTenant key = {.tenant_id = claim->candidate[i].key.tenant_id};

		claim->candidate[i].tenant = bsearch(&key, claim->tenant, n, sizeof(PoClaimTenant), compare_tenants);
	}
}

/*
 * Locks what stops have to lock, and reads them then: from here on until the commit
 * there is no other.  False: everything is being stopped, or may not be sent.
 */
static bool
lock_stops(PoClaim *claim)
{
	if (po_exec(&lock_arming, NULL, NULL) == 0 || po_arming_problem() != NULL)
		return false;
	lock_tenants_of(claim);
	claim->nstops = po_exec_fixed(&select_stops, NULL);
	claim->stop = palloc0(Max(claim->nstops, 1) * sizeof(PoStop));
	po_read_rows(&select_stops, claim->nstops, claim->stop);
	return true;
}

/* Whether it goes to an address with a row in the registry. */
static bool
has_address(const PoCandidate *candidate)
{
	return candidate->phone != NULL && po_goes_to_address(candidate->channel);
}

/* What a message wants: its address and those of copies, the lead and its person, itself. */
static void
want(PoWants *wants, const PoCandidate *candidate, int member)
{
	const char *tenant_id = candidate->key.tenant_id;

	if (has_address(candidate))
		po_want(wants, PO_WANT_ADDRESS, member, tenant_id, candidate->phone)->lead_id = candidate->lead_id;
	for (int b = 0; b < candidate->content.nbcc; b++)
		po_want(wants, PO_WANT_ADDRESS, member, tenant_id, candidate->content.bcc[b])->alone = true;
	po_want(wants, PO_WANT_CONTACT, member, tenant_id, NULL)->id = candidate->contact_id;
	po_want(wants, PO_WANT_LEAD, member, tenant_id, candidate->lead_id)->tid = candidate->lead_tid;
	po_want_message(wants, member, tenant_id, &candidate->key.message_id)->tid = candidate->tid;
}

/* Whether a person has opted out of all addresses of a kind. */
static bool
has_opted_out(PoUnit *unit, const char *tenant_id, const pg_uuid_t *contact_id, PoAddressKind kind)
{
	const PoContact *contact = po_find_contact(unit, tenant_id, contact_id);

	return contact != NULL && contact->opted_out_at[kind] != DT_NOBEGIN;
}

/* The consent that counts for an address: its own, or the refusal of its person or of the lead's. */
static PoConsent
consent_of(PoUnit *unit, const PoAddress *address, const PoLead *lead)
{
	PoAddressKind kind = po_kind_of(address->address);
	bool		refused = !address->shared && has_opted_out(unit, address->tenant_id, &address->contact_id, kind);

	refused |= lead != NULL && has_opted_out(unit, lead->tenant_id, &lead->contact_id, kind);
	return refused && address->consent != PO_CONSENT_OPTED_IN ? PO_CONSENT_OPTED_OUT : address->consent;
}

/* Whether one of the addresses that get copies is not to be written to. */
static bool
is_copy_blocked(PoUnit *unit, const PoCandidate *candidate)
{
	bool		blocked = false;

	for (int b = 0; b < candidate->content.nbcc; b++)
	{
		const PoAddress *address = po_find_address(unit, candidate->key.tenant_id, candidate->content.bcc[b]);

		if (address != NULL)
			blocked |= po_consent_blocks(consent_of(unit, address, NULL));
	}
	return blocked;
}

/*
 * Locks people, leads and messages, and asks the guards.  What somebody else holds is
 * left for the next cycle: nobody's transaction keeps a worker waiting.
 */
static void
lock_and_judge(PoClaim *claim, PoUnit *unit)
{
	bool	   *held = palloc0(Max(claim->n, 1) * sizeof(bool));
	PoWants		wants = {0};

	for (int i = 0; i < claim->n; i++)
		want(&wants, &claim->candidate[i], i);
	po_unit_lock(unit, &wants, PO_LOCK_SHARES, held);
	for (int i = 0; i < claim->n; i++)
	{
		PoCandidate *c = &claim->candidate[i];
		const char *tenant_id = c->key.tenant_id;
		PoAddress  *address = has_address(c) ? po_find_address(unit, tenant_id, c->phone) : NULL;
		PoLead	   *lead = po_find_lead(unit, tenant_id, c->lead_id);
		PoStop	   *stop = stop_of(claim, c);
		PoGuardInput input = {
			.moment = PO_AT_CLAIM,
			.address = c->phone,
			.channel = c->channel,
			.consent = address != NULL ? consent_of(unit, address, lead) : PO_CONSENT_UNKNOWN,
			.copy_blocked = is_copy_blocked(unit, c),
			.lead_state = lead != NULL ? lead->state : PO_STATE_SUPPRESSED,
			.unreachable = address != NULL ? po_unreachable_reason(address->unreachable, c->channel) : NULL,
			.stop = stop != NULL ? psprintf("%s:%s", stop->scope, stop->id) : NULL
		};

		/* What has joined another person since the look is looked at again. */
		c->locked = !held[i] && lead != NULL &&
			memcmp(&lead->contact_id, &c->contact_id, UUID_LEN) == 0 &&
			(c->tenant == NULL || c->tenant->locked) && (stop == NULL || is_locked(stop));
		c->stop = input.stop;
		c->result = po_judge(&input);
	}
}

static void
block(PoUnit *unit, PoMessage *message, const PoGuardResult *result)
{
	PoCause		cause = {.source = "engine", .reason = result->reason};
	PoObject   *object;

	message->verdicts = po_guard_verdicts(result);
	/* What may have left already is not blocked. */
	if (po_message_move(message, PO_STEP_BLOCK) == PO_MESSAGE_UNCERTAIN)
	{
		po_message_in_doubt(unit, message, &cause);
		return;
	}
	object = po_message_object(message);
	po_object_string(object, "guard", result->guard);
	po_object_cause(object, &cause, "by");
	(void) po_message_event(unit, message, "message.outbound.blocked", &cause, object);
}

/* One that a reply has not seen, and that was asked for before it. */
static void
take_back(PoUnit *unit, PoMessage *message)
{
	PoCause		cause = {.source = "engine", .reason = "a reply came before it left", .reason_is_class = true};

	message->last_error = cause.reason;
	(void) po_message_cancel(unit, message, &cause);
}

static void
defer(PoMessage *message, TimestampTz until, const char *why)
{
	(void) po_message_move(message, PO_STEP_DEFER);
	message->due_at = until;
	message->held_by = NULL;
	message->last_error = why;
	if (until != DT_NOEND)
		po_wake_at(until);
}

/*
 * Whether another request could only repeat the one whose outcome is unknown: it
 * must arrive while the key is known.
 */
static bool
may_be_sent(const PoMessage *message, const PoProfile *profile)
{
	TimestampTz arrived = po_now() + PO_LATEST_DEPARTURE_MS * INT64CONST(1000) +
		profile->timeout_ms * INT64CONST(1000) + profile->settle;

	return message->ambiguous_since == DT_NOEND ||
		(profile->idempotency_header != NULL && po_now() >= message->ambiguous_since &&
		 arrived < message->ambiguous_since + profile->idempotency_life);
}

/* The addresses that get copies; whoever gets the mail anyway gets none. */
static int
copies_of(const PoCandidate *candidate, const char ***bcc)
{
	int			n = 0;

	*bcc = palloc(Max(candidate->content.nbcc, 1) * sizeof(char *));
	for (int i = 0; i < candidate->content.nbcc; i++)
		if (strcmp(candidate->content.bcc[i], candidate->phone) != 0)
			(*bcc)[n++] = candidate->content.bcc[i];
	return n;
}

/* Claims the message, unless its request cannot be made. */
static void
send(PoMessage *message, const PoCandidate *candidate)
{
	const PoAccount *account = candidate->account;
	PoFlight   *flight = po_flight_begin(account);
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	PoRequestInput input = {
		.account = account, .message_id = message->message_id,
		.to = message->phone, .from = message->from_phone, .content = candidate->content
	};
	const char *problem;

	input.content.nbcc = copies_of(candidate, &input.content.bcc);
	problem = po_send_request(&input, &flight->call);
	flight->message_id = message->message_id;
	flight->lead_id = pstrdup(message->lead_id);
	flight->phone = po_goes_to_address(candidate->channel) ? pstrdup(message->phone) : NULL;
	flight->from_phone = message->from_phone != NULL ? pstrdup(message->from_phone) : NULL;
	flight->fence = message->fence + 1;
	flight->attempt = message->attempts + 1;
	flight->started_at = po_now();
	INSTR_TIME_SET_CURRENT(flight->claimed_at);
	MemoryContextSwitchTo(old);
	if (problem != NULL)
	{
		problem = pstrdup(problem);
		po_flight_drop(flight);
		defer(message, po_now() + RETRY_SETUP_USECS, problem);
		return;
	}
	(void) po_message_move(message, PO_STEP_CLAIM);
	message->owner = po_sender_owner();
	message->fence = flight->fence;
	message->attempts = flight->attempt;
	/* Then somebody looks whether its owner is alive. */
	message->due_at = po_now() + account->profile->timeout_ms * INT64CONST(1000) +
		account->profile->settle + 5 * USECS_PER_SEC;
}

static bool
is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* One that may have left and cannot be repeated. */
static void
give_up(PoUnit *unit, PoMessage *message, const char *reason)
{
	PoCause		cause = {.source = "engine", .reason = reason, .reason_is_class = true};

	po_message_uncertain(unit, message, &cause);
}

/* False: its circuit is held by somebody, and the message is left. */
static bool
decide(PoUnit *unit, PoCircuits *circuits, PoMessage *message, const PoCandidate *candidate)
{
	const PoAccount *account = candidate->account;
	TimestampTz open_until;

	if (message->ambiguous_since != DT_NOEND && !is_same(message->phone, candidate->phone))
	{
		give_up(unit, message, "its lead has another address than it may have left for");
		return true;
	}
	if (candidate->phone != NULL)
		message->phone = candidate->phone;
	if (candidate->result.verdict == PO_GUARD_BLOCK)
		block(unit, message, &candidate->result);
	else if (candidate->result.verdict != PO_GUARD_ALLOW)
	{
		defer(message, DT_NOEND, NULL);
		message->held_by = candidate->phone == NULL ? PO_HELD_BY_ADDRESS : candidate->stop;
		message->verdicts = po_guard_verdicts(&candidate->result);
	}
	else if (candidate->tenant == NULL || account == NULL || account->problem != NULL)
		defer(message, po_now() + RETRY_SETUP_USECS,
			  candidate->tenant == NULL ? "its tenant no longer exists"
			  : account == NULL ? "its account no longer exists" : account->problem);
	else if (!may_be_sent(message, account->profile))
		give_up(unit, message, "its idempotency key may be forgotten");
	else if (!po_circuit_open_until(circuits, account, message->from_phone, &open_until))
		return false;
	else if (open_until != DT_NOBEGIN)
		defer(message, open_until + pg_prng_uint64_range(&pg_global_prng_state, 0, USECS_PER_SEC),
			  "its account or number rests after failures");
	else
		send(message, candidate);
	message->changed = true;
	return true;
}

/*
 * po_claim claims what is due, from the time since on, and has room, for this process to
 * send when the transaction has committed; returns how many messages moved.  As the
 * engine's owner; connects to SPI itself.
 */
int
po_claim(TimestampTz since)
{
	TimestampTz now = po_now();
	int			room = Min(po_sender_room(), BATCH);
	PoClaim		claim = {0};
	PoUnit		unit = {0};
	PoCircuits	circuits;
	bool	   *replied;
	int			moved = 0;

	po_require_sender();
	if (room == 0)
		return 0;
	po_spi_connect();
	po_profiles_begin();
	claim.candidate = palloc(PO_NPRIORITIES * room * sizeof(PoCandidate));
	po_find_due(&claim, since, room);
	if (claim.n == 0 || !lock_stops(&claim))
	{
		SPI_finish();
		return 0;
	}
	lock_and_judge(&claim, &unit);
	replied = palloc(Max(unit.nmessages, 1) * sizeof(bool));
	po_find_replied(unit.message, unit.nmessages, replied);
	po_read_circuits(&circuits);
	for (int i = 0; i < claim.n; i++)
	{
		PoCandidate *c = &claim.candidate[i];
		PoMessage  *message = po_find_message(&unit, c->key.tenant_id, &c->key.message_id);

		/* Claimed, cancelled or moved meanwhile, or about to be. */
		if (!c->locked || message == NULL || !po_message_waits(message->status) ||
			message->due_at > now)
			continue;
		if (replied[message - unit.message])
		{
			take_back(&unit, message);
			moved++;
		}
		else
			moved += decide(&unit, &circuits, message, c);
	}
	po_unit_write(&unit);
	SPI_finish();
	return moved;
}
