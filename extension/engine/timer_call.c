/*
 * timer_call.c
 *	  Calling the functions that timers name.
 *
 * The functions are somebody else's.  They run as outreach_functions, which owns
 * nothing and is nobody's login, in a security-restricted operation, and what they
 * set is taken back.  Any error of theirs is their own.
 *
 * Their worker does one timer at a time, in two transactions: it takes the timer,
 * which counts the attempt and moves it to its next try, and then fires it.  So a
 * function that ends the process, or the server, has had its attempt, and cannot be
 * tried for ever.  What could not begin is given back.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "core/api.h"
#include "core/args.h"
#include "core/budget.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "core/subtransaction.h"
#include "engine/firing.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define CANDIDATES		4		/* few, for a slow function of one tenant keeps those of the others waiting */
#define SLOW_CALL_USECS	(500 * INT64CONST(1000))
#define AFTER_CALL_MS	5000	/* for what the engine writes then */
#define PUT_OFF_MS		1000

typedef struct Candidate
{
	char		tenant_id[PO_MAX_ID_BYTES + 1];
	char		lead_id[PO_MAX_ID_BYTES + 1];
	pg_uuid_t	timer_id;
} Candidate;

/* Of a worker: what it has found to be due, and what it has taken of that. */
static Candidate candidate[CANDIDATES];
static int	ncandidates = 0;
static int	at = 0;
static struct
{
	bool		is;
	Candidate	timer;
	TimestampTz due_at;
	TimestampTz token;
}			taken;

static PoPlan select_function = {
	.name = "call.function",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT function FROM outreach.timer_functions WHERE name = $1",
	PO_ARGS(TEXTOID)
};

static PoPlan take_timer = {
	.name = "call.take",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.timer_queue SET attempts = attempts + 1, due_at = $3, updated_at = $4"
	" WHERE tenant_id = $1 AND timer_id = $2",
	PO_ARGS(TEXTOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static PoPlan return_timer = {
	.name = "call.return",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.timer_queue SET attempts = attempts - 1, due_at = $3"
	" WHERE tenant_id = $1 AND timer_id = $2 AND due_at = $4",
	PO_ARGS(TEXTOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

/*
 * po_call_timer_function calls the registered function of that name for a timer.
 * It may change its lead, which is locked, by the engine's own functions.  A
 * worker gives it outreach.function_timeout; a session's caller has timeouts of
 * his own.
 */
void
po_call_timer_function(const PoTimer *timer, const char *name)
{
	Datum		args[1] = {CStringGetTextDatum(name)};
	Oid			function;
	Oid			role = get_role_oid("outreach_functions", false);
	int			nest;
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
				 errmsg("outreach_functions may not execute the function of \"%s\"", name)));
	nest = NewGUCNestLevel();
	if (po_waits_for_nobody())
	{
		(void) set_config_option("lock_timeout", "0", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
								 0, false);
		po_budget_of_function(po_setting_function_timeout);
	}
	fmgr_info(function, &info);
	InitFunctionCallInfoData(*call, &info, 3, InvalidOid, NULL, NULL);
	call->args[0].value = CStringGetTextDatum(timer->tenant_id);
	call->args[1].value = CStringGetTextDatum(timer->lead_id);
	call->args[2].value = JsonbPGetDatum(timer->action_payload);
	for (int i = 0; i < 3; i++)
		call->args[i].isnull = false;
	(void) po_call_foreign(&info, role, timer->tenant_id, call);
	if (po_waits_for_nobody())
		po_budget_begin(AFTER_CALL_MS);
	AtEOXact_GUC(false, nest);
}

static void
find_candidates(TimestampTz since)
{
	Datum		args[PO_DUE_ARGS];
	PoFirings	found = {.due = args, .calls = true};

	args[0] = TimestampTzGetDatum(since);
	args[1] = TimestampTzGetDatum(po_now());
	args[2] = Int32GetDatum(CANDIDATES);
	po_find_due_timers(&found);
	at = 0;
	ncandidates = found.n;
	for (int i = 0; i < found.n; i++)
	{
		strlcpy(candidate[i].tenant_id, found.firing[i].timer.tenant_id, sizeof(candidate[i].tenant_id));
		strlcpy(candidate[i].lead_id, found.firing[i].timer.lead_id, sizeof(candidate[i].lead_id));
		candidate[i].timer_id = found.firing[i].timer.timer_id;
	}
}

static PoFiring
firing_of(const Candidate *timer)
{
	PoFiring	firing = {
		.timer = {.tenant_id = timer->tenant_id, .lead_id = timer->lead_id, .timer_id = timer->timer_id}
	};

	return firing;
}

/* False when it is due no more, or its lead is held, or it had its last attempt. */
static bool
take(const Candidate *timer)
{
	PoFiring	one = firing_of(timer);
	PoFiring   *firing = &one;
	PoUnit		unit = {0};
	Datum		args[4];

	po_lock_firings(&unit, &firing, 1);
	if (!firing->locked)
		return false;
	if (firing->timer.attempts >= firing->timer.max_attempts)
	{
		firing->counted = true;
		firing->token = firing->timer.due_at;
		po_firing_failed(firing, 0);
		return false;
	}
	taken.timer = *timer;
	taken.due_at = firing->timer.due_at;
	taken.token = po_next_try(firing->timer.attempts + 1);
	args[0] = CStringGetTextDatum(timer->tenant_id);
	args[1] = UUIDPGetDatum(&timer->timer_id);
	args[2] = TimestampTzGetDatum(taken.token);
	args[3] = TimestampTzGetDatum(po_now());
	(void) po_exec(&take_timer, args, NULL);
	taken.is = true;
	return true;
}

/*
 * po_take_due_call takes a timer that is due, from the time since on, and calls a
 * function; false when there is none.  For a worker; as the engine's owner.  Connects to
 * SPI itself, locks the timer with its lead, and leaves what others hold.
 */
bool
po_take_due_call(TimestampTz since)
{
	bool		found = false;

	if (!po_waits_for_nobody())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("only a background worker takes timers"),
				 errhint("fire_timers() fires those that call functions, too.")));
	po_spi_connect();
	taken.is = false;
	while (!taken.is)
	{
		if (at == ncandidates)
		{
			if (found)
				break;
			find_candidates(since);
			found = true;
		}
		else
			(void) take(&candidate[at++]);
	}
	SPI_finish();
	return taken.is;
}

