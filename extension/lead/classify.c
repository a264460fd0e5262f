/*
 * classify.c
 *	  What a message says: consent keywords, and the rules of a client.
 *
 * Consent is read in two tiers.  A message that as a whole is keywords, courtesy
 * aside, does what the keyword says.  Short of that, a phrase that sounds like a
 * revocation, or a keyword that stands as a clause of its own in a longer
 * message, holds: nothing is sent until a person has read it.  So "Please stop
 * texting me" opts out, "I sold the house. Stop" holds, and "Stop by tomorrow"
 * does neither.
 *
 * Pure functions over the caller's structs; nothing is allocated but by
 * po_term_init.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "lead/classify.h"

static const struct
{
	const char *name;
	PoMatch match;
} matches[] = {
	{ "whole", PO_MATCH_WHOLE }, { "word", PO_MATCH_WORD },         { "leading", PO_MATCH_LEADING },
	{ "email", PO_MATCH_EMAIL }, { "question", PO_MATCH_QUESTION }, { "prefix", PO_MATCH_PREFIX },
	{ "any", PO_MATCH_ANY },
};

static const struct
{
	const char *name;
	PoConsentAction action;
} actions[] = {
	{ "opt_out", PO_CONSENT_OPT_OUT },   { "opt_in", PO_CONSENT_OPT_IN },
	{ "hold", PO_CONSENT_HOLD },         { "help", PO_CONSENT_HELP },
	{ "courtesy", PO_CONSENT_COURTESY },
};

/*
 * po_match_name returns the name of a kind of match.
 */
const char *
po_match_name(PoMatch match)
{
	for (int i = 0; i < (int) lengthof(matches); i++)
	{
		if (matches[i].match == match)
			return matches[i].name;
	}
	return NULL;
}

/*
 * po_consent_action_name returns the i-th action that a row may have, NULL
 * behind the last.
 */
const char *
po_consent_action_name(int i)
{
	return i < (int) lengthof(actions) ? actions[i].name : NULL;
}

/*
 * po_match_parse returns false for a name that is no kind of match.
 */
bool
po_match_parse(const char *name, PoMatch *match)
{
	for (int i = 0; i < (int) lengthof(matches); i++)
	{
		if (strcmp(name, matches[i].name) == 0)
		{
			*match = matches[i].match;
			return true;
		}
	}
	return false;
}

/*
 * po_consent_action_parse returns false for a name that is no action.
 */
bool
po_consent_action_parse(const char *name, PoConsentAction *action)
{
	for (int i = 0; i < (int) lengthof(actions); i++)
	{
		if (strcmp(name, actions[i].name) == 0)
		{
			*action = actions[i].action;
			return true;
		}
	}
	return false;
}

/*
 * po_term_init makes a term of a row's text.  It is palloc'd and lives as long
 * as the current memory context.  A text without letters and digits makes a
 * term of length 0, which never matches.
 */
void
po_term_init(PoTerm *term, PoMatch match, const char *text, int len)
{
	if (match == PO_MATCH_PREFIX)
	{
		char *copy = palloc(len + 1);

		memcpy(copy, text, len);
		copy[len] = '\0';
		term->text = copy;
		term->len = len;
		term->words = 0;
		return;
	}
	term->text = po_text_fold(text, len, &term->len);
	term->words = po_text_words(term->text, term->len);
}

/*
 * Whether the term's words are the first ones of [p, end).  With across, its
 * words may be in several clauses: "Do. Not. Text. Me."
 */
static inline bool
term_at(const PoTerm *term, const char *p, const char *end, bool across)
{
	if (term->len == 0 || end - p < term->len)
		return false;
	for (int i = 0; i < term->len; i++)
	{
		if (p[i] != term->text[i] && !(across && p[i] == '\n' && term->text[i] == ' '))
			return false;
	}
	return end - p == term->len || (unsigned char) p[term->len] <= ' ';
}

/*
 * Whether the term is somewhere in the text, at word boundaries.
 */
static bool
has_term(const PoText *text, const PoTerm *term, bool across)
{
	const char *end = text->folded + text->len;
	const char *p = text->folded;

	if ((term->words & ~text->words) != 0 || term->len == 0)
		return false;
	while ((p = memchr(p, term->text[0], end - p)) != NULL)
	{
		if ((p == text->folded || (unsigned char) p[-1] <= ' ') && term_at(term, p, end, across))
			return true;
		p++;
	}
	return false;
}

/*
 * Of several answers the one that sends least wins.
 */
static inline int
strength(PoConsentAction action)
{
	return action == PO_CONSENT_OPT_OUT ? 2 : action == PO_CONSENT_HOLD ? 1 : 0;
}

static inline bool
outranks(const PoWord *row, const PoWord *other)
{
	return strength(row->action) > strength(other->action) ||
		   (other->action == PO_CONSENT_COURTESY && row->action != PO_CONSENT_COURTESY);
}

/* What a stretch of text is made of, if of nothing but keywords and courtesy. */
typedef struct Reading
{
	bool complete;         /* every word belongs to a row */
	const PoWord *keyword; /* the first that is more than courtesy */
	bool mixed;            /* keywords disagree */
} Reading;

/*
 * Read [p, end) word by word, taking the longest row that begins there, of
 * equal ones the one that sends least: a tenant's row cannot weaken STOP.
 */
