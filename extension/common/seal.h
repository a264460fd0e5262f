/*-------------------------------------------------------------------------
 * seal.h
 *	  Sealing of secrets with a key that the database does not hold.
 *
 * A sealed value is
 *
 *		version 1 | key id 8 | nonce 12 | cipher text | tag 16
 *
 * by AES-256-GCM.  The key id is the start of the key's SHA-256, so that a
 * value under another key is told from a damaged one.  The version, the key id
 * and the caller's associated data (what the value belongs to) are
 * authenticated: a value moved to another place does not open.
 *-------------------------------------------------------------------------
 */
#ifndef PO_SEAL_H
#define PO_SEAL_H

#define PO_SEAL_KEY_LEN		32

/* What sealing adds to the length of the plain text. */
#define PO_SEAL_OVERHEAD	(1 + 8 + 12 + 16)

typedef enum PoUnsealResult
{
	PO_UNSEAL_OK,
	PO_UNSEAL_WRONG_KEY,		/* sealed under another key */
	PO_UNSEAL_DAMAGED			/* changed, cut, or of another place */
} PoUnsealResult;

extern bool po_seal(const uint8 key[PO_SEAL_KEY_LEN], const char *aad, int aad_len,
					const uint8 *plain, int plain_len, uint8 **sealed, int *sealed_len);
extern PoUnsealResult po_unseal(const uint8 key[PO_SEAL_KEY_LEN], const char *aad, int aad_len,
								const uint8 *sealed, int sealed_len,
								uint8 **plain, int *plain_len);
extern const char *po_read_key_file(const char *path, uint8 key[PO_SEAL_KEY_LEN]);

#endif							/* PO_SEAL_H */
