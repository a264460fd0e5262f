/*
 * rights_api.c
 *	  The SQL functions about who calls, what he may, and for which tenant.
 *
 * For everybody who calls the API, for bodies and policies in SQL, and for whoever
 * wants to read the table of rights.  The table itself, and who is the caller, is
 * core/api.c's; what a role has entered is known by core/entered.c.
 */
#include "postgres.h"

#include "core/api.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/entered.h"
#include "core/errors.h"
#include "core/planning.h"
#include "core/rights.h"
#include "core/settings.h"
#include "core/tenant.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_rights);
PG_FUNCTION_INFO_V1(po_has_right);
PG_FUNCTION_INFO_V1(po_caller_name);
PG_FUNCTION_INFO_V1(po_caller_tenant);
PG_FUNCTION_INFO_V1(po_require_tenant_admin);
PG_FUNCTION_INFO_V1(po_enter_tenant);
PG_FUNCTION_INFO_V1(po_current_tenant);
PG_FUNCTION_INFO_V1(po_readers_tenant);

/*
 * rights(): one row a function.
 */
Datum
po_rights(PG_FUNCTION_ARGS)
{
	const char *name;
	int			callers;
	bool		of_tenant;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; (name = po_api_function(i, &callers, &of_tenant)) != NULL; i++)
	{
		const char *role[PO_NRIGHTS];
		int			n = 0;

		for (int bit = 0; bit < PO_NRIGHTS; bit++)
			if ((callers & (1 << bit)) != 0)
				role[n++] = po_right_role[bit];
		PO_ADD_ROW(CStringGetTextDatum(name), po_result_texts(role, n), BoolGetDatum(of_tenant));
	}
	return (Datum) 0;
}

/*
 * has_right(right_role): whether the caller holds a right, by its role, for
 * policies.
 */
Datum
po_has_right(PG_FUNCTION_ARGS)
{
	char	   *role = po_arg_required(fcinfo, 0, "right_role");

	for (int bit = 0; bit < PO_NRIGHTS; bit++)
		if (strcmp(role, po_right_role[bit]) == 0)
			PG_RETURN_BOOL(po_role_has(po_caller(), 1 << bit));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no right \"%s\"", role),
			 errhint("They are listed by outreach.rights().")));
}

/*
 * caller(): the role that has called the API, for bodies in SQL.
 */
Datum
po_caller_name(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, GetUserNameFromId(po_caller(), false));
}

/*
 * caller_tenant(): what the caller has entered; null for an administrator who has
 * entered none, an error for others.
 */
Datum
po_caller_tenant(PG_FUNCTION_ARGS)
{
	Oid			caller = po_caller();
	const char *tenant_id = po_entered_tenant(caller);

	if (tenant_id == NULL && !po_role_has(caller, PO_ADMIN))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no tenant is entered"),
				 errhint("Call outreach.enter_tenant() first, in the same transaction.")));
	return po_result_text(fcinfo, tenant_id);
}

/*
 * require_tenant_admin(tenant_id): an error unless the caller administers the
 * tenant, or with null the engine.
 */
Datum
po_require_tenant_admin(PG_FUNCTION_ARGS)
{
	po_require_administrator(po_arg_text(fcinfo, 0, "tenant_id"));
	PG_RETURN_VOID();
}

/*
 * enter_tenant(tenant_id, proof): the caller's role acts for the tenant until the
 * transaction ends.
 */
Datum
po_enter_tenant(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");

	po_enter_tenant_by(po_caller(), tenant_id, po_arg_text(fcinfo, 1, "proof"));
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * current_tenant(): what the current role has entered; null while that is none,
 * so that a policy that compares with it lets no row through.
 */
Datum
po_current_tenant(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, po_entered_tenant(GetUserId()));
}

/*
 * readers_tenant(): the same for policies, which have to tell an empty answer from one that
 * nobody can have asked for.  While a statement is planned none need be entered yet: it may
 * enter one itself.
 */
Datum
po_readers_tenant(PG_FUNCTION_ARGS)
{
	const char *tenant_id = po_entered_tenant(GetUserId());

	if (tenant_id == NULL && po_setting_require_tenant && !po_is_planning())
		ereport(ERROR,
				(errcode(PO_ERRCODE_NO_TENANT),
				 errmsg("no tenant is entered"),
				 errhint("Call outreach.enter_tenant() first, in the same transaction, or a function that takes the "
						 "tenant. With outreach.require_tenant off the answer is empty.")));
	return po_result_text(fcinfo, tenant_id);
}
