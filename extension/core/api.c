/*
 * api.c
 *	  Where the SQL functions are entered: who calls, what is allowed, as whom it runs.
 *
 * A function of the API has two rows in pg_proc: outreach.NAME, which everybody
 * sees, is po_api(), with its caller's rights; outreach_impl.NAME, in a schema
 * that is closed to everybody but the engine's owner, is the body.  po_api() asks
 * the table below whether the caller may, and calls the body as the owner of the
 * function.  The caller is the current user: whose code makes the call, not who
 * has opened the session or set off the statement.
 *
 * The switch is undone at the end, and by the abort of the (sub)transaction.  A
 * function that returns a set returns it whole, so that the executor never runs
 * with the user switched.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "core/api.h"
#include "core/args.h"
#include "core/cache.h"
#include "core/compat.h"
#include "core/entered.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/rights.h"
#include "core/tenant.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#define SCHEMA "outreach"
#define IMPL_SCHEMA "outreach_impl"
#define SEARCH_PATH "pg_catalog, pg_temp"

typedef struct Function
{
	const char *name;
	int			callers;		/* PoRight */
	int			tenant;			/* the argument whose tenant the caller must act for; -1: none */
	PoPlanning	planning;
	bool		optional;		/* that argument may be null, or '*' for what ships */
} Function;

#define TENANT_USERS (PO_APP | PO_TENANT_ADMIN | PO_ADMIN)
#define TENANT_ADMINS (PO_TENANT_ADMIN | PO_ADMIN)
#define PROVISIONERS (PO_PROVISIONER | PO_ADMIN)
#define WORKERS (PO_WORKER | PO_SCHEDULER | PO_ADMIN)

