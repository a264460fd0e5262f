/*
 * unicode.h
 *	  Characters of UTF-8 text: decoding, classes, lower case, NFKC.
 *
 * Depends neither on a locale nor on the database encoding.
 */
#ifndef PO_UNICODE_H
#define PO_UNICODE_H

extern int	po_utf8_decode(const char *s, const char *end, uint32 *c);
extern int	po_utf8_encode(uint32 c, char *out);
extern bool po_char_is_separator(uint32 c);
extern bool po_char_is_space(uint32 c);
extern bool po_char_is_blank(uint32 c);
extern uint32 po_char_lower(uint32 c);
extern uint32 po_char_fold(uint32 c);
extern char *po_text_nfkc(const char *text, int len, int *normal_len);

#endif
