/*
 * change_set.c
 *	  Changes of leads and of consent, decided in memory; lead_rows.c reads and
 *	  writes them.
 */
#include "postgres.h"

#include "common/address.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "lead/change_set.h"

const char *const po_consent_names[] = {"unknown", "opted_in", "held", "opted_out"};

static int
phone_key_compare(const void *a, const void *b)
{
	const PoPhoneKey *x = a;
	const PoPhoneKey *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : strcmp(x->phone, y->phone);
}

/*
 * po_phone_keys_sort sorts the pairs, drops repetitions and returns how many
 * are left.
 */
int
po_phone_keys_sort(PoPhoneKey *key, int n)
{
	int			kept = 0;

	qsort(key, n, sizeof(PoPhoneKey), phone_key_compare);
	for (int i = 0; i < n; i++)
		if (kept == 0 || phone_key_compare(&key[kept - 1], &key[i]) != 0)
			key[kept++] = key[i];
	return kept;
}

/*
 * po_phone_keys_find returns where one is among the n that are sorted, or -1.
 */
int
po_phone_keys_find(const PoPhoneKey *sorted, int n, const PoPhoneKey *key)
{
	const PoPhoneKey *found = n > 0 ? bsearch(key, sorted, n, sizeof(PoPhoneKey), phone_key_compare) : NULL;

	return found != NULL ? found - sorted : -1;
}

/*
 * po_find_lead returns the locked lead, or NULL.
 */
PoLead *
po_find_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id)
{
	int			low = 0;
	int			high = set->nlocked;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoLead	   *lead = &set->lead[middle];
		int			c = strcmp(tenant_id, lead->tenant_id);

		if (c == 0)
			c = strcmp(lead_id, lead->lead_id);
		if (c == 0)
			return lead;
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_find_phone returns the locked phone, or NULL.
 */
PoPhone *
po_find_phone(PoChangeSet *set, const char *tenant_id, const char *phone)
{
	PoPhoneKey	key = {tenant_id, phone};
	int			low = 0;
	int			high = set->nphones;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoPhoneKey	here = {set->phone[middle].tenant_id, set->phone[middle].phone};
		int			c = phone_key_compare(&key, &here);

		if (c == 0)
			return &set->phone[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static uint32
phone_hash(const char *phone)
{
	return hash_bytes((const unsigned char *) phone, strlen(phone));
}

/*
 * po_lead_set_phone gives a lead of a set a phone, NULL for none, in memory alone.
 */
void
po_lead_set_phone(PoLead *lead, const char *phone)
{
	lead->phone = phone;
	lead->phone_hash = phone != NULL ? phone_hash(phone) : 0;
}

/*
 * po_find_subject returns the lead a message from the phone belongs to: of
 * several, the one touched last; NULL when there is none.
 */
PoLead *
po_find_subject(PoChangeSet *set, const char *tenant_id, const char *phone)
{
	PoLead	   *subject = NULL;
	uint32		hash = phone_hash(phone);

	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (lead->phone_hash == hash && lead->phone != NULL && strcmp(lead->phone, phone) == 0 &&
			strcmp(lead->tenant_id, tenant_id) == 0 &&
			(subject == NULL || lead->last_activity_at > subject->last_activity_at))
			subject = lead;
	}
	return subject;
}

/*
 * po_create_lead adds a lead with its first event.  Pointers to other leads of
 * the set are no longer good afterwards.  lead_id NULL makes one.
 */
PoLead *
po_create_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id,
			   const char *phone, const PoCause *cause)
{
	PoLead	   *lead;
	PoEvent    *event;

	if (set->nleads == set->max_leads || set->lead == NULL)
	{
		set->max_leads = Max(set->max_leads * 2, 4);
		set->lead = set->lead == NULL ? palloc(set->max_leads * sizeof(PoLead))
			: repalloc(set->lead, set->max_leads * sizeof(PoLead));
	}
	lead = &set->lead[set->nleads++];
	memset(lead, 0, sizeof(PoLead));
	lead->tenant_id = tenant_id;
	lead->lead_id = lead_id != NULL ? lead_id : po_ulid("lead_");
	po_lead_set_phone(lead, phone);
	lead->state = PO_STATE_NEW;
	lead->last_activity_at = lead->created_at = po_now();
	lead->created = true;
	lead->source = cause->source;
	event = po_lead_event(set, lead, "lead.created", cause);
	event->previous_state = PO_STATE_NONE;
	event->new_state = PO_STATE_NEW;
	return lead;
}

/*
 * po_lead_event adds an event of the lead, with the next of its versions.
 */
PoEvent *
po_lead_event(PoChangeSet *set, PoLead *lead, const char *event_type, const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&set->events, lead->tenant_id, event_type,
										  cause->source);

	event->lead_id = lead->lead_id;
	event->lead_version = ++lead->version;
	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	lead->changed = true;
	return event;
}

