/*-------------------------------------------------------------------------
 * base64.h
 *	  Strict decoders of base64 and of hexadecimal digits.
 *
 * For values that are compared or used as keys: one spelling for one value
 * (hexadecimal: either case; po_base64_decode_any: the four forms that there
 * are), nothing skipped.  pg_b64_decode() and hex_decode() skip white space,
 * and the latter raises.
 *-------------------------------------------------------------------------
 */
#ifndef PO_BASE64_H
#define PO_BASE64_H

extern int	po_base64_decode(const char *text, int len, uint8 *bytes, int size);
extern int	po_base64_decode_any(const char *text, int len, uint8 *bytes, int size);
extern bool po_hex_decode(const char *text, int len, uint8 *bytes, int size);

#endif							/* PO_BASE64_H */
