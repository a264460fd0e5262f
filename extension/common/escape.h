/*
 * escape.h
 *	  Texts that a program on the way has escaped.
 */
#ifndef PO_ESCAPE_H
#define PO_ESCAPE_H

extern char *po_text_unescape(const char *text, int len, int *plain_len);

#endif