/* Room for one more in an array that grows. */
static void *
grow(void *array, int n, int *max, size_t size)
{
	if (n < *max)
		return array;
	*max = Max(*max * 2, 8);
	return array == NULL ? palloc(*max * size) : repalloc(array, *max * size);
}

static void
cancel_timers(PoChangeSet *set, PoLead *lead, bool on_reply, const char *reason)
{
	PoTimerCancel *cancel;
	int			kept = 0;

	set->cancel = grow(set->cancel, set->ncancels, &set->max_cancels, sizeof(PoTimerCancel));
	cancel = &set->cancel[set->ncancels++];
	cancel->tenant_id = lead->tenant_id;
	cancel->lead_id = lead->lead_id;
	cancel->timer_type = NULL;
	cancel->on_reply = on_reply;
	cancel->reason = reason;
	if (!on_reply)
		lead->has_timers = false;
	/* Those that this set itself was about to set. */
	for (int i = 0; i < set->ntimers; i++)
		if (strcmp(set->timer[i].lead_id, lead->lead_id) != 0 ||
			strcmp(set->timer[i].tenant_id, lead->tenant_id) != 0 ||
			(on_reply && !set->timer[i].cancel_on_reply))
			set->timer[kept++] = set->timer[i];
	set->ntimers = kept;
}

/*
 * po_cancel_all_timers notes that all timers of a locked lead are cancelled, also
 * those that its row knows nothing of.
 */
void
po_cancel_all_timers(PoChangeSet *set, PoLead *lead, const char *reason)
{
	lead->changed |= lead->has_timers;
	cancel_timers(set, lead, false, reason);
}

static void
arm(PoChangeSet *set, PoLead *lead, const PoTimerType *type)
{
	PoNewTimer *timer = NULL;

	if (po_state_ends_timers(lead->state))
		return;
	for (int i = 0; i < set->ntimers && timer == NULL; i++)
		if (strcmp(set->timer[i].lead_id, lead->lead_id) == 0 &&
			strcmp(set->timer[i].tenant_id, lead->tenant_id) == 0 &&
			strcmp(set->timer[i].timer_type, type->timer_type) == 0)
			timer = &set->timer[i];
	if (timer == NULL)
	{
		set->timer = grow(set->timer, set->ntimers, &set->max_timers, sizeof(PoNewTimer));
		timer = &set->timer[set->ntimers++];
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
po_timers_of_state(PoChangeSet *set, PoLead *lead, PoState from, PoState state)
{
	const PoTimerType *type;
	int			n;

	if (po_state_ends_timers(state) && lead->has_timers)
		cancel_timers(set, lead, false, po_state_name(state));
	/* Not silent any more, whoever noticed it. */
	else if (po_state_is_silent(from) && !po_state_is_silent(state) && lead->has_timers &&
			 !lead->replied)
		cancel_timers(set, lead, true, po_state_name(state));
	type = po_timer_types(lead->tenant_id, &n);
	for (int i = 0; i < n; i++)
		if (type[i].set_on == state && type[i].delay != NULL)
			arm(set, lead, &type[i]);
}

static Jsonb *
reason_payload(const PoCause *cause, const char *phone)
{
	PoObject   *object = po_object_begin();

	po_object_string(object, "phone", phone);
	po_object_string(object, "reason", cause->reason);
	return po_object_end(object);
}

/*
 * po_lead_replied notes that the lead, which has a phone, wrote: the timers that were
 * set for its silence are cancelled.  Who has the phone is one person, so those of the
 * set's other leads with it are, too; nothing else of them changes.
 */
void
po_lead_replied(PoChangeSet *set, PoLead *lead)
{
	lead->replied = true;
	lead->changed = true;
	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *other = &set->lead[i];

		if (other->has_timers && other->phone != NULL && strcmp(other->phone, lead->phone) == 0 &&
			strcmp(other->tenant_id, lead->tenant_id) == 0)
			cancel_timers(set, other, true,
						  other == lead ? "replied" : "another lead with its phone replied");
	}
}

/*
 * po_arm_timer sets a timer of one of the tenant's kinds at that kind's delay; of a
 * lead that is closed or suppressed none.
 */
void
po_arm_timer(PoChangeSet *set, PoLead *lead, const char *timer_type)
{
	const PoTimerType *type = po_timer_type(lead->tenant_id, timer_type);

	if (type == NULL || type->delay == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tenant \"%s\" has no timer type \"%s\" with a delay", lead->tenant_id,
						timer_type)));
	arm(set, lead, type);
}

