/*
 * request.h
 *	  The HTTP request that hands a message to its provider, or asks for it.
 */
#ifndef PO_SENDER_REQUEST_H
#define PO_SENDER_REQUEST_H

#include "sender/http_call.h"
#include "sender/request_values.h"

extern const char *po_send_request(const PoRequestInput *input, PoHttpCall *call);
extern const char *po_lookup_request(const PoRequestInput *input, PoHttpCall *call);

#endif
