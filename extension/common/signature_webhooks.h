/*-------------------------------------------------------------------------
 * signature_webhooks.h
 *	  The signatures of Standard Webhooks.
 *-------------------------------------------------------------------------
 */
#ifndef PO_SIGNATURE_WEBHOOKS_H
#define PO_SIGNATURE_WEBHOOKS_H

#include "common/proof.h"

extern bool po_is_standard_webhooks_secret(PoBytes secret);
extern bool po_check_standard_webhooks(const PoCredential *credential,
									   const PoSignedRequest *request);

#endif							/* PO_SIGNATURE_WEBHOOKS_H */
