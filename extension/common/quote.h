/*
 * quote.h
 *	  What in a message its sender did not write.
 */
#ifndef PO_QUOTE_H
#define PO_QUOTE_H

typedef struct PoSpan
{
	const char *start;
	const char *end;
} PoSpan;

/* quote.c */
extern char *po_text_written(const char *text, int len, int *written_len);

/* reaction.c */
extern const char *po_next_mark(const char *p, const char *end, int *len);
extern bool po_quotes_notice(const char *start, const char *end);
extern bool po_quotes_keyword(const char *start, const char *end);
extern bool po_find_reaction(const char *p, const char *end, PoSpan *quote);

#endif
