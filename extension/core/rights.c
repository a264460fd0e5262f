/*
 * rights.c
 *	  Who may call what: memberships, and the rows that bind roles to tenants and
 *	  to this database.
 *
 * Everything is asked of a role that is given; nothing here knows the session.
 * The functions need the engine's owner as user.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/compat.h"
#include "core/rights.h"
#include "core/spi_plan.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/acl.h"
#include "utils/memutils.h"

/* A role that may act for a tenant, or that administers this database. */
typedef struct Binding
{
	const char *tenant_id;		/* "*": every tenant */
	Oid			role;
} Binding;

/* By tenant_id, in the order of bytes; what administers comes apart. */
static PoCache cache = {
	.name = "outreach bindings of roles",
	.tables = PO_OF_TENANT_ROLES | PO_OF_ADMINISTRATORS
};
static Binding *binding;
static int	nbindings;
static Oid *administrator;
static int	nadministrators;

static PoPlan select_bindings = {
	.name = "rights.bindings",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT tenant_id, role_name::pg_catalog.text FROM outreach.tenant_roles ORDER BY tenant_id, role_name"
};

static PoPlan select_administrators = {
	.name = "rights.administrators",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT role_name::pg_catalog.text FROM outreach.administrators"
};

const char *const po_right_role[PO_NRIGHTS] = {
#define X(name, bit, role) role,
	PO_RIGHTS(X)
#undef X
};

static void
load(void)
{
	MemoryContext context = po_cache_reset(&cache);
	int			n;

	po_spi_connect();
	n = po_exec(&select_bindings, NULL, NULL);
	binding = MemoryContextAlloc(context, Max(n, 1) * sizeof(Binding));
	nbindings = 0;
	for (int i = 0; i < n; i++)
	{
		Oid			role = get_role_oid(po_column_text(i, 2), true);

		if (!OidIsValid(role))
			continue;
		binding[nbindings].tenant_id = MemoryContextStrdup(context, po_column_text(i, 1));
		binding[nbindings++].role = role;
	}
	n = po_exec(&select_administrators, NULL, NULL);
	administrator = MemoryContextAlloc(context, Max(n, 1) * sizeof(Oid));
	nadministrators = 0;
	for (int i = 0; i < n; i++)
	{
		Oid			role = get_role_oid(po_column_text(i, 1), true);

		if (OidIsValid(role))
			administrator[nadministrators++] = role;
	}
	SPI_finish();
	po_cache_filled(&cache);
}

static void
refresh(void)
{
	if (!po_cache_fresh(&cache))
		load();
}

static bool
is_named_here(Oid role)
{
	refresh();
	for (int i = 0; i < nadministrators; i++)
		if (has_privs_of_role(role, administrator[i]))
			return true;
	return false;
}

/*
 * po_role_has tells whether a role holds a right, whatever the tenant.  A
 * superuser holds each of them.
 */
bool
po_role_has(Oid role, PoRight right)
{
	int			bit = pg_rightmost_one_pos32(right);
	Oid			holder;

	if (superuser_arg(role))
		return true;
	holder = get_role_oid(po_right_role[bit], true);
	if (!OidIsValid(holder))
		return false;
	/* The workers' login is theirs alone: a member of it is nobody. */
	if (right == PO_WORKER)
		return role == holder;
	return has_privs_of_role(role, holder) && ((right & PO_OF_DATABASE) == 0 || is_named_here(role));
}

/* Whether a row of this tenant_id names the role, or one it has the rights of. */
static bool
is_bound_by(Oid role, const char *tenant_id)
{
	int			low = 0;
	int			high = nbindings;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (strcmp(binding[middle].tenant_id, tenant_id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < nbindings && strcmp(binding[low].tenant_id, tenant_id) == 0; low++)
		if (has_privs_of_role(role, binding[low].role))
			return true;
	return false;
}

/*
 * po_role_is_bound tells whether a role may act for a tenant: it is bound to it,
 * or to every tenant, or administers this database.
 */
bool
po_role_is_bound(Oid role, const char *tenant_id)
{
	refresh();
	return is_bound_by(role, tenant_id) || is_bound_by(role, "*") || po_role_has(role, PO_ADMIN);
}
