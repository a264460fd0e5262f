/*-------------------------------------------------------------------------
 * authenticate.c
 *	  Whether a webhook comes from the holder of its endpoint's secret.
 *
 * One function for each scheme, and a table of them.  Rules that all keep:
 *
 * - a header or parameter that carries a proof, and any other header that is
 *   signed, must be there once: two readers might choose different ones;
 * - secrets and signatures are compared in constant time as raw bytes, after
 *   their length, and all of them, so that the time does not tell which fit;
 * - what is decoded is decoded strictly: nothing is skipped or cut, and what a
 *	 digest may be spelt as is listed.
 *
 * No locks, no state.  See authenticate.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>

#include "common/authenticate.h"
#include "common/base64.h"
#include "common/header.h"
#include "common/signature.h"
#include "common/signature_sendgrid.h"
#include "common/signature_twilio.h"
#include "common/signature_webhooks.h"

/* A secret that is itself sent must be too long to guess. */
#define MIN_SENT_SECRET_LEN	16

/* What precedes the key's 32 bytes in the SPKI form of an Ed25519 key. */
static const uint8 spki_prefix[] = {
	0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00
};

/* The headers a scheme takes its proof from, the preferred one first. */
static const char *const token_headers[] = {"x-webhook-token", NULL};
static const char *const secret_headers[] = {"x-texting-secret", NULL};
static const char *const hmac_headers[] = {
	"x-texting-signature", "x-signature", "x-broadcast-signature", "x-hub-signature-256", NULL
};
static const char *const twilio_headers[] = {"x-twilio-signature", NULL};
static const char *const ghl_headers[] = {"x-ghl-signature", NULL};

/* What may precede a digest, with a colon, an equals sign or a space; in any case. */
static const char *const digest_names[] = {
	"sha256", "sha-256", "hmac-sha256", "hmac_sha256", "hmacsha256", "hmac", "v1"
};

typedef struct Scheme
{
	const char *name;
	bool		(*check) (const PoCredential *credential, const PoSignedRequest *request);
	const char *(*check_secret) (PoBytes secret);
	int			traits;
} Scheme;

/* ---- what requests offer ---- */

/*
 * Finds the proof: in the header the endpoint names, or else in the first of
 * the scheme's that is there.  Returns how often that header is there.
 */
static int
find_proof(const PoCredential *credential, const PoSignedRequest *request,
		   const char *const *names, PoBytes *proof)
{
	int			found = 0;

	if (credential->header_name.len > 0)
		return po_find_header(request, credential->header_name, proof);
	for (int i = 0; names[i] != NULL && found == 0; i++)
		found = po_find_header(request, po_bytes(names[i]), proof);
	return found;
}

static bool
is_secret(const PoCredential *credential, PoBytes offered)
{
	bool		matched = false;

	for (int i = 0; i < credential->nsecrets; i++)
	{
		const PoBytes *secret = &credential->secret[i];

		matched |= secret->len == offered.len &&
			CRYPTO_memcmp(secret->data, offered.data, offered.len) == 0;
	}
	return matched;
}

/* Whether a HMAC-SHA256 of the parts under one of the secrets is the offered one. */
static bool
is_hmac(const PoCredential *credential, const PoBytes *part, int nparts,
		const uint8 offered[PO_SHA256_LEN])
{
	uint8		expected[PO_SHA256_LEN];
	bool		matched = false;

	for (int i = 0; i < credential->nsecrets; i++)
		matched |= po_hmac_sha256(credential->secret[i], part, nparts, expected) &&
			CRYPTO_memcmp(offered, expected, sizeof(expected)) == 0;
	OPENSSL_cleanse(expected, sizeof(expected));
	return matched;
}

/* ---- none, token, secret_header, basic ---- */

static bool
check_none(const PoCredential *credential, const PoSignedRequest *request)
{
	(void) credential;
	(void) request;
	return true;
}

/*
 * Decodes the percent signs of a query's value.  Returns the length, or -1 if
 * the value is malformed or does not fit.
 */
static int
decode_percent(PoBytes value, char *decoded, int size)
{
	int			len = 0;

	for (int i = 0; i < value.len; i++)
	{
		if (len == size)
			return -1;
		if (value.data[i] != '%')
		{
			decoded[len++] = value.data[i];
			continue;
		}
		if (value.len - i < 3 ||
			!po_hex_decode(value.data + i + 1, 2, (uint8 *) &decoded[len++], 1))
			return -1;
		i += 2;
	}
	return len;
}

