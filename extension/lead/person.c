/*
 * person.c
 *	  Whose lead a lead is, when it is made or gets an address.
 *
 * A lead is the person's whose phone it has; without one the person's whose e-mail
 * address it has.  A phone that is another person's makes the lead that one's.  An e-mail
 * address that is known as another person's stays that one's, though the lead is written
 * to there: then a claim asks both.  What so many leads have that they are hardly one
 * person's makes nobody one.
 *
 * Functions need SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "common/address.h"
#include "core/compat.h"
#include "lead/person.h"

/* As the registry has it; NULL for what is none. */
static const char *
fold(const char *email)
{
	char		folded[PO_ADDRESS_SIZE];

	return email != NULL && po_email_fold(email, strlen(email), folded) ? pstrdup(folded) : NULL;
}

/*
 * po_lock_lead_and_addresses locks the addresses that a lead gets, NULL for none, and
 * the lead, waiting; NULL: there is no such lead.  Addresses that are not known become
 * its person's.
 */
PoLead *
po_lock_lead_and_addresses(PoUnit *unit, const char *tenant_id, const char *lead_id,
						   const char *phone, const char *email)
{
	PoWants		wants = {0};
	const char *folded = fold(email);

	if (phone != NULL)
		po_want(&wants, PO_WANT_ADDRESS, 0, tenant_id, phone)->lead_id = lead_id;
	if (folded != NULL)
		po_want(&wants, PO_WANT_ADDRESS, 0, tenant_id, folded)->lead_id = lead_id;
	po_want(&wants, PO_WANT_LEAD, 0, tenant_id, lead_id);
	po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
	return po_find_lead(unit, tenant_id, lead_id);
}

/*
 * po_person_of returns the contact of a lead that gets these addresses, which are locked;
 * lead NULL: it is being made.
 */
pg_uuid_t
po_person_of(PoUnit *unit, const PoLead *lead, const char *tenant_id, const char *phone, const char *email)
{
	const char *folded = fold(email);
	PoAddress  *address = phone != NULL ? po_find_address(unit, tenant_id, phone) : NULL;

	if (lead != NULL)
		return address == NULL || address->shared ||
			memcmp(&address->contact_id, &lead->contact_id, UUID_LEN) == 0
			? lead->contact_id : po_join(unit, address);
	if (address == NULL && folded != NULL)
		address = po_find_address(unit, tenant_id, folded);
	return address != NULL ? po_join(unit, address) : po_new_contact(unit, tenant_id);
}
