/*-------------------------------------------------------------------------
 * signature_sendgrid.h
 *	  The signatures of SendGrid's event webhook.
 *-------------------------------------------------------------------------
 */
#ifndef PO_SIGNATURE_SENDGRID_H
#define PO_SIGNATURE_SENDGRID_H

#include "common/proof.h"

extern bool po_is_sendgrid_secret(PoBytes secret);
extern bool po_check_sendgrid(const PoCredential *credential, const PoSignedRequest *request);

#endif							/* PO_SIGNATURE_SENDGRID_H */
