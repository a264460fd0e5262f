/*
 * people.h
 *	  The contacts and addresses of a unit, for people.c and people_rows.c alone.
 */
#ifndef PO_UNIT_PEOPLE_H
#define PO_UNIT_PEOPLE_H

#include "unit/unit.h"

extern const PoField po_contact_field[5];
extern const PoField po_address_field[7];

extern int	po_contact_compare(const void *a, const void *b);
extern void po_sort_people(PoUnit *unit);
extern void po_inherit(PoUnit *unit, PoAddress *address);
extern PoContact *po_append_contact(PoUnit *unit, const char *tenant_id, pg_uuid_t contact_id);

#endif
