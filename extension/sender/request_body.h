/*
 * request_body.h
 *	  The body of a request: a profile's document, filled in.
 */
#ifndef PO_SENDER_REQUEST_BODY_H
#define PO_SENDER_REQUEST_BODY_H

#include "sender/request_values.h"

/* How deep the document may be. */
#define PO_REQUEST_MAX_DEPTH 16

extern const char *po_list_problem(Jsonb *document, Jsonb *elsewhere);
extern bool po_write_body(PoRequestValues *values, bool form, Jsonb *body, StringInfo out);

#endif