/* How often the query has the parameter `token`; *value is the last. */
static int
find_token_parameter(PoBytes query, PoBytes *value)
{
	int			found = 0;

	while (query.len > 0)
	{
		const char *end = memchr(query.data, '&', query.len);
		PoBytes		parameter = {query.data, end != NULL ? end - query.data : query.len};
		int			used = Min(parameter.len + 1, query.len);

		query.data += used;
		query.len -= used;
		if (po_strip_prefix(&parameter, "token="))
		{
			*value = parameter;
			found++;
		}
	}
	return found;
}

/* Strips the kind of an authorization, and the spaces behind it. */
static bool
strip_authorization(PoBytes *value, const char *kind)
{
	int			len = strlen(kind);
	PoBytes		start = {value->data, Min(value->len, len)};

	if (!po_same_name(start, po_bytes(kind)) || value->len == len || value->data[len] != ' ')
		return false;
	while (len < value->len && value->data[len] == ' ')
		len++;
	value->data += len;
	value->len -= len;
	return true;
}

/* The token may be in several places; then it must be right in all of them. */
static bool
check_token(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		offered;
	char		decoded[PO_MAX_SECRET_LEN];
	int			nparameters = find_token_parameter(request->query, &offered);
	int			nheaders;
	int			nbearers;
	bool		matched = true;

	if (nparameters == 1)
	{
		offered.len = decode_percent(offered, decoded, sizeof(decoded));
		offered.data = decoded;
		matched &= offered.len >= 0 && is_secret(credential, offered);
	}

	nheaders = find_proof(credential, request, token_headers, &offered);
	if (nheaders == 1)
		matched &= is_secret(credential, offered);

	nbearers = po_find_header(request, po_bytes("authorization"), &offered);
	if (nbearers == 1)
	{
		/* another kind of authorization is for somebody else */
		if (strip_authorization(&offered, "bearer"))
			matched &= is_secret(credential, offered);
		else
			nbearers = 0;
	}

	return matched && nparameters <= 1 && nheaders <= 1 && nbearers <= 1 &&
		nparameters + nheaders + nbearers > 0;
}

static bool
check_secret_header(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		offered;

	return find_proof(credential, request, secret_headers, &offered) == 1 &&
		is_secret(credential, offered);
}

/* User and password as in RFC 7617, which are the secret with their colon. */
static bool
check_basic(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		offered;
	uint8		decoded[PO_MAX_SECRET_LEN];
	int			len;
	bool		matched;

	if (po_find_header(request, po_bytes("authorization"), &offered) != 1 ||
		!strip_authorization(&offered, "basic"))
		return false;
	len = po_base64_decode(offered.data, offered.len, decoded, sizeof(decoded));
	matched = len >= 0 && is_secret(credential, (PoBytes) {(char *) decoded, len});
	OPENSSL_cleanse(decoded, sizeof(decoded));
	return matched;
}

/* ---- signatures ---- */

/*
 * Decodes a SHA-256 digest, as hexadecimal digits of either case or as base64 of
 * either alphabet, padded or not, perhaps with its name before it.  Each form has a
 * length of its own, so that no text has two meanings.
 */
static bool
decode_digest(PoBytes text, uint8 digest[PO_SHA256_LEN])
{
	for (int i = 0; i < (int) lengthof(digest_names); i++)
	{
		int			len = strlen(digest_names[i]);

		if (text.len > len && po_same_name((PoBytes) {text.data, len}, po_bytes(digest_names[i])) &&
			(text.data[len] == '=' || text.data[len] == ':' || text.data[len] == ' '))
		{
			text.data += len + 1;
			text.len -= len + 1;
			break;
		}
	}
	return po_hex_decode(text.data, text.len, digest, PO_SHA256_LEN) ||
		po_base64_decode_any(text.data, text.len, digest, PO_SHA256_LEN) == PO_SHA256_LEN;
}

static bool
check_hmac_sha256(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		proof;
	uint8		offered[PO_SHA256_LEN];

	return find_proof(credential, request, hmac_headers, &proof) == 1 &&
		decode_digest(proof, offered) &&
		is_hmac(credential, &request->body, 1, offered);
}

