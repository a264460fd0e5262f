/*
 * tenant.c
 *	  Which tenant a transaction acts for.
 *
 * The setting outreach.tenant_id holds pairs of a role and the tenant that it has
 * entered; only enter_tenant() and superusers can write it.  A pair counts for
 * code that runs as that role: who calls a function of another role does not
 * lend it his tenant, nor the other way round.  As a setting it is local to the
 * transaction, undone with a subtransaction, and known to parallel workers.
 *
 * Policies read it through current_tenant(), a function of this library, and not
 * with current_setting(): in a session that has not loaded the library anybody
 * could make a placeholder of that name.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "catalog/pg_type.h"
#include "core/api.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/planning.h"
#include "core/rights.h"
#include "core/secrets.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "core/tenant.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define PROOF_MAC_HEX 64

/* One pair of the setting, whose text is ROLE/BYTES/TENANT for each. */
typedef struct Entered
{
	Oid			role;
	int			len;			/* of the tenant's id */
	int			at;				/* where that begins in the text */
} Entered;

/* The setting, read; one piece of memory that belongs to it. */
typedef struct EnteredList
{
	int			n;
	Entered		entry[FLEXIBLE_ARRAY_MEMBER];
} EnteredList;

static const EnteredList *entered = NULL;

static PoPlan select_tenant = {
	.name = "tenant.known",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT 1 FROM outreach.tenants WHERE tenant_id = $1",
	PO_ARGS(TEXTOID)
};

PG_FUNCTION_INFO_V1(po_enter_tenant);
PG_FUNCTION_INFO_V1(po_current_tenant);
PG_FUNCTION_INFO_V1(po_readers_tenant);

/* Reads one pair and returns how many bytes it has, 0 when it cannot be read. */
static int
read_pair(const char *text, int at, Entered *pair)
{
	const char *here = text + at;
	char	   *end;
	unsigned long number;

	if (*here < '1' || *here > '9')
		return 0;
	number = strtoul(here, &end, 10);
	if (*end != '/' || end - here > 10 || number > OID_MAX || end[1] < '1' || end[1] > '9')
		return 0;
	pair->role = number;
	here = end + 1;
	number = strtoul(here, &end, 10);
	if (*end != '/' || end - here > 3 || number > PO_MAX_ID_BYTES)
		return 0;
	pair->len = number;
	pair->at = end + 1 - text;
	if (strnlen(end + 1, number) < number)
		return 0;
	return pair->at + pair->len - at;
}

/*
 * po_tenant_check reads the text of the setting: the check hook.
 */
bool
po_tenant_check(char **value, void **extra, GucSource source)
{
	EnteredList *list;
	Entered		pair;
	int			len;
	int			n = 0;

	for (int at = 0; (*value)[at] != '\0'; at += len, n++)
		if ((len = read_pair(*value, at, &pair)) == 0)
			return false;
	if (n == 0)
		return true;
	list = guc_malloc(LOG, offsetof(EnteredList, entry) + n * sizeof(Entered));
	if (list == NULL)
		return false;
	list->n = n;
	for (int i = 0, at = 0; i < n; i++)
		at += read_pair(*value, at, &list->entry[i]);
	*extra = list;
	return true;
}

/*
 * po_tenant_assign takes over what was read: the assign hook.
 */
void
po_tenant_assign(const char *value, void *extra)
{
	entered = extra;
}

/*
 * po_entered_tenant returns the tenant that a role has entered, palloc'd; NULL
 * when none.
 */
const char *
po_entered_tenant(Oid role)
{
	for (int i = 0; entered != NULL && i < entered->n; i++)
		if (entered->entry[i].role == role)
			return pnstrdup(po_setting_tenant_id + entered->entry[i].at, entered->entry[i].len);
	return NULL;
}

/*
 * po_enter_tenant_as notes that a role acts for a tenant, instead of the one that
 * it may have entered; undone with the transaction, or as the action says.
 */
void
po_enter_tenant_as(Oid role, const char *tenant_id, GucAction action)
{
	StringInfoData value;

	initStringInfo(&value);
	for (int i = 0; entered != NULL && i < entered->n; i++)
		if (entered->entry[i].role != role)
			appendStringInfo(&value, "%u/%d/%.*s", entered->entry[i].role, entered->entry[i].len,
							 entered->entry[i].len, po_setting_tenant_id + entered->entry[i].at);
	appendStringInfo(&value, "%u/%d/%s", role, (int) strlen(tenant_id), tenant_id);
	(void) set_config_option("outreach.tenant_id", value.data, PGC_SUSET, PGC_S_SESSION, action, true, 0,
							 false);
	pfree(value.data);
}

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
 * enter_tenant(tenant_id, proof): the caller's role acts for the tenant until the
 * transaction ends.
 */
Datum
po_enter_tenant(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *proof = po_arg_text(fcinfo, 1, "proof");
	Oid			caller = po_caller();

	if (strcmp(tenant_id, "*") == 0)
		refuse_role(caller, tenant_id);
	po_require_same_tenant(caller, tenant_id);
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
		po_require_tenant_for(caller, tenant_id);
	po_enter_tenant_as(caller, tenant_id, GUC_ACTION_LOCAL);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * current_tenant(): what the current role has entered; null while that is none,
 * so that a policy that compares with it lets no row through.
 */
Datum
po_current_tenant(PG_FUNCTION_ARGS)
{
	const char *tenant_id = po_entered_tenant(GetUserId());

	if (tenant_id == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(tenant_id));
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

	if (tenant_id != NULL)
		PG_RETURN_TEXT_P(cstring_to_text(tenant_id));
	if (po_setting_require_tenant && !po_is_planning())
		ereport(ERROR,
				(errcode(PO_ERRCODE_NO_TENANT),
				 errmsg("no tenant is entered"),
				 errhint("Call outreach.enter_tenant() first, in the same transaction, or a function that takes the "
						 "tenant. With outreach.require_tenant off the answer is empty.")));
	PG_RETURN_NULL();
}
