/*
 * timer_fire.c
 *	  Firing the timers that are due.
 *
 * Due timers are found together with their leads, which are locked; then the
 * timers are read again, for they may have been cancelled or moved meanwhile: the
 * lead's lock is theirs too, as it is for whoever sets or cancels.  Leads that somebody else
 * holds are left for the next cycle, and so is what makes a batch too large.  A batch
 * is one subtransaction; when it
 * fails, its members are done again one by one, and one that fails alone has
 * its next try, or gives up after max_attempts.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "core/api.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "core/subtransaction.h"
#include "core/turns.h"
#include "core/wakeup.h"
#include "fmgr.h"
#include "lead/change_set.h"
#include "lead/timer.h"
#include "outbound/outbox.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

typedef struct Firing
{
	const char *tenant_id;
	const char *lead_id;
	const char *timer_type;
	pg_uuid_t	timer_id;
	TimestampTz due_at;
	const char *action;
	Jsonb	   *action_payload;
	int			attempts;
	int			max_attempts;
	bool		cancel_on_reply;
	bool		locked;
	bool		executed;
	const char *last_error;
	TimestampTz next_due;		/* DT_NOEND: none */
} Firing;

typedef struct Batch
{
	Datum	   *due;			/* arguments of the statements that find them; NULL: they are known */
	Firing	   *firing;
	int			n;
	int			at;				/* the one being done; -1: all of them together */
	bool		foreign;		/* its function is running */
} Batch;

/*
 * Leads that somebody else holds are not waited for, and take nobody's place.  They
 * are found by their whole key, whatever is known of the tables when the plan is
 * made.
 */
#define LOCKED_LEAD \
	" CROSS JOIN LATERAL (SELECT FROM outreach.leads l WHERE l.tenant_id = t.tenant_id" \
	" AND l.lead_id = t.lead_id FOR NO KEY UPDATE SKIP LOCKED) locked"

static PoPlan select_due = {
	.name = "fire.due",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT t.tenant_id, t.lead_id, t.timer_id FROM outreach.lead_timers t" LOCKED_LEAD
	" WHERE t.due_at >= $1 AND t.due_at <= $2 AND t.due_at < 'infinity'"
	" ORDER BY t.due_at LIMIT $3",
	.nargs = 3,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

static PoPlan select_fairly = {
	.name = "fire.fairly",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT d.tenant_id, d.lead_id, d.timer_id FROM outreach.tenants n CROSS JOIN LATERAL"
	" (SELECT t.tenant_id, t.lead_id, t.timer_id FROM outreach.lead_timers t" LOCKED_LEAD
	" WHERE t.tenant_id = n.tenant_id AND t.due_at >= $1 AND t.due_at <= $2"
	" ORDER BY t.due_at LIMIT $5) d"
	" WHERE n.tenant_id > $4 ORDER BY n.tenant_id LIMIT $3",
	.nargs = 5,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT4OID}
};

