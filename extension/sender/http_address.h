/*-------------------------------------------------------------------------
 * http_address.h
 *	  Which addresses a request may go to: those of the public internet.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_ADDRESS_H
#define PO_HTTP_ADDRESS_H

struct sockaddr;

extern bool po_address_is_public(const struct sockaddr *address);
extern bool po_address_text_is_public(const char *text);

#endif							/* PO_HTTP_ADDRESS_H */
