/*
 * owner.c
 *	  The role that owns the engine, and as which all its statements run.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/owner.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/syscache.h"

static Oid	owner_role = InvalidOid;

static void
role_changed(Datum arg, int cache, uint32 hash)
{
	owner_role = InvalidOid;
}

/*
 * po_engine_owner returns that role; an error where it is not there.
 */
Oid
po_engine_owner(void)
{
	static bool registered = false;

	if (OidIsValid(owner_role))
		return owner_role;
	if (!registered)
		CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
	registered = true;
	owner_role = get_role_oid("outreach_owner", false);
	return owner_role;
}

/*
 * po_is_engine_owner tells whether a role is it, without a look into the catalogue: false
 * before po_engine_owner has been called.
 */
bool
po_is_engine_owner(Oid role)
{
	return OidIsValid(owner_role) && role == owner_role;
}
