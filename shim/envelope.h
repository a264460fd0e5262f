/*
 * envelope.h
 *	  The JSON object that the database is given for a request.
 */
#ifndef PO_SHIM_ENVELOPE_H
#define PO_SHIM_ENVELOPE_H

#include "lib/stringinfo.h"

#include "http_request.h"

extern void po_json_append_string(StringInfo out, const char *data, size_t len);
extern void po_envelope_append(StringInfo out, const PoHttpRequest *request,
							   const char *remote_addr, const char *correlation_id);

#endif							/* PO_SHIM_ENVELOPE_H */
