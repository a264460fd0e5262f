/*
 * tenant.h
 *	  Which tenant a transaction acts for.
 */
#ifndef PO_TENANT_H
#define PO_TENANT_H

#include "utils/guc.h"

extern bool po_tenant_check(char **value, void **extra, GucSource source);
extern void po_tenant_assign(const char *value, void *extra);

extern const char *po_entered_tenant(Oid role);
extern void po_enter_tenant_as(Oid role, const char *tenant_id, GucAction action);
extern void po_enter_tenant_by(Oid role, const char *tenant_id, const char *proof);
extern void po_require_same_tenant(Oid role, const char *tenant_id);
extern void po_require_tenant_for(Oid role, const char *tenant_id);

#endif