/*
 * po_assign_agent hands the lead to an agent, with its event; NULL: to none.
 */
void
po_assign_agent(PoChangeSet *set, PoLead *lead, const char *agent, const PoCause *cause)
{
	PoObject   *object;

	if (lead->agent == NULL || agent == NULL ? lead->agent == agent : strcmp(lead->agent, agent) == 0)
		return;
	object = po_object_begin();
	po_object_string(object, "agent", agent);
	po_object_string(object, "previous_agent", lead->agent);
	po_object_string(object, "reason", cause->reason);
	po_object_string(object, "by", cause->actor);
	po_lead_event(set, lead, "lead.agent.assigned", cause)->payload = po_object_end(object);
	lead->agent = agent;
}

/*
 * po_change_state takes the lead to a state by the legal steps, each with its
 * event, and returns how many; 0 when it is there already or there is no way.
 */
int
po_change_state(PoChangeSet *set, PoLead *lead, PoState to, const PoCause *cause)
{
	PoState		path[2];
	int			steps = lead->state == to ? 0
		: po_transition_path(po_transitions(lead->tenant_id), lead->state, to, path);

	for (int i = 0; i < steps; i++)
	{
		PoEvent    *event = po_lead_event(set, lead, "lead.state.changed", cause);

		event->previous_state = lead->state;
		event->new_state = lead->state = path[i];
		event->payload = reason_payload(cause, NULL);
		po_timers_of_state(set, lead, event->previous_state, path[i]);
	}
	return steps;
}

/*
 * po_take_phone takes the phone from every lead of the set that had it at that
 * time: its holder says that they are not the one meant.  The event keeps it with
 * the reason.
 */
void
po_take_phone(PoChangeSet *set, const PoPhoneKey *key, TimestampTz said_at, const PoCause *cause)
{
	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (lead->phone == NULL || strcmp(lead->phone, key->phone) != 0 ||
			strcmp(lead->tenant_id, key->tenant_id) != 0 || lead->created_at > said_at)
			continue;
		po_lead_event(set, lead, "lead.address_removed", cause)->payload =
			reason_payload(cause, key->phone);
		po_lead_set_phone(lead, NULL);
		lead->lost_phone = true;
	}
}

/* What may be done to the consent of a phone, and what it leaves. */
static const struct ConsentAct
{
	const char *act;
	const char *event_type;
}			consent_act[] = {
	[PO_CONSENT_UNKNOWN] = {"release", "consent.released"},
	[PO_CONSENT_OPTED_IN] = {"opt_in", "consent.opted_in"},
	[PO_CONSENT_HELD] = {"hold", "consent.held"},
	[PO_CONSENT_OPTED_OUT] = {"opt_out", "consent.opted_out"}
};

static Jsonb *
consent_payload(const PoCause *cause, const char *address)
{
	PoObject   *object = po_object_begin();

	po_object_string(object, po_address_kind(address), address);
	po_object_string(object, "reason", cause->reason);
	po_object_string(object, "actor", cause->actor);
	po_object_string(object, "version", cause->version);
	return po_object_end(object);
}

static PoEvent *
consent_event(PoChangeSet *set, const PoPhone *phone, const char *event_type, const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&set->events, phone->tenant_id, event_type, cause->source);

	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	event->payload = consent_payload(cause, phone->phone);
	return event;
}

