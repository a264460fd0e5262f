/*
 * unit.c
 *	  What is in a unit: found, and added to.  The rows are locked and written by the
 *	  files beside this one (*_rows.c).
 */
#include "postgres.h"

#include "common/address.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ids.h"
#include "unit/unit.h"
#include "utils/builtins.h"

const char *const po_consent_names[] = {"unknown", "opted_in", "held", "opted_out"};

/*
 * po_grow returns an array with room for one more behind n; *max says how many fit.
 */
void *
po_grow(void *array, int n, int *max, size_t size)
{
	if (n < *max)
		return array;
	*max = Max(*max * 2, 8);
	return array == NULL ? palloc(*max * size) : repalloc(array, *max * size);
}

/*
 * po_want adds something to be locked; its name must live as long as the wants.
 */
PoWant *
po_want(PoWants *wants, PoWantKind kind, int member, const char *tenant_id, const char *name)
{
	PoWant	   *want;

	wants->want = po_grow(wants->want, wants->n, &wants->max, sizeof(PoWant));
	want = &wants->want[wants->n++];
	*want = (PoWant) {.kind = kind, .member = member, .tenant_id = tenant_id, .name = name};
	return want;
}

/*
 * po_want_message is the same for a message.
 */
PoWant *
po_want_message(PoWants *wants, int member, const char *tenant_id, const pg_uuid_t *message_id)
{
	PoWant	   *want = po_want(wants, PO_WANT_MESSAGE, member, tenant_id, NULL);

	want->id = *message_id;
	return want;
}

/*
 * po_unit_lock locks what is wanted, in the one order of all units: contacts, addresses,
 * leads, messages, numbers.  To be called once a unit.  Where it does not wait, the members
 * get true in held of which another transaction holds something; of what they want a part
 * may be locked.  What is gone is not in the unit, and holds nobody up.
 */
void
po_unit_lock(PoUnit *unit, const PoWants *wants, int how, bool *held)
{
	Assert(unit->ncontacts == 0 && unit->nleads == 0 && unit->nmessages == 0);
	po_lock_people(unit, wants, how, held);
	po_lock_leads(unit, wants, how, held);
	po_lock_messages(unit, wants, how, held);
}

/*
 * po_unit_write writes all that was decided, events first, for others name them.
 */
void
po_unit_write(PoUnit *unit)
{
	po_write_leads(unit);
	po_events_append(unit->events.event, unit->events.n);
	po_write_people(unit);
	po_write_timers(unit);
	po_write_messages(unit);
}

static int
address_key_compare(const void *a, const void *b)
{
	const PoAddressKey *x = a;
	const PoAddressKey *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : strcmp(x->address, y->address);
}

/*
 * po_address_keys_sort sorts the pairs, drops repetitions and returns how many
 * are left.
 */
int
po_address_keys_sort(PoAddressKey *key, int n)
{
	int			kept = 0;

	qsort(key, n, sizeof(PoAddressKey), address_key_compare);
	for (int i = 0; i < n; i++)
		if (kept == 0 || address_key_compare(&key[kept - 1], &key[i]) != 0)
			key[kept++] = key[i];
	return kept;
}

/*
 * po_address_keys_find returns where one is among the n that are sorted, or -1.
 */
int
po_address_keys_find(const PoAddressKey *sorted, int n, const PoAddressKey *key)
{
	const PoAddressKey *found = n > 0 ? bsearch(key, sorted, n, sizeof(PoAddressKey), address_key_compare) : NULL;

	return found != NULL ? found - sorted : -1;
}

/*
 * po_find_lead returns the locked lead, or NULL.
 */
