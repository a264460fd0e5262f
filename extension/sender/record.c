/*
 * record.c
 *	  Recording what became of requests: what a message, its lead, its number and
 *	  its phone are after them, in one transaction.
 *
 * A result counts only under the fence it was sent with, unless it is an
 * acceptance: who took the message over meanwhile has raised the fence.
 *
 * Nobody is waited for: an answer of which somebody else holds a row stays landed,
 * and is tried again soon, while the others are recorded.  Only one that fails by
 * itself leaves its message unknown.  An opt-out that an answer tells of is recorded
 * in either case (opt_out.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "core/batch.h"
#include "core/budget.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/statement.h"
#include "core/subtransaction.h"
#include "core/wakeup.h"
#include "lead/opt_out.h"
#include "pgtime.h"
#include "sender/record.h"
#include "sender/settle.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#define DEFAULT_LATER (60 * USECS_PER_SEC)
#define MOST_BUSY 3				/* answers of a tenant that may run into a lock's time-out in one go */

/* How a request ended. */
typedef struct Delivery
{
	const char *tenant_id;
	pg_uuid_t	message_id;
	int			attempt;
	int			fence;
	const char *account;
	const char *from_phone;
	TimestampTz started_at;
	const char *outcome;
	int			http_status;
	const char *error_code;
	const char *error;
	int			latency_ms;
	const char *answer;
} Delivery;

static const PoField delivery_field[] = {
	PO_FIELD(Delivery, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Delivery, message_id, UUID, PO_TAKE),
	PO_FIELD(Delivery, attempt, INT, PO_TAKE),
	PO_FIELD(Delivery, fence, INT, PO_TAKE),
	PO_FIELD(Delivery, account, TEXT, PO_TAKE),
	PO_FIELD(Delivery, from_phone, TEXT, PO_TAKE),
	PO_FIELD(Delivery, started_at, SINCE, PO_TAKE),
	PO_FIELD(Delivery, outcome, TEXT, PO_SET),
	PO_FIELD(Delivery, http_status, NUMBER, PO_SET),
	PO_FIELD(Delivery, error_code, TEXT, PO_SET),
	PO_FIELD(Delivery, error, TEXT, PO_SET),
	PO_FIELD(Delivery, latency_ms, INT, PO_SET),
	PO_FIELD(Delivery, answer, TEXT, PO_SET)
};

