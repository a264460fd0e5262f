/*
 * timer.c
 *	  Setting and cancelling the timers of leads.
 *
 * Whoever sets or cancels a timer holds the row lock of its lead, and so does
 * a firing: they meet there, and one of them wins.  A timer that becomes the
 * next to fire wakes the worker when the transaction commits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/shape.h"
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "lead/timer.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

typedef struct TenantTimerType
{
	const char *tenant_id;
	PoTimerType type;
} TenantTimerType;

static PoCache type_cache = {
	.name = "outreach timer types",
	.tables = PO_OF_TIMER_TYPES
};
static TenantTimerType *timer_type_of;	/* tenants' rows before those of '*' */
static int	ntimer_types;

static TimestampTz not_before = DT_NOBEGIN;

/* What po_timer_types returned last, for as long as the cache lives. */
static PoTimerType *merged;

static PoPlan select_types = {
	.name = "timers.types",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT tenant_id, timer_type, delay, action, action_payload, set_on::text,"
	" cancel_on_reply, max_attempts FROM outreach.timer_types"
	" ORDER BY (tenant_id = '*'), tenant_id, timer_type"
};

static PoRowsPlan cancel_timers = {
	.name = "timers.cancel",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.lead_timers t SET due_at = NULL, cancelled_at = $1,"
	" cancel_reason = u.reason, updated_at = $1 FROM",
	.columns = "tenant_id, lead_id, timer_type, on_reply, reason",
	.after = "WHERE t.tenant_id = u.tenant_id AND t.lead_id = u.lead_id AND isfinite(t.due_at)"
	" AND t.timer_type = coalesce(u.timer_type, t.timer_type)"
	" AND (t.cancel_on_reply OR NOT u.on_reply)",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 5,
	.element = {TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID}
};

/* Set again is moved: the same row, with a fresh count of attempts. */
static PoRowsPlan set_timers = {
	.name = "timers.set",
	.expect = SPI_OK_INSERT,
	.before = "INSERT INTO outreach.lead_timers AS t (tenant_id, timer_id, lead_id, timer_type,"
	" trigger_at, due_at, action, action_payload, cancel_on_reply, max_attempts, created_at,"
	" updated_at)"
	" SELECT u.tenant_id, u.timer_id, u.lead_id, u.timer_type, u.trigger_at, u.trigger_at,"
	" u.action, u.action_payload, u.cancel_on_reply, u.max_attempts, $1, $1 FROM",
	.columns = "tenant_id, timer_id, lead_id, timer_type, trigger_at, action, action_payload,"
	" cancel_on_reply, max_attempts",
	.after = "ON CONFLICT (tenant_id, lead_id, timer_type) WHERE isfinite(due_at) DO UPDATE"
	" SET trigger_at = EXCLUDED.trigger_at, due_at = EXCLUDED.due_at, action = EXCLUDED.action,"
	" action_payload = EXCLUDED.action_payload, cancel_on_reply = EXCLUDED.cancel_on_reply,"
	" max_attempts = EXCLUDED.max_attempts, attempts = 0, last_error = NULL,"
	" updated_at = EXCLUDED.updated_at",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 9,
	.element = {TEXTOID, UUIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, JSONBOID, BOOLOID,
	INT4OID}
};

static void
load_types(void)
{
	MemoryContext context = po_cache_reset(&type_cache);
	MemoryContext old;
	uint64		n;

	po_spi_connect();
	n = po_exec(&select_types, NULL, NULL);
	old = MemoryContextSwitchTo(context);
	timer_type_of = palloc0(Max(n, 1) * sizeof(TenantTimerType));
	merged = palloc0(Max(n, 1) * sizeof(PoTimerType));
	ntimer_types = n;
	for (uint64 i = 0; i < n; i++)
	{
		PoTimerType *type = &timer_type_of[i].type;
		bool		isnull;
		Datum		value;

		timer_type_of[i].tenant_id = po_column_text(i, 1);
		type->timer_type = po_column_text(i, 2);
		value = po_column(i, 3, &isnull);
		if (!isnull)
		{
			type->delay = palloc(sizeof(Interval));
			*type->delay = *DatumGetIntervalP(value);
		}
		type->action = po_column_text(i, 4);
		type->action_payload = DatumGetJsonbPCopy(po_column(i, 5, &isnull));
		type->set_on = po_state_from_name(po_column_text(i, 6));
		type->cancel_on_reply = po_column_bool(i, 7);
		type->max_attempts = po_column_int(i, 8);
	}
	MemoryContextSwitchTo(old);
	SPI_finish();
	po_cache_filled(&type_cache);
}

/*
 * po_timer_type returns a tenant's kind of timer, NULL when there is none;
 * valid until the transaction ends.  Runs as the engine's owner.
 */
const PoTimerType *
po_timer_type(const char *tenant_id, const char *timer_type)
{
	if (!po_cache_fresh(&type_cache))
		load_types();
	for (int i = 0; i < ntimer_types; i++)
		if ((strcmp(timer_type_of[i].tenant_id, tenant_id) == 0 ||
			 strcmp(timer_type_of[i].tenant_id, "*") == 0) &&
			strcmp(timer_type_of[i].type.timer_type, timer_type) == 0)
			return &timer_type_of[i].type;
	return NULL;
}

