/*
 * profile.c
 *	  How providers are spoken to: rows of outreach.provider_profiles,
 *	  provider_outcomes and sending_accounts, remembered in the backend.
 *
 * Profiles and outcomes are read together, accounts when they are first asked
 * for, with their secrets opened. An account that cannot send is remembered for
 * its transaction alone: in the next one the key, or the row, may be there. What
 * is returned is valid until the transaction ends. Functions run as the engine's
 * owner.
 */
#include "postgres.h"

#include <openssl/hmac.h>

#include "catalog/pg_type.h"
#include "common/origin.h"
#include "core/args.h"
#include "core/cache.h"
#include "core/compat.h"
#include "core/secrets.h"
#include "outbound/profile.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define ACCOUNT_KEY_SIZE (2 * PO_MAX_ID_BYTES + 16)

typedef struct OutcomeRow
{
	const char *tenant_id;
	const char *profile;
	const char *http_status;
	const char *code;
	PoProviderOutcome outcome;
} OutcomeRow;

typedef struct AccountEntry
{
	char		key[ACCOUNT_KEY_SIZE];
	PoAccount	account;
} AccountEntry;

static const char *const outcome_name[] = {
	[PO_REQUEST_SENT] = "sent", [PO_REQUEST_RETRY] = "retry", [PO_REQUEST_LATER] = "later",
	[PO_REQUEST_MIDNIGHT_PACIFIC] = "midnight_pacific", [PO_REQUEST_REVIEW] = "review",
	[PO_REQUEST_FAILED] = "failed", [PO_REQUEST_UNKNOWN] = "unknown"
};
static const char *const effect_name[] = {
	[PO_OUTCOME_EFFECT_NONE] = NULL, [PO_OUTCOME_EFFECT_STOP_ACCOUNT] = "stop_account",
	[PO_OUTCOME_EFFECT_STOP_NUMBER] = "stop_number", [PO_OUTCOME_EFFECT_UNREACHABLE] = "unreachable",
	[PO_OUTCOME_EFFECT_OPT_OUT] = "opt_out"
};

static PoCache profile_cache = {
	.name = "outreach provider profiles",
	.tables = PO_OF_PROVIDER_PROFILES | PO_OF_PROVIDER_OUTCOMES
};

/* Accounts lead to profiles, and go with those. */
static PoCache account_cache = {
	.name = "outreach accounts",
	.tables = PO_OF_SENDING_ACCOUNTS | PO_OF_ENDPOINTS | PO_OF_SECRETS
};
static PoProfile *profile_of;	/* tenants' rows before those of '*' */
static int	nprofiles;
static OutcomeRow *outcome_of;
static int	noutcomes;
static HTAB *account_by_name;	/* those that can send */
static MemoryContext failed_context;	/* of those that cannot, until the transaction ends */
static HTAB *failed_by_name;	/* NULL: there is none yet */

#define MICROSECONDS(column) \
	"(extract(epoch FROM " column ") * 1000000)::int8"

#define LOOKUP_PATH(row, field, name) \
	PO_VALUE(row, field, "ARRAY(SELECT jsonb_array_elements_text(lookup -> '" name "'))", TEXTS)