PoLead *
po_find_lead(PoUnit *unit, const char *tenant_id, const char *lead_id)
{
	int			low = 0;
	int			high = unit->nlocked;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoLead	   *lead = &unit->lead[middle];
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
 * po_find_address returns the locked address, or NULL.
 */
PoAddress *
po_find_address(PoUnit *unit, const char *tenant_id, const char *address)
{
	int			low = 0;
	int			high = unit->naddresses;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoAddress  *here = &unit->address[middle];
		int			c = strcmp(tenant_id, here->tenant_id);

		if (c == 0)
			c = strcmp(address, here->address);
		if (c == 0)
			return here;
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_find_contact returns the locked contact, or NULL.
 */
PoContact *
po_find_contact(PoUnit *unit, const char *tenant_id, const pg_uuid_t *contact_id)
{
	int			low = 0;
	int			high = unit->ncontacts;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoContact  *here = &unit->contact[middle];
		int			c = strcmp(tenant_id, here->tenant_id);

		if (c == 0)
			c = memcmp(contact_id, &here->contact_id, UUID_LEN);
		if (c == 0)
			return here;
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_find_message returns the locked message, or NULL.
 */
PoMessage *
po_find_message(PoUnit *unit, const char *tenant_id, const pg_uuid_t *message_id)
{
	int			low = 0;
	int			high = unit->nmessages;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoMessage  *here = &unit->message[middle];
		int			c = strcmp(tenant_id, here->tenant_id);

		if (c == 0)
			c = memcmp(message_id, &here->message_id, UUID_LEN);
		if (c == 0)
			return here;
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_kind_of returns the kind of a folded address.
 */
PoAddressKind
po_kind_of(const char *address)
{
	return po_is_email(address) ? PO_EMAIL : PO_PHONE;
}

static uint32
phone_hash(const char *phone)
{
	return hash_bytes((const unsigned char *) phone, strlen(phone));
}

/*
 * po_lead_set_phone gives a lead of a unit a phone, NULL for none, in memory alone.
 */
void
po_lead_set_phone(PoLead *lead, const char *phone)
{
	lead->phone = phone;
	lead->phone_hash = phone != NULL ? phone_hash(phone) : 0;
}

/*
 * po_find_subject returns the lead a message from the phone belongs to: of several that
 * have it, the one touched last; where none has, of those of the person whose phone it
 * is; NULL when there is none.
 */
PoLead *
po_find_subject(PoUnit *unit, const char *tenant_id, const char *phone)
{
	PoAddress  *address;
	PoLead	   *subject = NULL;
	uint32		hash = phone_hash(phone);

	for (int i = 0; i < unit->nleads; i++)
	{
		PoLead	   *lead = &unit->lead[i];

		if (lead->phone_hash == hash && lead->phone != NULL && strcmp(lead->phone, phone) == 0 &&
			strcmp(lead->tenant_id, tenant_id) == 0 &&
			(subject == NULL || lead->last_activity_at > subject->last_activity_at))
			subject = lead;
	}
	if (subject != NULL)
		return subject;
	address = po_find_address(unit, tenant_id, phone);
	for (int i = 0; i < unit->nleads && address != NULL && !address->shared; i++)
	{
		PoLead	   *lead = &unit->lead[i];

		if (memcmp(&lead->contact_id, &address->contact_id, UUID_LEN) == 0 &&
			strcmp(lead->tenant_id, tenant_id) == 0 &&
			(subject == NULL || lead->last_activity_at > subject->last_activity_at))
			subject = lead;
	}
	return subject;
}

/*
 * po_create_lead adds a lead with its first event, of the person whose address it has,
 * which is locked.  Pointers to other leads of the unit are no longer good afterwards.
 * lead_id NULL makes one.
 */
PoLead *
po_create_lead(PoUnit *unit, const char *tenant_id, const char *lead_id,
			   const char *address, const PoCause *cause)
{
	bool		is_phone = po_kind_of(address) == PO_PHONE;
	PoLead	   *lead;
	PoEvent    *event;

	unit->lead = po_grow(unit->lead, unit->nleads, &unit->max_leads, sizeof(PoLead));
	lead = &unit->lead[unit->nleads++];
	memset(lead, 0, sizeof(PoLead));
	lead->tenant_id = tenant_id;
	lead->lead_id = lead_id != NULL ? lead_id : po_ulid("lead_");
	lead->contact_id = po_join(unit, po_find_address(unit, tenant_id, address));
	po_lead_set_phone(lead, is_phone ? address : NULL);
	if (!is_phone)
		lead->email = address;
	lead->state = PO_STATE_NEW;
	lead->last_activity_at = lead->created_at = po_now();
	lead->created = true;
	lead->source = cause->source;
	event = po_lead_event(unit, lead, "lead.created", cause);
	event->previous_state = PO_STATE_NONE;
	event->new_state = PO_STATE_NEW;
	return lead;
}

/*
 * po_lead_event adds an event of the lead, with the next of its versions.
 */
PoEvent *
po_lead_event(PoUnit *unit, PoLead *lead, const char *event_type, const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&unit->events, lead->tenant_id, event_type,
										  cause->source);

	event->lead_id = lead->lead_id;
	event->lead_version = ++lead->version;
	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	lead->changed = true;
	return event;
}

/*
 * po_unknown_lead raises the error of a lead that is not there.
 */
void
po_unknown_lead(const char *tenant_id, const char *lead_id)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_UNKNOWN_LEAD),
			 errmsg("tenant \"%s\" has no lead \"%s\"", tenant_id, lead_id),
			 errhint("Make it with outreach.create_lead().")));
}

