/*
 * health.c
 *	  How accounts and numbers are doing: circuit breakers, counters, and the stop
 *	  of a number that carriers no longer deliver from.
 *
 * Rows of numbers and circuits are locked last of all, in the order of their
 * keys.  A stop that is made here takes no lock against claims: one that is under
 * way may still send from a number that has just been found sick.  An account whose
 * provider is in trouble rests; then one message is the probe that decides whether
 * the others follow.  Needs SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/key_probe.h"
#include "core/statement.h"
#include "sender/health.h"
#include "utils/builtins.h"

#define LONGEST_PAUSE (15 * 60 * USECS_PER_SEC)

#define OF_KEY PO_USE			/* a circuit's fields */

static const PoField circuit_field[] = {
	PO_FIELD(PoCircuit, tenant_id, TEXT, PO_TAKE | PO_GIVE | OF_KEY),
	PO_FIELD(PoCircuit, account, TEXT, PO_TAKE | PO_GIVE | OF_KEY),
	PO_FIELD(PoCircuit, from_phone, TEXT, PO_TAKE | PO_GIVE | OF_KEY),
	PO_FIELD(PoCircuit, failures, INT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoCircuit, open_until, SINCE, PO_TAKE | PO_GIVE),
	PO_FIELD(PoCircuit, updated_at, SINCE, PO_GIVE)
};

static PoStatement select_circuits = {
	.name = "health.circuits",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {c.*} FROM outreach.sending_circuits c",
	.gives = PO_FIELDS(circuit_field, PO_GIVE)
};

