/*
 * tenant.h
 *	  Which tenant a session acts for.
 */
#ifndef PO_TENANT_H
#define PO_TENANT_H

extern void po_require_tenant(const char *tenant_id);
extern void po_require_admin(void);

#endif
