/*-------------------------------------------------------------------------
 * echo.h
 *	  Whether a text tells a secret, in any of the forms that answers repeat
 *	  what they were sent in.
 *-------------------------------------------------------------------------
 */
#ifndef PO_COMMON_ECHO_H
#define PO_COMMON_ECHO_H

extern bool po_tells_secret(const char *secret, const char *text, int len);

#endif							/* PO_COMMON_ECHO_H */
