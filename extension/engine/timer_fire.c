/*
 * timer_fire.c
 *	  Firing the timers that are due.
 *
 * Due timers are found together with their leads, which are locked; then the
 * timers are read again, for they may have been cancelled or moved meanwhile: the
 * lead's lock is theirs too, as it is for whoever sets or cancels.  Those of leads that
 * somebody else holds are left for the next cycle, and so is what makes a batch too large.  Timers
 * that call a function are never in a batch with others.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/budget.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/key_probe.h"
#include "core/statement.h"
#include "core/turns.h"
#include "core/wakeup.h"
#include "engine/firing.h"
#include "fmgr.h"
#include "lead/change.h"
#include "lead/channel.h"
#include "lead/timer.h"
#include "outbound/outbox.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* What a firing sets fires no earlier after it: a ring of timers has a beat. */
#define RING_BEAT_MS	1000

/* In a session, for something that nobody holds. */
#define MOST_LOOKS		1000

static const PoField sight_field[] = {
	PO_FIELD(PoSight, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD_AS(PoSight, id, "timer_id", UUID, PO_TAKE | PO_GIVE),
	PO_FIELD(PoSight, due_at, SINCE, PO_GIVE),
	PO_VALUE(PoSight, held, "locked.tid IS NULL", BOOL)
};

/* Behind these. */
enum
{
	C_LEAD = lengthof(sight_field) + 1, C_TID, C_LEAD_TID
};

/*
 * Leads that somebody else holds are not waited for; one that is gone cannot be
 * locked either.  They are found by their whole key, whatever is known of the tables
 * when the plan is made.
 */
#define LOOK \
	"SELECT {t.*}, t.lead_id, t.ctid AS tid, locked.tid AS lead_tid FROM outreach.timer_queue t" \
	" LEFT JOIN LATERAL (SELECT l.ctid AS tid FROM outreach.leads l WHERE l.tenant_id = t.tenant_id" \
	" AND l.lead_id = t.lead_id FOR NO KEY UPDATE SKIP LOCKED) locked ON true"

#define SELECT_DUE(plan_name, kind) { \
	.name = plan_name, \
	.expect = SPI_OK_SELECT, \
	.sql = LOOK \
	" WHERE t.due_at >= $1 AND t.due_at <= $2 AND t.due_at < 'infinity' AND " kind \
	" ORDER BY t.due_at LIMIT $3", \
	.gives = PO_FIELDS(sight_field, PO_GIVE), \
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID) \
}

/* The second of each is for those that call a function: each kind has its own index. */
static PoStatement select_due[2] = {
	SELECT_DUE("fire.due", "NOT (t.action_payload ? 'call')"),
	SELECT_DUE("fire.calls", "t.action_payload ? 'call'")
};

#define SELECT_FAIRLY(plan_name, kind) { \
	.name = plan_name, \
	.expect = SPI_OK_SELECT, \
	.sql = "SELECT d.* FROM outreach.tenants n" PO_PLACE("$6, $7, $8, $9", "n.tenant_id", "''") \
	" CROSS JOIN LATERAL (" LOOK \
	" WHERE t.tenant_id = n.tenant_id AND t.due_at >= $1 AND t.due_at <= $2 AND t.due_at > '-infinity' AND " kind \
	PO_BEHIND_PLACE("t.due_at", "t.timer_id") " ORDER BY t.due_at, t.timer_id LIMIT $5) d" \
	" WHERE n.tenant_id < $4 ORDER BY n.tenant_id DESC LIMIT $3", \
	.gives = PO_FIELDS(sight_field, PO_GIVE), \
	PO_FIXED(TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID, PO_PLACES_TYPES) \
}

static PoStatement select_fairly[2] = {
	SELECT_FAIRLY("fire.fairly", "NOT (t.action_payload ? 'call')"),
	SELECT_FAIRLY("fire.calls_fairly", "t.action_payload ? 'call'")
};

