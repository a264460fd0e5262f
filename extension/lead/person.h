/*
 * person.h
 *	  Whose lead a lead is.
 */
#ifndef PO_LEAD_PERSON_H
#define PO_LEAD_PERSON_H

#include "unit/unit.h"

/* Addresses that a lead gets: one that is set and NULL is taken from it. */
typedef struct PoNewAddresses
{
	const char *tenant_id;
	const char *lead_id;
	bool		sets_phone;
	bool		sets_email;
	const char *phone;
	const char *email;			/* as it was given */
} PoNewAddresses;

extern PoLead *po_begin_addresses(PoUnit *unit, const PoNewAddresses *given);
extern pg_uuid_t po_assign_contact(PoUnit *unit, const PoLead *lead, const PoNewAddresses *given);

#endif