/*
 * po_timer_types returns all kinds of a tenant, its own over the shipped ones;
 * valid until the next call.
 */
const PoTimerType *
po_timer_types(const char *tenant_id, int *n)
{
	if (!po_cache_fresh(&type_cache))
		load_types();
	*n = 0;
	for (int i = 0; i < ntimer_types; i++)
	{
		const PoTimerType *type = &timer_type_of[i].type;

		if ((strcmp(timer_type_of[i].tenant_id, tenant_id) == 0 ||
			 strcmp(timer_type_of[i].tenant_id, "*") == 0) &&
			po_timer_type(tenant_id, type->timer_type) == type)
			merged[(*n)++] = *type;
	}
	return merged;
}

/*
 * po_timer_after returns the time that lies that far ahead.
 */
TimestampTz
po_timer_after(const Interval *delay)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(po_now()),
												   IntervalPGetDatum(delay)));
}

/*
 * po_timers_not_before makes what is set from now on due no earlier, whoever sets
 * it in this session; DT_NOBEGIN ends that.  For the time of a firing.
 */
void
po_timers_not_before(TimestampTz time)
{
	not_before = time;
}

/*
 * po_timer_time returns the time that a timer gets which is set for a time.
 */
TimestampTz
po_timer_time(TimestampTz time)
{
	return Max(time, not_before);
}

/* What a firing does; the channel is that of "send". */
static const char *const action_member[] = {
	"to_state", "agent", "event_type", "set_timer", "send", "channel", "call"
};

/*
 * po_action_member returns the i-th member that an action may have, NULL behind
 * the last.
 */
const char *
po_action_member(int i)
{
	return i < lengthof(action_member) ? action_member[i] : NULL;
}

static bool
is_key(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) &&
		memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/*
 * po_check_action_payload returns what is wrong with an action's payload, palloc'd,
 * or NULL.  No member may be without meaning, but where a function is called, which
 * may read it.  Of a kind, which an administrator writes, names have to be there.
 */
const char *
po_check_action_payload(Jsonb *payload, bool of_kind)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	const char *member = NULL;	/* NULL: it means nothing */
	const char *strange = NULL;
	bool		calls = false;

	if (!JB_ROOT_IS_OBJECT(payload))
		return "action_payload must be an object";
	iterator = JsonbIteratorInit(&payload->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			member = NULL;
			for (int i = 0; i < lengthof(action_member); i++)
				if (is_key(&value, action_member[i]))
					member = action_member[i];
			calls |= is_key(&value, "call");
			if (member == NULL && strange == NULL)
				strange = po_json_key(&value);
		}
		else if (token == WJB_VALUE && member != NULL)
		{
			if (value.type != jbvString)
				return psprintf("action_payload.%s must be a string", member);
			if (of_kind && value.val.string.len == 0)
				return psprintf("action_payload.%s must not be empty", member);
			if (of_kind && strcmp(member, "to_state") == 0 &&
				po_state_from_name(pnstrdup(value.val.string.val, value.val.string.len)) == PO_STATE_NONE)
				return "action_payload.to_state must be a lead state";
		}
	}
	if (strange != NULL && !calls)
		return psprintf("action_payload.%s is not known", strange);
	return NULL;
}

/*
 * po_cancel_timers cancels living timers of the leads, whose rows are locked,
 * and returns how many there were.  Needs SPI.
 */
int
po_cancel_timers(const PoTimerCancel *cancel, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		array[5];

	po_rows_init(&cancel_timers, array, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&array[0], cancel[i].tenant_id);
		po_array_add_text(&array[1], cancel[i].lead_id);
		po_array_add_text(&array[2], cancel[i].timer_type);
		po_array_add(&array[3], BoolGetDatum(cancel[i].on_reply));
		po_array_add_text(&array[4], cancel[i].reason);
	}
	return po_exec_rows(&cancel_timers, &now, array);
}

/*
 * po_set_timers sets timers of leads whose rows are locked, at most one of a
 * kind for each, and wakes the worker for the earliest when the transaction
 * commits.  Needs SPI.
 */
void
po_set_timers(const PoNewTimer *timer, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		array[9];
	pg_uuid_t  *timer_id = palloc(Max(n, 1) * sizeof(pg_uuid_t));
	TimestampTz earliest = DT_NOEND;

	po_rows_init(&set_timers, array, n);
	for (int i = 0; i < n; i++)
	{
		po_uuid_v7(&timer_id[i]);
		po_array_add_text(&array[0], timer[i].tenant_id);
		po_array_add_uuid(&array[1], &timer_id[i]);
		po_array_add_text(&array[2], timer[i].lead_id);
		po_array_add_text(&array[3], timer[i].timer_type);
		po_array_add(&array[4], TimestampTzGetDatum(po_timer_time(timer[i].trigger_at)));
		po_array_add_text(&array[5], timer[i].action);
		po_array_add(&array[6], JsonbPGetDatum(timer[i].action_payload));
		po_array_add(&array[7], BoolGetDatum(timer[i].cancel_on_reply));
		po_array_add(&array[8], Int32GetDatum(timer[i].max_attempts));
		earliest = Min(earliest, po_timer_time(timer[i].trigger_at));
	}
	(void) po_exec_rows(&set_timers, &now, array);
	if (n > 0)
		po_wake_at(earliest);
}