static const PoField profile_field[] = {
	PO_FIELD(PoProfile, tenant_id, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, profile, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, provider, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, channel, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, url, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, authentication, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, auth_header, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, content_type, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, headers, JSONB, PO_GIVE),
	PO_FIELD(PoProfile, body, JSONB, PO_GIVE),
	PO_FIELD(PoProfile, id_path, TEXTS, PO_GIVE),
	PO_FIELD(PoProfile, id_header, TEXT, PO_GIVE),
	PO_FIELD(PoProfile, accepted_path, TEXTS, PO_GIVE),
	PO_FIELD(PoProfile, code_path, TEXTS, PO_GIVE),
	PO_FIELD(PoProfile, error_path, TEXTS, PO_GIVE),
	PO_FIELD(PoProfile, idempotency_header, TEXT, PO_GIVE),
	PO_VALUE(PoProfile, idempotency_life, MICROSECONDS("idempotency_life"), INT64),
	PO_VALUE(PoProfile, lookup_url, "lookup ->> 'url'", TEXT),
	LOOKUP_PATH(PoProfile, lookup_list, "list"),
	LOOKUP_PATH(PoProfile, lookup_id, "id"),
	LOOKUP_PATH(PoProfile, lookup_body, "body"),
	LOOKUP_PATH(PoProfile, lookup_time, "time"),
	LOOKUP_PATH(PoProfile, lookup_to, "to"),
	LOOKUP_PATH(PoProfile, lookup_from, "from"),
	PO_VALUE(PoProfile, lookup_lag, MICROSECONDS("(lookup ->> 'lag')::interval"), INT64),
	PO_VALUE(PoProfile, settle, MICROSECONDS("settle"), INT64),
	PO_FIELD(PoProfile, connect_timeout_ms, INT, PO_GIVE),
	PO_FIELD(PoProfile, timeout_ms, INT, PO_GIVE),
	PO_FIELD(PoProfile, max_in_flight, INT, PO_GIVE),
	PO_FIELD(PoProfile, breaker_failures, INT, PO_GIVE),
	PO_VALUE(PoProfile, breaker_pause, MICROSECONDS("breaker_pause"), INT64),
	PO_FIELD(PoProfile, sick_failures, INT, PO_GIVE),
	PO_FIELD(PoProfile, max_segments, INT, PO_GIVE),
	PO_FIELD(PoProfile, price_micros, INT64, PO_GIVE),
	PO_FIELD(PoProfile, required, TEXTS, PO_GIVE)
};

/* Behind these, what has no field of its kind. */
enum
{
	C_SICK_RATIO = lengthof(profile_field) + 1, C_RETRY_DELAYS
};

static PoStatement select_profiles = {
	.name = "profiles.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {p.*}, sick_ratio::float8,"
	" ARRAY(SELECT " MICROSECONDS("d") " FROM unnest(retry_delays) WITH ORDINALITY r(d, n) ORDER BY n)"
	" FROM outreach.provider_profiles p ORDER BY (tenant_id = '*'), tenant_id, profile",
	.gives = PO_FIELDS(profile_field, PO_GIVE)
};

static const PoField outcome_field[] = {
	PO_FIELD(OutcomeRow, tenant_id, TEXT, PO_GIVE),
	PO_FIELD(OutcomeRow, profile, TEXT, PO_GIVE),
	PO_FIELD(OutcomeRow, http_status, TEXT, PO_GIVE),
	PO_FIELD(OutcomeRow, code, TEXT, PO_GIVE),
	PO_VALUE(OutcomeRow, outcome.delay, MICROSECONDS("delay"), INT64),
	PO_FIELD_AS(OutcomeRow, outcome.max_attempts, "max_attempts", NUMBER, PO_GIVE),
	PO_FIELD_AS(OutcomeRow, outcome.meaning, "meaning", TEXT, PO_GIVE)
};

enum
{
	C_OUTCOME = lengthof(outcome_field) + 1, C_EFFECT
};

static PoStatement select_outcomes = {
	.name = "provider_outcomes.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {o.*}, outcome, effect FROM outreach.provider_outcomes o"
	" ORDER BY tenant_id, profile, http_status, code",
	.gives = PO_FIELDS(outcome_field, PO_GIVE)
};

static const PoField account_field[] = {
	PO_FIELD(PoAccount, channel, TEXT, PO_GIVE),
	PO_FIELD(PoAccount, username, TEXT, PO_GIVE),
	PO_FIELD(PoAccount, base_url, TEXT, PO_GIVE),
	PO_FIELD(PoAccount, settings, JSONB, PO_GIVE),
	PO_VALUE(PoAccount, callback_url, "e.public_url", TEXT)
};

