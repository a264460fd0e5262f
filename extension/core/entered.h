/*
 * entered.h
 *	  Which tenants roles have entered in the transaction.
 */
#ifndef PO_ENTERED_H
#define PO_ENTERED_H

#include "utils/guc.h"

extern char *po_entered_setting;

extern bool po_entered_check(char **value, void **extra, GucSource source);
extern void po_entered_assign(const char *value, void *extra);

extern const char *po_entered_tenant(Oid role);
extern void po_enter_tenant_as(Oid role, const char *tenant_id, GucAction action);

#endif
