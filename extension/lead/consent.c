/*
 * consent.c
 *	  Acts of consent: what somebody has said of an address, and how far it reaches.
 *
 * An opt-out is of the address it came from, and by the tenant's choice
 * (tenants.opt_out_reaches) of the person: of all addresses of its kind, or of every
 * kind.  Then it stands in the contact, too, so that an address that joins later has
 * opted out as well; and all leads of the person are suppressed.  An address that is
 * shared by many leads is nobody's in particular: what is said from it is of it alone.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "lead/change.h"
#include "lead/rules.h"

/*
 * po_release_address takes back the hold of a locked address, whose consent is again
 * what it was before; nobody is made to have agreed to anything.  Returns false for
 * one that is not held.
 */
bool
po_release_address(PoUnit *unit, PoAddress *address, PoConsent before, const PoCause *cause)
{
	if (address->consent != PO_CONSENT_HELD)
		return false;
	po_note_consent(unit, address, PO_CONSENT_UNKNOWN, before, cause);
	return true;
}

/*
 * po_has_agreed_since tells whether the person whose address it is, which is locked, has
 * opted in after that time.
 */
bool
po_has_agreed_since(const PoAddress *address, TimestampTz time)
{
	return address->consent == PO_CONSENT_OPTED_IN && address->consent_at > time;
}

/* Whether an opt-out from one kind of address reaches another. */
static bool
reaches(PoOptOutReach reach, PoAddressKind from, PoAddressKind to)
{
	return reach == PO_REACHES_PERSON || (reach == PO_REACHES_KIND && from == to);
}

/*
 * po_person_opted_out returns the person that the opt-out of a locked address is of; NULL:
 * it is of the address alone.
 */
const pg_uuid_t *
po_person_opted_out(PoUnit *unit, const PoAddress *address)
{
	PoOptOutReach reach = po_tenant_rules(address->tenant_id)->opt_out_reaches;

	return address->shared || reach == PO_REACHES_ADDRESS ? NULL : &address->contact_id;
}

/* The person has opted out: all that is locked of them. */
static void
opt_person_out(PoUnit *unit, const PoAddress *address, const PoCause *cause)
{
	PoOptOutReach reach = po_tenant_rules(address->tenant_id)->opt_out_reaches;
	PoContact  *contact = po_find_contact(unit, address->tenant_id, &address->contact_id);
	PoAddressKind from = po_kind_of(address->address);
	TimestampTz said_at = cause->said_at != NULL ? *cause->said_at : po_now();

	for (PoAddressKind kind = 0; kind < PO_NKINDS; kind++)
		if (reaches(reach, from, kind) && contact->opted_out_at[kind] == DT_NOBEGIN)
		{
			contact->opted_out_at[kind] = said_at;
			contact->changed = true;
		}
	for (int i = 0; i < unit->naddresses; i++)
	{
		PoAddress  *other = &unit->address[i];

		if (other == address || other->joins_with > 0 || other->shared || other->consent == PO_CONSENT_OPTED_OUT ||
			memcmp(&other->contact_id, &address->contact_id, UUID_LEN) != 0 ||
			strcmp(other->tenant_id, address->tenant_id) != 0 ||
			!reaches(reach, from, po_kind_of(other->address)) || po_has_agreed_since(other, said_at))
			continue;
		po_note_consent(unit, other, PO_CONSENT_OPTED_OUT, PO_CONSENT_OPTED_OUT, cause);
	}
}

/* Whether a lead is suppressed by the opt-out of an address. */
static bool
is_meant(const PoLead *lead, const PoAddress *address, const pg_uuid_t *person, bool suppresses_person)
{
	if (strcmp(lead->tenant_id, address->tenant_id) != 0)
		return false;
	return (lead->phone != NULL && strcmp(lead->phone, address->address) == 0) ||
		(person != NULL && suppresses_person && memcmp(&lead->contact_id, person, UUID_LEN) == 0);
}

/* Suppresses leads, PO_MAX_SUPPRESSED at most: the rest follow. */
static void
suppress(PoUnit *unit, const PoAddress *address, const pg_uuid_t *person, const PoCause *cause)
{
	PoContact  *contact = po_find_contact(unit, address->tenant_id, &address->contact_id);
	bool		all = po_tenant_rules(address->tenant_id)->opt_out_reaches == PO_REACHES_PERSON ||
		po_kind_of(address->address) == PO_PHONE;
	int			suppressed = 0;
	int			meant = 0;

	for (int i = 0; i < unit->nleads; i++)
	{
		PoLead	   *lead = &unit->lead[i];

		if (!is_meant(lead, address, person, all))
			continue;
		meant++;
		if (lead->state != PO_STATE_SUPPRESSED && suppressed++ < PO_MAX_SUPPRESSED)
			(void) po_change_state(unit, lead, PO_STATE_SUPPRESSED, cause);
	}
	/* Some were left here, or were not locked. */
	if (suppressed > PO_MAX_SUPPRESSED || meant >= PO_MAX_OF_ADDRESS)
	{
		contact->suppress_at = po_now();
		contact->changed = true;
	}
}

/*
 * po_change_consent sets the consent of a locked address, with its event; an opt-out
 * reaches as far as the tenant says, and suppresses the leads of the unit that it
 * means.  To opt in again is an act too, whose time counts; it is of that address, and
 * what joins the person later is free again.  Returns whether the consent changed.
 */
bool
po_change_consent(PoUnit *unit, PoAddress *address, PoConsent consent, const PoCause *cause)
{
	PoContact  *contact = po_find_contact(unit, address->tenant_id, &address->contact_id);
	bool		changed = address->consent != consent;

	/* What was said clearly is not taken back by what sounds like it. */
	if (consent == PO_CONSENT_HELD && address->consent == PO_CONSENT_OPTED_OUT)
		return false;
	if (changed || consent == PO_CONSENT_OPTED_IN)
		po_note_consent(unit, address, consent, consent, cause);
	if (consent == PO_CONSENT_OPTED_OUT)
	{
		const pg_uuid_t *person = po_person_opted_out(unit, address);

		if (person != NULL)
			opt_person_out(unit, address, cause);
		suppress(unit, address, person, cause);
	}
	else if (consent == PO_CONSENT_OPTED_IN && !address->shared &&
			 contact->opted_out_at[po_kind_of(address->address)] != DT_NOBEGIN)
	{
		contact->opted_out_at[po_kind_of(address->address)] = DT_NOBEGIN;
		contact->changed = true;
	}
	return changed;
}

/*
 * po_complete_opt_out adds what an opt-out has left that was recorded before by
 * itself: its event, where one is owed, and the leads of the unit, unless the address
 * has opted in since.
 */
void
po_complete_opt_out(PoUnit *unit, PoAddress *address, const pg_uuid_t *event_owed, const PoCause *cause)
{
	if (event_owed != NULL)
		po_consent_event(unit, address, PO_CONSENT_OPTED_OUT, cause)->event_id = *event_owed;
	if (address->consent == PO_CONSENT_OPTED_OUT)
		(void) po_change_consent(unit, address, PO_CONSENT_OPTED_OUT, cause);
}
