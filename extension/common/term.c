/*
 * term.c
 *	  The words and phrases of rows, and where they stand in a text.
 *
 * Pure functions over the caller's structs; nothing is allocated but by
 * po_term_init and po_term_squeeze.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/meaning.h"
#include "common/names.h"
#include "common/term.h"

static const char *const matches[] = {
	[PO_MATCH_WHOLE] = "whole",     [PO_MATCH_ALONE] = "alone",   [PO_MATCH_WORD] = "word",
	[PO_MATCH_LEADING] = "leading", [PO_MATCH_EMAIL] = "email",   [PO_MATCH_PHONE] = "phone",
	[PO_MATCH_CONTACT] = "contact", [PO_MATCH_SHORT] = "short",   [PO_MATCH_QUESTION] = "question",
	[PO_MATCH_INTENT] = "intent",   [PO_MATCH_PREFIX] = "prefix", [PO_MATCH_ANY] = "any",
};

/*
 * po_match_name returns the name of a kind of match, NULL behind the last.
 */
const char *
po_match_name(int match)
{
	return match < (int) lengthof(matches) ? matches[match] : NULL;
}

/*
 * po_match_parse returns false for a name that is no kind of match.
 */
bool
po_match_parse(const char *name, PoMatch *match)
{
	int			found = po_find_name(matches, lengthof(matches), name);

	if (found >= 0)
		*match = found;
	return found >= 0;
}

/*
 * po_term_init makes a term of a row's text.  It is palloc'd and lives as long
 * as the current memory context.  A text without letters and digits, and the
 * name of no intent, make a term of length 0, which never matches.
 */
void
po_term_init(PoTerm *term, PoMatch match, const char *text, int len)
{
	if (match == PO_MATCH_PREFIX || match == PO_MATCH_INTENT)
	{
		PoIntent	intent;
		char	   *copy = palloc(len + 1);

		memcpy(copy, text, len);
		copy[len] = '\0';
		term->text = copy;
		term->len = match == PO_MATCH_PREFIX || po_intent_parse(copy, &intent) ? len : 0;
		term->words = 0;
		term->first = copy[0];
		return;
	}
	term->text = po_text_fold(text, len, &term->len);
	term->words = po_text_words(term->text, term->len);
	term->first = term->text[0];
}

/*
 * po_term_squeeze makes of a term how it looks in a text that draws its letters
 * out: "all" is "al" there.  False when that is no other, or the term not folded.
 */
bool
po_term_squeeze(PoTerm *squeezed, const PoTerm *term)
{
	char	   *text;
	int			len;

	if (term->words == 0)
		return false;
	text = palloc(term->len + 1);
	len = po_text_squeeze(term->text, term->len, text);

	if (len == term->len)
	{
		pfree(text);
		return false;
	}
	text[len] = '\0';
	*squeezed = (PoTerm) {po_text_words(text, len), text, len, text[0]};
	return true;
}

/*
 * po_term_at returns whether the term's words are the first ones of [p, end).
 * With across, its words may be in several clauses: "Do. Not. Text. Me."
 */
bool
po_term_at(const PoTerm *term, const char *p, const char *end, bool across)
{
	if (term->len == 0 || end - p < term->len)
		return false;
	for (int i = 0; i < term->len; i++)
	{
		if (p[i] != term->text[i] &&
			!(across && (unsigned char) p[i] <= ' ' && term->text[i] == ' '))
			return false;
	}
	return end - p == term->len || (unsigned char) p[term->len] <= ' ';
}

/*
 * po_has_term returns whether the term is somewhere in the text, at word
 * boundaries.
 */
bool
po_has_term(const PoText *text, const PoTerm *term, bool across)
{
	const char *end = text->folded + text->len;
	const char *p = text->folded;

	if ((term->words & ~text->words) != 0 || term->len == 0)
		return false;
	while ((p = memchr(p, term->first, end - p)) != NULL)
	{
		if ((p == text->folded || (unsigned char) p[-1] <= ' ') && po_term_at(term, p, end, across))
			return true;
		p++;
	}
	return false;
}
