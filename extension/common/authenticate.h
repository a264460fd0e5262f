/*-------------------------------------------------------------------------
 * authenticate.h
 *	  Whether a webhook comes from the holder of its endpoint's secret.
 *
 * A pure function of the endpoint's credential and the request as received.
 * Nothing here raises, logs, allocates with palloc or keeps a pointer; a
 * request that cannot be checked (no memory, no algorithm) is refused.  Not
 * for use from several threads.
 *
 * The scheme, the secrets and the signed URL are the endpoint's: nothing of
 * the request chooses them.
 *-------------------------------------------------------------------------
 */
#ifndef PO_AUTHENTICATE_H
#define PO_AUTHENTICATE_H

#include "common/proof.h"

/* What is special about a scheme. */
#define PO_SIGNS_URL		0x01
#define PO_SIGNS_BODY		0x02	/* alone: nothing of it covers a GET */
#define PO_HAS_FAMILY		0x04	/* the time, and the id, stand beside the signature */
#define PO_OWN_HEADER		0x08	/* its proof may come in a header that the endpoint names */

extern const char *po_scheme_name(int i);
extern bool po_scheme_from_name(const char *name, PoScheme *scheme);
extern bool po_scheme_has(PoScheme scheme, int trait);
extern const char *po_check_header_name(PoScheme scheme, PoBytes name);
extern const char *po_check_secret(PoScheme scheme, PoBytes secret);
extern bool po_authenticate(const PoCredential *credential, const PoSignedRequest *request);

#endif							/* PO_AUTHENTICATE_H */
