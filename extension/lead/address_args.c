/*
 * address_args.c
 *	  Phones and e-mail addresses as arguments of SQL functions.
 *
 * What is returned is palloc'd.  What cannot be read raises invalid_address; the
 * address itself stays out of the error, for errors go to the log.
 */
#include "postgres.h"

#include "common/address.h"
#include "common/unicode.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/errors.h"
#include "lead/address_args.h"

po_noreturn static void not_a_phone(const char *name, const char *text);

static void
not_a_phone(const char *name, const char *text)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_INVALID_ADDRESS),
			 errmsg("%s cannot be brought to E.164", name),
			 errdetail("It has %zu bytes.", strlen(text)),
			 errhint("Give it as + and country code, or as a 10-digit number of the United States or Canada.")));
}

/*
 * po_read_phone returns a phone in E.164; the name is for the error.
 */
char *
po_read_phone(const char *name, const char *text)
{
	char		phone[PO_E164_SIZE];

	if (!po_phone_e164(text, strlen(text), phone))
		not_a_phone(name, text);
	return pstrdup(phone);
}

/*
 * po_read_email returns an e-mail address folded.
 */
char *
po_read_email(const char *name, const char *text)
{
	char		email[PO_ADDRESS_SIZE];

	if (!po_email_fold(text, strlen(text), email))
		ereport(ERROR,
				(errcode(PO_ERRCODE_INVALID_ADDRESS),
				 errmsg("%s is not an e-mail address", name),
				 errdetail("It has %zu bytes.", strlen(text)),
				 errhint("Give the bare address, such as ann@example.com, a domain in another script as xn--.")));
	return pstrdup(email);
}

/* The argument; NULL where it is null, or a reader sees nothing of it: it is not given. */
static char *
given(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *text = po_arg_text(fcinfo, n, name);
	const char *end = text != NULL ? text + strlen(text) : NULL;
	uint32		c;

	for (const char *p = text; p < end;)
	{
		p += po_utf8_decode(p, end, &c);
		if (!po_char_is_blank(c))
			return text;
	}
	return NULL;
}

/*
 * po_arg_phone returns a phone in E.164; NULL: not given.
 */
char *
po_arg_phone(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *text = given(fcinfo, n, name);

	return text != NULL ? po_read_phone(name, text) : NULL;
}

/*
 * po_arg_email returns an e-mail address folded; NULL: not given.
 */
char *
po_arg_email(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *text = given(fcinfo, n, name);

	return text != NULL ? po_read_email(name, text) : NULL;
}

/*
 * po_arg_address returns an address of either kind; it has to be given.
 */
char *
po_arg_address(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *text = po_arg_required(fcinfo, n, name);
	char		address[PO_ADDRESS_SIZE];

	if (po_is_email(text))
		return po_read_email(name, text);
	if (!po_address_fold(text, strlen(text), address))
		not_a_phone(name, text);
	return pstrdup(address);
}