static void
note_consent(PoChangeSet *set, PoPhone *phone, PoConsent consent, const struct ConsentAct *act,
			 const PoCause *cause)
{
	(void) consent_event(set, phone, act->event_type, cause);
	phone->consent = consent;
	phone->consent_at = cause->said_at != NULL ? *cause->said_at : po_now();
	phone->changed = true;
	if (set->nconsents == set->max_consents)
	{
		set->max_consents = Max(set->max_consents * 2, 4);
		set->consent = set->consent == NULL
			? palloc(set->max_consents * sizeof(PoConsentChange))
			: repalloc(set->consent, set->max_consents * sizeof(PoConsentChange));
	}
	set->consent[set->nconsents++] = (PoConsentChange)
	{
		phone - set->phone, set->events.n - 1, act->act, consent, *cause
	};
}

/*
 * po_release_phone takes back the hold of a locked phone, whose consent is again
 * what it was before; nobody is made to have agreed to anything.  Returns false
 * for a phone that is not held.
 */
bool
po_release_phone(PoChangeSet *set, PoPhone *phone, PoConsent before, const PoCause *cause)
{
	if (phone->consent != PO_CONSENT_HELD)
		return false;
	note_consent(set, phone, before, &consent_act[PO_CONSENT_UNKNOWN], cause);
	return true;
}

/*
 * po_has_agreed_since tells whether the person whose phone it is, which is locked, has
 * opted in after that time.
 */
bool
po_has_agreed_since(const PoPhone *phone, TimestampTz time)
{
	return phone->consent == PO_CONSENT_OPTED_IN && phone->consent_at > time;
}

/*
 * po_change_consent sets the consent of a locked phone, with its event; an
 * opt-out suppresses every lead of the set that has the phone, PO_MAX_SUPPRESSED
 * at most: the rest follow.  To opt in again is an act too, whose time counts.
 * Returns whether the consent changed.
 */
bool
po_change_consent(PoChangeSet *set, PoPhone *phone, PoConsent consent, const PoCause *cause)
{
	bool		changed = phone->consent != consent;
	int			suppressed = 0;
	int			of_phone = 0;

	/* What was said clearly is not taken back by what sounds like it. */
	if (consent == PO_CONSENT_HELD && phone->consent == PO_CONSENT_OPTED_OUT)
		return false;
	if (changed || consent == PO_CONSENT_OPTED_IN)
		note_consent(set, phone, consent, &consent_act[consent], cause);
	for (int i = 0; i < set->nleads && consent == PO_CONSENT_OPTED_OUT; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (lead->phone != NULL && strcmp(lead->phone, phone->phone) == 0 &&
			strcmp(lead->tenant_id, phone->tenant_id) == 0)
		{
			of_phone++;
			if (lead->state != PO_STATE_SUPPRESSED && suppressed++ < PO_MAX_SUPPRESSED)
				(void) po_change_state(set, lead, PO_STATE_SUPPRESSED, cause);
		}
	}
	/* Some were left here, or were not locked. */
	if (suppressed > PO_MAX_SUPPRESSED || of_phone >= PO_MAX_OF_PHONE)
	{
		phone->sets_suppress_at = true;
		phone->suppress_at = po_now();
	}
	return changed;
}

/*
 * po_complete_opt_out adds what an opt-out has left that was recorded before by
 * itself: its event, where one is owed, and the leads of the set, unless the phone
 * has opted in since.
 */
void
po_complete_opt_out(PoChangeSet *set, PoPhone *phone, const pg_uuid_t *event_owed, const PoCause *cause)
{
	if (event_owed != NULL)
		consent_event(set, phone, consent_act[PO_CONSENT_OPTED_OUT].event_type, cause)->event_id = *event_owed;
	if (phone->consent == PO_CONSENT_OPTED_OUT)
		(void) po_change_consent(set, phone, PO_CONSENT_OPTED_OUT, cause);
}

/*
 * po_consent_name returns the name of a consent.
 */
const char *
po_consent_name(PoConsent consent)
{
	return po_consent_names[consent];
}

/*
 * po_consent_from_name is the reverse; an unknown name is an unknown consent.
 */
PoConsent
po_consent_from_name(const char *name)
{
	for (int c = 0; c < lengthof(po_consent_names); c++)
		if (strcmp(name, po_consent_names[c]) == 0)
			return c;
	return PO_CONSENT_UNKNOWN;
}
