/*
 * row_checks.c
 *	  What rows that administrators write may say, where SQL alone cannot tell.
 *
 * For CHECK constraints of configuration tables, and for the functions that write them: a
 * row that could break a transaction later, or would do nothing, is refused where it is
 * written.  Each says what is wrong, and repeats nothing of a secret; null: nothing is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/authenticate.h"
#include "common/classify.h"
#include "common/origin.h"
#include "common/template.h"
#include "common/url.h"
#include "core/args.h"
#include "core/compat.h"
#include "fmgr.h"
#include "lead/timer.h"
#include "lib/stringinfo.h"
#include "outbound/account.h"
#include "sender/request_body.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_are_terms);
PG_FUNCTION_INFO_V1(po_check_action);
PG_FUNCTION_INFO_V1(po_check_templates);
PG_FUNCTION_INFO_V1(po_check_lists);
PG_FUNCTION_INFO_V1(po_account_problem);
PG_FUNCTION_INFO_V1(po_api_url_origin);
PG_FUNCTION_INFO_V1(po_check_secret_form);
PG_FUNCTION_INFO_V1(po_check_endpoint_address);

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
 * check_action(payload): what is wrong with the action of a timer type; null
 * when nothing is.
 */
Datum
po_check_action(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, po_check_action_payload(PG_GETARG_JSONB_P(0), true));
}

/*
 * check_templates(document): what is wrong with the strings of a document, which
 * are templates, or with its depth; null when nothing is.
 */
Datum
po_check_templates(PG_FUNCTION_ARGS)
{
	JsonbIterator *iterator = JsonbIteratorInit(&PG_GETARG_JSONB_P(0)->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	PoTemplateProblem problem;
	int			depth = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
			depth++;
		else if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		if (depth >= PO_REQUEST_MAX_DEPTH)
			return po_result_text(fcinfo, "it is nested too deeply");
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			po_template_check(PO_TEMPLATE_OF_PROFILE, value.val.string.val, value.val.string.len,
							  &problem) != PO_TEMPLATE_OK)
			return po_result_text(fcinfo, problem.reason);
	}
	PG_RETURN_NULL();
}

/*
 * check_lists(body, elsewhere): what is wrong with where lists stand in the body of a
 * profile, or that one stands elsewhere; null when nothing is.
 */
Datum
po_check_lists(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, po_list_problem(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}

/*
 * account_problem(tenant_id, profile, username, base_url, callback_path, settings):
 * why an account of the profile could not send; null when it could.
 */
Datum
po_account_problem(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_text(fcinfo, 0, "tenant_id");
	PoAccount	account = {
		.username = po_arg_text(fcinfo, 2, "username"),
		.base_url = po_arg_text(fcinfo, 3, "base_url"),
		.callback_url = po_arg_text(fcinfo, 4, "callback_path"),
		.settings = po_arg_jsonb(fcinfo, 5)
	};

	po_profiles_begin();
	account.profile = po_find_profile(tenant_id, po_arg_text(fcinfo, 1, "profile"));
	return po_result_text(fcinfo, account.profile == NULL ? "there is no such profile" : po_account_flaw(&account));
}

/*
 * url_origin(url): scheme, host and port that it leads to; null where that is not certain.
 */
Datum
po_api_url_origin(PG_FUNCTION_ARGS)
{
	char		origin[PO_ORIGIN_SIZE];

	return po_result_text(fcinfo, po_url_origin(text_to_cstring(PG_GETARG_TEXT_PP(0)), origin) ? origin : NULL);
}

/* The bytes of an argument, none when it is null. */
static PoBytes
argument(FunctionCallInfo fcinfo, int n)
{
	text	   *value;

	if (PG_ARGISNULL(n))
		return (PoBytes) {"", 0};
	value = PG_GETARG_TEXT_PP(n);
	return (PoBytes) {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

static bool
find_scheme(FunctionCallInfo fcinfo, PoScheme *scheme)
{
	return !PG_ARGISNULL(0) && po_scheme_from_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), scheme);
}

static const char *
schemes_said(void)
{
	StringInfoData said;

	initStringInfo(&said);
	appendStringInfoString(&said, "scheme must be ");
	for (int i = 0; po_scheme_name(i) != NULL; i++)
		appendStringInfo(&said, "%s%s", i == 0 ? "" : po_scheme_name(i + 1) != NULL ? ", " : " or ", po_scheme_name(i));
	return said.data;
}

/*
 * check_secret(scheme, secret): null when the secret is of the scheme's form.
 */
Datum
po_check_secret_form(PG_FUNCTION_ARGS)
{
	PoScheme	scheme;

	return po_result_text(fcinfo, find_scheme(fcinfo, &scheme) ? po_check_secret(scheme, argument(fcinfo, 1))
						  : schemes_said());
}

/*
 * check_address(scheme, public_url, signature_header, allow_get): why no
 * request could ever prove itself there, and what to do; nulls when some can.
 */
Datum
po_check_endpoint_address(PG_FUNCTION_ARGS)
{
	PoUrlFlaw	flaw = {0};
	const PoUrlFlaw *found = NULL;
	Datum		values[2];
	bool		nulls[2];
	PoScheme	scheme;

	/* an unknown scheme is told of by check_secret */
	if (find_scheme(fcinfo, &scheme))
	{
		bool		is_signed = po_scheme_has(scheme, PO_SIGNS_URL);

		if (!PG_ARGISNULL(1))
			found = po_check_url(argument(fcinfo, 1), is_signed);
		if (found != NULL)
			flaw = *found;
		else if (PG_ARGISNULL(1) && is_signed)
		{
			flaw.problem = "the scheme needs public_url: it is what the provider signs";
			flaw.hint = "Give the address that the provider was given.";
		}
		else if (!PG_ARGISNULL(2) &&
				 (flaw.problem = po_check_header_name(scheme, argument(fcinfo, 2))) != NULL)
			flaw.hint = "Leave it out for the scheme's own.";
		else if (PG_ARGISNULL(3))
		{
			flaw.problem = "allow_get must not be null";
			flaw.hint = "Leave it out for false.";
		}
		else if (PG_GETARG_BOOL(3) && po_scheme_has(scheme, PO_SIGNS_BODY))
		{
			flaw.problem = "allow_get does not go with a scheme that signs the body";
			flaw.hint = "A GET has none, so that one signature would fit every query. "
				"Take token, basic, secret_header or twilio.";
		}
	}
	po_set_text(values, nulls, 0, flaw.problem);
	po_set_text(values, nulls, 1, flaw.hint);
	return po_result_row(fcinfo, values, nulls);
}