/* Of those whose lead could not be locked. */
static PoStatement cancel_orphans = {
	.name = "fire.orphans",
	.expect = SPI_OK_INSERT,
	.sql = PO_CANCEL_TIMERS("DELETE FROM outreach.timer_queue t USING (SELECT o.tenant_id, o.timer_id FROM {rows}"
	" JOIN outreach.timer_queue o ON o.tenant_id = u.tenant_id AND o.timer_id = u.timer_id"
	" WHERE o.due_at <= $1 AND NOT EXISTS"
	" (SELECT FROM outreach.leads l WHERE l.tenant_id = o.tenant_id AND l.lead_id = o.lead_id)"
	" FOR NO KEY UPDATE OF o SKIP LOCKED) d"
	" WHERE t.tenant_id = d.tenant_id AND t.timer_id = d.timer_id", "'the lead is gone'"),
	.takes = PO_FIELDS(sight_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

#define AT	PO_USE

static const PoField timer_field[] = {
	PO_FIELD(PoTimer, tenant_id, TEXT, PO_TAKE | AT),
	PO_FIELD(PoTimer, timer_id, UUID, PO_TAKE | AT),
	PO_FIELD_AS(PoTimer, tid, "ctid", TID, PO_GIVE | AT),
	PO_FIELD(PoTimer, timer_type, TEXT, PO_GIVE),
	PO_FIELD(PoTimer, due_at, SINCE, PO_GIVE),
	PO_FIELD(PoTimer, action, TEXT, PO_GIVE),
	PO_FIELD(PoTimer, attempts, INT, PO_GIVE),
	PO_FIELD(PoTimer, max_attempts, INT, PO_GIVE),
	PO_FIELD(PoTimer, cancel_on_reply, BOOL, PO_GIVE)
};

/* The columns behind those; the payload is looked at before it is read. */
#define C_NUMBER	8
#define C_PAYLOAD	9

#define READ_TIMERS(plan_name, which, used) { \
	.name = plan_name, \
	.expect = SPI_OK_SELECT, \
	.sql = "SELECT {t.*}, u.n, t.action_payload FROM {rows} JOIN outreach.timer_queue t ON " which \
	" WHERE t.due_at <= $1", \
	.takes = PO_FIELDS(timer_field, used), \
	.gives = PO_FIELDS(timer_field, PO_GIVE), \
	PO_FIXED(TIMESTAMPTZOID), \
	.numbered = true \
}

static PoStatement read_timers = READ_TIMERS("fire.timers", PO_BY_KEY("t", "timer_id"), PO_TAKE);

/* Where they were found: one that was moved since is found anew. */
static PoStatement read_timers_at = READ_TIMERS("fire.timers_at", PO_AT_TID("t", "timer_id"), AT);

/* The second for those that call a function. */
static PoTurns turns[2] = {PO_TURNS_INIT(turns[0]), PO_TURNS_INIT(turns[1])};

static char *
payload_text(Jsonb *payload, const char *key)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&payload->root, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* A message of a template; one that a guard refuses is kept, and no failure. */
static void
send_template(const PoTimer *timer, const char *template)
{
	Datum		timer_id = DirectFunctionCall1(uuid_out, UUIDPGetDatum(&timer->timer_id));
	const char *send_key = psprintf(PO_TIMER_KEY_PREFIX "%s", DatumGetCString(timer_id));
	const char *lead_id = timer->lead_id;
	PoSendResult result = {0};
	char	   *channel = payload_text(timer->action_payload, "channel");
	PoSendRequest request = {
		.tenant_id = timer->tenant_id,
		.channel = channel != NULL ? channel : PO_CHANNEL_SMS,
		.template = template,
		.send_at = DT_NOBEGIN,
		.priority = PO_PRIORITY_NORMAL,
		.cancel_on_reply = timer->cancel_on_reply,
		.lead_id = &lead_id,
		.send_key = &send_key,
		.n = 1
	};

	po_enqueue(&request, &result);
}

/* What somebody has called the action is their text; its type's own word is none. */
static void
tell(PoEvent *event, const PoTimer *timer)
{
	PoObject   *object = po_object_begin();
	const PoTimerType *type = po_timer_type(event->tenant_id, timer->timer_type);

	po_object_string(object, "timer_type", timer->timer_type);
	if (type != NULL && strcmp(type->action, timer->action) == 0)
		po_object_string(object, "action", timer->action);
	else
		po_object_detail(object, "action", timer->action);
	po_object_string(object, "error", timer->last_error);
	po_event_tells(event, object);
}

/* What a firing does to its lead, but for the function it calls. */
static void
apply(PoUnit *unit, PoLead *lead, PoTimer *timer, bool counted)
{
	PoCause		cause = {.source = "timer", .reason = timer->timer_type, .reason_is_class = true};
	char	   *to_state = payload_text(timer->action_payload, "to_state");
	char	   *agent = payload_text(timer->action_payload, "agent");
	char	   *event_type = payload_text(timer->action_payload, "event_type");
	char	   *set_timer = payload_text(timer->action_payload, "set_timer");

	timer->last_error = NULL;
	tell(po_lead_event(unit, lead, "timer.fired", &cause), timer);
	/* A state that is no longer legal from here is no failure: the lead moved on. */
	if (to_state != NULL)
		(void) po_change_state(unit, lead, po_state_require(to_state), &cause);
	if (agent != NULL)
		po_assign_agent(unit, lead, agent, &cause);
	if (event_type != NULL)
	{
		po_require_event_type(event_type);
		tell(po_lead_event(unit, lead, event_type, &cause), timer);
	}
	if (set_timer != NULL)
		po_set_timer_of_type(unit, lead, set_timer);
	timer->executed = true;
	timer->next_due = DT_NOEND;
	timer->changed = true;
	if (!counted)
		timer->attempts++;
}

static PoLead *
find_lead(PoUnit *unit, const PoFiring *firing)
{
	return po_find_lead(unit, firing->timer.tenant_id, firing->timer.lead_id);
}

/* Whose lead's phone has opted out. */
static void
find_opted_out(PoUnit *unit, PoFiring **firing, int n)
{
	const char **key = palloc(2 * n * sizeof(char *));
	PoFiring  **of = palloc(n * sizeof(PoFiring *));
	bool	   *has = palloc(n * sizeof(bool));
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
	{
		const PoLead *lead = firing[i]->locked ? find_lead(unit, firing[i]) : NULL;

		if (lead == NULL || lead->phone == NULL)
			continue;
		key[2 * nkeys] = lead->tenant_id;
		key[2 * nkeys + 1] = lead->phone;
		of[nkeys++] = firing[i];
	}
	po_have_rows("addresses_opted_out", key, 2, nkeys, false, has);
	for (int k = 0; k < nkeys; k++)
		of[k]->timer.opted_out = has[k];
}

/*
 * po_lock_firings locks the leads of timers that are due and reads both as they
 * are then; what is not locked afterwards is held, or due no more.
 */
void
po_lock_firings(PoUnit *unit, PoFiring **firing, int n)
{
	Datum		until = TimestampTzGetDatum(firing[0]->counted ? firing[0]->token : po_now());
	PoWants		wants = {0};
	PoRows		timers = po_rows(ItemPointerIsValid(&firing[0]->timer.tid) ? &read_timers_at : &read_timers, n);
	bool	   *held = palloc0(n * sizeof(bool));
	int		   *position = palloc(n * sizeof(int));
	Size		taken = 0;
	uint64		rows;

	for (int i = 0; i < n; i++)
		po_want(&wants, PO_WANT_LEAD, i, firing[i]->timer.tenant_id,
				firing[i]->timer.lead_id)->tid = firing[i]->lead_tid;
	po_unit_lock(unit, &wants, 0, held);
	for (int i = 0; i < n; i++)
	{
		firing[i]->locked = false;
		firing[i]->timer.changed = false;
		if (find_lead(unit, firing[i]) == NULL)
			continue;
		position[timers.n] = i;
		po_rows_add(&timers, &firing[i]->timer);
	}
	rows = po_rows_exec(&timers, &until);
	for (uint64 r = 0; r < rows; r++)
	{
		PoFiring   *f = firing[position[po_column_int(r, C_NUMBER) - 1]];
		bool		isnull;
		Datum		payload = po_column(r, C_PAYLOAD, &isnull);

		/* What does not fit is due again in the next batch, in which others come first. */
		if (!po_fits_batch(&taken, payload))
		{
			if (turns[false].backlog && r > 0)
				po_turns_behind(&turns[false], firing[position[po_column_int(r - 1, C_NUMBER) - 1]]->timer.tenant_id);
			break;
		}
		po_read_row(&read_timers, r, &f->timer);
		f->timer.action_payload = DatumGetJsonbPCopy(payload);
		/* One that was taken is the same one as long as it was not moved. */
		f->locked = !f->counted || f->timer.due_at == f->token;
	}
	find_opted_out(unit, firing, n);
}

/* Writes the unit, with what became of its timers. */
static void
write_firings(PoUnit *unit, PoFiring **firing, int n)
{
	unit->timer = palloc(n * sizeof(PoTimer));
	for (int i = 0; i < n; i++)
		if (firing[i]->locked)
			unit->timer[unit->ntimers++] = firing[i]->timer;
	po_unit_write(unit);
}

/* Whether one before it in the batch has cancelled or moved it. */
static bool
is_superseded(const PoUnit *unit, const PoTimer *timer)
{
	for (int i = 0; i < unit->ncancels; i++)
		if (strcmp(unit->cancel[i].lead_id, timer->lead_id) == 0 &&
			strcmp(unit->cancel[i].tenant_id, timer->tenant_id) == 0 &&
			(timer->cancel_on_reply || !unit->cancel[i].on_reply))
			return true;
	for (int i = 0; i < unit->nnew_timers; i++)
		if (strcmp(unit->new_timer[i].lead_id, timer->lead_id) == 0 &&
			strcmp(unit->new_timer[i].tenant_id, timer->tenant_id) == 0 &&
			strcmp(unit->new_timer[i].timer_type, timer->timer_type) == 0)
			return true;
	return false;
}

/*
 * po_find_due_timers finds timers that are due, in a fair order, and locks their
 * leads; looks at so many.  firings->due has room for its arguments, of which the caller
 * fills in the first three: from, until, how many.
 */
void
po_find_due_timers(PoFirings *firings)
{
	Datum	   *args = firings->due;
	TimestampTz since = DatumGetTimestampTz(args[0]);
	PoTurns    *turn = &turns[firings->calls];
	int			size = DatumGetInt32(args[2]);
	PoStatement *look;
	PoSight    *sight;
	PoRows		held;
	int			looks = MOST_LOOKS;
	int			n;
	int			nfree;

	do
	{
		int			share = po_turns_share(turn, size);

		args[0] = TimestampTzGetDatum(po_turns_from(turn, since));
		args[3] = po_turns_before(turn);
		args[4] = Int32GetDatum(share);
		po_turns_places(turn, &args[5]);
		look = turn->backlog ? &select_fairly[firings->calls] : &select_due[firings->calls];
		n = po_exec_fixed(look, args);
		sight = palloc0(Max(n, 1) * sizeof(PoSight));
		nfree = 0;
		for (int i = 0; i < n; i++)
		{
			po_read_row(look, i, &sight[i]);
			sight[i].account = "";
			sight[i].most = share;
			nfree += !sight[i].held;
		}
		/* A worker comes again; a session may not. */
	} while (po_turns_again(turn, sight, n, size, n == size) ||
			 (nfree == 0 && turn->backlog && !po_waits_for_nobody() && --looks > 0));
	/* For those that are found with the same arguments afterwards. */
	args[0] = TimestampTzGetDatum(since);
	firings->firing = palloc0(Max(n, 1) * sizeof(PoFiring));
	firings->n = 0;
	held = po_rows(&cancel_orphans, n);
	for (int i = 0; i < n; i++)
	{
		PoFiring   *firing = &firings->firing[firings->n];

		if (sight[i].held)
		{
			po_rows_add(&held, &sight[i]);
			continue;
		}
		firing->timer.tenant_id = sight[i].tenant_id;
		firing->timer.lead_id = po_column_text(i, C_LEAD);
		firing->timer.timer_id = sight[i].id;
		firing->timer.tid = po_column_tid(i, C_TID);
		firing->lead_tid = po_column_tid(i, C_LEAD_TID);
		firings->n++;
	}
	(void) po_rows_exec(&held, &args[1]);
}

/*
 * po_timers_are_held tells whether the last look came to much that somebody else
 * holds, and has not yet seen what is behind it.
 */
bool
po_timers_are_held(bool calls)
{
	return turns[calls].nplaces > 0;
}

/*
 * po_calls_turn_after makes the next look for timers that call a function begin behind
 * a tenant, however little is due.
 */
void
po_calls_turn_after(const char *tenant_id)
{
	turns[true].backlog = true;
	strlcpy(turns[true].last_tenant, tenant_id, sizeof(turns[true].last_tenant));
}

/*
 * Whether the lead of a timer that is due is closed or suppressed, or its phone has
 * opted out: then its timers are cancelled.  It should have none, but one may have been
 * written by hand; the lead may have been made after the opt-out; or the opt-out has
 * left it for later.
 */
static bool
cancel_of_ended(PoUnit *unit, const PoFiring *firing)
{
	PoLead	   *lead = find_lead(unit, firing);

	if (!po_state_ends_timers(lead->state) && !firing->timer.opted_out)
		return false;
	po_cancel_all_timers(unit, lead, po_state_ends_timers(lead->state) ? po_state_name(lead->state)
						 : "its phone has opted out");
	return true;
}

/* *at is the number of the one being done, and those before it of all of them. */
static void
fire(PoFirings *firings, PoFiring **firing, const int *member, int n, int *at)
{
	PoUnit		unit = {0};

	firings->foreign = false;
	po_lock_firings(&unit, firing, n);
	for (int i = 0; i < n; i++)
	{
		firing[i]->executed = false;
		if (firing[i]->locked && (is_superseded(&unit, &firing[i]->timer) ||
								  cancel_of_ended(&unit, firing[i])))
			firing[i]->locked = false;
		*at = member[i];
		if (firing[i]->locked)
			apply(&unit, find_lead(&unit, firing[i]), &firing[i]->timer, firing[i]->counted);
	}
	*at = -1;
	write_firings(&unit, firing, n);
	/* At the end, when the lead and its timers are as a function may change them. */
	for (int i = 0; i < n; i++)
	{
		const PoTimer *timer = &firing[i]->timer;
		char	   *call = firing[i]->locked ? payload_text(timer->action_payload, "call") : NULL;
		char	   *template = firing[i]->locked ? payload_text(timer->action_payload, "send") : NULL;

		firing[i]->executed = firing[i]->locked;
		*at = member[i];
		if (template != NULL)
			send_template(timer, template);
		if (call != NULL)
		{
			firings->foreign = true;
			po_call_timer_function(timer, call);
			firings->foreign = false;
		}
		*at = -1;
	}
}

/* A firing sets nothing that fires at once. */
static void
fire_with_beat(PoFirings *firings, PoFiring **firing, const int *member, int n, int *at)
{
	po_timers_not_before(po_now() + RING_BEAT_MS * (int64) 1000);
	PG_TRY();
	{
		fire(firings, firing, member, n, at);
	}
	PG_FINALLY();
	{
		po_timers_not_before(DT_NOBEGIN);
	}
	PG_END_TRY();
}

/*
 * po_fire_batch fires timers together; the work of a batch of PoFirings.
 */
void
po_fire_batch(PoBatch *batch, const int *member, int n)
{
	PoFirings  *firings = batch->arg;
	PoFiring  **firing = palloc(n * sizeof(PoFiring *));

	for (int i = 0; i < n; i++)
		firing[i] = &firings->firing[member[i]];
	fire_with_beat(firings, firing, member, n, &batch->at);
}

/*
 * po_fire_one fires the one of PoFirings; the work of po_try().
 */
void
po_fire_one(void *arg)
{
	PoFirings  *firings = arg;
	int			member = 0;
	int			at;

	fire_with_beat(firings, &firings->firing, &member, 1, &at);
}

/*
 * po_next_try returns when one that failed so often is tried again.
 */
TimestampTz
po_next_try(int attempts)
{
	return po_now() + ((int64) 60 * USECS_PER_SEC << Min(Max(attempts, 1) - 1, 10));
}

/*
 * po_firing_failed counts the try, and gives up after max_attempts, which attempts
 * never exceed.  What looks like the server's fault is tried for ever: it is out of
 * the others' way, and nothing is lost to a full disk.
 */
void
po_firing_failed(PoFiring *firing, int sqlstate)
{
	PoTimer    *timer = &firing->timer;
	PoUnit		unit = {0};

	firing->executed = false;
	po_lock_firings(&unit, &firing, 1);
	if (!firing->locked)
		return;
	timer->changed = true;
	timer->executed = false;
	if (!firing->counted)
		timer->attempts++;
	timer->last_error = sqlstate == 0 ? "the process ended while its function ran"
		: psprintf("the action failed with SQLSTATE %s", unpack_sql_state(sqlstate));
	if (sqlstate != 0 && !firing->foreign && po_is_servers_fault(sqlstate))
		timer->attempts = Min(timer->attempts, timer->max_attempts - 1);
	if (timer->attempts < timer->max_attempts)
	{
		timer->next_due = po_next_try(timer->attempts);
		/* Its own worker looks for itself. */
		if (!firing->counted)
			po_wake_at(timer->next_due);
	}
	else
	{
		PoCause		cause = {.source = "timer", .reason = timer->timer_type, .reason_is_class = true};

		timer->next_due = DT_NOEND;
		tell(po_lead_event(&unit, find_lead(&unit, firing), "timer.failed", &cause), timer);
	}
	write_firings(&unit, &firing, 1);
}
