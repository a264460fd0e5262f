/*
 * http_rules.h
 *	  What a request line and a set of headers must look like.
 *
 * Pure functions over slices.  Each returns true, or false with *refusal set.
 */
#ifndef PO_SHIM_HTTP_RULES_H
#define PO_SHIM_HTTP_RULES_H

#include "http_request.h"

/* http_target.c */
extern bool po_http_check_target(PoSlice target, PoHttpRequest *request, PoHttpRefusal *refusal);

/* http_rules.c */
extern bool po_http_check_request_line(PoSlice line, PoHttpRequest *request, PoHttpRefusal *refusal);
extern bool po_http_check_headers(PoHttpRequest *request, size_t body_limit, PoHttpRefusal *refusal);
extern bool po_http_header_is_private(PoSlice name);

#endif							/* PO_SHIM_HTTP_RULES_H */
