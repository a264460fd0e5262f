/*
 * secrets.c
 *	  Secrets that the database keeps sealed: rows of outreach.secrets.
 *
 * The key comes from outreach.secret_key_file each time it is needed, which is
 * when a secret is stored and when a cache of endpoints or accounts is filled;
 * it is wiped before the function returns.  Opened secrets are palloc'd for the
 * caller, who wipes or keeps them.  No SQL function returns one.
 *
 * A secret is bound to its row and to what it was given for: an account's to
 * scheme, host and port of its requests, an endpoint's to its scheme.  Who may
 * change where requests go, or move rows, does not get it to another place.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "common/seal.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ids.h"
#include "core/secrets.h"
#include "core/settings.h"
#include "core/statement.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static PoPlan select_secrets = {
	.name = "secrets.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT secret_id, sealed, given_for FROM outreach.secrets"
	" WHERE tenant_id OPERATOR(pg_catalog.=) $1 AND purpose OPERATOR(pg_catalog.=) $2"
	" AND name OPERATOR(pg_catalog.=) $3"
	" AND (expires_at IS NULL OR expires_at OPERATOR(pg_catalog.>) $4)"
	" ORDER BY created_at DESC, secret_id DESC LIMIT 2",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID)
};

typedef struct Secret
{
	const char *tenant_id;
	const char *purpose;
	const char *name;
	const pg_uuid_t *secret_id;
	bytea	   *sealed;
	const char *given_for;
} Secret;

static const PoField secret_field[] = {
	PO_FIELD(Secret, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Secret, purpose, TEXT, PO_TAKE),
	PO_FIELD(Secret, name, TEXT, PO_TAKE),
	PO_FIELD(Secret, secret_id, UUIDP, PO_TAKE),
	PO_FIELD(Secret, sealed, BYTEA, PO_TAKE),
	PO_FIELD(Secret, given_for, TEXT, PO_TAKE)
};

static PoStatement insert_secret = {
	.name = "secrets.insert",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.secrets ({columns}) SELECT {u.*} FROM {rows}",
	.takes = PO_FIELDS(secret_field, PO_TAKE)
};

static const char *
read_key(uint8 key[PO_SEAL_KEY_LEN])
{
	if (po_setting_secret_key_file[0] == '\0')
		return "outreach.secret_key_file is not set";
	return po_read_key_file(po_setting_secret_key_file, key);
}

/*
 * po_secrets_unavailable raises the error for a problem that was reported.
 */
void
po_secrets_unavailable(const char *problem)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_SECRET_KEY),
			 errmsg("secrets cannot be sealed or opened"),
			 errdetail("%s", problem),
			 errhint("Make a key with \"openssl rand -out FILE 32\", owned by the server's user with mode 0600, name "
					 "it as outreach.secret_key_file in postgresql.conf and reload.")));
}

static void
append_part(StringInfo aad, const char *part, int len)
{
	uint32		length = pg_hton32((uint32) len);

	appendBinaryStringInfo(aad, (const char *) &length, sizeof(length));
	appendBinaryStringInfo(aad, part, len);
}

/*
 * What a sealed secret is bound to: its row, with its name, and what it was
 * given for.  Each part has its length before it, so that no two rows give the
 * same bytes.
 */
static StringInfo
secret_aad(const char *tenant_id, const char *purpose, const char *name,
		   const char *given_for, const pg_uuid_t *secret_id)
{
	StringInfo	aad = makeStringInfo();

	append_part(aad, tenant_id, strlen(tenant_id));
	append_part(aad, purpose, strlen(purpose));
	append_part(aad, name, strlen(name));
	append_part(aad, given_for, strlen(given_for));
	append_part(aad, (const char *) secret_id->data, UUID_LEN);
	return aad;
}

/* What is said of secrets that were all given for something else. */
static const char *
given_for_another(const char *purpose)
{
	return strcmp(purpose, "account") == 0
		? "its secret was given for another host; give it again with rotate_account_secret()"
		: "its secret was given for another scheme; give it again with rotate_secret()";
}

/*
 * po_secrets_open returns the live secrets of a purpose and name that were given
 * for `given_for`, of the newest two, newest first, palloc'd.  Where one cannot
 * be opened, or all were given for something else, there are none, and problem
 * is a fixed phrase; else it is NULL.  Runs as the engine's owner.
 */
