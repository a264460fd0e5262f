/*-------------------------------------------------------------------------
 * signature.h
 *	  HMAC, SHA-256, Ed25519 and ECDSA over pieces of bytes.
 *-------------------------------------------------------------------------
 */
#ifndef PO_SIGNATURE_H
#define PO_SIGNATURE_H

#include "common/bytes.h"

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

#endif							/* PO_SIGNATURE_H */