/* Others see it open until the probe's answer can be there. */
static PoPlan begin_probe = {
	.name = "health.probe",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.sending_circuits c SET open_until = $4, updated_at = $5 FROM"
	" (SELECT FROM outreach.sending_circuits"
	" WHERE tenant_id = $1 AND account = $2 AND from_phone = $3 FOR NO KEY UPDATE SKIP LOCKED) free"
	" WHERE c.tenant_id = $1 AND c.account = $2 AND c.from_phone = $3",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static PoStatement write_circuits = {
	.name = "health.circuits_write",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.sending_circuits AS c ({columns}, updated_at) SELECT {u.*}, $1 FROM {rows}"
	" ORDER BY u.tenant_id, u.account, u.from_phone"
	" ON CONFLICT (tenant_id, account, from_phone) DO UPDATE SET failures = EXCLUDED.failures,"
	" open_until = EXCLUDED.open_until, updated_at = EXCLUDED.updated_at",
	.takes = PO_FIELDS(circuit_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoStatement close_circuits = {
	.name = "health.circuits_close",
	.expect = SPI_OK_DELETE,
	.sql = "DELETE FROM outreach.sending_circuits c USING {rows}"
	" WHERE c.tenant_id = u.tenant_id AND c.account = u.account AND c.from_phone = u.from_phone",
	.takes = PO_FIELDS(circuit_field, PO_TAKE | OF_KEY)
};

/* What a number has sent, and how it is doing. */
typedef struct Number
{
	const char *tenant_id;
	const char *phone;
	const char *channel;
	int			sent;
	int			delivered;
	int			failed;
	const char *error_code;
	int			recent_delivered;
	int			recent_failed;
} Number;

static const PoField number_field[] = {
	PO_FIELD(Number, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(Number, phone, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(Number, channel, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(Number, sent, INT, PO_TAKE),
	PO_FIELD(Number, delivered, INT, PO_TAKE),
	PO_FIELD(Number, failed, INT, PO_TAKE),
	PO_FIELD(Number, error_code, TEXT, PO_TAKE),
	PO_FIELD(Number, recent_delivered, INT, PO_GIVE),
	PO_FIELD(Number, recent_failed, INT, PO_GIVE)
};

/* recent_* are halved together, so that what is long past counts less and less. */
static PoStatement update_numbers = {
	.name = "health.numbers",
	.expect = SPI_OK_UPDATE_RETURNING,
	.sql = "WITH locked AS MATERIALIZED (SELECT x.* FROM (SELECT * FROM {rows}) x JOIN outreach.numbers l"
	" ON l.tenant_id = x.tenant_id AND l.phone = x.phone"
	" AND l.channel = x.channel ORDER BY l.tenant_id, l.phone, l.channel FOR NO KEY UPDATE OF l)"
	" UPDATE outreach.numbers n SET sent = n.sent + u.sent, delivered = n.delivered + u.delivered,"
	" failed = n.failed + u.failed,"
	" recent_delivered = (n.recent_delivered + u.delivered)"
	" / CASE WHEN n.recent_delivered + n.recent_failed > 200 THEN 2 ELSE 1 END,"
	" recent_failed = (n.recent_failed + u.failed)"
	" / CASE WHEN n.recent_delivered + n.recent_failed > 200 THEN 2 ELSE 1 END,"
	" last_error_code = CASE WHEN u.failed > 0 THEN u.error_code ELSE n.last_error_code END,"
	" last_failed_at = CASE WHEN u.failed > 0 THEN $1 ELSE n.last_failed_at END"
	" FROM locked u WHERE n.tenant_id = u.tenant_id AND n.phone = u.phone AND n.channel = u.channel"
	" RETURNING {n.*}",
	.takes = PO_FIELDS(number_field, PO_TAKE),
	.gives = PO_FIELDS(number_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoPlan insert_stop = {
	.name = "health.stop",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.sending_stops (tenant_id, scope, id, reason, stopped_at)"
	" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, scope, id) DO NOTHING",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID)
};

/*
 * po_read_circuits reads those of all accounts that have failed lately.
 */
void
po_read_circuits(PoCircuits *circuits)
{
	circuits->n = po_exec_fixed(&select_circuits, NULL);
	circuits->circuit = palloc(Max(circuits->n, 1) * sizeof(PoCircuit));
	po_read_rows(&select_circuits, circuits->n, circuits->circuit);
}

static PoCircuit *
find_circuit(const PoCircuits *circuits, const PoAccount *account, const char *from_phone)
{
	for (int i = 0; i < circuits->n; i++)
		if (strcmp(circuits->circuit[i].from_phone, from_phone) == 0 &&
			strcmp(circuits->circuit[i].account, account->account) == 0 &&
			strcmp(circuits->circuit[i].tenant_id, account->tenant_id) == 0)
			return &circuits->circuit[i];
	return NULL;
}

/*
 * po_circuit_open_until tells until when a message of the account and number has to
 * wait, DT_NOBEGIN when it may go: as the probe, where there was a rest.  False
 * when that cannot be noted, because somebody else holds the circuit.
 */
bool
po_circuit_open_until(PoCircuits *circuits, const PoAccount *account, const char *from_phone,
					  TimestampTz *open_until)
{
	TimestampTz now = po_now();
	PoCircuit  *circuit[2] = {
		find_circuit(circuits, account, ""),
		from_phone != NULL ? find_circuit(circuits, account, from_phone) : NULL
	};

	for (int i = 0; i < 2; i++)
		if (circuit[i] != NULL && circuit[i]->open_until > now)
		{
			*open_until = circuit[i]->open_until;
			return true;
		}
	*open_until = DT_NOBEGIN;
	for (int i = 0; i < 2; i++)
	{
		TimestampTz until = now + (account->profile->timeout_ms + 1000) * INT64CONST(1000);
		Datum		args[5];

		if (circuit[i] == NULL || circuit[i]->open_until == DT_NOBEGIN)
			continue;
		args[0] = CStringGetTextDatum(circuit[i]->tenant_id);
		args[1] = CStringGetTextDatum(circuit[i]->account);
		args[2] = CStringGetTextDatum(circuit[i]->from_phone);
		args[3] = TimestampTzGetDatum(until);
		args[4] = TimestampTzGetDatum(now);
		if (po_exec(&begin_probe, args, NULL) == 0)
			return false;
		circuit[i]->open_until = until;
	}
	return true;
}

/*
 * po_health_note returns the note about an account and number, to be added to.
 */
PoHealthNote *
po_health_note(PoHealth *health, const PoAccount *account, const char *from_phone,
			   const char *channel)
{
	PoHealthNote *note;

	for (int i = 0; i < health->n; i++)
	{
		note = &health->note[i];
		if (note->account == account && strcmp(note->channel, channel) == 0 &&
			(from_phone == NULL ? note->from_phone == NULL
			 : note->from_phone != NULL && strcmp(note->from_phone, from_phone) == 0))
			return note;
	}
	if (health->n == health->size)
	{
		health->size = Max(health->size * 2, 8);
		health->note = health->note == NULL ? palloc(health->size * sizeof(PoHealthNote))
			: repalloc(health->note, health->size * sizeof(PoHealthNote));
	}
	note = &health->note[health->n++];
	memset(note, 0, sizeof(*note));
	note->account = account;
	note->from_phone = from_phone;
	note->channel = channel;
	note->rest_until = note->last_outage = DT_NOBEGIN;
	return note;
}

/*
 * po_note_report notes what a report that has moved its message says of the
 * number and the account.
 */
void
po_note_report(PoHealth *health, const PoAccount *account, const PoMessage *message,
			   const PoReport *report, PoMessageStatus previous)
{
	PoHealthNote *note = po_health_note(health, account, message->from_phone, message->channel);
	const PoProviderOutcome *outcome = report->error_code != NULL
		? po_find_outcome(account, 0, report->error_code) : NULL;

	/* Delivered and then read, it counts once. */
	note->delivered += po_message_arrived(report->status) && !po_message_arrived(previous);
	if (report->status == PO_MESSAGE_FAILED || report->status == PO_MESSAGE_UNDELIVERED)
	{
		note->failed++;
		note->error_code = report->error_code;
	}
	if (outcome != NULL && outcome->effect == PO_OUTCOME_EFFECT_STOP_NUMBER)
		note->stop_number = outcome->meaning;
	else if (outcome != NULL && outcome->effect == PO_OUTCOME_EFFECT_STOP_ACCOUNT)
		note->stop_account = outcome->meaning;
}

/*
 * Nothing more is sent from there until resume_sending(); the tenant is told.  Where
 * somebody is just stopping or resuming it, that is not waited for: what is wrong
 * with it shows again with the next message.
 */
static void
stop(PoUnit *unit, const char *tenant_id, const char *scope, const char *id, const char *reason)
{
	const char *const key[3] = {tenant_id, scope, id};
	Datum		args[5] = {
		CStringGetTextDatum(tenant_id), CStringGetTextDatum(scope), CStringGetTextDatum(id),
		CStringGetTextDatum(reason), TimestampTzGetDatum(po_now())
	};
	PoObject   *object;

	if (po_probe_key("sending_stops_pkey", key, 3) != PO_KEY_FREE ||
		po_exec(&insert_stop, args, NULL) == 0)
		return;
	object = po_object_begin();
	po_object_string(object, "scope", scope);
	po_object_string(object, "id", id);
	po_object_detail(object, "reason", reason);
	po_event_tells(po_event_list_add(&unit->events, tenant_id, "sending.stopped", "engine"), object);
}

static void
write_numbers(PoHealth *health, PoUnit *unit)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		used = po_rows(&update_numbers, health->n);
	uint64		rows;
	struct
	{
		const char *tenant_id;
		const char *phone;
		const char *reason;
	}		   *sick = palloc(Max(health->n, 1) * sizeof(*sick));
	int			nsick = 0;

	for (int i = 0; i < health->n; i++)
	{
		const PoHealthNote *note = &health->note[i];

		if (note->from_phone == NULL || note->sent + note->delivered + note->failed == 0)
			continue;
		po_rows_add(&used, &(Number) {
			note->account->tenant_id, note->from_phone, note->channel,
			note->sent, note->delivered, note->failed, note->error_code
		});
	}
	rows = po_rows_exec(&used, &now);
	for (uint64 r = 0; r < rows; r++)
	{
		Number		number;
		int			tries;

		po_read_row(&update_numbers, r, &number);
		tries = number.recent_failed + number.recent_delivered;
		for (int i = 0; i < health->n; i++)
		{
			const PoHealthNote *note = &health->note[i];
			const PoProfile *profile = note->account->profile;

			if (note->from_phone == NULL || note->failed == 0 ||
				number.recent_failed < profile->sick_failures || number.recent_failed < profile->sick_ratio * tries ||
				strcmp(note->from_phone, number.phone) != 0 || strcmp(note->channel, number.channel) != 0 ||
				strcmp(note->account->tenant_id, number.tenant_id) != 0)
				continue;
			sick[nsick].tenant_id = number.tenant_id;
			sick[nsick].phone = number.phone;
			sick[nsick++].reason = psprintf("%d of its last %d deliveries failed", number.recent_failed, tries);
			break;
		}
	}
	for (int i = 0; i < nsick; i++)
		stop(unit, sick[i].tenant_id, "number", sick[i].phone, sick[i].reason);
}

/* How long an account rests: longer with each probe that fails. */
static int64
pause_after(const PoProfile *profile, int failures)
{
	int			doublings = Min(failures - profile->breaker_failures, 16);

	return Min(profile->breaker_pause << doublings, LONGEST_PAUSE);
}

static void
add_circuit(PoRows *rows, const PoAccount *account, const char *from_phone, int failures,
			TimestampTz open_until)
{
	po_rows_add(rows, &(PoCircuit) {account->tenant_id, account->account, from_phone, failures, open_until});
}

static void
close_circuit(PoRows *rows, const PoCircuit *circuit)
{
	if (circuit != NULL)
		po_rows_add(rows, circuit);
}

static void
write_circuit_rows(PoHealth *health)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoCircuits	circuits;
	PoRows		open = po_rows(&write_circuits, 2 * health->n);
	PoRows		closed = po_rows(&close_circuits, 2 * health->n);

	po_read_circuits(&circuits);
	for (int i = 0; i < health->n; i++)
	{
		const PoHealthNote *note = &health->note[i];
		const PoProfile *profile = note->account->profile;
		PoCircuit  *whole = find_circuit(&circuits, note->account, "");
		int			outages = 0;
		int			answers = 0;
		TimestampTz rest_until = DT_NOBEGIN;
		TimestampTz last_outage = DT_NOBEGIN;
		bool		first = true;

		/* The account's row is written once, whichever numbers were used. */
		for (int j = 0; j < health->n; j++)
		{
			if (health->note[j].account != note->account)
				continue;
			first &= j >= i;
			outages += health->note[j].outages;
			answers += health->note[j].answers;
			last_outage = Max(last_outage, health->note[j].last_outage);
			if (health->note[j].from_phone == NULL)
				rest_until = Max(rest_until, health->note[j].rest_until);
		}
		if (first && rest_until != DT_NOBEGIN)
			add_circuit(&open, note->account, "", 1, rest_until);
		else if (first && answers > 0)
			close_circuit(&closed, whole);
		else if (first && outages > 0)
		{
			int			before = whole != NULL ? whole->failures : 0;
			int			failures = before < profile->breaker_failures
				? Min(before + outages, profile->breaker_failures) : before + 1;

			/* What was under way when it opened, or the probe left, says nothing new. */
			if (before < profile->breaker_failures || last_outage >= whole->updated_at)
				add_circuit(&open, note->account, "", failures, failures < profile->breaker_failures
							? DT_NOBEGIN : po_now() + pause_after(profile, failures));
		}
		if (note->from_phone == NULL)
			continue;
		if (note->rest_until != DT_NOBEGIN)
			add_circuit(&open, note->account, note->from_phone, 1, note->rest_until);
		else if (note->sent > 0)
			close_circuit(&closed, find_circuit(&circuits, note->account, note->from_phone));
	}
	(void) po_rows_exec(&open, &now);
	(void) po_rows_exec(&closed, NULL);
}

/*
 * po_write_health writes what was noted; events of stops are added to the set,
 * which is written afterwards.
 */
void
po_write_health(PoHealth *health, PoUnit *unit)
{
	if (health->n == 0)
		return;
	for (int i = 0; i < health->n; i++)
	{
		const PoHealthNote *note = &health->note[i];

		if (note->stop_number != NULL && note->from_phone != NULL)
			stop(unit, note->account->tenant_id, "number", note->from_phone, note->stop_number);
		if (note->stop_account != NULL)
			stop(unit, note->account->tenant_id, "account", note->account->account, note->stop_account);
	}
	write_numbers(health, unit);
	write_circuit_rows(health);
}
