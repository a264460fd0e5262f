/*-------------------------------------------------------------------------
 * signature.h
 *	  What the schemes of authenticate.c are made of.
 *
 * Private to the files that implement them.
 *-------------------------------------------------------------------------
 */
#ifndef PO_SIGNATURE_H
#define PO_SIGNATURE_H

#include "common/authenticate.h"

#define PO_SHA1_LEN			20
#define PO_SHA256_LEN		32
#define PO_ED25519_KEY_LEN	32
#define PO_ED25519_LEN		64
#define PO_P256_SPKI_LEN	91

extern bool po_hmac_sha1(PoBytes key, const PoBytes *part, int nparts, uint8 mac[PO_SHA1_LEN]);
extern bool po_hmac_sha256(PoBytes key, const PoBytes *part, int nparts,
						   uint8 mac[PO_SHA256_LEN]);
extern bool po_sha256(PoBytes bytes, uint8 digest[PO_SHA256_LEN]);
extern bool po_ed25519_verify(const uint8 key[PO_ED25519_KEY_LEN],
							  const uint8 signature[PO_ED25519_LEN], PoBytes message);
extern bool po_p256_is_key(const uint8 spki[PO_P256_SPKI_LEN]);
extern bool po_p256_verify(const uint8 spki[PO_P256_SPKI_LEN], const uint8 *signature, int len,
						   const PoBytes *part, int nparts);

/* header.c */
extern bool po_same_name(PoBytes a, PoBytes b);
extern int	po_find_header(const PoSignedRequest *request, PoBytes name, PoBytes *value);
extern bool po_family_of(PoBytes signature_name, PoBytes *family);
extern int	po_find_of_family(const PoSignedRequest *request, PoBytes family, const char *rest,
							  PoBytes *value);
extern bool po_is_recent(const PoSignedRequest *request, PoBytes text, int64 unit_ms);

/* The schemes that have files of their own. */
extern bool po_check_twilio(const PoCredential *credential, const PoSignedRequest *request,
							PoBytes signature);
extern bool po_is_standard_webhooks_secret(PoBytes secret);
extern bool po_check_standard_webhooks(const PoCredential *credential,
									   const PoSignedRequest *request);
extern bool po_is_sendgrid_secret(PoBytes secret);
extern bool po_check_sendgrid(const PoCredential *credential, const PoSignedRequest *request);

static inline bool
po_same_bytes(PoBytes a, PoBytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline PoBytes
po_bytes(const char *text)
{
	return (PoBytes) {text, (int) strlen(text)};
}

/* Strips a prefix; false, and nothing changed, if the text has another. */
static inline bool
po_strip_prefix(PoBytes *text, const char *prefix)
{
	int			len = strlen(prefix);

	if (text->len < len || memcmp(text->data, prefix, len) != 0)
		return false;
	text->data += len;
	text->len -= len;
	return true;
}

#endif							/* PO_SIGNATURE_H */
