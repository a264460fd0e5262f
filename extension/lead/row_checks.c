/*
 * row_checks.c
 *	  What rows that administrators write may say, where SQL alone cannot tell.
 *
 * For the CHECK constraints of configuration tables: a row that could break a
 * transaction later, or would do nothing, is refused where it is written.  Pure
 * functions; the names are those of the C tables that read the rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/classify.h"
#include "common/meaning.h"
#include "common/phone.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/counters.h"
#include "fmgr.h"
#include "lead/timer.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define MAX_NAMES 32

PG_FUNCTION_INFO_V1(po_names);
PG_FUNCTION_INFO_V1(po_are_terms);
PG_FUNCTION_INFO_V1(po_check_action);

static const char *
outcome_name(int i)
{
	return i < PO_NOUTCOMES ? po_outcome_name[i] : NULL;
}

static const char *
word_match_name(int i)
{
	static const PoMatch match[] = {PO_MATCH_WHOLE, PO_MATCH_ALONE, PO_MATCH_WORD, PO_MATCH_LEADING};

	return i < lengthof(match) ? po_match_name(match[i]) : NULL;
}

static const char *
effect_name(int i)
{
	return i == 0 ? PO_EFFECT_TAKE_ADDRESS : NULL;
}

/* Each returns the i-th name, NULL behind the last. */
static const struct
{
	const char *of;
	const char *(*name) (int i);
}			list[] = {
	{"action member", po_action_member},
	{"consent action", po_consent_action_name},
	{"extract", po_extract_name},
	{"intent", po_intent_name},
	{"outcome", outcome_name},
	{"phone block", po_phone_block},
	{"rule effect", effect_name},
	{"rule match", po_match_name},
	{"word match", word_match_name}
};

/*
 * names(of): the names of a kind that the code knows; null for no such kind.
 */
Datum
po_names(PG_FUNCTION_ARGS)
{
	char	   *of = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		name[MAX_NAMES];
	int			n = 0;

	for (int i = 0; i < lengthof(list); i++)
	{
		if (strcmp(of, list[i].of) != 0)
			continue;
		for (; n < MAX_NAMES && list[i].name(n) != NULL; n++)
			name[n] = CStringGetTextDatum(list[i].name(n));
		PG_RETURN_ARRAYTYPE_P(construct_array(name, n, TEXTOID, -1, false, TYPALIGN_INT));
	}
	PG_RETURN_NULL();
}

/*
 * are_terms(match, terms): whether each can ever match; "!" cannot.
 */
Datum
po_are_terms(PG_FUNCTION_ARGS)
{
	PoMatch		match;
	PoTerm		term;
	Datum	   *element;
	bool	   *isnull;
	int			n;

	if (!po_match_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &match))
		PG_RETURN_BOOL(false);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &element, &isnull, &n);
	for (int i = 0; i < n; i++)
	{
		text	   *value = isnull[i] ? NULL : DatumGetTextPP(element[i]);

		if (value != NULL)
			po_term_init(&term, match, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
		if (value == NULL || term.len == 0)
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}

/*
 * check_action(payload): what is wrong with the action of a kind of timer; null
 * when nothing is.
 */
Datum
po_check_action(PG_FUNCTION_ARGS)
{
	const char *problem = po_check_action_payload(PG_GETARG_JSONB_P(0), true);

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
