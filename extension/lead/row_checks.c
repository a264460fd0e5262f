/*
 * row_checks.c
 *	  What rows that administrators write may say, where SQL alone cannot tell.
 *
 * For the CHECK constraints of configuration tables: a row that could break a
 * transaction later, or would do nothing, is refused where it is written.  Pure
 * functions.  Which names there are, inbound/known_names.c knows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/classify.h"
#include "core/compat.h"
#include "fmgr.h"
#include "lead/timer.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_are_terms);
PG_FUNCTION_INFO_V1(po_check_action);

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
