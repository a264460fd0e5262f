/*
 * timer_cycle.c
 *	  A batch of due timers, and its members where it fails.
 *
 * A batch is one subtransaction; when it fails, its members are done again one by
 * one, and one that fails alone has its next try, or gives up after max_attempts.
 * One that is only in somebody's way is put off, and of its tenant nothing more is
 * tried in that cycle: nobody pays for more than one wait of another.
 *
 * Timers that call a function are another worker's (timer_call.c); in a session
 * each is done alone, after the rest.
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "core/budget.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi_plan.h"
#include "core/subtransaction.h"
#include "engine/firing.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Until one that was in somebody's way is tried again. */
#define PUT_OFF_MS		1000

static PoPlan put_off = {
	.name = "fire.put_off",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.timer_queue SET due_at = $1 WHERE tenant_id = $2 AND timer_id = $3",
	PO_ARGS(TIMESTAMPTZOID, TEXTOID, UUIDOID)
};

bool		po_calls_apart = false;

static int	most = INT_MAX;		/* as many as there was time for */

/* What is in somebody's way is in the others' no longer; its attempts stay. */
static void
put_off_one(void *arg)
{
	PoFiring   *firing = arg;
	PoUnit		unit = {0};
	Datum		args[3] = {
		TimestampTzGetDatum(po_now() + PUT_OFF_MS * (int64) 1000),
		CStringGetTextDatum(firing->timer.tenant_id), UUIDPGetDatum(&firing->timer.timer_id)
	};

	po_lock_firings(&unit, &firing, 1);
	if (firing->locked)
		(void) po_exec(&put_off, args, NULL);
	firing->locked = false;
}

static int
find(PoBatch *batch)
{
	PoFirings  *firings = batch->arg;
	MemoryContext own = MemoryContextSwitchTo(batch->context);

	po_find_due_timers(firings);
	MemoryContextSwitchTo(own);
	return firings->n;
}

static const char *
tenant_of(const PoBatch *batch, int member)
{
	return ((PoFirings *) batch->arg)->firing[member].timer.tenant_id;
}

/* An action is tried once an attempt. */
static void
not_fired(PoBatch *batch, int member, int sqlstate)
{
	PoFiring   *firing = &((PoFirings *) batch->arg)->firing[member];

	firing->executed = false;
	if (!batch->tried)
		return;
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE && po_waits_for_nobody())
	{
		if (!po_budget_ran_out())
			(void) po_try(put_off_one, firing, NULL);
		return;
	}
	po_firing_failed(firing, sqlstate);
	/* It may be everybody's: the others have the next turn. */
	batch->stop |= po_is_servers_fault(sqlstate);
}

/* Fires what is due together; when that fails, alone. */
static PoFirings
fire_due(Datum *due)
{
	PoFirings	all = {.due = due};
	PoBatch		batch = {
		.arg = &all, .of_many = true, .patience = 1, .find = find, .work = po_fire_batch,
		.failed = not_fired, .tenant_of = tenant_of
	};

	po_run_batch(&batch);
	if (batch.together == 0)
		most = most > INT_MAX / 2 ? INT_MAX : 2 * most;
	else if (batch.timed_out)
		most = Max(all.n / 2, 1);
	return all;
}

/* In a session, where there is no worker for them: each in a subtransaction. */
static PoFirings
fire_calls(Datum *due)
{
	PoFirings	all = {.due = due, .calls = true};

	po_find_due_timers(&all);
	for (int i = 0; i < all.n; i++)
	{
		PoFirings	one = {.firing = &all.firing[i], .n = 1};
		int			state = po_try_alone(po_fire_one, &one, &one.foreign);

		if (state != 0)
		{
			one.firing->foreign = one.foreign;
			po_firing_failed(one.firing, state);
		}
	}
	return all;
}

static int
add_lateness(int64 *late_ms, int n, const PoFirings *fired, TimestampTz now)
{
	for (int i = 0; i < fired->n; i++)
		if (fired->firing[i].executed)
			late_ms[n++] = (now - fired->firing[i].timer.due_at) / 1000;
	return n;
}

/*
 * po_fire_due fires up to so many timers that are due, from the time since on; returns how
 * many fired, and how late each was, palloc'd.  Runs as the engine's owner; connects to
 * SPI itself; what others hold is put off.
 */
int
po_fire_due(int batch, TimestampTz since, int64 **late_ms)
{
	MemoryContext context = CurrentMemoryContext;
	TimestampTz now = po_now();
	Datum		args[PO_DUE_ARGS];
	PoFirings	fired;
	PoFirings	called = {0};

	po_spi_connect();
	args[0] = TimestampTzGetDatum(since);
	args[1] = TimestampTzGetDatum(now);
	args[2] = Int32GetDatum(Min(batch, most));
	fired = fire_due(args);
	if (!po_calls_apart)
	{
		args[2] = Int32GetDatum(batch);
		called = fire_calls(args);
	}
	SPI_finish();
	MemoryContextSwitchTo(context);
	*late_ms = palloc(Max(fired.n + called.n, 1) * sizeof(int64));
	return add_lateness(*late_ms, add_lateness(*late_ms, 0, &fired, now), &called, now);
}
