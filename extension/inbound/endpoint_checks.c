/*
 * endpoint_checks.c
 *	  What an endpoint may be made of: the SQL side of authenticate.c and url.c.
 *
 * Each function says what is wrong as a fixed phrase that repeats nothing of a
 * secret, or null when nothing is.
 */
#include "postgres.h"

#include "common/url.h"
#include "core/args.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_check_secret_form);
PG_FUNCTION_INFO_V1(po_check_endpoint_address);

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
	const char *problem;

	if (!find_scheme(fcinfo, &scheme))
		PG_RETURN_TEXT_P(cstring_to_text(schemes_said()));
	problem = po_check_secret(scheme, argument(fcinfo, 1));
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
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
	Datum		values[2] = {0};
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
			flaw.hint = "A GET has none, so that one signature would fit every query. Take token, basic, "
						"secret_header or twilio.";
		}
	}
	nulls[0] = flaw.problem == NULL;
	nulls[1] = flaw.hint == NULL;
	if (!nulls[0])
		values[0] = CStringGetTextDatum(flaw.problem);
	if (!nulls[1])
		values[1] = CStringGetTextDatum(flaw.hint);
	return po_result_row(fcinfo, values, nulls);
}
