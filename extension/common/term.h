/*-------------------------------------------------------------------------
 *
 * term.h
 *	  The words and phrases of rows, and where they stand in a text
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_TERM_H
#define PO_TERM_H

#include "common/text.h"

typedef enum PoMatch
{
	PO_MATCH_WHOLE,				/* the message is the term, courtesy aside */
	PO_MATCH_ALONE,				/* the message is the term and nothing else */
	PO_MATCH_WORD,				/* the term anywhere, at word boundaries */
	PO_MATCH_LEADING,			/* the first clause is the term, courtesy aside */
	PO_MATCH_EMAIL,				/* there is an e-mail address */
	PO_MATCH_PHONE,				/* there is a phone, another than the sender's */
	PO_MATCH_CONTACT,			/* there are both */
	PO_MATCH_SHORT,				/* no more than two letters or digits, whatever else */
	PO_MATCH_QUESTION,			/* there is a question mark */
	PO_MATCH_INTENT,			/* the message means it: terms are intents (common/meaning.h) */
	PO_MATCH_PREFIX,			/* the unfolded text begins so, as in "[CALL]" */
	PO_MATCH_ANY
} PoMatch;

/* A word or phrase, folded (for PO_MATCH_PREFIX: as it is). */
typedef struct PoTerm
{
	uint64		words;			/* signature: no match unless the text has all */
	const char *text;
	int			len;
	char		first;			/* of the text; here, for most terms are passed over by it */
} PoTerm;

extern const char *po_match_name(int match);
extern bool po_match_parse(const char *name, PoMatch *match);
extern void po_term_init(PoTerm *term, PoMatch match, const char *text, int len);
extern bool po_term_squeeze(PoTerm *squeezed, const PoTerm *term);
extern bool po_term_at(const PoTerm *term, const char *p, const char *end, bool across);
extern bool po_has_term(const PoText *text, const PoTerm *term, bool across);

#endif							/* PO_TERM_H */