enum
{
	C_PROFILE = lengthof(account_field) + 1, C_REPORTS
};

static PoStatement select_account = {
	.name = "accounts.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {a.*}, a.profile, a.callback_path IS NOT NULL FROM outreach.sending_accounts a"
	" LEFT JOIN outreach.endpoints e ON e.path = a.callback_path AND e.tenant_id = a.tenant_id"
	" WHERE a.tenant_id = $1 AND a.account = $2",
	.gives = PO_FIELDS(account_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

static void
read_profile(PoProfile *profile, int row)
{
	bool		isnull;
	Datum	   *element;

	po_read_row(&select_profiles, row, profile);
	profile->sick_ratio = DatumGetFloat8(po_column(row, C_SICK_RATIO, &isnull));
	deconstruct_array(DatumGetArrayTypeP(po_column(row, C_RETRY_DELAYS, &isnull)), INT8OID, 8,
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &element, NULL, &profile->nretries);
	profile->retry_delay = palloc(Max(profile->nretries, 1) * sizeof(int64));
	for (int i = 0; i < profile->nretries; i++)
		profile->retry_delay[i] = DatumGetInt64(element[i]);
	profile->needs = po_read_needs(profile->url, profile->lookup_url, profile->headers, profile->body,
								   &profile->required);
}

static int
find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (names[i] != NULL && name != NULL && strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static void
read_outcome(OutcomeRow *row, int i)
{
	int			effect;

	po_read_row(&select_outcomes, i, row);
	row->outcome.kind = find_name(outcome_name, lengthof(outcome_name), po_column_text(i, C_OUTCOME));
	effect = find_name(effect_name, lengthof(effect_name), po_column_text(i, C_EFFECT));
	row->outcome.effect = effect < 0 ? PO_OUTCOME_EFFECT_NONE : effect;
}

static HTAB *
make_account_table(MemoryContext context)
{
	HASHCTL		control = {
		.keysize = ACCOUNT_KEY_SIZE,
		.entrysize = sizeof(AccountEntry),
		.hcxt = context
	};

	return hash_create("outreach sending accounts", 16, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static void
forget_failed(void *context)
{
	if (context == failed_context)
		failed_by_name = NULL;
}

static void
begin_failed(void)
{
	MemoryContextCallback *callback;

	failed_context = AllocSetContextCreate(TopTransactionContext, "outreach failed accounts",
										   ALLOCSET_SMALL_SIZES);
	callback = MemoryContextAllocZero(failed_context, sizeof(MemoryContextCallback));
	callback->func = forget_failed;
	callback->arg = failed_context;
	MemoryContextRegisterResetCallback(failed_context, callback);
	failed_by_name = make_account_table(failed_context);
}

static void
load_profiles(void)
{
	MemoryContext old;

	po_cache_discard(&account_cache);
	po_spi_connect();
	old = MemoryContextSwitchTo(po_cache_reset(&profile_cache));
	nprofiles = po_exec_fixed(&select_profiles, NULL);
	profile_of = palloc0(Max(nprofiles, 1) * sizeof(PoProfile));
	for (int i = 0; i < nprofiles; i++)
		read_profile(&profile_of[i], i);
	noutcomes = po_exec_fixed(&select_outcomes, NULL);
	outcome_of = palloc0(Max(noutcomes, 1) * sizeof(OutcomeRow));
	for (int i = 0; i < noutcomes; i++)
		read_outcome(&outcome_of[i], i);
	MemoryContextSwitchTo(old);
	SPI_finish();
	po_cache_filled(&profile_cache);
}

/*
 * po_profiles_begin makes sure that what is remembered is fresh; to be called
 * once at the start of a call.
 */
void
po_profiles_begin(void)
{
	if (!po_cache_fresh(&profile_cache))
		load_profiles();
	if (po_cache_fresh(&account_cache))
		return;
	account_by_name = make_account_table(po_cache_reset(&account_cache));
	if (failed_by_name != NULL)
		po_cache_retire(failed_context);
	failed_by_name = NULL;
	po_cache_filled(&account_cache);
}

static bool
is_tenants_or_shipped(const char *row, const char *tenant_id)
{
	return strcmp(row, "*") == 0 || strcmp(row, tenant_id) == 0;
}

/*
 * po_find_profile returns the profile that a name means for a tenant, NULL when
 * there is none.
 */
const PoProfile *
po_find_profile(const char *tenant_id, const char *name)
{
	for (int i = 0; i < nprofiles; i++)
		if (is_tenants_or_shipped(profile_of[i].tenant_id, tenant_id) &&
			strcmp(profile_of[i].profile, name) == 0)
			return &profile_of[i];
	return NULL;
}

/*
 * The newest secret that was given for this, palloc'd; NULL when there is none
 * or it cannot be opened, which sets the problem unless there is one.
 */
static char *
open_secret(PoAccount *account, const char *purpose, const char *given_for, int *len)
{
	int			n;
	const char *problem;
	PoSecret   *secret = po_secrets_open(account->tenant_id, purpose, account->account, given_for,
										 &n, &problem);

	if (account->problem == NULL)
		account->problem = problem;
	if (n > 1)
		po_secret_wipe(&secret[1]);
	if (n > 0)
		*len = secret[0].len;
	return n > 0 ? secret[0].data : NULL;
}

/*
 * Where the requests go, and the secret if it was given for there.  What the
 * profile and the account say now counts, not what they said when it was given.
 */
static void
open_account(PoAccount *account)
{
	const PoProfile *profile = account->profile;
	char	   *origin = palloc(PO_ORIGIN_SIZE);
	int			len;

	account->origin = "";
	if (profile == NULL)
		account->problem = "its profile no longer exists";
	else if (!po_url_origin(account->base_url != NULL ? account->base_url : profile->url, origin))
		account->problem = "its URL has no host that is certain";
	else
	{
		account->origin = origin;
		if (strcmp(profile->authentication, "none") == 0)
			return;
		account->secret = open_secret(account, "account", origin, &len);
		if (account->secret == NULL && account->problem == NULL)
			account->problem = "its profile needs a secret; give it with rotate_account_secret()";
	}
}

/* A copy in the context, of which nothing points elsewhere. */
static void
keep_account(PoAccount *kept, const PoAccount *account, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

#define KEEP(field) kept->field = account->field != NULL ? pstrdup(account->field) : NULL
	*kept = *account;
	KEEP(tenant_id);
	KEEP(account);
	KEEP(channel);
	KEEP(username);
	KEEP(secret);
	KEEP(base_url);
	KEEP(origin);
	KEEP(callback_url);
	KEEP(callback_key);
#undef KEEP
	kept->settings = DatumGetJsonbPCopy(JsonbPGetDatum(account->settings));
	MemoryContextSwitchTo(old);
}

static void
wipe(const char *secret)
{
	if (secret != NULL)
		explicit_bzero(unconstify(char *, secret), strlen(secret));
}

/*
 * po_find_account returns a tenant's account, NULL when there is none.  One that
 * cannot send has a problem, and may have no profile.
 */
const PoAccount *
po_find_account(const char *tenant_id, const char *name)
{
	char		key[ACCOUNT_KEY_SIZE] = {0};
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(name)};
	PoAccount	account = {.tenant_id = tenant_id, .account = name};
	PoAccount	kept;
	AccountEntry *entry;

	/* Ids may have any characters: the length keeps two pairs apart. */
	snprintf(key, sizeof(key), "%d/%s/%s", (int) strlen(tenant_id), tenant_id, name);
	entry = hash_search(account_by_name, key, HASH_FIND, NULL);
	if (entry == NULL && failed_by_name != NULL)
		entry = hash_search(failed_by_name, key, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->account;
	po_spi_connect();
	if (po_exec_fixed(&select_account, args) == 0)
	{
		SPI_finish();
		return NULL;
	}
	po_read_row(&select_account, 0, &account);
	account.profile = po_find_profile(tenant_id, po_column_text(0, C_PROFILE));
	if (po_column_bool(0, C_REPORTS))
	{
		/* Callbacks come also while nothing can be sent. */
		account.callback_key = open_secret(&account, "callback", "", &account.callback_key_len);
		if (account.problem == NULL && (account.callback_url == NULL || account.callback_key == NULL))
			account.problem = "its callback endpoint is gone, or has no public_url";
	}
	open_account(&account);
	if (account.problem != NULL && failed_by_name == NULL)
		begin_failed();
	keep_account(&kept, &account, account.problem != NULL ? failed_context : account_cache.context);
	wipe(account.secret);
	wipe(account.callback_key);
	SPI_finish();
	entry = hash_search(kept.problem != NULL ? failed_by_name : account_by_name, key, HASH_ENTER, NULL);
	entry->account = kept;
	return &entry->account;
}

/* How exactly a pattern such as 429, 4xx or * names a status; -1: not at all. */
static int
status_match(const char *pattern, int http_status)
{
	if (pattern[0] == '*')
		return 0;
	if (strcmp(pattern + 1, "xx") == 0)
		return pattern[0] - '0' == http_status / 100 ? 1 : -1;
	return atoi(pattern) == http_status ? 2 : -1;
}

/*
 * po_find_outcome returns what an answer means: of the rows that match, the one
 * most exact in tenant, then profile, code, status.  http_status 0 and a code:
 * what a status callback said.  What no row knows may have been accepted.
 */
const PoProviderOutcome *
po_find_outcome(const PoAccount *account, int http_status, const char *code)
{
	static const PoProviderOutcome unknown = {
		.kind = PO_REQUEST_UNKNOWN, .meaning = "not in outreach.provider_outcomes"
	};
	const PoProviderOutcome *best = &unknown;
	int			best_score = -1;

	for (int i = 0; i < noutcomes; i++)
	{
		const OutcomeRow *row = &outcome_of[i];
		int			status = status_match(row->http_status, http_status);
		bool		exact_code = code != NULL && strcmp(row->code, code) == 0;
		int			score;

		if (!is_tenants_or_shipped(row->tenant_id, account->tenant_id) ||
			(strcmp(row->profile, "*") != 0 && strcmp(row->profile, account->profile->profile) != 0) ||
			status < 0 || (!exact_code && strcmp(row->code, "*") != 0))
			continue;
		score = (row->tenant_id[0] != '*') * 1000 + (row->profile[0] != '*') * 100 +
			exact_code * 10 + status;
		if (score > best_score)
		{
			best_score = score;
			best = &row->outcome;
		}
	}
	return best;
}

/*
 * po_request_outcome_name returns the i-th outcome that a request may have, NULL behind
 * the last.
 */
const char *
po_request_outcome_name(int i)
{
	return i < lengthof(outcome_name) ? outcome_name[i] : NULL;
}

/*
 * po_outcome_effect_name returns the i-th effect that an outcome may have, NULL behind
 * the last.
 */
const char *
po_outcome_effect_name(int i)
{
	return i + 1 < lengthof(effect_name) ? effect_name[i + 1] : NULL;
}

/*
 * po_callback_mac computes what proves that a status callback is about this
 * message; false where the account asks for none.
 */
bool
po_callback_mac(const PoAccount *account, const pg_uuid_t *message_id, char mac[PO_MAC_HEX + 1])
{
	uint8		digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (account->callback_key == NULL ||
		HMAC(EVP_sha256(), account->callback_key, account->callback_key_len, message_id->data,
			 UUID_LEN, digest, &len) == NULL)
		return false;
	for (int i = 0; i < PO_MAC_HEX / 2; i++)
		snprintf(mac + 2 * i, 3, "%02x", digest[i]);
	return true;
}
