/*
 * rights.h
 *	  Who may call what.
 *
 * A right is a role of the cluster that its holder is a member of.  Those over
 * one tenant hold besides for the tenants that the role is bound to; those over
 * the whole engine in the databases alone that name the role as administrator.
 */
#ifndef PO_RIGHTS_H
#define PO_RIGHTS_H

/* Name of the bit, and role of the cluster. */
#define PO_RIGHTS(X) \
	X(PO_APP, 0, "outreach_app") \
	X(PO_TENANT_ADMIN, 1, "outreach_tenant_admin") \
	X(PO_PROVISIONER, 2, "outreach_provisioner") \
	X(PO_ADMIN, 3, "outreach_admin") \
	X(PO_INGRESS, 4, "outreach_ingress") \
	X(PO_SCHEDULER, 5, "outreach_scheduler") \
	X(PO_WORKER, 6, "outreach_worker")

#define PO_NRIGHTS 7

typedef enum PoRight
{
#define X(name, bit, role) name = 1 << bit,
	PO_RIGHTS(X)
#undef X
} PoRight;

/* Those over the whole engine: their holder must be named in the database. */
#define PO_OF_DATABASE (PO_ADMIN | PO_PROVISIONER | PO_SCHEDULER)

extern const char *const po_right_role[PO_NRIGHTS];

extern bool po_role_has(Oid role, PoRight right);
extern bool po_role_is_bound(Oid role, const char *tenant_id);

#endif
