/*
 * tenant.c
 *	  Which tenant a session acts for.
 *
 * A transaction enters a tenant through outreach.tenant_id, a setting that only
 * a superuser's SET or enter_tenant() can write; it is local to the transaction
 * and travels to parallel workers as settings do.  Policies read it through
 * current_tenant(), a function of this library, and not with current_setting():
 * in a session that has not loaded the library anybody could make a placeholder
 * of that name.
 *
 * Functions that take a tenant as argument ask po_require_tenant.  The role that
 * counts is the one the session has outside all SECURITY DEFINER functions.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/cache.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/secrets.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "core/tenant.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PROOF_MAC_HEX 64

typedef struct TenantRole
{
	char	   *tenant_id;
	Oid			role;
} TenantRole;

static PoCache role_cache = {.name = "outreach tenant roles"};
static TenantRole *tenant_role;
static int	ntenant_roles;

static PoPlan select_roles = {
	.name = "tenant.roles",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT tenant_id, role_name::pg_catalog.text FROM outreach.tenant_roles"
};

static PoPlan select_tenant = {
	.name = "tenant.known",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT 1 FROM outreach.tenants WHERE tenant_id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtype = {TEXTOID}
};

PG_FUNCTION_INFO_V1(po_enter_tenant);
PG_FUNCTION_INFO_V1(po_current_tenant);
PG_FUNCTION_INFO_V1(po_require_admin_sql);
PG_FUNCTION_INFO_V1(po_require_acting_for);

static void
load_roles(void)
{
	MemoryContext context = po_cache_reset(&role_cache);
	uint64		n;

	SPI_connect();
	n = po_exec(&select_roles, NULL, NULL);
	tenant_role = MemoryContextAlloc(context, Max(n, 1) * sizeof(TenantRole));
	ntenant_roles = n;
	for (uint64 i = 0; i < n; i++)
	{
		tenant_role[i].tenant_id = MemoryContextStrdup(context, po_column_text(i, 1));
		tenant_role[i].role = get_role_oid(po_column_text(i, 2), true);
	}
	SPI_finish();
	po_cache_filled(&role_cache);
}

static bool
is_admin(Oid role)
{
	Oid			admin = get_role_oid("outreach_admin", true);

	return superuser_arg(role) || (OidIsValid(admin) && has_privs_of_role(role, admin));
}

static bool
role_is_bound(Oid role, const char *tenant_id)
{
	if (is_admin(role))
		return true;
	if (!po_cache_fresh(&role_cache))
		load_roles();
	for (int i = 0; i < ntenant_roles; i++)
	{
		if ((strcmp(tenant_role[i].tenant_id, tenant_id) == 0 ||
			 strcmp(tenant_role[i].tenant_id, "*") == 0) &&
			OidIsValid(tenant_role[i].role) &&
			has_privs_of_role(role, tenant_role[i].role))
			return true;
	}
	return false;
}

static void
refuse_role(const char *tenant_id)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_TENANT_NOT_ALLOWED),
			 errmsg("role \"%s\" may not act for tenant \"%s\"",
					GetUserNameFromId(GetOuterUserId(), false), tenant_id),
			 errhint("An administrator can allow it with outreach.grant_tenant().")));
}

static void
refuse_other(const char *tenant_id)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_OTHER_TENANT),
			 errmsg("the transaction has entered another tenant than \"%s\"", tenant_id),
			 errhint("Use one transaction a tenant.")));
}

/* Roles that may act for every tenant may also mistype one. */
static void
require_known(const char *tenant_id)
{
	Datum		args[1] = {CStringGetTextDatum(tenant_id)};
	uint64		n;

	SPI_connect();
	n = po_exec(&select_tenant, args, NULL);
	SPI_finish();
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no tenant \"%s\"", tenant_id),
				 errhint("Make it with outreach.create_tenant().")));
}

/*
 * po_require_tenant raises an error unless the session may act for the tenant
 * and it exists.  Call it in a function that runs as the engine's owner.
 */
void
po_require_tenant(const char *tenant_id)
{
	if (po_setting_tenant_id[0] != '\0')
	{
		if (strcmp(po_setting_tenant_id, tenant_id) != 0)
			refuse_other(tenant_id);
		return;
	}
	if (!role_is_bound(GetOuterUserId(), tenant_id))
		refuse_role(tenant_id);
	require_known(tenant_id);
}

