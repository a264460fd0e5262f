/*
 * classify.c
 *	  What a message says: consent keywords, and the rules of a client.
 *
 * Consent is read in two tiers.  A message that as a whole is keywords, courtesy
 * aside, does what the keyword says.  Anything else is heard by the model of
 * meaning.c: what sounds like a revocation holds, which is to say that nothing
 * is sent until a person has read it.  A keyword that stands as a clause of its
 * own lowers what the model must be sure of, and with no more than a signature
 * beside it opts out.  So "STOP - Marisol" opts out, "I sold the house. Stop"
 * holds, and "Stop by tomorrow" does neither.  What would be a keyword but for a
 * slip, or for a yes beside it, holds.
 *
 * Pure functions over the caller's structs; nothing is allocated.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/classify.h"
#include "common/names.h"
#include "common/word_class.h"

/*
 * From which sound on a message holds, in units of PO_SOUND_UNIT: without a
 * keyword, with one as a clause of its own, with one as the first or last
 * words.  And from which one on a keyword with what may be a name opts out.
 */
#define HOLDS 0
#define HOLDS_WITH_KEYWORD (-40)
#define HOLDS_AT_EDGE (-6)
#define OPTS_OUT_WITH_NAME 100
#define SIGNATURE_MOST 6		/* words */
#define NAME_MOST 3
#define JOINED_LEAST 4			/* bytes; "e nd" could be anything */
#define JOINED_MOST 24
#define ROWS_MOST 64
#define SHORT_MOST 2			/* letters and digits */

static const char *const actions[] = {
	[PO_CONSENT_OPT_OUT] = "opt_out",   [PO_CONSENT_OPT_IN] = "opt_in",
	[PO_CONSENT_HOLD] = "hold",         [PO_CONSENT_HELP] = "help",
	[PO_CONSENT_COURTESY] = "courtesy",
};

static const char *const extracts[] = {
	[PO_EXTRACT_EMAIL] = "email", [PO_EXTRACT_PHONE] = "phone"
};

/*
 * po_consent_action_name returns the i-th action that a row may have, NULL
 * behind the last.
 */
const char *
po_consent_action_name(int i)
{
	return i + 1 < (int) lengthof(actions) ? actions[i + 1] : NULL;
}

/*
 * po_consent_action_parse returns false for a name that is no action.
 */
bool
po_consent_action_parse(const char *name, PoConsentAction *action)
{
	int			found = po_find_name(actions, lengthof(actions), name);

	if (found >= 0)
		*action = found;
	return found >= 0;
}

/*
 * po_extract_name returns the i-th thing that a rule may extract, NULL behind the
 * last.
 */
const char *
po_extract_name(int i)
{
	return i + 1 < (int) lengthof(extracts) ? extracts[i + 1] : NULL;
}

/*
 * po_extract_parse returns false for a name that is nothing to extract.
 */
bool
po_extract_parse(const char *name, PoExtract *extract)
{
	int			found = po_find_name(extracts, lengthof(extracts), name);

	if (found >= 0)
		*extract = found;
	return found >= 0;
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
	bool		complete;		/* every word belongs to a row */
	const PoWord *keyword;		/* the first that is more than courtesy */
	bool		mixed;			/* keywords disagree */
} Reading;

/*
 * Whether the row's words may be read in a stretch of this kind of match.
 */
static inline bool
row_counts(const PoWord *row, const PoText *text, PoMatch match)
{
	return row->match == match || row->action == PO_CONSENT_COURTESY ||
		(row->match == PO_MATCH_ALONE && match == PO_MATCH_WHOLE && row->term.len == text->len);
}

/*
 * The longest row whose words are the first of [p, end), of equal ones the one
 * that sends least: a tenant's row cannot weaken STOP.  NULL: none.
 */
static const PoWord *
longest_row(const PoWordSet *set, const PoText *text, const char *p, const char *end, PoMatch match)
{
	const PoWord *best = NULL;

	for (int i = 0; i < set->nwords; i++)
	{
		const PoWord *row = &set->words[i];

		if (row->term.first == *p && row_counts(row, text, match) &&
			(best == NULL || row->term.len > best->term.len ||
			 (row->term.len == best->term.len && outranks(row, best))) &&
			po_term_at(&row->term, p, end, true))
			best = row;
	}
	return best;
}

/*
 * Read [p, end) of the text row by row.
 */
static Reading
read_keywords(const PoWordSet *set, const PoText *text, const char *p, const char *end,
			  PoMatch match)
{
	Reading		reading = {true, NULL, false};

	while (p < end)
	{
		const PoWord *row = longest_row(set, text, p, end, match);

		if (row == NULL)
		{
			reading.complete = false;
			return reading;
		}
		if (row->action != PO_CONSENT_COURTESY)
		{
			if (reading.keyword == NULL)
				reading.keyword = row;
			else if (reading.keyword->action != row->action)
			{
				reading.mixed = true;
				if (strength(row->action) > strength(reading.keyword->action))
					reading.keyword = row;
			}
		}
		p += row->term.len;
		if (p < end)
			p++;
	}
	return reading;
}

