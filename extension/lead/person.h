/*
 * person.h
 *	  Whose lead a lead is.
 */
#ifndef PO_LEAD_PERSON_H
#define PO_LEAD_PERSON_H

#include "unit/unit.h"

extern PoLead *po_lock_lead_and_addresses(PoUnit *unit, const char *tenant_id, const char *lead_id,
										  const char *phone, const char *email);
extern pg_uuid_t po_person_of(PoUnit *unit, const PoLead *lead, const char *tenant_id,
							  const char *phone, const char *email);

#endif
