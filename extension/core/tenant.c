/*
 * tenant.c
 *	  Whether a role may act for a tenant: it has entered it in the transaction, is bound
 *	  to it, or proves that it may.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/entered.h"
#include "core/errors.h"
#include "core/limits.h"
#include "core/rights.h"
#include "core/secrets.h"
#include "core/spi_plan.h"
#include "core/tenant.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define PROOF_MAC_HEX 64

static PoPlan select_tenant = {
	.name = "tenant.known",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT 1 FROM outreach.tenants WHERE tenant_id = $1",
	PO_ARGS(TEXTOID)
};

static void
refuse_role(Oid role, const char *tenant_id)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_TENANT_NOT_ALLOWED),
			 errmsg("role \"%s\" may not act for tenant \"%s\"", GetUserNameFromId(role, false),
					tenant_id),
			 errhint("An administrator can allow it with outreach.grant_tenant().")));
}

/*
 * po_require_same_tenant raises an error where the role has entered another one.
 */
void
po_require_same_tenant(Oid role, const char *tenant_id)
{
	const char *has_entered = po_entered_tenant(role);

	if (has_entered != NULL && strcmp(has_entered, tenant_id) != 0)
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

	po_spi_connect();
	n = po_exec(&select_tenant, args, NULL);
	SPI_finish();
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no tenant \"%s\"", tenant_id),
				 errhint("Make it with outreach.create_tenant().")));
}

/*
 * po_require_tenant_for raises an error unless the role may act for the tenant
 * and it exists: it has entered it, or no other and is bound to it.  Needs the
 * engine's owner as user.
 */
void
po_require_tenant_for(Oid role, const char *tenant_id)
{
	po_require_same_tenant(role, tenant_id);
	if (po_entered_tenant(role) != NULL)
		return;
	if (!po_role_is_bound(role, tenant_id))
		refuse_role(role, tenant_id);
	require_known(tenant_id);
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

	secret = po_secrets_open(tenant_id, "proof", "", "", &nsecrets, &problem);
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
 * po_enter_tenant_by lets a role act for a tenant until the transaction ends, by a
 * proof, or with NULL because it is bound to it; an error where it may not.  Needs the
 * engine's owner as user.
 */
void
po_enter_tenant_by(Oid role, const char *tenant_id, const char *proof)
{
	if (strcmp(tenant_id, "*") == 0)
		refuse_role(role, tenant_id);
	po_require_same_tenant(role, tenant_id);
	if (proof != NULL)
	{
		if (!proof_is_valid(tenant_id, proof))
			ereport(ERROR,
					(errcode(PO_ERRCODE_INVALID_PROOF),
					 errmsg("the proof for tenant \"%s\" is not valid", tenant_id),
					 errdetail("It is malformed, expired, or signed with another key.")));
		require_known(tenant_id);
	}
	else
		po_require_tenant_for(role, tenant_id);
	po_enter_tenant_as(role, tenant_id, GUC_ACTION_LOCAL);
}