/* How a keyword stands in a message that says more. */
typedef enum Standing
{
	STANDS_NOWHERE,
	STANDS_AT_EDGE,				/* the first or the last words */
	STANDS_ALONE				/* a clause of its own */
} Standing;

/*
 * The keyword that stands most by itself, of those that opt out or hold.
 */
static Standing
find_keyword(const PoWordSet *set, const PoText *text, const PoWord **keyword)
{
	const char *end = text->folded + text->len;
	const char *clause_end;

	for (const char *p = text->folded; p < end; p = clause_end + 1)
	{
		Reading		clause;

		clause_end = po_clause_end(p, end);
		clause = read_keywords(set, text, p, clause_end, PO_MATCH_WHOLE);
		if (clause.complete && clause.keyword != NULL && strength(clause.keyword->action) > 0)
		{
			*keyword = clause.keyword;
			return STANDS_ALONE;
		}
	}
	for (int i = 0; i < set->nwords; i++)
	{
		const PoWord *row = &set->words[i];
		const PoTerm *term = &row->term;

		if (row->match == PO_MATCH_WHOLE && strength(row->action) > 0 && term->len < text->len &&
			(po_term_at(term, text->folded, end, false) ||
			 (end[-term->len - 1] <= ' ' && po_term_at(term, end - term->len, end, false))))
		{
			*keyword = row;
			return STANDS_AT_EDGE;
		}
	}
	return STANDS_NOWHERE;
}

/*
 * The row that says what its words mean in a longer message, as its first clause
 * or anywhere; the one that sends least.  Nothing but courtesy does not count as
 * the first clause.
 */
static const PoWord *
find_phrase(const PoWordSet *set, const PoText *text)
{
	const char *end = text->folded + text->len;
	const char *clause_end;
	const PoWord *phrase = NULL;
	bool		leading = true;

	for (const char *p = text->folded; p < end && leading; p = clause_end + 1)
	{
		Reading		first;

		clause_end = po_clause_end(p, end);
		first = read_keywords(set, text, p, clause_end, PO_MATCH_LEADING);
		if (first.complete)
			phrase = first.keyword;
		leading = first.complete && phrase == NULL;
	}
	for (int i = 0; i < set->nwords; i++)
	{
		const PoWord *row = &set->words[i];

		if (row->match == PO_MATCH_WORD && row->action != PO_CONSENT_COURTESY &&
			(phrase == NULL || outranks(row, phrase)) && po_has_term(text, &row->term, true))
			phrase = row;
	}
	return phrase;
}

/* What stands beside the keywords of a message, courtesy aside. */
typedef enum Beside
{
	BESIDE_SENTENCE,
	BESIDE_YES,					/* a yes, or the keyword itself with a slip of the keyboard in it */
	BESIDE_NAME,				/* behind the keyword, or on a line above it, what could be a name */
	BESIDE_SIGNATURE			/* the same on a line of their own, behind a dash, or behind courtesy */
} Beside;

/*
 * Words could be a name when they come last, and none of them is one that
 * sentences are made of.
 */
static Beside
read_beside(const PoWordSet *set, const PoText *text)
{
	const char *end = text->folded + text->len;
	const char *p = text->folded;
	bool		after_keyword = false;
	bool		lined = false;
	bool		is_signed = false;
	bool		above = false;	/* names stand above the keyword */
	int			keywords = 0;
	int			yeses = 0;
	int			names = 0;

	while (p < end)
	{
		const PoWord *row = longest_row(set, text, p, end, PO_MATCH_WHOLE);
		const char *word = p;

		lined = lined || (p > text->folded && p[-1] == PO_LINE);
		if (row != NULL)
		{
			after_keyword = row->action != PO_CONSENT_COURTESY;
			if (after_keyword && names > 0)
			{
				if (keywords > 0 || p[-1] != PO_LINE)
					return BESIDE_SENTENCE;
				above = true;
			}
			keywords += strength(row->action) > 0;
			p += row->term.len;
		}
		else
		{
			PoWordClass class;

			while (p < end && (unsigned char) *p > ' ')
				p++;
			class = po_word_read(word, p - word).class;
			if (class == PO_CLASS_SLIP || class == PO_CLASS_YES)
			{
				keywords += class == PO_CLASS_SLIP;
				yeses++;
			}
			else if (class != PO_CLASS_NONE || above ||
					 ++names > (keywords == 0 ? NAME_MOST : SIGNATURE_MOST) ||
					 (names == 1 && after_keyword && word[-1] == ' '))	/* "stop lol" */
				return BESIDE_SENTENCE;
			else if (names == 1)
				is_signed = lined || !after_keyword;
		}
		p += p < end;
	}
	if (names == 0)
		return keywords == 1 ? BESIDE_YES : BESIDE_SENTENCE;
	if (yeses > 0 || keywords == 0)
		return BESIDE_SENTENCE;
	return is_signed && !above ? BESIDE_SIGNATURE : BESIDE_NAME;
}