/* It is due as it was, but for a moment. */
static void
give_back(void *arg)
{
	Datum		args[4];

	args[0] = CStringGetTextDatum(taken.timer.tenant_id);
	args[1] = UUIDPGetDatum(&taken.timer.timer_id);
	args[2] = TimestampTzGetDatum(Max(taken.due_at, po_now() + PUT_OFF_MS * (int64) 1000));
	args[3] = TimestampTzGetDatum(taken.token);
	(void) po_exec(&return_timer, args, NULL);
}

/*
 * po_run_taken_call fires the timer that was taken, in a transaction after that, and fills
 * in how late; false when it did not fire.  As the engine's owner; connects to SPI itself.
 */
bool
po_run_taken_call(int64 *late_ms)
{
	PoFiring	firing = firing_of(&taken.timer);
	PoFirings	one = {.firing = &firing, .n = 1};
	TimestampTz now = po_now();
	TimestampTz began = GetCurrentTimestamp();
	int			state;

	if (!taken.is)
		return false;
	firing.counted = true;
	firing.token = taken.token;
	po_spi_connect();
	state = po_try_alone(po_fire_one, &one, &one.foreign);
	firing.foreign = one.foreign;
	if (state != 0)
		po_budget_begin(AFTER_CALL_MS);
	if (state == 0 ? !firing.executed : !one.foreign && po_is_busy(state))
	{
		firing.executed = false;
		/* In vain, where its row is held: then it has lost an attempt. */
		(void) po_try(give_back, NULL, NULL);
	}
	else if (state != 0)
		po_firing_failed(&firing, state);
	taken.is = false;
	/* After a slow one it is the others' turn. */
	if (GetCurrentTimestamp() - began > SLOW_CALL_USECS)
	{
		ncandidates = at;
		po_calls_turn_after(taken.timer.tenant_id);
	}
	SPI_finish();
	*late_ms = (now - taken.due_at) / 1000;
	return firing.executed;
}

/*
 * po_return_taken_call gives back the timer that was taken and did not come to its end
 * for no fault of its own; false when none was.  As the engine's owner; connects to SPI
 * itself.
 */
bool
po_return_taken_call(void)
{
	if (!taken.is)
		return false;
	po_spi_connect();
	give_back(NULL);
	SPI_finish();
	taken.is = false;
	return true;
}