/*
 * po_require_admin raises an error unless the session's role administers the
 * engine.
 */
void
po_require_admin(void)
{
	if (!is_admin(GetOuterUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not administer the engine",
						GetUserNameFromId(GetOuterUserId(), false)),
				 errhint("Grant it outreach_admin.")));
}

/*
 * A proof is v1.EXPIRY.MAC: EXPIRY in Unix seconds, MAC the hexadecimal
 * HMAC-SHA256 of "v1.EXPIRY.TENANT" under one of the tenant's proof keys.
 */
static bool
proof_is_valid(const char *tenant_id, const char *proof)
{
	char		message[PO_MAX_ID_BYTES + 32];
	char		hex[PROOF_MAC_HEX + 1];
	const char *mac;
	char	   *end;
	int64		expiry;
	PoSecret   *secret;
	int			nsecrets;
	const char *problem;
	bool		valid = false;

	if (strncmp(proof, "v1.", 3) != 0 || proof[3] < '1' || proof[3] > '9')
		return false;
	expiry = strtoll(proof + 3, &end, 10);
	if (end - proof > 3 + 12 || *end != '.')
		return false;
	mac = end + 1;
	if (strlen(mac) != PROOF_MAC_HEX || strlen(tenant_id) > PO_MAX_ID_BYTES)
		return false;
	snprintf(message, sizeof(message), "v1." INT64_FORMAT ".%s", expiry, tenant_id);

	secret = po_secrets_open(tenant_id, "proof", "", &nsecrets, &problem);
	if (problem != NULL)
		po_secrets_unavailable(problem);
	for (int i = 0; i < nsecrets; i++)
	{
		unsigned char digest[EVP_MAX_MD_SIZE];
		unsigned int len = 0;

		HMAC(EVP_sha256(), secret[i].data, secret[i].len,
			 (unsigned char *) message, strlen(message), digest, &len);
		for (unsigned int k = 0; k < len && k < PROOF_MAC_HEX / 2; k++)
			snprintf(hex + 2 * k, 3, "%02x", digest[k]);
		valid |= (CRYPTO_memcmp(hex, mac, PROOF_MAC_HEX) == 0);
		po_secret_wipe(&secret[i]);
	}
	return valid &&
		(TimestampTz) (expiry - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)
		* USECS_PER_SEC > po_now();
}

/*
 * enter_tenant(tenant_id, proof): SECURITY DEFINER without a SET clause, which
 * would undo the setting when the function returns.
 */
Datum
po_enter_tenant(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");

	if (strcmp(tenant_id, "*") == 0)
		refuse_role(tenant_id);
	if (po_setting_tenant_id[0] != '\0' && strcmp(po_setting_tenant_id, tenant_id) != 0)
		refuse_other(tenant_id);

	if (!PG_ARGISNULL(1))
	{
		if (!proof_is_valid(tenant_id, text_to_cstring(PG_GETARG_TEXT_PP(1))))
			ereport(ERROR,
					(errcode(PO_ERRCODE_INVALID_PROOF),
					 errmsg("the proof for tenant \"%s\" is not valid", tenant_id),
					 errdetail("It is malformed, expired, or signed with another key.")));
	}
	else if (!role_is_bound(GetOuterUserId(), tenant_id))
		refuse_role(tenant_id);
	require_known(tenant_id);

	(void) set_config_option("outreach.tenant_id", tenant_id, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * current_tenant(): null while no tenant is entered, so that a policy that
 * compares with it lets no row through.
 */
Datum
po_current_tenant(PG_FUNCTION_ARGS)
{
	if (po_setting_tenant_id == NULL || po_setting_tenant_id[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(po_setting_tenant_id));
}

/*
 * require_admin(): for functions of the API that are not in C.
 */
Datum
po_require_admin_sql(PG_FUNCTION_ARGS)
{
	po_require_admin();
	PG_RETURN_VOID();
}

/*
 * require_acting_for(tenant_id), for functions that are not in C.
 */
Datum
po_require_acting_for(PG_FUNCTION_ARGS)
{
	po_require_tenant(po_arg_id(fcinfo, 0, "tenant_id"));
	PG_RETURN_VOID();
}