/* A stop sign, or a rude one, and nothing that is said. */
static bool
is_picture_of_stop(const PoText *text)
{
	return text->len == 0 && (text->pictures & (PO_PICTURE_HALT | PO_PICTURE_RUDE)) != 0 &&
		(text->pictures & (PO_PICTURE_GLAD | PO_PICTURE_LAUGH)) == 0;
}

/*
 * What the model hears, with how a keyword stands in the message.
 */
static void
hear(const PoWordSet *set, const PoText *text, PoConsentReading *reading)
{
	static const int holds[] = {
		[STANDS_NOWHERE] = HOLDS,
		[STANDS_AT_EDGE] = HOLDS_AT_EDGE,
		[STANDS_ALONE] = HOLDS_WITH_KEYWORD
	};
	const PoWord *keyword = NULL;
	Standing	standing = find_keyword(set, text, &keyword);
	Beside		beside = read_beside(set, text);

	reading->by_sound = true;
	po_hear(text, &reading->heard);
	if (beside == BESIDE_YES || is_picture_of_stop(text) || reading->heard.sound >= holds[standing])
		reading->action = PO_CONSENT_HOLD;
	if (standing == STANDS_ALONE && keyword->action == PO_CONSENT_OPT_OUT &&
		(beside == BESIDE_SIGNATURE ||
		 (beside == BESIDE_NAME && reading->heard.sound >= OPTS_OUT_WITH_NAME)))
		reading->action = PO_CONSENT_OPT_OUT;
	if (reading->action != PO_CONSENT_NONE && standing != STANDS_NOWHERE)
		reading->word = keyword->word;
}

/*
 * The rows of the set whose words are all in the text, as far as signatures tell:
 * most of them are not, and the rest is looked through again and again.  All, if
 * there are too many.
 */
static PoWordSet
rows_of(const PoWordSet *set, const PoText *text, PoWord *room)
{
	PoWordSet	few = {room, 0, NULL};
	const uint64 *signature = set->signature;
	const uint64 *end = signature + set->nwords;
	uint64		missing = ~text->words;

	for (const uint64 *s = signature; s < end; s++)
	{
		if ((*s & missing) != 0)
			continue;
		if (few.nwords == ROWS_MOST)
			return *set;
		room[few.nwords++] = set->words[s - signature];
	}
	return few;
}

/*
 * The keyword that all words together are: "UN SUBSCRIBE".  NULL: none.
 */
static const PoWord *
find_joined(const PoWordSet *set, const PoText *text)
{
	char		joined[JOINED_MOST];
	uint64		signature;
	int			len = 0;

	if (text->len > JOINED_MOST)
		return NULL;
	for (int i = 0; i < text->len; i++)
	{
		if ((unsigned char) text->folded[i] > ' ')
			joined[len++] = text->folded[i];
	}
	if (len < JOINED_LEAST || len == text->len)
		return NULL;
	signature = po_text_words(joined, len);
	for (int i = 0; i < set->nwords; i++)
	{
		const PoWord *row = &set->words[i];

		if (set->signature[i] == signature && row->term.len == len &&
			row->match == PO_MATCH_WHOLE && row->action == PO_CONSENT_OPT_OUT &&
			memcmp(row->term.text, joined, len) == 0)
			return row;
	}
	return NULL;
}

/*
 * po_read_consent returns what the message asks for.  One that as a whole is
 * contrary keywords, one of them opting out, holds.  Of a phrase and of what the
 * models hear, the answer that sends less wins.
 */
PoConsentReading
po_read_consent(const PoWordSet *all, const PoText *text)
{
	PoWord		room[ROWS_MOST];
	PoWordSet	few = rows_of(all, text, room);
	PoConsentReading reading = {PO_CONSENT_NONE, NULL, false, {0}};
	Reading		whole =
		read_keywords(&few, text, text->folded, text->folded + text->len, PO_MATCH_WHOLE);
	const PoWord *phrase;

	if (whole.complete && whole.keyword != NULL &&
		(!whole.mixed || strength(whole.keyword->action) > 0))
	{
		reading.action = whole.mixed ? PO_CONSENT_HOLD : whole.keyword->action;
		reading.word = whole.keyword->word;
		return reading;
	}
	phrase = find_joined(all, text);
	if (phrase == NULL)
		phrase = find_phrase(&few, text);
	if (phrase == NULL || phrase->action != PO_CONSENT_OPT_OUT)
		hear(&few, text, &reading);
	if (phrase != NULL &&
		(reading.action == PO_CONSENT_NONE || strength(phrase->action) >= strength(reading.action)))
		reading = (PoConsentReading) {phrase->action, phrase->word, false, {0}};
	return reading;
}

