/*-------------------------------------------------------------------------
 *
 * classify.h
 *	  What a message says: consent keywords, and the rules of a client
 *
 * Words and rules are rows.  Whoever reads the rows fills these structs, with
 * memory that lives as long as they do, and the functions here decide from
 * them, a PoText and the weights of lead/meaning.h alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_CLASSIFY_H
#define PO_CLASSIFY_H

#include "lead/meaning.h"
#include "lead/text.h"

typedef enum PoMatch
{
	PO_MATCH_WHOLE,    /* the message is the term, courtesy aside */
	PO_MATCH_ALONE,    /* the message is the term and nothing else */
	PO_MATCH_WORD,     /* the term anywhere, at word boundaries */
	PO_MATCH_LEADING,  /* the first clause is the term, courtesy aside */
	PO_MATCH_EMAIL,    /* there is an e-mail address */
	PO_MATCH_QUESTION, /* there is a question mark */
	PO_MATCH_INTENT,   /* the message means it: terms are intents (lead/meaning.h) */
	PO_MATCH_PREFIX,   /* the unfolded text begins so, as in "[CALL]" */
	PO_MATCH_ANY
} PoMatch;

typedef enum PoConsentAction
{
	PO_CONSENT_NONE,
	PO_CONSENT_OPT_OUT,
	PO_CONSENT_OPT_IN,
	PO_CONSENT_HOLD, /* stop sending, ask a person */
	PO_CONSENT_HELP,
	PO_CONSENT_COURTESY /* in rows only: words that may surround a keyword */
} PoConsentAction;

/* A word or phrase, folded (for PO_MATCH_PREFIX: as it is). */
typedef struct PoTerm
{
	uint64 words; /* signature: no match unless the text has all */
	const char *text;
	int len;
} PoTerm;

typedef struct PoWord
{
	PoTerm term;
	PoMatch match; /* whole, alone, word or leading */
	PoConsentAction action;
	const char *word; /* as in the row */
} PoWord;

typedef struct PoWordSet
{
	const PoWord *words;
	int nwords;
} PoWordSet;

/* What a message asks for, and how that was seen. */
typedef struct PoConsentReading
{
	PoConsentAction action;
	const char *word; /* the row that says so; NULL: none does */
	bool by_sound;    /* no row decided: the models were asked */
	PoHeard heard;    /* what they said */
} PoConsentReading;

typedef struct PoRule
{
	const char *rule;
	int priority;
	PoMatch match;
	const PoTerm *terms;
	int nterms;
	const PoTerm *except; /* any of these words vetoes the rule */
	int nexcept;
	double min_certainty; /* PO_MATCH_INTENT: of the intent */
	const char *to_state; /* NULL: no change of state */
	bool extract_email;
	bool takes_address; /* the phone is not the lead's */
} PoRule;

/* The one thing that a rule extracts, and the one effect that it may have. */
#define PO_EXTRACT_EMAIL "email"
#define PO_EFFECT_TAKE_ADDRESS "take_address"

extern const char *po_match_name(PoMatch match);
extern const char *po_consent_action_name(int i);
extern bool po_match_parse(const char *name, PoMatch *match);
extern bool po_consent_action_parse(const char *name, PoConsentAction *action);
extern void po_term_init(PoTerm *term, PoMatch match, const char *text, int len);
extern bool po_term_squeeze(PoTerm *squeezed, const PoTerm *term);
extern PoConsentReading po_read_consent(const PoWordSet *all, const PoText *text);
extern const PoRule *
po_classify(const PoRule *rules, int nrules, const PoText *text, const PoHeard *heard);

#endif /* PO_CLASSIFY_H */
