/*-------------------------------------------------------------------------
 *
 * classify.h
 *	  What a message says: consent keywords, and the rules of a client
 *
 * Words and rules are rows.  Whoever reads the rows fills these structs, with
 * memory that lives as long as they do, and the functions here decide from
 * them, a PoText and the weights of common/meaning.h alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_CLASSIFY_H
#define PO_CLASSIFY_H

#include "common/meaning.h"
#include "common/term.h"

typedef enum PoConsentAction
{
	PO_CONSENT_NONE,
	PO_CONSENT_OPT_OUT,
	PO_CONSENT_OPT_IN,
	PO_CONSENT_HOLD,			/* stop sending, ask a person */
	PO_CONSENT_HELP,
	PO_CONSENT_COURTESY			/* in rows only: words that may surround a keyword */
} PoConsentAction;

typedef struct PoWord
{
	PoTerm		term;
	PoMatch		match;			/* whole, alone, word or leading */
	PoConsentAction action;
	const char *word;			/* as in the row */
} PoWord;

typedef struct PoWordSet
{
	const PoWord *words;
	int			nwords;
	const uint64 *signature;	/* of each; apart, for most rows are passed over by it */
} PoWordSet;

/* What a message asks for, and how that was seen. */
typedef struct PoConsentReading
{
	PoConsentAction action;
	const char *word;			/* the row that says so; NULL: none does */
	bool		by_sound;		/* no row decided: the models were asked */
	PoHeard		heard;			/* what they said */
} PoConsentReading;

typedef enum PoExtract
{
	PO_EXTRACT_NONE,
	PO_EXTRACT_EMAIL,
	PO_EXTRACT_PHONE
} PoExtract;

typedef struct PoRule
{
	const char *rule;
	int			priority;
	PoMatch		match;
	const PoTerm *terms;
	int			nterms;
	const PoTerm *except;		/* any of these words vetoes the rule */
	int			nexcept;
	double		min_certainty;	/* PO_MATCH_INTENT: of the intent */
	const char *to_state;		/* NULL: no change of state */
	const char *const *label;
	int			nlabels;
	PoExtract	extract;
	bool		takes_address;	/* the phone is not the lead's */
} PoRule;

typedef struct PoRuleSet
{
	const PoRule *rules;		/* by falling priority */
	int			nrules;
} PoRuleSet;

/* The one effect that a rule may have. */
#define PO_RULE_EFFECT_TAKE_ADDRESS "take_address"

/* The label of an opt-out, whatever the rules say. */
#define PO_LABEL_OPTED_OUT "opted_out"

#define PO_LABELS_MOST 64		/* of a message */

/* What the rules make of a message. */
typedef struct PoRuling
{
	const PoRule *rule;			/* the first that matches; NULL: none, or consent decides */
	const char *label[PO_LABELS_MOST];	/* of all that match, each once */
	int			nlabels;
	const char *email;			/* what they extract; NULL: nothing */
	const char *phone;
} PoRuling;

extern const char *po_consent_action_name(int i);
extern const char *po_extract_name(int i);
extern bool po_extract_parse(const char *name, PoExtract *extract);
extern bool po_consent_action_parse(const char *name, PoConsentAction *action);
extern PoConsentReading po_read_consent(const PoWordSet *all, const PoText *text);
extern void po_classify(const PoRuleSet *rules, const PoText *text, const PoConsentReading *consent,
						const char *phone, PoRuling *ruling);

#endif							/* PO_CLASSIFY_H */