/* By name. */
static const Function functions[] = {
	{"add_address", TENANT_USERS, 0, PO_HOT},
	{"add_number", TENANT_ADMINS, 0, PO_SETS},
	{"allowed_states", TENANT_USERS, 0, PO_HOT},
	{"arm", PO_ADMIN, -1, PO_SETS},
	{"arming_problem", WORKERS, -1, PO_HOT},
	{"assign_lead", TENANT_USERS, 0, PO_HOT},
	{"cancel_message", TENANT_USERS, 0, PO_HOT},
	{"cancel_messages", TENANT_USERS, 0, PO_HOT},
	{"cancel_timer", TENANT_USERS, 0, PO_HOT},
	{"claim_messages", PO_WORKER, -1, PO_QUEUE},
	{"classify_message", TENANT_USERS, 0, PO_HOT},
	{"cluster_identity", WORKERS, -1, PO_HOT},
	{"create_account", TENANT_ADMINS, 0, PO_SETS},
	{"create_endpoint", PO_ADMIN, -1, PO_SETS},
	{"create_lead", TENANT_USERS, 0, PO_HOT},
	{"create_tenant", PROVISIONERS, -1, PO_SETS},
	{"delete_lead", TENANT_USERS, 0, PO_HOT},
	{"disarm", PO_ADMIN, -1, PO_SETS},
	{"drop_account", TENANT_ADMINS, 0, PO_SETS},
	{"drop_partitions", PO_ADMIN, -1, PO_SETS},
	{"drop_tenant", PO_ADMIN, -1, PO_SETS},
	{"drop_timer_function", PO_ADMIN, -1, PO_SETS},
	{"enter_tenant", TENANT_USERS, -1, PO_HOT},
	{"find_leads", TENANT_USERS, 0, PO_HOT},
	{"fire_timers", WORKERS, -1, PO_QUEUE},
	{"grant_administration", PO_ADMIN, -1, PO_SETS},
	{"grant_tenant", PROVISIONERS, -1, PO_SETS},
	{"has_right", PO_APP | PO_TENANT_ADMIN | PO_PROVISIONER | PO_INGRESS | WORKERS, -1, PO_HOT},
	{"ingest_counters", WORKERS, -1, PO_HOT},
	{"ingest_webhook", PO_INGRESS | PO_ADMIN, -1, PO_HOT},
	{"ingest_webhooks", PO_INGRESS | PO_ADMIN, -1, PO_HOT},
	{"is_armed", PO_INGRESS | WORKERS, -1, PO_HOT},
	{"is_valid_transition", TENANT_USERS, 2, PO_HOT, true},
	{"lead", TENANT_USERS, 0, PO_HOT},
	{"lead_history", TENANT_USERS, 0, PO_HOT},
	{"make_partitions", PO_SCHEDULER | PO_ADMIN, -1, PO_SETS},
	{"mark_reachable", TENANT_ADMINS, 0, PO_HOT},
	{"messages_of", TENANT_USERS, 0, PO_HOT},
	{"move_address", TENANT_USERS, 0, PO_HOT},
	{"next_due", WORKERS, -1, PO_QUEUE},
	{"next_sends", WORKERS, -1, PO_QUEUE},
	{"next_tasks", WORKERS, -1, PO_QUEUE},
	{"opt_in", TENANT_USERS, 0, PO_HOT},
	{"opt_out", TENANT_USERS, 0, PO_HOT},
	{"preview_message", TENANT_USERS, 0, PO_HOT},
	{"process_payloads", WORKERS, -1, PO_QUEUE},
	{"record_deliveries", PO_WORKER, -1, PO_HOT},
	{"record_event", TENANT_USERS, 0, PO_HOT},
	{"register_timer_function", PO_ADMIN, -1, PO_SETS},
	{"release_address", TENANT_USERS, 0, PO_HOT},
	{"remove_address", TENANT_USERS, 0, PO_HOT},
	{"remove_number", TENANT_ADMINS, 0, PO_SETS},
	{"replay_webhook", TENANT_USERS, 0, PO_HOT},
	{"resolve_message", TENANT_USERS, 0, PO_HOT},
	{"resume_sending", TENANT_ADMINS, -1, PO_HOT},
	{"return_call", PO_WORKER, -1, PO_HOT},
	{"revoke_administration", PO_ADMIN, -1, PO_SETS},
	{"revoke_tenant", PROVISIONERS, -1, PO_SETS},
	{"rotate_account_secret", TENANT_ADMINS, 0, PO_SETS},
	{"rotate_secret", PO_ADMIN, -1, PO_SETS},
	{"run_call", PO_WORKER, -1, PO_QUEUE},
	{"run_once", PO_SCHEDULER | PO_ADMIN, -1, PO_QUEUE},
	{"save_template", TENANT_USERS, 0, PO_SETS},
	{"send_message", TENANT_USERS, 0, PO_HOT},
	{"send_messages", TENANT_USERS, 0, PO_HOT},
	{"set_callback_path", TENANT_ADMINS, 0, PO_SETS},
	{"set_proof_key", PO_ADMIN, -1, PO_SETS},
	{"set_timer", TENANT_USERS, 0, PO_HOT},
	{"settle_messages", PO_WORKER, -1, PO_QUEUE},
	{"stop_sending", TENANT_ADMINS, -1, PO_SETS},
	{"take_call", PO_WORKER, -1, PO_QUEUE},
	{"transition_lead", TENANT_USERS, 0, PO_HOT},
	{"update_lead", TENANT_USERS, 0, PO_HOT},
	{"upkeep", WORKERS, -1, PO_SETS},
	{"verify", TENANT_USERS, -1, PO_SETS},
	{"wake_workers", WORKERS, -1, PO_HOT},
	{"worker_slots", WORKERS, -1, PO_HOT}
};

/* A public function and its body, for as long as the caller's plan lives. */
typedef struct Target
{
	const Function *function;
	Oid			owner;
	Oid			row_type;		/* of a single row that the body returns as a record */
	FmgrInfo	body;
} Target;

/* A call under way. */
typedef struct Frame
{
	struct Frame *outer;
	const Function *function;	/* NULL: a registered function, which the engine runs */
	Oid			caller;			/* or the role that it runs as */
	int			security;		/* to be gone back to */
} Frame;

static Frame *innermost = NULL;

PG_FUNCTION_INFO_V1(po_api);

/*
 * po_caller returns the role that has called the API; in a trigger, which nobody
 * calls, the current user.
 */
Oid
po_caller(void)
{
	return innermost != NULL ? innermost->caller : GetUserId();
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const Function *) a)->name, ((const Function *) b)->name);
}