PoSecret *
po_secrets_open(const char *tenant_id, const char *purpose, const char *name,
				const char *given_for, int *nsecrets, const char **problem)
{
	MemoryContext caller = CurrentMemoryContext;
	PoSecret   *secret;
	Datum		args[4];
	uint8		key[PO_SEAL_KEY_LEN];
	int			n;
	int			opened = 0;

	po_spi_connect();
	args[0] = CStringGetTextDatum(tenant_id);
	args[1] = CStringGetTextDatum(purpose);
	args[2] = CStringGetTextDatum(name);
	args[3] = TimestampTzGetDatum(po_now());
	n = po_exec(&select_secrets, args, NULL);
	secret = MemoryContextAllocZero(caller, Max(n, 1) * sizeof(PoSecret));
	*problem = n > 0 ? read_key(key) : NULL;
	for (int i = 0; i < n && *problem == NULL; i++)
	{
		pg_uuid_t	secret_id;
		bytea	   *sealed = po_column_bytea(i, 2);
		StringInfo	aad;
		uint8	   *plain;
		int			len;
		PoUnsealResult result;

		if (strcmp(po_column_text(i, 3), given_for) != 0)
			continue;
		(void) po_column_uuid(i, 1, &secret_id);
		aad = secret_aad(tenant_id, purpose, name, given_for, &secret_id);
		result = po_unseal(key, aad->data, aad->len, (uint8 *) VARDATA_ANY(sealed),
						   VARSIZE_ANY_EXHDR(sealed), &plain, &len);
		if (result == PO_UNSEAL_OK)
		{
			secret[opened].data = MemoryContextAlloc(caller, len + 1);
			memcpy(secret[opened].data, plain, len + 1);
			secret[opened++].len = len;
			OPENSSL_cleanse(plain, len);
		}
		else
			*problem = result == PO_UNSEAL_WRONG_KEY
				? "a secret was sealed with another key than the one in outreach.secret_key_file"
				: "a sealed secret was changed";
	}
	OPENSSL_cleanse(key, sizeof(key));
	SPI_finish();
	if (n > 0 && opened == 0 && *problem == NULL)
		*problem = given_for_another(purpose);
	if (*problem != NULL)
		for (int i = 0; i < n; i++)
			po_secret_wipe(&secret[i]);
	*nsecrets = *problem == NULL ? opened : 0;
	return secret;
}

/*
 * po_secret_wipe overwrites and frees the bytes of a secret.
 */
void
po_secret_wipe(PoSecret *secret)
{
	if (secret->data != NULL)
	{
		OPENSSL_cleanse(secret->data, secret->len);
		pfree(secret->data);
		secret->data = NULL;
	}
}

/*
 * po_secret_store seals and stores a secret, and fills in its id; an error where there is
 * no key.  Runs as the engine's owner.
 */
void
po_secret_store(const char *tenant_id, const char *purpose, const char *name, const char *given_for,
				const text * plain, pg_uuid_t *secret_id)
{
	uint8		key[PO_SEAL_KEY_LEN];
	const char *problem;
	StringInfo	aad;
	uint8	   *sealed;
	int			sealed_len;
	bytea	   *value;
	bool		done;

	po_uuid_v7(secret_id);
	aad = secret_aad(tenant_id, purpose, name, given_for, secret_id);
	problem = read_key(key);
	if (problem != NULL)
		po_secrets_unavailable(problem);
	done = po_seal(key, aad->data, aad->len, (uint8 *) VARDATA_ANY(plain),
				   VARSIZE_ANY_EXHDR(plain), &sealed, &sealed_len);
	OPENSSL_cleanse(key, sizeof(key));
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not seal the secret")));
	value = palloc(VARHDRSZ + sealed_len);
	SET_VARSIZE(value, VARHDRSZ + sealed_len);
	memcpy(VARDATA(value), sealed, sealed_len);

	po_spi_connect();
	(void) po_exec_row(&insert_secret, NULL, &(Secret) {tenant_id, purpose, name, secret_id, value, given_for});
	SPI_finish();
}