static Reading
read_keywords(const PoWordSet *set, const char *p, const char *end, uint64 words, PoMatch match)
{
	Reading reading = { true, NULL, false };

	while (p < end)
	{
		const PoWord *best = NULL;

		for (int i = 0; i < set->nwords; i++)
		{
			const PoWord *row = &set->words[i];

			if ((row->term.words & ~words) == 0 &&
				(row->match == match || row->action == PO_CONSENT_COURTESY) &&
				(best == NULL || row->term.len > best->term.len ||
				 (row->term.len == best->term.len && outranks(row, best))) &&
				term_at(&row->term, p, end, true))
				best = row;
		}
		if (best == NULL)
		{
			reading.complete = false;
			return reading;
		}
		if (best->action != PO_CONSENT_COURTESY)
		{
			if (reading.keyword == NULL)
				reading.keyword = best;
			else if (reading.keyword->action != best->action)
			{
				reading.mixed = true;
				if (strength(best->action) > strength(reading.keyword->action))
					reading.keyword = best;
			}
		}
		p += best->term.len;
		if (p < end)
			p++;
	}
	return reading;
}

/*
 * A clause that is a keyword, in a message that says more.  *word is set when
 * the result is not PO_CONSENT_NONE.
 */
static PoConsentAction
match_clauses(const PoWordSet *set, const PoText *text, const char **word)
{
	const char *end = text->folded + text->len;
	const char *clause_end;
	bool leading = true;

	for (const char *p = text->folded; p < end; p = clause_end + 1)
	{
		Reading whole;

		clause_end = memchr(p, '\n', end - p);
		if (clause_end == NULL)
			clause_end = end;
		whole = read_keywords(set, p, clause_end, text->words, PO_MATCH_WHOLE);
		if (whole.complete && whole.keyword != NULL && strength(whole.keyword->action) > 0)
		{
			*word = whole.keyword->word;
			return PO_CONSENT_HOLD;
		}
		if (leading)
		{
			Reading first = read_keywords(set, p, clause_end, text->words, PO_MATCH_LEADING);

			if (first.complete && first.keyword != NULL)
			{
				*word = first.keyword->word;
				return first.keyword->action;
			}
			/* nothing but courtesy does not count as the first clause */
			leading = first.complete;
		}
	}
	return PO_CONSENT_NONE;
}

/*
 * po_match_consent returns what the message asks for, and in *word the row that
 * says so (NULL for PO_CONSENT_NONE).  A message that asks for contrary things,
 * opting out among them, holds.
 */
PoConsentAction
po_match_consent(const PoWordSet *set, const PoText *text, const char **word)
{
	const PoWord *phrase = NULL;
	bool keyword = false;
	PoConsentAction action;
	Reading whole;

	*word = NULL;
	for (int i = 0; i < set->nwords; i++)
	{
		const PoWord *row = &set->words[i];

		if ((row->term.words & ~text->words) != 0 || row->action == PO_CONSENT_COURTESY ||
			!has_term(text, &row->term, true))
			continue;
		if (row->match != PO_MATCH_WORD)
			keyword = true;
		else if (phrase == NULL || strength(row->action) > strength(phrase->action))
			phrase = row;
	}

	if (keyword)
	{
		whole =
			read_keywords(set, text->folded, text->folded + text->len, text->words, PO_MATCH_WHOLE);
		if (whole.complete && whole.keyword != NULL &&
			(!whole.mixed || strength(whole.keyword->action) > 0))
		{
			*word = whole.keyword->word;
			return whole.mixed ? PO_CONSENT_HOLD : whole.keyword->action;
		}
		if (phrase == NULL || phrase->action != PO_CONSENT_OPT_OUT)
		{
			action = match_clauses(set, text, word);
			if (action != PO_CONSENT_NONE)
				return action;
		}
	}
	if (phrase == NULL)
		return PO_CONSENT_NONE;
	*word = phrase->word;
	return phrase->action;
}

static bool
has_prefix(const PoText *text, const PoTerm *term)
{
	return term->len > 0 && text->start_len >= term->len &&
		   pg_strncasecmp(text->start, term->text, term->len) == 0;
}

static bool
rule_matches(const PoRule *rule, const PoText *text)
{
	bool matched = false;

	switch (rule->match)
	{
		case PO_MATCH_ANY:
			matched = true;
			break;
		case PO_MATCH_EMAIL:
			matched = text->email != NULL;
			break;
		case PO_MATCH_QUESTION:
			matched = text->has_question;
			break;
		case PO_MATCH_PREFIX:
			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = has_prefix(text, &rule->terms[i]);
			break;
		case PO_MATCH_WORD:
			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = has_term(text, &rule->terms[i], false);
			break;
		case PO_MATCH_WHOLE:
			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = rule->terms[i].len == text->len &&
						  term_at(&rule->terms[i], text->folded, text->folded + text->len, true);
			break;
		case PO_MATCH_LEADING:
		{
			const char *end = memchr(text->folded, '\n', text->len);
			int len = end != NULL ? end - text->folded : text->len;

			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = rule->terms[i].len == len &&
						  term_at(&rule->terms[i], text->folded, text->folded + len, false);
		}
		break;
	}
	for (int i = 0; i < rule->nexcept && matched; i++)
		matched = !has_term(text, &rule->except[i], false);
	return matched;
}

/*
 * po_classify returns the first rule that matches, NULL when none does.  The
 * caller has sorted the rules by falling priority.
 */
const PoRule *
po_classify(const PoRule *rules, int nrules, const PoText *text)
{
	for (int i = 0; i < nrules; i++)
	{
		if (rule_matches(&rules[i], text))
			return &rules[i];
	}
	return NULL;
}