/* The table's row and the body of a public function. */
static Target *
find_target(FmgrInfo *flinfo)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
	Target	   *target;
	Function	wanted = {0};
	Form_pg_proc form;
	Oid			body;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	wanted.name = NameStr(form->proname);
	target = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(Target));
	target->function = bsearch(&wanted, functions, lengthof(functions), sizeof(Function), compare_names);
	target->owner = form->proowner;
	if (type_is_rowtype(form->prorettype) && !form->proretset)
		target->row_type = form->prorettype;
	(void) po_engine_owner();
	body = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(wanted.name),
						   PointerGetDatum(&form->proargtypes),
						   ObjectIdGetDatum(get_namespace_oid(IMPL_SCHEMA, false)));
	if (target->function == NULL || !OidIsValid(body))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the library has no function %s()", wanted.name),
				 errdetail("Library and extension are of different versions."),
				 errhint("Run ALTER EXTENSION pg_outreach UPDATE.")));
	ReleaseSysCache(tuple);
	fmgr_info_cxt(body, &target->body, flinfo->fn_mcxt);
	return target;
}

static void
refuse(const Function *function, Oid caller)
{
	StringInfoData roles;

	initStringInfo(&roles);
	for (int bit = 0; bit < PO_NRIGHTS; bit++)
		if ((function->callers & (1 << bit)) != 0)
			appendStringInfo(&roles, "%s%s", roles.len > 0 ? ", " : "", po_right_role[bit]);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not call %s()", GetUserNameFromId(caller, false), function->name),
			 errdetail("It is for members of: %s.", roles.data),
			 errhint("Those over the whole engine must be named in this database too, with "
					 "outreach.grant_administration().")));
}

/* Needs the engine's owner as user. */
static void
require_right(const Function *function, FunctionCallInfo fcinfo, Oid caller)
{
	/* That somebody is of the app is said by what he is bound to, and by EXECUTE. */
	bool		may = (function->callers & PO_APP) != 0;
	char	   *tenant_id;

	for (int bit = 0; bit < PO_NRIGHTS && !may; bit++)
		may = (function->callers & (1 << bit)) != 0 && po_role_has(caller, 1 << bit);
	if (!may)
		refuse(function, caller);
	if (function->tenant < 0 || (function->optional && PG_ARGISNULL(function->tenant)))
		return;
	tenant_id = po_arg_id(fcinfo, function->tenant, "tenant_id");
	if (!function->optional || strcmp(tenant_id, "*") != 0)
		po_require_tenant_for(caller, tenant_id);
}

/*
 * Settings of a session that change what a statement means, or the plan that is
 * chosen for it.
 */
