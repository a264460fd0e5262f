/*
 * timer.c
 *	  Timer types, as tenants have them, and what a firing may do.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/limits.h"
#include "core/shape.h"
#include "core/statement.h"
#include "core/wakeup.h"
#include "lead/channel.h"
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

/* What po_timer_types returned last, for as long as the cache lives. */
static PoTimerType *merged;

static const PoField type_field[] = {
	PO_FIELD(PoTimerType, timer_type, TEXT, PO_GIVE),
	PO_FIELD(PoTimerType, action, TEXT, PO_GIVE),
	PO_FIELD(PoTimerType, action_payload, JSONB, PO_GIVE),
	PO_STATE_FIELD(PoTimerType, set_on, PO_GIVE),
	PO_FIELD(PoTimerType, cancel_on_reply, BOOL, PO_GIVE),
	PO_FIELD(PoTimerType, max_attempts, INT, PO_GIVE)
};

static PoStatement select_types = {
	.name = "timers.types",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {t.*}, t.tenant_id, t.delay FROM outreach.timer_types t"
	" ORDER BY (t.tenant_id = '*'), t.tenant_id, t.timer_type",
	.gives = PO_FIELDS(type_field, PO_GIVE)
};

static void
load_types(void)
{
	MemoryContext context = po_cache_reset(&type_cache);
	MemoryContext old;
	uint64		n;

	po_spi_connect();
	n = po_exec_fixed(&select_types, NULL);
	old = MemoryContextSwitchTo(context);
	timer_type_of = palloc0(Max(n, 1) * sizeof(TenantTimerType));
	merged = palloc0(Max(n, 1) * sizeof(PoTimerType));
	ntimer_types = n;
	for (uint64 i = 0; i < n; i++)
	{
		PoTimerType *type = &timer_type_of[i].type;
		bool		isnull;
		Datum		value;

		po_read_row(&select_types, i, type);
		timer_type_of[i].tenant_id = po_column_text(i, lengthof(type_field) + 1);
		value = po_column(i, lengthof(type_field) + 2, &isnull);
		if (!isnull)
		{
			type->delay = palloc(sizeof(Interval));
			*type->delay = *DatumGetIntervalP(value);
		}
	}
	MemoryContextSwitchTo(old);
	SPI_finish();
	po_cache_filled(&type_cache);
}

/*
 * po_timer_type returns a tenant's timer type, NULL when there is none;
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
 * po_timer_types returns all types of a tenant, its own over the shipped ones;
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
 * may read it; a channel is one that there is.  Of a type, which an administrator
 * writes, other names have to be there too.
 */
const char *
po_check_action_payload(Jsonb *payload, bool of_type)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	const char *member = NULL;	/* NULL: it means nothing */
	const char *strange = NULL;
	const char *problem;
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
			if (of_type && value.val.string.len == 0)
				return psprintf("action_payload.%s must not be empty", member);
			if (of_type && strcmp(member, "to_state") == 0 &&
				po_state_from_name(pnstrdup(value.val.string.val, value.val.string.len)) == PO_STATE_NONE)
				return "action_payload.to_state must be a lead state";
			if (strcmp(member, "channel") == 0 &&
				(problem = po_channel_problem("action_payload.channel",
											  pnstrdup(value.val.string.val, value.val.string.len))) != NULL)
				return problem;
		}
	}
	if (strange != NULL && !calls)
		return psprintf("action_payload.%s is not known", strange);
	return NULL;
}
