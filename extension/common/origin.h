/*-------------------------------------------------------------------------
 * origin.h
 *	  Where a request goes: scheme, host and port of a URL.
 *-------------------------------------------------------------------------
 */
#ifndef PO_COMMON_ORIGIN_H
#define PO_COMMON_ORIGIN_H

/* "https://", a name of 253 or an address in brackets, ":65535", NUL. */
#define PO_ORIGIN_SIZE 272

extern bool po_url_origin(const char *url, char origin[PO_ORIGIN_SIZE]);

#endif							/* PO_COMMON_ORIGIN_H */