/* What is due and not found by them has its lead locked, or has none any more. */
static PoPlan cancel_orphans = {
	.name = "fire.orphans",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.lead_timers t SET due_at = NULL, cancelled_at = $2, updated_at = $2,"
	" cancel_reason = 'the lead is gone' FROM"
	" (SELECT o.tenant_id, o.timer_id FROM outreach.lead_timers o"
	" WHERE o.due_at >= $1 AND o.due_at <= $2 AND o.due_at < 'infinity' ORDER BY o.due_at LIMIT $3) d"
	" WHERE t.tenant_id = d.tenant_id AND t.timer_id = d.timer_id AND NOT EXISTS"
	" (SELECT FROM outreach.leads l WHERE l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id)",
	.nargs = 3,
	.argtype = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

static PoRowsPlan read_timers = {
	.name = "fire.timers",
	.expect = SPI_OK_SELECT,
	.before = "SELECT u.n::int, t.timer_type, t.due_at, t.action, t.action_payload,"
	" t.attempts, t.max_attempts, t.cancel_on_reply FROM",
	.columns = "tenant_id, timer_id",
	.after = "JOIN outreach.lead_timers t ON t.tenant_id = u.tenant_id AND t.timer_id = u.timer_id"
	" WHERE t.due_at <= $1",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 2,
	.element = {TEXTOID, UUIDOID},
	.numbered = true
};

static PoRowsPlan update_timers = {
	.name = "fire.write",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.lead_timers t SET due_at = u.due_at, attempts = u.attempts,"
	" last_error = u.last_error, executed_at = CASE WHEN u.executed THEN $1 END, updated_at = $1"
	" FROM",
	.columns = "tenant_id, timer_id, due_at, attempts, last_error, executed",
	.after = "WHERE t.tenant_id = u.tenant_id AND t.timer_id = u.timer_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 6,
	.element = {TEXTOID, UUIDOID, TIMESTAMPTZOID, INT4OID, TEXTOID, BOOLOID}
};

static PoPlan select_function = {
	.name = "fire.function",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT function FROM outreach.timer_functions WHERE name = $1",
	.nargs = 1,
	.argtype = {TEXTOID}
};

static PoTurns turns;

PG_FUNCTION_INFO_V1(po_fire_timers);

static char *
payload_text(Jsonb *payload, const char *key)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&payload->root, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* A registered function runs with the rights of the worker's role alone. */
static void
call_function(const Firing *firing, const char *name)
{
	Datum		args[1] = {CStringGetTextDatum(name)};
	Oid			function;
	Oid			role = get_role_oid("outreach_worker", false);
	FmgrInfo	info;
	LOCAL_FCINFO(call, 3);

	if (po_exec(&select_function, args, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("\"%s\" is not in outreach.timer_functions", name)));
	function = DatumGetObjectId(DirectFunctionCall1(regprocedurein,
													CStringGetDatum(po_column_text(0, 1))));
	if (po_function_aclcheck(function, role) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("outreach_worker may not execute the function of \"%s\"", name)));
	fmgr_info(function, &info);
	InitFunctionCallInfoData(*call, &info, 3, InvalidOid, NULL, NULL);
	call->args[0].value = CStringGetTextDatum(firing->tenant_id);
	call->args[1].value = CStringGetTextDatum(firing->lead_id);
	call->args[2].value = JsonbPGetDatum(firing->action_payload);
	for (int i = 0; i < 3; i++)
		call->args[i].isnull = false;
	(void) po_call_foreign(&info, role, firing->tenant_id, call);
}

/* A message of a template; one that a guard refuses is kept, and no failure. */
static void
send_template(const Firing *firing, const char *template)
{
	const char *send_key = psprintf(PO_TIMER_KEY_PREFIX "%s", DatumGetCString(DirectFunctionCall1(uuid_out,
																			   UUIDPGetDatum(&firing->timer_id))));
	const char *lead_id = firing->lead_id;
	char	   *channel = payload_text(firing->action_payload, "channel");
	PoSendRequest request = {
		.tenant_id = firing->tenant_id,
		.channel = channel != NULL ? channel : "sms",
		.template = template,
		.send_at = DT_NOBEGIN,
		.priority = 1,
		.lead_id = &lead_id,
		.send_key = &send_key,
		.n = 1
	};

	(void) po_enqueue(&request);
}

static Jsonb *
firing_payload(const Firing *firing)
{
	PoObject   *object = po_object_begin();

	po_object_string(object, "timer_type", firing->timer_type);
	po_object_string(object, "action", firing->action);
	po_object_string(object, "error", firing->last_error);
	return po_object_end(object);
}

/* What a firing does to its lead, but for the function it calls. */
static void
apply(PoChangeSet *set, PoLead *lead, Firing *firing)
{
	PoCause		cause = {.source = "timer", .reason = firing->timer_type};
	char	   *to_state = payload_text(firing->action_payload, "to_state");
	char	   *agent = payload_text(firing->action_payload, "agent");
	char	   *event_type = payload_text(firing->action_payload, "event_type");
	char	   *set_timer = payload_text(firing->action_payload, "set_timer");

	firing->last_error = NULL;
	po_lead_event(set, lead, "timer.fired", &cause)->payload = firing_payload(firing);
	/* A state that is no longer legal from here is no failure: the lead moved on. */
	if (to_state != NULL)
		(void) po_change_state(set, lead, po_state_require(to_state), &cause);
	if (agent != NULL)
		po_assign_agent(set, lead, agent, &cause);
	if (event_type != NULL)
	{
		po_require_event_type(event_type);
		po_lead_event(set, lead, event_type, &cause)->payload = firing_payload(firing);
	}
	if (set_timer != NULL)
		po_arm_timer(set, lead, set_timer);
	firing->executed = true;
	firing->next_due = DT_NOEND;
	firing->attempts++;
}