static PoStatement insert_deliveries = {
	.name = "record.deliveries",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.message_deliveries ({columns}, finished_at) SELECT {u.*}, $1 FROM {rows}",
	.takes = PO_FIELDS(delivery_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* Whoever has taken the message meanwhile has written the row, as that of a request without an answer. */
static PoStatement finish_deliveries = {
	.name = "record.late_deliveries",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.message_deliveries d SET finished_at = $1, {set} FROM {rows}"
	" WHERE d.tenant_id = u.tenant_id AND d.message_id = u.message_id"
	" AND d.attempt = u.attempt AND d.fence = u.fence",
	.takes = PO_FIELDS(delivery_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* A result that cannot be recorded: the message, at least, must not stay as it is. */
static PoPlan give_up = {
	.name = "record.give_up",
	.expect = SPI_OK_INSERT,
	.sql = "WITH lost AS (UPDATE outreach.outbound_queue m SET owner = NULL,"
	" status = outreach_impl.message_after('lose', m.status::text, false)::outreach.message_status,"
	" ambiguous_since = coalesce(m.ambiguous_since, $4), due_at = $5,"
	" provider_message_id = coalesce(m.provider_message_id, $6), last_error = $7"
	" FROM (SELECT FROM outreach.outbound_queue WHERE tenant_id = $1 AND message_id = $2"
	" FOR NO KEY UPDATE SKIP LOCKED) free"
	" WHERE m.tenant_id = $1 AND m.message_id = $2 AND m.fence = $3 AND m.status = 'sending'"
	" RETURNING m.tenant_id, m.message_id, m.attempts, m.fence, m.account, m.from_phone)"
	" INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, from_phone, started_at,"
	" finished_at, outcome, error)"
	" SELECT l.*, $4, outreach_impl.engine_now(), 'unknown', $7 FROM lost l",
	PO_ARGS(TEXTOID, UUIDOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID)
};

/* What that one has not done, because somebody else holds the message. */
static PoPlan select_left = {
	.name = "record.left",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT FROM outreach.outbound_queue"
	" WHERE tenant_id = $1 AND message_id = $2 AND fence = $3 AND status = 'sending'",
	PO_ARGS(TEXTOID, UUIDOID, INT4OID)
};

static int	left;				/* answers, for later */

/* The next 00:00 at the Pacific, when carriers begin to count anew. */
static TimestampTz
midnight_pacific(void)
{
	pg_tz	   *zone = pg_tzset("America/Los_Angeles");
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	Timestamp	midnight;

	if (zone == NULL || timestamp2tm(po_now(), &offset, &tm, &fsec, NULL, zone) != 0)
		return po_now() + USECS_PER_DAY;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &offset, &midnight) != 0)
		return po_now() + USECS_PER_DAY;
	return midnight;
}

/* A fifth more or less, so that what failed together is not tried together. */
static int64
jitter(int64 delay)
{
	return delay - delay / 5 + pg_prng_uint64_range(&pg_global_prng_state, 0, Max(delay * 2 / 5, 1));
}

static void
fail(PoUnit *unit, PoMessage *message, PoMessageStep step, const char *event_type,
	 const PoCause *cause)
{
	PoObject   *object;

	/* An earlier request of it may have been accepted. */
	if (po_message_move(message, step) == PO_MESSAGE_UNCERTAIN)
	{
		po_message_in_doubt(unit, message, cause);
		return;
	}
	object = po_message_object(message);
	po_object_string(object, "error_code", message->error_code);
	po_object_detail(object, "error", message->last_error);
	(void) po_message_event(unit, message, event_type, cause, object);
}

/* Refused for now: it waits for its next try, or there is none. */
static void
wait_or_die(PoUnit *unit, PoMessage *message, const PoLanding *result, const PoCause *cause)
{
	const PoProfile *profile = result->account->profile;
	int			retries = profile->nretries;
	int64		delay = result->outcome.delay;
	PoObject   *object;

	if (result->outcome.max_attempts > 0)
		retries = Min(retries, result->outcome.max_attempts - 1);
	if (++message->failures > retries)
	{
		fail(unit, message, PO_STEP_EXHAUST, "message.outbound.dead", cause);
		return;
	}
	if (delay == 0)
		delay = jitter(profile->retry_delay[message->failures - 1]);
	(void) po_message_move(message, PO_STEP_POSTPONE);
	message->due_at = po_now() + delay;
	po_wake_at(message->due_at);
	object = po_message_object(message);
	po_object_string(object, "error_code", message->error_code);
	po_object_detail(object, "error", result->outcome.error);
	(void) po_message_event(unit, message, "message.outbound.retry_attempted", cause, object);
}

/* What the answer makes of a message that is still where it was when it was sent. */
static void
move(PoUnit *unit, PoMessage *message, PoLanding *result, PoHealthNote *note, const PoCause *cause)
{
	const PoRequestOutcome *outcome = &result->outcome;

	message->changed = true;
	message->error_code = outcome->code;
	message->last_error = outcome->error;
	switch (outcome->kind)
	{
		case PO_REQUEST_SENT:
			po_message_accepted(unit, message, outcome->provider_message_id, cause);
			break;
		case PO_REQUEST_RETRY:
			wait_or_die(unit, message, result, cause);
			break;
		case PO_REQUEST_LATER:
		case PO_REQUEST_MIDNIGHT_PACIFIC:
			(void) po_message_move(message, PO_STEP_POSTPONE);
			/* What stops its account or number holds it at the next claim. */
			message->due_at = outcome->kind == PO_REQUEST_MIDNIGHT_PACIFIC ? midnight_pacific()
				: po_now() + (outcome->delay > 0 ? outcome->delay
							  : outcome->effect == PO_OUTCOME_EFFECT_STOP_ACCOUNT ||
							  outcome->effect == PO_OUTCOME_EFFECT_STOP_NUMBER ? 0 : DEFAULT_LATER);
			po_wake_at(message->due_at);
			break;
		case PO_REQUEST_REVIEW:
			fail(unit, message, PO_STEP_DISPUTE, "message.outbound.review", cause);
			break;
		case PO_REQUEST_FAILED:
			fail(unit, message, PO_STEP_REFUSE, "message.outbound.failed", cause);
			break;
		case PO_REQUEST_UNKNOWN:
			po_message_unknown(message, result->flight->started_at,
							   po_quiet_time(result->account->profile), outcome->error);
			message->failures++;
			po_wake_at(message->due_at);
			break;
	}
	/* With its number or account: the others of it wait as long. */
	if (outcome->too_many && message->due_at != DT_NOEND && message->due_at > po_now())
		note->rest_until = Max(note->rest_until, message->due_at);
}

static void
note_health(const PoLanding *result, PoHealthNote *note)
{
	const PoRequestOutcome *outcome = &result->outcome;

	note->outages += outcome->outage;
	if (outcome->outage)
		note->last_outage = Max(note->last_outage, result->flight->started_at);
	note->answers += !outcome->outage && result->flight->answer != NULL;
	note->sent += outcome->kind == PO_REQUEST_SENT;
	if (outcome->kind == PO_REQUEST_FAILED)
	{
		note->failed++;
		note->error_code = outcome->code;
	}
	if (outcome->effect == PO_OUTCOME_EFFECT_STOP_NUMBER)
		note->stop_number = outcome->error;
	if (outcome->effect == PO_OUTCOME_EFFECT_STOP_ACCOUNT)
		note->stop_account = outcome->error;
}

/* A provider's word about the phone. */
static PoCause
cause_of(const PoLanding *result)
{
	return (PoCause) {
		.source = result->account->profile->provider, .reason = result->outcome.code,
		.reason_is_class = true
	};
}

/* What a provider says of the address holds whatever became of the message. */
static void
apply_to_address(PoUnit *unit, const PoLanding *result)
{
	const PoFlight *flight = result->flight;
	PoAddress  *address = flight->phone == NULL ? NULL
		: po_find_address(unit, flight->tenant_id, flight->phone);
	PoCause		cause = cause_of(result);
	PoUnreachable mark = {
		.channel = result->account->channel, .code = result->outcome.code,
		.reason = result->outcome.error, .message_id = &flight->message_id
	};

	if (address != NULL)
		po_apply_to_address(unit, address, result->outcome.effect, &mark, &cause);
}

static void
finish(PoRows *rows, const PoLanding *result)
{
	const PoFlight *flight = result->flight;
	const PoHttpAnswer *answer = flight->answer;
	const PoRequestOutcome *outcome = &result->outcome;
	bool		odd = outcome->kind == PO_REQUEST_UNKNOWN || outcome->kind == PO_REQUEST_FAILED ||
		outcome->kind == PO_REQUEST_REVIEW;

	po_rows_add(rows, &(Delivery) {
		.tenant_id = flight->tenant_id, .message_id = flight->message_id,
		.attempt = flight->attempt, .fence = flight->fence,
		.account = result->account->account, .from_phone = flight->from_phone, .started_at = flight->started_at,
		.outcome = po_request_outcome_name(outcome->kind), .http_status = answer != NULL ? answer->http_status : 0,
		.error_code = outcome->code, .error = outcome->error,
		.latency_ms = answer != NULL ? answer->latency_ms : 0,
		.answer = odd ? po_answer_excerpt(&flight->call, answer) : NULL
	});
}

/* What the member of a batch is. */
static PoLanding *
landing(const PoBatch *batch, int member)
{
	return &((PoLanding *) batch->arg)[member];
}

static const char *
tenant_of(const PoBatch *batch, int member)
{
	return landing(batch, member)->flight->tenant_id;
}

static void
decide(PoUnit *unit, PoHealth *health, PoLanding *result, PoRows *finished, PoRows *late)
{
	PoFlight   *flight = result->flight;
	PoMessage  *m = po_find_message(unit, flight->tenant_id, &flight->message_id);
	PoCause		cause = {.source = result->account->profile->provider};
	PoHealthNote *note;
	bool		ours;

	if (flight->lookup)
	{
		if (m != NULL && m->fence == flight->fence)
			po_settle_by_lookup(unit, m, result->account, flight, &cause);
		return;
	}
	note = po_health_note(health, result->account, flight->from_phone, result->account->channel);
	note_health(result, note);
	ours = m != NULL && m->fence == flight->fence && m->status == PO_MESSAGE_SENDING;
	finish(ours ? finished : late, result);
	if (ours)
		m->under_way = false;
	apply_to_address(unit, result);
	if (m == NULL)
		return;
	if (ours)
		move(unit, m, result, note, &cause);
	/* An acceptance is one, whoever has the message by now. */
	else if (result->outcome.kind == PO_REQUEST_SENT)
		po_message_accepted(unit, m, result->outcome.provider_message_id, &cause);
}

static void
want(PoWants *wants, const PoLanding *result, const PoEarly *early, int member)
{
	const PoFlight *flight = result->flight;
	const char *tenant_id = flight->tenant_id;
	bool		opts_out = early->effect == PO_OUTCOME_EFFECT_OPT_OUT || flight->lookup ||
		result->outcome.effect == PO_OUTCOME_EFFECT_OPT_OUT;

	/* Of one that is looked up a callback may be parked under the id that is found. */
	if (flight->phone != NULL && (opts_out || po_concerns_address(early->effect) ||
								  po_concerns_address(result->outcome.effect)))
	{
		(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, flight->phone);
		if (opts_out)
			(void) po_want(wants, PO_WANT_LEADS_OF, member, tenant_id, flight->phone);
	}
	(void) po_want(wants, PO_WANT_LEAD, member, tenant_id, flight->lead_id);
	po_want_message(wants, member, tenant_id, &flight->message_id);
	if (!flight->lookup && flight->from_phone != NULL)
		po_want(wants, PO_WANT_NUMBER, member, tenant_id, flight->from_phone)->channel = result->account->channel;
}

static void
record(PoBatch *batch, const int *member, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoUnit		unit = {0};
	PoHealth	health = {0};
	PoWants		wants = {0};
	PoLanding **result = palloc(n * sizeof(PoLanding *));
	PoEarly    *early = palloc0(n * sizeof(PoEarly));
	bool	   *held = palloc0(n * sizeof(bool));
	PoRows		finished = po_rows(&insert_deliveries, n);
	PoRows		late = po_rows(&finish_deliveries, 1);

	for (int i = 0; i < n; i++)
		result[i] = landing(batch, member[i]);
	po_note_ids(result, n, early, held);
	for (int i = 0; i < n; i++)
		want(&wants, result[i], &early[i], i);
	po_unit_lock(&unit, &wants, 0, held);
	for (int i = 0; i < n; i++)
	{
		batch->state[member[i]] = held[i] ? PO_MEMBER_HELD : PO_MEMBER_DONE;
		if (held[i])
			continue;
		decide(&unit, &health, result[i], &finished, &late);
		po_apply_early(&unit, &health, result[i], &early[i]);
	}
	(void) po_rows_exec(&finished, &now);
	po_write_health(&health, &unit);
	po_unit_write(&unit);
	(void) po_rows_exec(&late, &now);
	for (int i = 0; i < n; i++)
		if (!held[i])
			po_flight_recorded(result[i]->flight);
}

/*
 * What an answer that is not recorded yet, or never will be, tells of an opt-out
 * is recorded all the same.  Returns false where another transaction holds even
 * the phone.
 */
static bool
opt_out_stands(const PoLanding *result)
{
	const PoFlight *flight = result->flight;
	PoCause		cause;
	PoOptOut	opt_out = {.tenant_id = flight->tenant_id, .address = flight->phone, .cause = &cause};

	if (flight->lookup || flight->phone == NULL || result->outcome.effect != PO_OUTCOME_EFFECT_OPT_OUT)
		return true;
	cause = cause_of(result);
	return po_record_opt_out(&opt_out) == 0;
}

/* An answer that cannot be recorded, and why. */
typedef struct Failure
{
	const PoLanding *result;
	int64		quiet;
	const char *why;
} Failure;

/* It leaves an unknown message rather than one that is forever under way. */
static void
leave_unknown(void *arg)
{
	const Failure *failure = arg;
	PoFlight   *flight = failure->result->flight;
	const char *provider_message_id = failure->result->outcome.provider_message_id;
	TimestampTz due = po_now() + failure->quiet;
	Datum		args[7] = {
		CStringGetTextDatum(flight->tenant_id), UUIDPGetDatum(&flight->message_id),
		Int32GetDatum(flight->fence), TimestampTzGetDatum(flight->started_at),
		TimestampTzGetDatum(due),
		provider_message_id != NULL ? CStringGetTextDatum(provider_message_id) : (Datum) 0,
		CStringGetTextDatum(failure->why)
	};

	if (!flight->lookup)
	{
		if (po_exec(&give_up, args, provider_message_id == NULL ? "     n " : NULL) == 0 &&
			po_exec(&select_left, args, NULL) > 0)
		{
			po_flight_waits(flight);
			return;
		}
		po_wake_at(due);
	}
	po_flight_recorded(flight);
}

static void
give_up_on(const PoLanding *result, int64 quiet, const char *why)
{
	Failure		failure = {result, quiet, why};

	if (!opt_out_stands(result) || po_try(leave_unknown, &failure, NULL) != 0)
		po_flight_waits(result->flight);
}

/* One of which others hold something has its turn soon, the others never will. */
static void
not_recorded(PoBatch *batch, int member, int sqlstate)
{
	const PoLanding *result = landing(batch, member);

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		(void) opt_out_stands(result);
		po_flight_waits(result->flight);
		left++;
	}
	else
		give_up_on(result, po_quiet_time(result->account->profile),
				   psprintf("recording the answer failed with SQLSTATE %s", unpack_sql_state(sqlstate)));
}

/*
 * po_record records the answers that this process has and nobody holds up, and returns
 * how many.  As the engine's owner; connects to SPI itself.
 */
int
po_record(void)
{
	PoBatch		batch = {
		.work = record, .failed = not_recorded, .tenant_of = tenant_of, .patience = MOST_BUSY
	};
	PoLanding  *result;
	PoFlight  **landed;
	int			nlanded;

	po_require_sender();
	landed = po_landed_flights(&nlanded);
	if (nlanded == 0)
		return 0;
	po_spi_connect();
	po_profiles_begin();
	result = palloc0(nlanded * sizeof(PoLanding));
	left = 0;
	for (int i = 0; i < nlanded; i++)
	{
		PoFlight   *f = landed[i];
		PoLanding  *r = &result[batch.n];

		r->flight = f;
		r->account = po_find_account(f->tenant_id, f->account);
		/* Without it nobody knows what the answer means. */
		if (r->account == NULL || r->account->profile == NULL)
		{
			give_up_on(r, PO_DEFAULT_QUIET, "its account is gone");
			continue;
		}
		batch.n++;
		if (!f->lookup)
			po_read_answer(r->account, &f->call, f->answer, &r->outcome);
	}
	batch.arg = result;
	/* Want of memory may be that of all of them together. */
	batch.of_many = batch.n > 1;
	if (batch.n > 0)
		po_run_batch(&batch);
	SPI_finish();
	return batch.n - left;
}
