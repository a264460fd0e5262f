/*
 * tenant.h
 *	  Whether a role may act for a tenant.
 */
#ifndef PO_TENANT_H
#define PO_TENANT_H

extern void po_enter_tenant_by(Oid role, const char *tenant_id, const char *proof);
extern void po_require_same_tenant(Oid role, const char *tenant_id);
extern void po_require_tenant_for(Oid role, const char *tenant_id);

#endif
