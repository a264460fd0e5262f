/*-------------------------------------------------------------------------
 * signature_twilio.c
 *	  Twilio's signature: HMAC-SHA1 over the URL called and the form sent.
 *
 * The signed text is the URL, then each key of the form in byte order, followed
 * by its value; a key with several values comes once for each different one,
 * in byte order.  A body that is no form is covered by the parameter bodySHA256
 * of the URL, which is then signed alone.
 *
 * The text has no separators, so a signature also fits a request whose bytes
 * were moved between the query and the form, or between fields.  That is why
 * the endpoint's own query, where it has one, may not be replaced, and why a
 * body that nothing covers is refused, however right the signature of its URL.
 *
 * Of a GET the URL with its whole query is signed, as it was sent: the fields are
 * in it.
 *
 * No locks, no state, scratch on the stack.  See authenticate.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>

#include "common/base64.h"
#include "common/signature.h"
#include "common/signature_twilio.h"
#include "common/url.h"

#define BODY_HASH	"bodySHA256="

/* Whether it is a parameter that Twilio, or the engine itself, adds to a URL. */
static bool
is_added(PoBytes parameter)
{
	if (po_strip_prefix(&parameter, BODY_HASH))
		return parameter.len == 2 * PO_SHA256_LEN;
	return po_is_reference(parameter);
}

/*
 * Whether the request's query may stand at the end of the endpoint's URL: it is
 * the URL's own, to which the reference of a message and the hash of the body may
 * have been added; if the URL has none, any.  A GET has its fields in the query,
 * after the URL's own parameters.
 */
static bool
is_query_allowed(const PoUrl *url, const PoSignedRequest *request)
{
	PoBytes		query = request->query;
	bool		parted = url->query.len == 0 || url->query.data[url->query.len - 1] == '&';

	if (!url->has_query)
		return true;
	if (query.len < url->query.len || !po_same_bytes(po_slice(query, 0, url->query.len), url->query))
		return false;
	for (int from = url->query.len; from < query.len;)
	{
		int			to;

		if (!parted && query.data[from++] != '&')
			return false;
		if (request->is_get)
			return true;
		parted = false;
		to = po_find_any(query, from, "&");
		if (!is_added(po_slice(query, from, to)))
			return false;
		from = to;
	}
	return true;
}

/*
 * Looks for the body's hash in the query.  Returns how often it is there; the
 * last value is left in *hash.
 */
static int
find_body_hash(PoBytes query, PoBytes *hash)
{
	int			found = 0;

	for (int from = 0; from < query.len;)
	{
		int			to = po_find_any(query, from, "&");
		PoBytes		parameter = po_slice(query, from, to);

		if (po_strip_prefix(&parameter, BODY_HASH))
		{
			*hash = parameter;
			found++;
		}
		from = to + 1;
	}
	return found;
}

static bool
is_body_hash(PoBytes hash, PoBytes body)
{
	uint8		offered[PO_SHA256_LEN];
	uint8		expected[PO_SHA256_LEN];

	return po_hex_decode(hash.data, hash.len, offered, sizeof(offered)) &&
		po_sha256(body, expected) &&
		CRYPTO_memcmp(offered, expected, sizeof(expected)) == 0;
}

static int
compare_bytes(PoBytes a, PoBytes b)
{
	int			common = Min(a.len, b.len);
	int			order = common > 0 ? memcmp(a.data, b.data, common) : 0;

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_pairs(const void *a, const void *b)
{
	const PoFormPair *left = *(const PoFormPair *const *) a;
	const PoFormPair *right = *(const PoFormPair *const *) b;
	int			order = compare_bytes(left->key, right->key);

	return order != 0 ? order : compare_bytes(left->value, right->value);
}

/*
 * Appends the form's keys and values to the signed parts, in their order,
 * equal pairs once.  Returns how many parts that makes.
 */
static int
add_form(const PoSignedRequest *request, PoBytes *part)
{
	const PoFormPair *pair[PO_MAX_SIGNED_PAIRS];
	int			nparts = 0;

	for (int i = 0; i < request->nform; i++)
		pair[i] = &request->form[i];
	qsort(pair, request->nform, sizeof(pair[0]), compare_pairs);

	for (int i = 0; i < request->nform; i++)
	{
		if (i > 0 && compare_pairs(&pair[i - 1], &pair[i]) == 0)
			continue;
		part[nparts++] = pair[i]->key;
		part[nparts++] = pair[i]->value;
	}
	return nparts;
}

/*
 * Whether the signature is Twilio's for this request under one of the
 * credential's secrets.  Twilio is not consistent about the port in what it
 * signs, so it is tried as given, left out, and as the standard one.
 */
bool
po_check_twilio(const PoCredential *credential, const PoSignedRequest *request,
				PoBytes signature)
{
	PoBytes		part[5 + 2 * PO_MAX_SIGNED_PAIRS];
	int			nparts = 0;
	PoUrl		url;
	PoBytes		hash;
	int			nhashes;
	uint8		offered[PO_SHA1_LEN];
	uint8		expected[PO_SHA1_LEN];
	bool		matched = false;

	if (po_base64_decode(signature.data, signature.len, offered, sizeof(offered)) !=
		sizeof(offered))
		return false;
	if (!po_split_url(credential->url, &url) || !is_query_allowed(&url, request))
		return false;

	nhashes = find_body_hash(request->query, &hash);
	if (nhashes > 0)
	{
		if (nhashes > 1 || !is_body_hash(hash, request->body))
			return false;
	}
	else if (request->nform > PO_MAX_SIGNED_PAIRS ||
			 (request->nform == 0 && request->body.len > 0))
		return false;

	part[nparts++] = url.origin;
	part[nparts++] = url.port;
	part[nparts++] = url.path;
	part[nparts++] = url.has_query || request->query.len > 0 ? po_bytes("?") : po_bytes("");
	part[nparts++] = request->query;
	if (nhashes == 0)
		nparts += add_form(request, part + nparts);

	for (int i = 0; i < credential->nsecrets; i++)
	{
		const PoBytes port[] = {url.port, po_bytes(""), url.standard_port};

		for (int j = 0; j < (int) lengthof(port); j++)
		{
			/* the port that was given may be one of the others */
			if (j > 0 && po_same_bytes(port[j], url.port))
				continue;
			part[1] = port[j];
			matched |= po_hmac_sha1(credential->secret[i], part, nparts, expected) &&
				CRYPTO_memcmp(offered, expected, sizeof(expected)) == 0;
		}
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	return matched;
}