static bool
check_twilio(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		proof;

	return find_proof(credential, request, twilio_headers, &proof) == 1 &&
		po_check_twilio(credential, request, proof);
}

static bool
check_signalhouse(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		family = po_bytes("x-signalhouse");
	PoBytes		proof;
	PoBytes		timestamp;
	uint8		offered[PO_SHA256_LEN];

	if (credential->header_name.len > 0 && !po_family_of(credential->header_name, &family))
		return false;
	if (po_find_of_family(request, family, "-signature", &proof) != 1 ||
		po_find_of_family(request, family, "-timestamp", &timestamp) != 1 ||
		!po_is_recent(request, timestamp, 1) ||
		!decode_digest(proof, offered))
		return false;
	return is_hmac(credential, (PoBytes[]) {timestamp, po_bytes("."), request->body}, 3, offered);
}

static bool
decode_spki(PoBytes secret, uint8 key[PO_ED25519_KEY_LEN])
{
	uint8		spki[sizeof(spki_prefix) + PO_ED25519_KEY_LEN];

	if (po_base64_decode(secret.data, secret.len, spki, sizeof(spki)) != sizeof(spki) ||
		memcmp(spki, spki_prefix, sizeof(spki_prefix)) != 0)
		return false;
	memcpy(key, spki + sizeof(spki_prefix), PO_ED25519_KEY_LEN);
	return true;
}

/* An unsigned request carries the value N/A, which is no base64 either. */
static bool
check_ghl(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		proof;
	uint8		offered[PO_ED25519_LEN];
	uint8		key[PO_ED25519_KEY_LEN];
	bool		matched = false;

	if (find_proof(credential, request, ghl_headers, &proof) != 1 ||
		po_base64_decode(proof.data, proof.len, offered, sizeof(offered)) != sizeof(offered))
		return false;
	for (int i = 0; i < credential->nsecrets; i++)
		matched |= decode_spki(credential->secret[i], key) &&
			po_ed25519_verify(key, offered, request->body);
	return matched;
}

/* ---- the form of secrets ---- */

static const char *
check_absent_secret(PoBytes secret)
{
	return secret.len == 0 ? NULL : "this scheme takes no secret";
}

static const char *
check_sent_secret(PoBytes secret)
{
	if (secret.len < MIN_SENT_SECRET_LEN)
		return "the secret must have at least 16 characters";
	for (int i = 0; i < secret.len; i++)
	{
		if (secret.data[i] <= ' ' || secret.data[i] > '~')
			return "the secret must be visible ASCII characters without spaces";
	}
	return NULL;
}

/* Some providers have a key for the user, and an empty password: together they are long. */
static const char *
check_basic_secret(PoBytes secret)
{
	if (memchr(secret.data != NULL ? secret.data : "", ':', secret.len) == NULL)
		return "the secret must be the user, a colon, and the password";
	if (secret.len < MIN_SENT_SECRET_LEN + 1)
		return "user and password must have at least 16 bytes together";
	for (int i = 0; i < secret.len; i++)
	{
		if ((unsigned char) secret.data[i] < ' ' || secret.data[i] == 0x7f)
			return "user and password must not have control characters";
	}
	return NULL;
}

static const char *
check_signing_secret(PoBytes secret)
{
	return secret.len > 0 ? NULL : "the scheme needs a secret";
}

static const char *
check_ghl_secret(PoBytes secret)
{
	uint8		key[PO_ED25519_KEY_LEN];

	return decode_spki(secret, key) ? NULL
		: "the secret must be an Ed25519 public key as base64 of its SPKI form";
}

static const char *
check_webhook_secret(PoBytes secret)
{
	return po_is_standard_webhooks_secret(secret) ? NULL
		: "the secret must be whsec_ and base64 of 24 to 64 bytes, or whpk_ and base64 of 32";
}

static const char *
check_sendgrid_secret(PoBytes secret)
{
	return po_is_sendgrid_secret(secret) ? NULL
		: "the secret must be a public key of P-256 as base64 of its SPKI form";
}

/* ---- the table ---- */

