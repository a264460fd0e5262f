/*-------------------------------------------------------------------------
 * signature.c
 *	  HMAC, SHA-256, Ed25519 and ECDSA over the pieces of a request.
 *
 * The algorithms are fetched on first use and kept for the life of the process:
 * fetching costs several times what a short message does.  Fetched objects are
 * never changed; what holds a key is made for one call and freed by it, which
 * wipes it.  Nothing raises, and OpenSSL's error queue, which the server's own
 * connections share, is left as it was found.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/signature.h"

static EVP_MAC_CTX *hmac_sha1 = NULL;
static EVP_MAC_CTX *hmac_sha256 = NULL;
static EVP_MD *sha256 = NULL;

/* A context that knows its digest and has no key, to be copied for each use. */
static EVP_MAC_CTX *
make_hmac(const char *digest)
{
	EVP_MAC    *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *hmac = algorithm != NULL ? EVP_MAC_CTX_new(algorithm) : NULL;
	OSSL_PARAM	params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, unconstify(char *, digest), 0),
		OSSL_PARAM_construct_end()
	};

	if (hmac != NULL && EVP_MAC_CTX_set_params(hmac, params) != 1)
	{
		EVP_MAC_CTX_free(hmac);
		hmac = NULL;
	}
	EVP_MAC_free(algorithm);	/* the context holds a reference */
	return hmac;
}

static bool
compute_hmac(EVP_MAC_CTX **prototype, const char *digest, PoBytes key,
			 const PoBytes *part, int nparts, uint8 *mac, size_t mac_len)
{
	EVP_MAC_CTX *hmac;
	size_t		len = 0;
	bool		done;

	/* OpenSSL takes an empty key for "the key set before" */
	if (key.len <= 0)
		return false;

	ERR_set_mark();
	if (*prototype == NULL)
		*prototype = make_hmac(digest);
	hmac = *prototype != NULL ? EVP_MAC_CTX_dup(*prototype) : NULL;
	done = hmac != NULL &&
		EVP_MAC_init(hmac, (const uint8 *) key.data, key.len, NULL) == 1;
	for (int i = 0; done && i < nparts; i++)
		done = part[i].len == 0 ||
			EVP_MAC_update(hmac, (const uint8 *) part[i].data, part[i].len) == 1;
	done = done && EVP_MAC_final(hmac, mac, &len, mac_len) == 1 && len == mac_len;
	EVP_MAC_CTX_free(hmac);
	ERR_pop_to_mark();
	return done;
}

/*
 * HMAC-SHA1 of the parts one after the other.  Returns false if it could not
 * be computed.
 */
bool
po_hmac_sha1(PoBytes key, const PoBytes *part, int nparts, uint8 mac[PO_SHA1_LEN])
{
	return compute_hmac(&hmac_sha1, "SHA1", key, part, nparts, mac, PO_SHA1_LEN);
}

/*
 * HMAC-SHA256 of the parts one after the other.  Returns false if it could not
 * be computed.
 */
bool
po_hmac_sha256(PoBytes key, const PoBytes *part, int nparts, uint8 mac[PO_SHA256_LEN])
{
	return compute_hmac(&hmac_sha256, "SHA256", key, part, nparts, mac, PO_SHA256_LEN);
}

/*
 * SHA-256 of some bytes.  Returns false if it could not be computed.
 */
bool
po_sha256(PoBytes bytes, uint8 digest[PO_SHA256_LEN])
{
	bool		done;

	ERR_set_mark();
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	done = sha256 != NULL && EVP_Digest(bytes.data, bytes.len, digest, NULL, sha256, NULL) == 1;
	ERR_pop_to_mark();
	return done;
}

/*
 * Whether the signature over the message was made with the private half of a
 * raw Ed25519 public key.
 */
bool
po_ed25519_verify(const uint8 key[PO_ED25519_KEY_LEN], const uint8 signature[PO_ED25519_LEN],
				  PoBytes message)
{
	EVP_PKEY   *pkey;
	EVP_MD_CTX *ctx;
	bool		valid;

	ERR_set_mark();
	pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, key, PO_ED25519_KEY_LEN);
	ctx = EVP_MD_CTX_new();
	valid = pkey != NULL && ctx != NULL &&
		EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) == 1 &&
		EVP_DigestVerify(ctx, signature, PO_ED25519_LEN,
						 (const uint8 *) message.data, message.len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	ERR_pop_to_mark();
	return valid;
}

/*
 * Whether the SPKI form of a key of P-256 has a point of the curve.
 */
bool
po_p256_is_key(const uint8 spki[PO_P256_SPKI_LEN])
{
	const uint8 *p = spki;
	EVP_PKEY   *pkey;

	ERR_set_mark();
	pkey = d2i_PUBKEY(NULL, &p, PO_P256_SPKI_LEN);
	EVP_PKEY_free(pkey);
	ERR_pop_to_mark();
	return pkey != NULL;
}

/*
 * Whether the signature, as DER, over the SHA-256 of the parts one after the other was
 * made with the private half of such a key.
 */
bool
po_p256_verify(const uint8 spki[PO_P256_SPKI_LEN], const uint8 *signature, int len,
			   const PoBytes *part, int nparts)
{
	const uint8 *p = spki;
	EVP_PKEY   *pkey;
	EVP_MD_CTX *ctx;
	bool		valid;

	ERR_set_mark();
	pkey = d2i_PUBKEY(NULL, &p, PO_P256_SPKI_LEN);
	ctx = EVP_MD_CTX_new();
	valid = pkey != NULL && ctx != NULL &&
		EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, pkey, NULL) == 1;
	for (int i = 0; valid && i < nparts; i++)
		valid = part[i].len == 0 ||
			EVP_DigestVerifyUpdate(ctx, part[i].data, part[i].len) == 1;
	valid = valid && EVP_DigestVerifyFinal(ctx, signature, len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	ERR_pop_to_mark();
	return valid;
}