static PoLead *
find_lead(PoChangeSet *set, const Firing *firing)
{
	return po_find_lead(set, firing->tenant_id, firing->lead_id);
}

static void
lock(PoChangeSet *set, Firing *firing, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoLeadKey  *lead = palloc0(n * sizeof(PoLeadKey));
	PoArray		timer[2];
	int		   *position = palloc(n * sizeof(int));
	Size		taken = 0;
	uint64		rows;

	po_rows_init(&read_timers, timer, n);
	for (int i = 0; i < n; i++)
	{
		lead[i].tenant_id = firing[i].tenant_id;
		lead[i].lead_id = firing[i].lead_id;
	}
	po_lock_free_leads(set, lead, n);
	for (int i = 0; i < n; i++)
	{
		firing[i].locked = false;
		if (find_lead(set, &firing[i]) == NULL)
			continue;
		position[timer[0].n] = i;
		po_array_add_text(&timer[0], firing[i].tenant_id);
		po_array_add_uuid(&timer[1], &firing[i].timer_id);
	}
	rows = po_exec_rows(&read_timers, &now, timer);
	for (uint64 r = 0; r < rows; r++)
	{
		Firing	   *f = &firing[position[po_column_int(r, 1) - 1]];
		bool		isnull;

		/* What does not fit is due again in the next batch, in which others come first. */
		if (!po_fits_batch(&taken, po_column(r, 5, &isnull)))
		{
			if (turns.backlog && r > 0)
				strlcpy(turns.last_tenant, firing[position[po_column_int(r - 1, 1) - 1]].tenant_id,
						sizeof(turns.last_tenant));
			break;
		}
		f->timer_type = po_column_text(r, 2);
		f->due_at = po_column_time(r, 3);
		f->action = po_column_text(r, 4);
		f->action_payload = DatumGetJsonbPCopy(po_column(r, 5, &isnull));
		f->attempts = po_column_int(r, 6);
		f->max_attempts = po_column_int(r, 7);
		f->cancel_on_reply = po_column_bool(r, 8);
		f->locked = true;
	}
}

static void
write_firings(Firing *firing, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		array[6];

	po_rows_init(&update_timers, array, n);
	for (int i = 0; i < n; i++)
	{
		Firing	   *f = &firing[i];

		if (!f->locked)
			continue;
		po_array_add_text(&array[0], f->tenant_id);
		po_array_add_uuid(&array[1], &f->timer_id);
		if (f->next_due == DT_NOEND)
			po_array_add_null(&array[2]);
		else
			po_array_add(&array[2], TimestampTzGetDatum(f->next_due));
		po_array_add(&array[3], Int32GetDatum(f->attempts));
		po_array_add_text(&array[4], f->last_error);
		po_array_add(&array[5], BoolGetDatum(f->executed));
	}
	(void) po_exec_rows(&update_timers, &now, array);
}

/* Whether one before it in the batch has cancelled or moved it. */
static bool
is_superseded(const PoChangeSet *set, const Firing *firing)
{
	for (int i = 0; i < set->ncancels; i++)
		if (strcmp(set->cancel[i].lead_id, firing->lead_id) == 0 &&
			strcmp(set->cancel[i].tenant_id, firing->tenant_id) == 0 &&
			(firing->cancel_on_reply || !set->cancel[i].on_reply))
			return true;
	for (int i = 0; i < set->ntimers; i++)
		if (strcmp(set->timer[i].lead_id, firing->lead_id) == 0 &&
			strcmp(set->timer[i].tenant_id, firing->tenant_id) == 0 &&
			strcmp(set->timer[i].timer_type, firing->timer_type) == 0)
			return true;
	return false;
}

static void
find_due(Batch *batch)
{
	Datum	   *args = batch->due;
	int			size = DatumGetInt32(args[2]);
	int			n;

	do
	{
		args[3] = CStringGetTextDatum(turns.last_tenant);
		args[4] = Int32GetDatum(po_turns_share(&turns, size));
		n = po_exec(turns.backlog ? &select_fairly : &select_due, args, NULL);
	} while (po_turns_again(&turns, n, size, n > 0 ? po_column_text(n - 1, 1) : ""));
	batch->firing = palloc0(Max(n, 1) * sizeof(Firing));
	for (int i = 0; i < n; i++)
	{
		batch->firing[i].tenant_id = po_column_text(i, 1);
		batch->firing[i].lead_id = po_column_text(i, 2);
		(void) po_column_uuid(i, 3, &batch->firing[i].timer_id);
	}
	batch->n = n;
	if (n == 0)
		po_exec(&cancel_orphans, args, NULL);
}