/*
 * po_require_lead locks one lead by its id, waiting, in a unit that has nothing yet; an
 * error when there is none.
 */
PoLead *
po_require_lead(PoUnit *unit, const char *tenant_id, const char *lead_id)
{
	PoWants		wants = {0};
	PoLead	   *lead;

	po_want(&wants, PO_WANT_LEAD, 0, tenant_id, lead_id);
	po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
	lead = po_find_lead(unit, tenant_id, lead_id);
	if (lead == NULL)
		po_unknown_lead(tenant_id, lead_id);
	return lead;
}

/*
 * po_require_address locks an address, waiting, in a unit that has nothing yet; where
 * there is none it is made.
 */
PoAddress *
po_require_address(PoUnit *unit, const char *tenant_id, const char *address)
{
	PoWants		wants = {0};

	po_want(&wants, PO_WANT_ADDRESS, 0, tenant_id, address);
	po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
	return po_find_address(unit, tenant_id, address);
}

/* What may be done to the consent of an address, and what it leaves. */
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

/*
 * po_object_cause adds the reason and who decided, the latter under that key.
 */
void
po_object_cause(PoObject *object, const PoCause *cause, const char *actor_key)
{
	if (cause->reason_is_class)
		po_object_string(object, "reason", cause->reason);
	else
		po_object_detail(object, "reason", cause->reason);
	po_object_detail(object, actor_key, cause->actor);
}

/*
 * po_object_address adds an address of that contact, NULL: of a lead's event, to the
 * details, and its kind to the rest.
 */
void
po_object_address(PoObject *object, const char *address, const pg_uuid_t *contact_id)
{
	po_object_string(object, "kind", po_address_kind(address));
	if (contact_id != NULL)
		po_object_string(object, "contact_id", DatumGetCString(DirectFunctionCall1(uuid_out,
																				   UUIDPGetDatum(contact_id))));
	po_object_detail(object, po_address_kind(address), address);
}

/*
 * po_consent_event adds the event of an act of consent, or of the release of a hold.
 */
PoEvent *
po_consent_event(PoUnit *unit, const PoAddress *address, PoConsent act, const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&unit->events, address->tenant_id, consent_act[act].event_type,
										  cause->source);
	PoObject   *object = po_object_begin();

	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	po_object_address(object, address->address, &address->contact_id);
	po_object_cause(object, cause, "actor");
	po_object_string(object, "version", cause->version);
	po_event_tells(event, object);
	return event;
}

/*
 * po_note_consent sets the consent of a locked address by an act, PO_CONSENT_UNKNOWN
 * for the release of a hold, with its event and its place in the history.
 */
void
po_note_consent(PoUnit *unit, PoAddress *address, PoConsent act, PoConsent consent, const PoCause *cause)
{
	(void) po_consent_event(unit, address, act, cause);
	address->consent = consent;
	address->consent_at = cause->said_at != NULL ? *cause->said_at : po_now();
	unit->act = po_grow(unit->act, unit->nacts, &unit->max_acts, sizeof(PoConsentAct));
	unit->act[unit->nacts++] = (PoConsentAct) {
		address - unit->address, unit->events.n - 1, consent_act[act].act, consent, *cause, address->consent_at
	};
	unit->act[unit->nacts - 1].cause.said_at = NULL;
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
