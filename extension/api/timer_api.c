/*
 * timer_api.c
 *	  The SQL functions about timers, and the one that wakes who fires them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/shared.h"
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "fmgr.h"
#include "lead/change.h"
#include "lead/timer.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(po_api_set_timer);
PG_FUNCTION_INFO_V1(po_api_cancel_timer);
PG_FUNCTION_INFO_V1(po_wake_workers);

static PoPlan select_opted_out = {
	.name = "timer_api.opted_out",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT FROM outreach.addresses WHERE tenant_id = $1 AND address = $2 AND consent = 'opted_out'",
	PO_ARGS(TEXTOID, TEXTOID)
};

/* A lead may have been made for a phone that had opted out. */
static void
require_consent(const PoLead *lead)
{
	Datum		args[2];

	if (lead->phone == NULL)
		return;
	args[0] = CStringGetTextDatum(lead->tenant_id);
	args[1] = CStringGetTextDatum(lead->phone);
	if (po_exec(&select_opted_out, args, NULL) > 0)
		ereport(ERROR,
				(errcode(PO_ERRCODE_LEAD_ENDED),
				 errmsg("the phone of lead \"%s\" has opted out, and the lead gets no timers", lead->lead_id),
				 errhint("Record with outreach.opt_in() when the person has agreed to be contacted.")));
}

/*
 * set_timer(tenant_id, lead_id, timer_type, trigger_at, action, action_payload)
 */
Datum
po_api_set_timer(PG_FUNCTION_ARGS)
{
	PoNewTimer	timer = {
		.tenant_id = po_arg_id(fcinfo, 0, "tenant_id"),
		.lead_id = po_arg_id(fcinfo, 1, "lead_id"),
		.timer_type = po_arg_id(fcinfo, 2, "timer_type"),
		.action = po_arg_text(fcinfo, 4, "action"),
		.action_payload = po_arg_jsonb(fcinfo, 5)
	};
	PoUnit		unit = {0};
	const PoTimerType *type;
	const char *problem;
	PoLead	   *lead;

	type = po_timer_type(timer.tenant_id, timer.timer_type);
	if (type == NULL && timer.action_payload == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tenant \"%s\" has no timer type \"%s\"", timer.tenant_id, timer.timer_type),
				 errhint("Give action_payload, or insert the type into outreach.timer_types.")));
	if (!PG_ARGISNULL(3))
		timer.trigger_at = PG_GETARG_TIMESTAMPTZ(3);
	else if (type != NULL && type->delay != NULL)
		timer.trigger_at = po_timer_after(type->delay);
	else
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("timer type \"%s\" has no delay, so that trigger_at is needed", timer.timer_type),
				 errhint("Give trigger_at, or a delay in outreach.timer_types.")));
	if (TIMESTAMP_NOT_FINITE(timer.trigger_at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("trigger_at must be finite")));
	timer.trigger_at = po_timer_time(timer.trigger_at);
	if (timer.action == NULL)
		timer.action = type != NULL ? type->action : "event";
	if (timer.action_payload == NULL)
		timer.action_payload = type->action_payload;
	problem = po_check_action_payload(timer.action_payload, false);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", problem),
				 errhint("Known are to_state, agent, event_type, set_timer, send, channel and call; beside call a "
						 "registered function may read others.")));
	timer.cancel_on_reply = type == NULL || type->cancel_on_reply;
	timer.max_attempts = type != NULL ? type->max_attempts : 3;

	po_spi_connect();
	lead = po_require_lead(&unit, timer.tenant_id, timer.lead_id);
	if (po_state_ends_timers(lead->state))
		ereport(ERROR,
				(errcode(PO_ERRCODE_LEAD_ENDED),
				 errmsg("lead \"%s\" is %s and gets no timers", timer.lead_id, po_state_name(lead->state)),
				 errdetail("Closing and suppression cancel all timers of a lead."),
				 lead->state == PO_STATE_SUPPRESSED
				 ? errhint("Nothing leads out of suppressed. Make another lead with outreach.create_lead() when the "
						   "person has agreed to be contacted.")
				 : errhint("Make another lead with outreach.create_lead(), or take this one to another state first if "
						   "outreach.lead_transitions allows it.")));
	require_consent(lead);
	unit.new_timer = &timer;
	unit.nnew_timers = 1;
	if (!lead->has_timers)
		lead->has_timers = lead->changed = true;
	po_unit_write(&unit);
	SPI_finish();

	PO_RETURN_ROW(CStringGetTextDatum(timer.lead_id), CStringGetTextDatum(timer.timer_type),
				  TimestampTzGetDatum(timer.trigger_at));
}

/*
 * cancel_timer(tenant_id, lead_id, timer_type, reason): timer_type null for all.
 */
Datum
po_api_cancel_timer(PG_FUNCTION_ARGS)
{
	PoTimerCancel cancel = {
		.tenant_id = po_arg_id(fcinfo, 0, "tenant_id"),
		.lead_id = po_arg_id(fcinfo, 1, "lead_id"),
		.timer_type = PG_ARGISNULL(2) ? NULL : po_arg_id(fcinfo, 2, "timer_type"),
		.reason = po_arg_text(fcinfo, 3, "reason")
	};
	PoUnit		unit = {0};
	int			n;

	po_spi_connect();
	(void) po_require_lead(&unit, cancel.tenant_id, cancel.lead_id);
	n = po_cancel_timers(&cancel, 1);
	SPI_finish();
	PG_RETURN_INT32(n);
}

/*
 * wake_workers(): makes a worker look at this database when the transaction
 * commits.  False where the server has no workers.
 */
Datum
po_wake_workers(PG_FUNCTION_ARGS)
{
	po_wake_at(DT_NOBEGIN);
	PG_RETURN_BOOL(po_shared_available());
}
