/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Reading a short message: folding, clauses, addresses
 *
 * Folding makes texts that a person reads as the same compare as the same:
 * NFKC, no invisible characters, lower case, no accents, apostrophes inside
 * words dropped ("don't" is "dont"), a letter that a word has three times in a
 * row or more only once, letters that stand apart joined ("s t o p"), everything
 * that is neither letter nor digit one space.  What is quoted from an earlier
 * message is not part of the text (common/quote.h).
 *
 * Nothing here depends on a locale, a catalog or the time.  Input is UTF-8;
 * only the first PO_TEXT_LIMIT bytes of it are looked at, cut between words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_TEXT_H
#define PO_TEXT_H

#include "common/phone.h"

#define PO_TEXT_LIMIT 4096
#define PO_TEXT_PHONES 8		/* more are not noted */

/* What stands between clauses, and between lines or beside a dash. */
#define PO_CLAUSE '\n'
#define PO_LINE '\v'

/* Pictures that say something of what their sender wants. */
#define PO_PICTURE_HALT 1		/* a stop sign, a raised hand, a cross */
#define PO_PICTURE_RUDE 2
#define PO_PICTURE_ANGRY 4
#define PO_PICTURE_GLAD 8
#define PO_PICTURE_LAUGH 16
#define PO_PICTURE_SAD 32
#define PO_PICTURE_PLEASE 64
#define PO_PICTURE_OTHER 128

/*
 * A message made ready for matching.  E-mail addresses, URLs and phone numbers
 * are left out of "folded", so that "stop, pat@example.com" is a bare "stop".
 */
typedef struct PoText
{
	char	   *folded;			/* words apart by ' ', clauses by PO_CLAUSE and PO_LINE */
	int			len;			/* bytes in folded, without its NUL */
	uint64		words;			/* signature of the words, see po_text_words */
	const char *start;			/* first character that is no blank, unfolded */
	int			start_len;		/* may point into the caller's text */
	char	   *normal;			/* NFKC form, NULL when the text is ASCII */
	char	   *email;			/* first address, folded, or NULL */
	char		phone[PO_TEXT_PHONES][PO_E164_SIZE];
	int			nphones;
	bool		has_question;
	int			pictures;		/* PO_PICTURE_… */
} PoText;

extern void po_text_read(PoText *text, const char *raw, int len);
extern void po_text_free(PoText *text);
extern const char *po_text_phone(const PoText *text, const char *from, const char *to);
extern bool po_text_is_short(const PoText *text, int most);
extern char *po_text_fold(const char *text, int len, int *folded_len);
extern const char *po_clause_end(const char *p, const char *end);
extern int	po_char_picture(uint32 c);
extern int	po_text_squeeze(const char *folded, int len, char *out);
extern uint64 po_text_words(const char *folded, int len);

#endif							/* PO_TEXT_H */
