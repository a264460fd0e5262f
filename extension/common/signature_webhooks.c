/*-------------------------------------------------------------------------
 * signature_webhooks.c
 *	  The signatures of Standard Webhooks (standardwebhooks.com).
 *
 * Signed are id, timestamp and body with points between them: by HMAC-SHA256
 * (v1) when the secret is a shared key, by Ed25519 (v1a) when it is a public
 * one.  A header may list several signatures, of old and new keys.
 *
 * The three headers come under two families of names: webhook-id, -timestamp and
 * -signature, or those of Svix, svix-id and so on.  What is read is one family as a
 * whole.  Whoever has captured a request of one may not lend its signature to the
 * id or the time of another, nor show two readers behind us two of them: where
 * headers of both families are there, both must be whole and the same.
 *
 * No locks, no state.  A message of Ed25519 is put together with malloc and
 * freed before the return.  See authenticate.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>

#include "common/base64.h"
#include "common/header.h"
#include "common/signature.h"
#include "common/signature_webhooks.h"

/* Bytes of a shared key. */
#define MIN_KEY_LEN			24
#define MAX_KEY_LEN			64

/* A header that lists more is refused: each may cost a public-key operation. */
#define MAX_SIGNATURES		10

/* The key of a symmetric secret; returns its length, -1 if it is none. */
static int
decode_key(PoBytes secret, uint8 key[MAX_KEY_LEN])
{
	int			len = -1;

	if (po_strip_prefix(&secret, "whsec_"))
		len = po_base64_decode(secret.data, secret.len, key, MAX_KEY_LEN);
	return len >= MIN_KEY_LEN ? len : -1;
}

static bool
decode_public_key(PoBytes secret, uint8 key[PO_ED25519_KEY_LEN])
{
	return po_strip_prefix(&secret, "whpk_") &&
		po_base64_decode(secret.data, secret.len, key, PO_ED25519_KEY_LEN) == PO_ED25519_KEY_LEN;
}

/*
 * Splits a list of signatures at its spaces.  Returns how many there are; more
 * than MAX_SIGNATURES are counted but not kept.
 */
static int
split_signatures(PoBytes list, PoBytes signature[MAX_SIGNATURES])
{
	int			n = 0;
	int			from = 0;

	for (int i = 0; i <= list.len; i++)
	{
		if (i < list.len && list.data[i] != ' ')
			continue;
		if (n < MAX_SIGNATURES)
			signature[n] = (PoBytes) {list.data + from, i - from};
		n++;
		from = i + 1;
	}
	return n;
}

/* Whether one of the v1 signatures is the HMAC of the parts. */
static bool
is_hmac(PoBytes key, const PoBytes *part, int nparts,
		const PoBytes *signature, int nsignatures)
{
	uint8		expected[PO_SHA256_LEN];
	bool		matched = false;

	if (!po_hmac_sha256(key, part, nparts, expected))
		return false;
	for (int i = 0; i < nsignatures; i++)
	{
		PoBytes		text = signature[i];
		uint8		offered[PO_SHA256_LEN];

		matched |= po_strip_prefix(&text, "v1,") &&
			po_base64_decode(text.data, text.len, offered, sizeof(offered)) == sizeof(offered) &&
			CRYPTO_memcmp(offered, expected, sizeof(expected)) == 0;
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	return matched;
}

/* Whether one of the v1a signatures is the key's; Ed25519 wants one message. */
static bool
is_ed25519(const uint8 *key, const PoBytes *part, int nparts,
		   const PoBytes *signature, int nsignatures)
{
	size_t		len = 0;
	char	   *message;
	bool		matched = false;

	for (int i = 0; i < nparts; i++)
		len += part[i].len;
	message = malloc(len);
	if (message == NULL)
		return false;
	len = 0;
	for (int i = 0; i < nparts; i++)
	{
		if (part[i].len > 0)
			memcpy(message + len, part[i].data, part[i].len);
		len += part[i].len;
	}

	for (int i = 0; i < nsignatures; i++)
	{
		PoBytes		text = signature[i];
		uint8		offered[PO_ED25519_LEN];

		matched |= po_strip_prefix(&text, "v1a,") &&
			po_base64_decode(text.data, text.len, offered, sizeof(offered)) == sizeof(offered) &&
			po_ed25519_verify(key, offered, (PoBytes) {message, len});
	}
	free(message);
	return matched;
}

/*
 * Whether the secret has one of the two forms.
 */
bool
po_is_standard_webhooks_secret(PoBytes secret)
{
	uint8		key[MAX_KEY_LEN];
	bool		valid = decode_key(secret, key) > 0 || decode_public_key(secret, key);

	OPENSSL_cleanse(key, sizeof(key));
	return valid;
}

/* One family's headers. */
typedef struct Signed
{
	PoBytes		id;
	PoBytes		timestamp;
	PoBytes		list;
} Signed;

/* How many of a family's headers there are; three is all of them, each once. */
static int
find_family(const PoSignedRequest *request, PoBytes family, Signed *found)
{
	int			nids = po_find_of_family(request, family, "-id", &found->id);
	int			ntimes = po_find_of_family(request, family, "-timestamp", &found->timestamp);
	int			nlists = po_find_of_family(request, family, "-signature", &found->list);

	return nids <= 1 && ntimes <= 1 && nlists <= 1 ? nids + ntimes + nlists : 4;
}

/* The headers of the family that the endpoint names, or else of the one that is there. */
static bool
find_signed(const PoCredential *credential, const PoSignedRequest *request, Signed *found)
{
	PoBytes		family;
	Signed		other;
	int			n;
	int			nothers;

	if (credential->header_name.len > 0)
		return po_family_of(credential->header_name, &family) &&
			find_family(request, family, found) == 3;
	n = find_family(request, po_bytes("webhook"), found);
	nothers = find_family(request, po_bytes("svix"), &other);
	if (n == 0)
	{
		*found = other;
		return nothers == 3;
	}
	return n == 3 && (nothers == 0 || (nothers == 3 && po_same_bytes(found->id, other.id) &&
									   po_same_bytes(found->timestamp, other.timestamp) &&
									   po_same_bytes(found->list, other.list)));
}

/*
 * Whether the request has a signature under one of the credential's secrets, made a
 * short time ago.  The id may not hold the point that ends it: with one, a signature
 * would fit several divisions into id, timestamp and body.
 */
bool
po_check_standard_webhooks(const PoCredential *credential, const PoSignedRequest *request)
{
	Signed		found;
	PoBytes		signature[MAX_SIGNATURES];
	int			nsignatures;
	bool		matched = false;

	if (!find_signed(credential, request, &found) ||
		!po_is_recent(request, found.timestamp, 1000) ||
		found.id.len == 0 || memchr(found.id.data, '.', found.id.len) != NULL)
		return false;
	nsignatures = split_signatures(found.list, signature);
	if (nsignatures > MAX_SIGNATURES)
		return false;

	for (int i = 0; i < credential->nsecrets; i++)
	{
		const PoBytes part[] = {
			found.id, po_bytes("."), found.timestamp, po_bytes("."), request->body
		};
		uint8		key[MAX_KEY_LEN];
		int			key_len = decode_key(credential->secret[i], key);

		if (key_len > 0)
			matched |= is_hmac((PoBytes) {(char *) key, key_len}, part, lengthof(part),
							   signature, nsignatures);
		else if (decode_public_key(credential->secret[i], key))
			matched |= is_ed25519(key, part, lengthof(part), signature, nsignatures);
		OPENSSL_cleanse(key, sizeof(key));
	}
	return matched;
}
