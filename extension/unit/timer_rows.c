/*
 * timer_rows.c
 *	  The statements behind the timers of a unit: what fired, what is cancelled and what
 *	  is set, in this order.
 *
 * Whoever sets or cancels a timer holds the row lock of its lead, and so does a firing:
 * they meet there, and one of them wins.  A timer that becomes the next to fire wakes the
 * worker when the transaction commits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/wakeup.h"
#include "unit/unit.h"
#include "utils/timestamp.h"

static TimestampTz not_before = DT_NOBEGIN;

static const PoField fired_field[] = {
	PO_FIELD(PoTimer, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoTimer, timer_id, UUID, PO_TAKE),
	PO_FIELD_AS(PoTimer, tid, "ctid", TID, PO_TAKE),
	PO_FIELD_AS(PoTimer, next_due, "due_at", UNTIL, PO_SET),
	PO_FIELD(PoTimer, attempts, INT, PO_SET),
	PO_FIELD(PoTimer, last_error, TEXT, PO_SET),
	PO_FIELD(PoTimer, executed, BOOL, PO_TAKE)
};

#define AT_TID PO_AT_TID("t", "timer_id")

/* Those that are tried again. */
static PoStatement write_tried = {
	.name = "timers.tried",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.timer_queue t SET {set}, updated_at = $1 FROM {rows} WHERE " AT_TID,
	.takes = PO_FIELDS(fired_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoStatement write_fired = {
	.name = "timers.fired",
	.expect = SPI_OK_INSERT,
	.sql = "WITH ended AS (DELETE FROM outreach.timer_queue t USING {rows} WHERE " AT_TID
	" RETURNING " PO_TIMER_COLUMNS("t.") ", u.attempts, u.last_error, u.executed)"
	" INSERT INTO outreach.timer_history (" PO_TIMER_COLUMNS("") ", attempts, last_error, executed_at, updated_at)"
	" SELECT " PO_TIMER_COLUMNS("") ", attempts, last_error, CASE WHEN executed THEN $1 END, $1 FROM ended",
	.takes = PO_FIELDS(fired_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static const PoField cancel_field[] = {
	PO_FIELD(PoTimerCancel, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoTimerCancel, lead_id, TEXT, PO_TAKE),
	PO_FIELD(PoTimerCancel, timer_type, TEXT, PO_TAKE),
	PO_FIELD(PoTimerCancel, on_reply, BOOL, PO_TAKE),
	PO_FIELD(PoTimerCancel, reason, TEXT, PO_TAKE)
};

static PoStatement cancel_timers = {
	.name = "timers.cancel",
	.expect = SPI_OK_INSERT,
	.sql = PO_CANCEL_TIMERS("DELETE FROM outreach.timer_queue t USING {rows}"
	" WHERE t.tenant_id = u.tenant_id AND t.lead_id = u.lead_id AND isfinite(t.due_at)"
	" AND t.timer_type = coalesce(u.timer_type, t.timer_type)"
	" AND (t.cancel_on_reply OR NOT u.on_reply)", "u.reason"),
	.takes = PO_FIELDS(cancel_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static const PoField timer_field[] = {
	PO_FIELD(PoNewTimer, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoNewTimer, timer_id, UUID, PO_TAKE),
	PO_FIELD(PoNewTimer, lead_id, TEXT, PO_TAKE),
	PO_FIELD(PoNewTimer, timer_type, TEXT, PO_TAKE),
	PO_FIELD(PoNewTimer, trigger_at, SINCE, PO_TAKE),
	PO_FIELD(PoNewTimer, action, TEXT, PO_TAKE),
	PO_FIELD(PoNewTimer, action_payload, JSONB, PO_TAKE),
	PO_FIELD(PoNewTimer, cancel_on_reply, BOOL, PO_TAKE),
	PO_FIELD(PoNewTimer, max_attempts, INT, PO_TAKE)
};

/* Set again is moved: the same row, with a fresh count of attempts. */
static PoStatement set_timers = {
	.name = "timers.set",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.timer_queue AS t ({columns}, due_at, created_at, updated_at)"
	" SELECT {u.*}, u.trigger_at, $1, $1 FROM {rows}"
	" ON CONFLICT (tenant_id, lead_id, timer_type) WHERE isfinite(due_at) DO UPDATE"
	" SET trigger_at = EXCLUDED.trigger_at, due_at = EXCLUDED.due_at, action = EXCLUDED.action,"
	" action_payload = EXCLUDED.action_payload, cancel_on_reply = EXCLUDED.cancel_on_reply,"
	" max_attempts = EXCLUDED.max_attempts, attempts = 0, last_error = NULL,"
	" updated_at = EXCLUDED.updated_at",
	.takes = PO_FIELDS(timer_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

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

/*
 * po_cancel_timers cancels living timers of the leads, whose rows are locked,
 * and returns how many there were.
 */
int
po_cancel_timers(const PoTimerCancel *cancel, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());

	return po_exec_rows(&cancel_timers, &now, cancel, n);
}

/* At most one of a type for each lead; the worker wakes for the earliest at the commit. */
static void
set(PoNewTimer *timer, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	TimestampTz earliest = DT_NOEND;

	for (int i = 0; i < n; i++)
	{
		po_uuid_v7(&timer[i].timer_id);
		timer[i].trigger_at = po_timer_time(timer[i].trigger_at);
		earliest = Min(earliest, timer[i].trigger_at);
	}
	(void) po_exec_rows(&set_timers, &now, timer, n);
	if (n > 0)
		po_wake_at(earliest);
}

/*
 * po_write_timers writes what became of timers that were due, before the lead's own
 * changes, which may set a timer of the same type.
 */
void
po_write_timers(PoUnit *unit)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		fired = po_rows(&write_fired, unit->ntimers);
	PoRows		tried = po_rows(&write_tried, 1);

	for (int i = 0; i < unit->ntimers; i++)
		if (unit->timer[i].changed)
			po_rows_add(unit->timer[i].next_due == DT_NOEND ? &fired : &tried, &unit->timer[i]);
	po_rows_write(&fired, &now);
	po_rows_write(&tried, &now);
	(void) po_cancel_timers(unit->cancel, unit->ncancels);
	set(unit->new_timer, unit->nnew_timers);
}