static const Scheme schemes[] = {
	[PO_SCHEME_NONE] = {"none", check_none, check_absent_secret, 0},
	[PO_SCHEME_TOKEN] = {"token", check_token, check_sent_secret, PO_OWN_HEADER},
	[PO_SCHEME_SECRET_HEADER] = {"secret_header", check_secret_header, check_sent_secret,
								 PO_OWN_HEADER},
	[PO_SCHEME_HMAC_SHA256] = {"hmac_sha256", check_hmac_sha256, check_signing_secret,
							   PO_SIGNS_BODY | PO_OWN_HEADER},
	[PO_SCHEME_TWILIO] = {"twilio", check_twilio, check_signing_secret,
						  PO_SIGNS_URL | PO_OWN_HEADER},
	[PO_SCHEME_SIGNALHOUSE] = {"signalhouse", check_signalhouse, check_signing_secret,
							   PO_SIGNS_BODY | PO_HAS_FAMILY | PO_OWN_HEADER},
	[PO_SCHEME_GHL] = {"ghl", check_ghl, check_ghl_secret, PO_SIGNS_BODY | PO_OWN_HEADER},
	[PO_SCHEME_STANDARD_WEBHOOKS] = {"standard_webhooks", po_check_standard_webhooks,
									 check_webhook_secret, PO_SIGNS_BODY | PO_HAS_FAMILY | PO_OWN_HEADER},
	[PO_SCHEME_BASIC] = {"basic", check_basic, check_basic_secret, 0},
	[PO_SCHEME_SENDGRID] = {"sendgrid", po_check_sendgrid, check_sendgrid_secret,
							PO_SIGNS_BODY | PO_HAS_FAMILY | PO_OWN_HEADER},
};

/*
 * Finds a scheme by its name in the SQL API.  Returns false if there is none.
 */
bool
po_scheme_from_name(const char *name, PoScheme *scheme)
{
	for (int i = 0; i < (int) lengthof(schemes); i++)
	{
		if (strcmp(schemes[i].name, name) == 0)
		{
			*scheme = (PoScheme) i;
			return true;
		}
	}
	return false;
}

/*
 * Returns the i-th scheme's name, NULL behind the last.
 */
const char *
po_scheme_name(int i)
{
	return i < (int) lengthof(schemes) ? schemes[i].name : NULL;
}

/*
 * Whether a scheme has a trait, PO_SIGNS_URL or another.
 */
bool
po_scheme_has(PoScheme scheme, int trait)
{
	return (uint32) scheme < lengthof(schemes) && (schemes[scheme].traits & trait) != 0;
}

/*
 * Returns NULL if the proof may come in a header of this name, or else a fixed
 * phrase that says why no request will have it there.
 */
const char *
po_check_header_name(PoScheme scheme, PoBytes name)
{
	const char *problem;
	PoBytes		family;

	if (!po_scheme_has(scheme, PO_OWN_HEADER))
		return "the scheme reads no header of another name";
	problem = po_header_name_problem(name);
	if (problem != NULL)
		return problem;
	if (po_scheme_has(scheme, PO_HAS_FAMILY) && !po_family_of(name, &family))
		return "signature_header must end in -signature: the scheme reads -timestamp, and -id, beside it";
	return NULL;
}

/*
 * Returns NULL if the secret has the form the scheme needs, or else a fixed
 * phrase that says what is wrong with it and repeats nothing of it.
 */
const char *
po_check_secret(PoScheme scheme, PoBytes secret)
{
	if ((uint32) scheme >= lengthof(schemes))
		return "the scheme is unknown";
	if (secret.len > PO_MAX_SECRET_LEN)
		return "the secret is longer than 1024 bytes";
	return schemes[scheme].check_secret(secret);
}

/*
 * Whether the request proves knowledge of one of the credential's secrets in
 * the way of its scheme.  PO_SCHEME_NONE admits everything; any other needs one
 * or two secrets, all of the scheme's form, and admits nothing without.  One that
 * signs the body alone admits no GET: its signature would fit any query.
 */
bool
po_authenticate(const PoCredential *credential, const PoSignedRequest *request)
{
	if ((uint32) credential->scheme >= lengthof(schemes) ||
		(request->is_get && po_scheme_has(credential->scheme, PO_SIGNS_BODY)))
		return false;
	if (credential->scheme != PO_SCHEME_NONE)
	{
		if (credential->nsecrets < 1 || credential->nsecrets > PO_MAX_SECRETS)
			return false;
		for (int i = 0; i < credential->nsecrets; i++)
		{
			if (po_check_secret(credential->scheme, credential->secret[i]) != NULL)
				return false;
		}
	}
	return schemes[credential->scheme].check(credential, request);
}
