/*
 * change.c
 *	  What may happen to a lead: its states, its timers, its agent, its address, each with
 *	  its event.  Decided in memory, on leads that are locked in a unit.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "lead/change.h"
#include "lead/timer.h"

static void
cancel_timers(PoUnit *unit, PoLead *lead, bool on_reply, const char *reason)
{
	PoTimerCancel *cancel;
	int			kept = 0;

	unit->cancel = po_grow(unit->cancel, unit->ncancels, &unit->max_cancels, sizeof(PoTimerCancel));
	cancel = &unit->cancel[unit->ncancels++];
	cancel->tenant_id = lead->tenant_id;
	cancel->lead_id = lead->lead_id;
	cancel->timer_type = NULL;
	cancel->on_reply = on_reply;
	cancel->reason = reason;
	if (!on_reply)
		lead->has_timers = false;
	/* Those that this unit itself was about to set. */
	for (int i = 0; i < unit->nnew_timers; i++)
		if (strcmp(unit->new_timer[i].lead_id, lead->lead_id) != 0 ||
			strcmp(unit->new_timer[i].tenant_id, lead->tenant_id) != 0 ||
			(on_reply && !unit->new_timer[i].cancel_on_reply))
			unit->new_timer[kept++] = unit->new_timer[i];
	unit->nnew_timers = kept;
}

/*
 * po_cancel_all_timers notes that all timers of a locked lead are cancelled, also
 * those that its row knows nothing of.
 */
void
po_cancel_all_timers(PoUnit *unit, PoLead *lead, const char *reason)
{
	lead->changed |= lead->has_timers;
	cancel_timers(unit, lead, false, reason);
}

static void
set_of_type(PoUnit *unit, PoLead *lead, const PoTimerType *type)
{
	PoNewTimer *timer = NULL;

	if (po_state_ends_timers(lead->state))
		return;
	for (int i = 0; i < unit->nnew_timers && timer == NULL; i++)
		if (strcmp(unit->new_timer[i].lead_id, lead->lead_id) == 0 &&
			strcmp(unit->new_timer[i].tenant_id, lead->tenant_id) == 0 &&
			strcmp(unit->new_timer[i].timer_type, type->timer_type) == 0)
			timer = &unit->new_timer[i];
	if (timer == NULL)
	{
		unit->new_timer = po_grow(unit->new_timer, unit->nnew_timers, &unit->max_new_timers, sizeof(PoNewTimer));
		timer = &unit->new_timer[unit->nnew_timers++];
	}
	timer->tenant_id = lead->tenant_id;
	timer->lead_id = lead->lead_id;
	timer->timer_type = type->timer_type;
	timer->trigger_at = po_timer_after(type->delay);
	timer->action = type->action;
	timer->action_payload = type->action_payload;
	timer->cancel_on_reply = type->cancel_on_reply;
	timer->max_attempts = type->max_attempts;
	lead->has_timers = true;
	lead->changed = true;
}

/*
 * po_timers_of_state notes what entering a state, in which the lead is now, does to
 * its timers.
 */
void
po_timers_of_state(PoUnit *unit, PoLead *lead, PoState from, PoState state)
{
	const PoTimerType *type;
	int			n;

	if (po_state_ends_timers(state) && lead->has_timers)
		cancel_timers(unit, lead, false, po_state_name(state));
	/* Not silent any more, whoever noticed it. */
	else if (po_state_is_silent(from) && !po_state_is_silent(state) && lead->has_timers &&
			 !lead->replied)
		cancel_timers(unit, lead, true, po_state_name(state));
	type = po_timer_types(lead->tenant_id, &n);
	for (int i = 0; i < n; i++)
		if (type[i].set_on == state && type[i].delay != NULL)
			set_of_type(unit, lead, &type[i]);
}

/* What an event says of its cause, and the address that it is about; NULL: none. */
static void
tell(PoEvent *event, const PoCause *cause, const char *address)
{
	PoObject   *object = po_object_begin();

	if (address != NULL)
		po_object_address(object, address, NULL);
	po_object_cause(object, cause, "by");
	po_event_tells(event, object);
}