static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"standard_conforming_strings", "on"}, {"transform_null_equals", "off"}, {"array_nulls", "on"},
		{"row_security", "on"}, {"DateStyle", "ISO"}, {"IntervalStyle", "postgres"},
		{"plan_cache_mode", "auto"}
	};

	if (strcmp(namespace_search_path, SEARCH_PATH) != 0)
		(void) set_config_option("search_path", SEARCH_PATH, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (po_standard_strings && !Transform_null_equals && Array_nulls && row_security &&
		DateStyle == USE_ISO_DATES && IntervalStyle == INTSTYLE_POSTGRES &&
		plan_cache_mode == PLAN_CACHE_MODE_AUTO)
		return;
	for (int i = 0; i < lengthof(pinned); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Calls the body with the arguments of the public function. */
static Datum
call_body(Target *target, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *set = NULL;
	int			modes = 0;
	Datum		result;

	LOCAL_FCINFO(call, FUNC_MAX_ARGS);

	if (fcinfo->resultinfo != NULL && IsA(fcinfo->resultinfo, ReturnSetInfo))
	{
		set = (ReturnSetInfo *) fcinfo->resultinfo;
		modes = set->allowedModes;
		set->allowedModes |= SFRM_Materialize_Preferred;
	}
	InitFunctionCallInfoData(*call, &target->body, fcinfo->nargs, fcinfo->fncollation, NULL,
							 fcinfo->resultinfo);
	memcpy(call->args, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));
	po_require_objects(call);
	result = FunctionCallInvoke(call);
	fcinfo->isnull = call->isnull;
	if (set != NULL)
		set->allowedModes = modes;
	if (OidIsValid(target->row_type) && !fcinfo->isnull)
		result = po_row_of_type(result, target->row_type);
	if (target->body.fn_retset && set->returnMode != SFRM_Materialize)
		elog(ERROR, "%s() does not return its set whole", target->function->name);
	return result;
}

/*
 * po_api is every function of the API that reads or writes a table.
 */
Datum
po_api(PG_FUNCTION_ARGS)
{
	Target	   *target;
	volatile Datum result = (Datum) 0;
	Frame		frame = {.outer = innermost};
	int			nest;

	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = find_target(fcinfo->flinfo);
	target = fcinfo->flinfo->fn_extra;
	frame.function = target->function;
	GetUserIdAndSecContext(&frame.caller, &frame.security);
	if (frame.caller == target->owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s() is not for the engine's owner", target->function->name),
				 errhint("Call it as a role that holds the right of its own.")));
	/* Maintenance runs other people's code at a moment that they choose. */
	if (InSecurityRestrictedOperation() && (innermost == NULL || innermost->function != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s() cannot be called within a security-restricted operation",
						target->function->name)));
	if (innermost == NULL)
		po_cache_free_retired();
	nest = NewGUCNestLevel();
	pin_settings();
	SetUserIdAndSecContext(target->owner, frame.security | SECURITY_LOCAL_USERID_CHANGE);
	innermost = &frame;
	PG_TRY();
	{
		require_right(target->function, fcinfo, frame.caller);
		po_limit_arguments(fcinfo);
		result = call_body(target, fcinfo);
	}
	PG_FINALLY();
	{
		innermost = frame.outer;
	}
	PG_END_TRY();
	SetUserIdAndSecContext(frame.caller, frame.security);
	AtEOXact_GUC(true, nest);
	return result;
}

/*
 * po_call_foreign runs a function that somebody has registered, as a role and
 * with a tenant entered for that role; what it returns is nobody's concern.  Its
 * settings, and the tenant, are gone afterwards.
 */
Datum
po_call_foreign(FmgrInfo *function, Oid role, const char *tenant_id, FunctionCallInfo call)
{
	volatile Datum result = (Datum) 0;
	Frame		frame = {.outer = innermost, .caller = role};
	Oid			user;
	int			nest = NewGUCNestLevel();

	GetUserIdAndSecContext(&user, &frame.security);
	po_enter_tenant_as(role, tenant_id, GUC_ACTION_SAVE);
	SetUserIdAndSecContext(role, frame.security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	innermost = &frame;
	PG_TRY();
	{
		result = FunctionCallInvoke(call);
	}
	PG_FINALLY();
	{
		innermost = frame.outer;
	}
	PG_END_TRY();
	SetUserIdAndSecContext(user, frame.security);
	/* As if it had been rolled back: a plain SET of the function would stay. */
	AtEOXact_GUC(false, nest);
	return result;
}

/*
 * po_planning_of_call tells how statements of the function under way are planned.
 */
PoPlanning
po_planning_of_call(void)
{
	return innermost != NULL && innermost->function != NULL ? innermost->function->planning : PO_HOT;
}

/*
 * po_require_administrator raises an error unless the caller of the function under way
 * administers the tenant, or with NULL the engine.  Needs the engine's owner as user.
 */
void
po_require_administrator(const char *tenant_id)
{
	if (innermost == NULL || innermost->function == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("require_tenant_admin() is called outside a function of the API")));
	if (tenant_id != NULL)
		po_require_tenant_for(innermost->caller, tenant_id);
	else if (!po_role_has(innermost->caller, PO_ADMIN))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not call %s() for every tenant",
						GetUserNameFromId(innermost->caller, false), innermost->function->name),
				 errhint("Name one tenant.")));
}

/*
 * po_api_function returns the name of the i-th function of the table, NULL behind the
 * last; whose it is, as bits of PoRight, and whether for one tenant.
 */
const char *
po_api_function(int i, int *callers, bool *of_tenant)
{
	if (i >= lengthof(functions))
		return NULL;
	*callers = functions[i].callers;
	*of_tenant = functions[i].tenant >= 0;
	return functions[i].name;
}