static bool
has_prefix(const PoText *text, const PoTerm *term)
{
	return term->len > 0 && text->start_len >= term->len &&
		pg_strncasecmp(text->start, term->text, term->len) == 0;
}

static bool
has_intent(const PoRule *rule, const PoHeard *heard)
{
	for (int i = 0; i < rule->nterms; i++)
	{
		if (rule->terms[i].len > 0 &&
			strcmp(rule->terms[i].text, po_intent_name(heard->intent)) == 0)
			return heard->certainty >= rule->min_certainty;
	}
	return false;
}

/* heard is NULL where the models were not asked. */
static bool
rule_matches(const PoRule *rule, const PoText *text, const PoHeard *heard, const char *phone)
{
	bool		matched = false;

	switch (rule->match)
	{
		case PO_MATCH_ANY:
			matched = true;
			break;
		case PO_MATCH_EMAIL:
			matched = text->email != NULL;
			break;
		case PO_MATCH_PHONE:
			matched = phone != NULL;
			break;
		case PO_MATCH_CONTACT:
			matched = text->email != NULL && phone != NULL;
			break;
		case PO_MATCH_SHORT:
			matched = text->start_len > 0 && po_text_is_short(text, SHORT_MOST);
			break;
		case PO_MATCH_QUESTION:
			matched = text->has_question;
			break;
		case PO_MATCH_INTENT:
			matched = heard != NULL && has_intent(rule, heard);
			break;
		case PO_MATCH_PREFIX:
			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = has_prefix(text, &rule->terms[i]);
			break;
		case PO_MATCH_WORD:
			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = po_has_term(text, &rule->terms[i], false);
			break;
		case PO_MATCH_WHOLE:
		case PO_MATCH_ALONE:
			for (int i = 0; i < rule->nterms && !matched; i++)
				matched = rule->terms[i].len == text->len &&
					po_term_at(&rule->terms[i], text->folded, text->folded + text->len, true);
			break;
		case PO_MATCH_LEADING:
			{
				int			len = po_clause_end(text->folded, text->folded + text->len) - text->folded;

				for (int i = 0; i < rule->nterms && !matched; i++)
					matched = rule->terms[i].len == len &&
						po_term_at(&rule->terms[i], text->folded, text->folded + len, false);
			}
			break;
	}
	for (int i = 0; i < rule->nexcept && matched; i++)
		matched = !po_has_term(text, &rule->except[i], false);
	return matched;
}

static void
add_labels(PoRuling *ruling, const PoRule *rule)
{
	for (int i = 0; i < rule->nlabels && ruling->nlabels < PO_LABELS_MOST; i++)
	{
		int			k = 0;

		while (k < ruling->nlabels && strcmp(ruling->label[k], rule->label[i]) != 0)
			k++;
		ruling->label[k] = rule->label[i];
		ruling->nlabels = Max(ruling->nlabels, k + 1);
	}
}

/*
 * po_classify finds what the rules make of a message that asks for so much
 * consent: the first that matches says what it is, and each that matches labels
 * it and extracts.  What opts out has one label, and what holds has none: neither
 * is looked at for anything else.  phone is the one of the text that is not the
 * sender's, NULL for none.
 */
void
po_classify(const PoRuleSet *rules, const PoText *text, const PoConsentReading *consent,
			const char *phone, PoRuling *ruling)
{
	const PoHeard *heard = consent->by_sound ? &consent->heard : NULL;

	memset(ruling, 0, sizeof(*ruling));
	if (consent->action == PO_CONSENT_OPT_OUT)
		ruling->label[ruling->nlabels++] = PO_LABEL_OPTED_OUT;
	if (strength(consent->action) > 0)
		return;
	for (int i = 0; i < rules->nrules; i++)
	{
		const PoRule *rule = &rules->rules[i];
		bool		first = ruling->rule == NULL && consent->action == PO_CONSENT_NONE;

		if (!first && rule->nlabels == 0 && rule->extract == PO_EXTRACT_NONE)
			continue;
		if (!rule_matches(rule, text, heard, phone))
			continue;
		if (first)
			ruling->rule = rule;
		add_labels(ruling, rule);
		if (rule->extract == PO_EXTRACT_EMAIL)
			ruling->email = text->email;
		else if (rule->extract == PO_EXTRACT_PHONE)
			ruling->phone = phone;
	}
}