/*
 * po_have_one_phone tells whether two leads of a unit have the same phone.
 */
bool
po_have_one_phone(const PoLead *a, const PoLead *b)
{
	return a->phone != NULL && b->phone != NULL && a->phone_hash == b->phone_hash &&
		strcmp(a->phone, b->phone) == 0 && strcmp(a->tenant_id, b->tenant_id) == 0;
}

/*
 * po_lead_replied notes that the lead wrote: the timers that were set for its silence
 * are cancelled.  Who has its phone is one person, so those of the unit's other leads
 * with it are, too; nothing else of them changes.
 */
void
po_lead_replied(PoUnit *unit, PoLead *lead)
{
	lead->replied = true;
	lead->changed = true;
	for (int i = 0; i < unit->nleads; i++)
	{
		PoLead	   *other = &unit->lead[i];

		if (other->has_timers && (other == lead || po_have_one_phone(other, lead)))
			cancel_timers(unit, other, true,
						  other == lead ? "replied" : "another lead with its phone replied");
	}
}

/*
 * po_set_timer_of_type sets a timer of one of the tenant's types at that type's delay; of a
 * lead that is closed or suppressed none.
 */
void
po_set_timer_of_type(PoUnit *unit, PoLead *lead, const char *timer_type)
{
	const PoTimerType *type = po_timer_type(lead->tenant_id, timer_type);

	if (type == NULL || type->delay == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tenant \"%s\" has no timer type \"%s\" with a delay", lead->tenant_id,
						timer_type)));
	set_of_type(unit, lead, type);
}

/*
 * po_assign_agent hands the lead to an agent, with its event; NULL: to none.
 */
void
po_assign_agent(PoUnit *unit, PoLead *lead, const char *agent, const PoCause *cause)
{
	PoObject   *object;

	if (lead->agent == NULL || agent == NULL ? lead->agent == agent : strcmp(lead->agent, agent) == 0)
		return;
	object = po_object_begin();
	po_object_detail(object, "agent", agent);
	po_object_detail(object, "previous_agent", lead->agent);
	po_object_cause(object, cause, "by");
	po_event_tells(po_lead_event(unit, lead, "lead.agent.assigned", cause), object);
	lead->agent = agent;
}

/*
 * po_change_state takes the lead to a state by the legal steps, each with its
 * event, and returns how many; 0 when it is there already or there is no way.
 */
int
po_change_state(PoUnit *unit, PoLead *lead, PoState to, const PoCause *cause)
{
	PoState		path[2];
	int			steps = lead->state == to ? 0
		: po_transition_path(po_transitions(lead->tenant_id), lead->state, to, path);

	for (int i = 0; i < steps; i++)
	{
		PoEvent    *event = po_lead_event(unit, lead, "lead.state.changed", cause);

		event->previous_state = lead->state;
		event->new_state = lead->state = path[i];
		tell(event, cause, NULL);
		po_timers_of_state(unit, lead, event->previous_state, path[i]);
	}
	return steps;
}

/*
 * po_take_address takes the phone from every lead of the unit that had it at that time:
 * its holder says that they are not the one meant.  The event keeps it with the reason.
 * The phone, which is locked, is another person's from now on.
 */
void
po_take_address(PoUnit *unit, PoAddress *address, TimestampTz said_at, const PoCause *cause)
{
	pg_uuid_t	person = address->contact_id;

	if (!address->shared)
		po_move_to_new_contact(unit, address);
	for (int i = 0; i < unit->nleads; i++)
	{
		PoLead	   *lead = &unit->lead[i];

		if (lead->phone == NULL || strcmp(lead->phone, address->address) != 0 ||
			strcmp(lead->tenant_id, address->tenant_id) != 0)
			continue;
		if (lead->created_at <= said_at)
		{
			tell(po_lead_event(unit, lead, "lead.address_removed", cause), cause, address->address);
			po_lead_set_phone(lead, NULL);
			lead->readdressed = true;
		}
		else if (memcmp(&lead->contact_id, &person, UUID_LEN) == 0)
		{
			lead->contact_id = address->contact_id;
			lead->readdressed = lead->changed = true;
		}
	}
}
