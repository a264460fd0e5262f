/*-------------------------------------------------------------------------
 * signature_twilio.h
 *	  Twilio's signature.
 *-------------------------------------------------------------------------
 */
#ifndef PO_SIGNATURE_TWILIO_H
#define PO_SIGNATURE_TWILIO_H

#include "common/proof.h"

extern bool po_check_twilio(const PoCredential *credential, const PoSignedRequest *request,
							PoBytes signature);

#endif							/* PO_SIGNATURE_TWILIO_H */
