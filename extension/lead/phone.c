/*
 * phone.c
 *	  E.164 from the ways phone numbers are written.
 *
 * A wrong guess makes two people one, and sends to the one what the other
 * agreed to.  So only two shapes are taken: an international number with its
 * '+', and a valid North American number with or without its 1.  Whatever else
 * could be read in two ways is refused.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "lead/phone.h"
#include "lead/unicode.h"

#define TEXT_MAX 64
#define DIGITS_MIN 8 /* of an international number */
#define DIGITS_MAX 15
#define NANP_DIGITS 11 /* with the country code */

/*
 * Ten digits of the North American plan: area code and exchange begin with 2
 * to 9, and no area code is a service code (211, 911, ...).
 */
static bool
is_nanp(const char *digits)
{
	return digits[0] >= '2' && digits[3] >= '2' && !(digits[1] == '1' && digits[2] == '1');
}

static const char *
skip_scheme(const char *p, const char *end)
{
	static const char *const schemes[] = { "whatsapp:", "tel:", "sms:" };

	for (int i = 0; i < (int) lengthof(schemes); i++)
	{
		int len = strlen(schemes[i]);

		if (end - p >= len && pg_strncasecmp(p, schemes[i], len) == 0)
			return p + len;
	}
	return p;
}

/*
 * Collect the digits.  Returns how many there are, -1 when there is anything
 * that a phone number has not.
 */
static int
read_digits(const char *p, const char *end, char digits[DIGITS_MAX], bool *plus)
{
	int n = 0;

	*plus = false;
	while (p < end)
	{
		uint32 c;

		p += po_utf8_decode(p, end, &c);
		if (c >= '0' && c <= '9')
		{
			/* "+44 (0)20": the 0 is dialled only at home */
			if (c == '0' && *plus && p < end && *p == ')' && p[-2] == '(')
				return -1;
			if (n == DIGITS_MAX)
				return -1;
			digits[n++] = c;
		}
		else if (c == '+')
		{
			if (*plus || n > 0)
				return -1;
			*plus = true;
		}
		else if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '(' && c != ')' &&
				 c != '-' && c != '.' && !(c >= 0x2010 && c <= 0x2015) && c != 0x2212)
			return -1;
	}
	return n;
}

/*
 * po_phone_e164 writes the number in E.164, NUL-terminated, and returns true;
 * false when the text is not surely one phone number (out is then undefined).
 */
bool
po_phone_e164(const char *text, int len, char out[PO_E164_SIZE])
{
	char digits[DIGITS_MAX];
	char *normal = NULL;
	const char *end;
	bool plus;
	int n;

	if (len > TEXT_MAX)
		return false;
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) text[i] >= 0x80)
		{
			text = normal = po_text_nfkc(text, len, &len);
			break;
		}
	}
	end = text + len;
	while (text < end && *text == ' ')
		text++;
	n = read_digits(skip_scheme(text, end), end, digits, &plus);
	if (normal != NULL)
		pfree(normal);

	if (!plus && n == NANP_DIGITS - 1 && is_nanp(digits))
	{
		out[0] = '+';
		out[1] = '1';
		memcpy(out + 2, digits, n);
		out[n + 2] = '\0';
		return true;
	}
	if (n < DIGITS_MIN || digits[0] == '0')
		return false;
	if (digits[0] == '1' ? n != NANP_DIGITS || !is_nanp(digits + 1) : !plus)
		return false;
	out[0] = '+';
	memcpy(out + 1, digits, n);
	out[n + 1] = '\0';
	return true;
}