static void
fire_batch(void *arg)
{
	Batch	   *batch = arg;
	PoChangeSet set = {0};
	Firing	   *firing;
	int			n;

	batch->at = -1;
	batch->foreign = false;
	if (batch->due != NULL)
		find_due(batch);
	firing = batch->firing;
	n = batch->n;
	if (n == 0)
		return;
	lock(&set, firing, n);
	for (int i = 0; i < n; i++)
	{
		firing[i].executed = false;
		if (firing[i].locked && is_superseded(&set, &firing[i]))
			firing[i].locked = false;
		batch->at = i;
		if (firing[i].locked)
			apply(&set, find_lead(&set, &firing[i]), &firing[i]);
	}
	batch->at = -1;
	/* Before the lead's own changes, which may set a timer of the same kind. */
	write_firings(firing, n);
	po_write_changes(&set);
	/* At the end, when the lead and its timers are as a function may change them. */
	for (int i = 0; i < n; i++)
	{
		char	   *call = firing[i].locked ? payload_text(firing[i].action_payload, "call") : NULL;
		char	   *template = firing[i].locked ? payload_text(firing[i].action_payload, "send") : NULL;

		batch->at = i;
		if (template != NULL)
			send_template(&firing[i], template);
		batch->at = -1;
		if (call == NULL)
			continue;
		batch->at = i;
		batch->foreign = true;
		call_function(&firing[i], call);
		batch->foreign = false;
		batch->at = -1;
	}
}

/* Counts the try; attempts never exceed max_attempts. */
static void
fail(Firing *firing, int sqlstate)
{
	PoChangeSet set = {0};

	firing->executed = false;
	lock(&set, firing, 1);
	if (!firing->locked)
		return;
	firing->attempts++;
	firing->last_error = psprintf("the action failed with SQLSTATE %s", unpack_sql_state(sqlstate));
	if (firing->attempts < firing->max_attempts)
	{
		firing->next_due = po_now() + ((int64) 60 * USECS_PER_SEC << Min(firing->attempts - 1, 10));
		po_wake_at(firing->next_due);
	}
	else
	{
		PoCause		cause = {.source = "timer", .reason = firing->timer_type};

		firing->next_due = DT_NOEND;
		po_lead_event(&set, find_lead(&set, firing), "timer.failed", &cause)->payload =
			firing_payload(firing);
	}
	write_firings(firing, 1);
	po_write_changes(&set);
}

/*
 * Fires what is due together; when that fails, alone, but for the one that is
 * known to have failed: an action is tried once an attempt.
 */
static Batch
fire_due(Datum *due)
{
	Batch		all = {.due = due};
	int			sqlstate = po_try(fire_batch, &all, &all.foreign);
	int			failed = all.n == 1 ? 0 : all.at;

	if (sqlstate != 0 && all.n == 0)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("due timers could not be found")));
	for (int i = 0; i < all.n && sqlstate != 0; i++)
	{
		Batch		one = {.firing = &all.firing[i], .n = 1};
		int			state = i == failed ? sqlstate : po_try(fire_batch, &one, &one.foreign);

		if (state != 0)
			fail(&all.firing[i], state);
	}
	return all;
}

/*
 * fire_timers(batch, since): fires up to so many timers that are due, from the
 * time since on, and returns how late each was, in milliseconds.
 */
Datum
po_fire_timers(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[5];
	Batch		fired;
	PoArray		late;
	TimestampTz now = po_now();

	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be at least 1")));
	SPI_connect();
	MemoryContextSwitchTo(context);
	args[0] = TimestampTzGetDatum(PG_ARGISNULL(1) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(1));
	args[1] = TimestampTzGetDatum(now);
	args[2] = PG_GETARG_DATUM(0);
	fired = fire_due(args);
	SPI_finish();
	MemoryContextSwitchTo(context);
	po_array_init(&late, INT8OID, fired.n);
	for (int i = 0; i < fired.n; i++)
		if (fired.firing[i].executed)
			po_array_add(&late, Int64GetDatum((now - fired.firing[i].due_at) / 1000));
	PG_RETURN_DATUM(po_array_datum(&late));
}
