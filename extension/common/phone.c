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

#include "common/phone.h"
#include "common/unicode.h"

#define TEXT_MAX 64
#define CHANNEL_MAX 20
#define DIGITS_MIN 8			/* of an international number */
#define DIGITS_MAX 15
#define MEXICAN_DIGITS 12
#define NANP_DIGITS 11			/* with the country code */

/*
 * Ten-digit numbers of the North American plan that are nobody's.  x is any
 * digit, a one that repeats.  An area code that comes into use is
 * never in these blocks: those with the same second and third digit are for
 * services, those of the services in use are listed below.
 *
 * Source: NANPA, area codes not available for assignment, and the allocation
 * plan ATIS-0300055; as of 2026-11.
 */
static const char *const blocks[] = {
	"x11xxxxxxx", /* service codes: 211, 911 */
	"x9xxxxxxxx", /* kept for the expansion of the plan */
	"37xxxxxxxx",
	"96xxxxxxxx", /* kept in blocks of ten */
	"xaaxxxxxxx", /* for services: 222, 555, 999; but see services */
	"xxxx11xxxx", /* exchanges that are service codes */
	"xxx5551212", /* directory assistance */
	/* what people fill a field with */
	"aaaaaaaaaa",
	"xxx5555555",
	"2345678901",
	"2345678910",
	"9876543210",
};

/* Area codes of services that are in use: free of charge, personal, Canadian, paid. */
static const char *const services[] = {
	"500", "522", "533", "544", "566", "577", "588", "600", "622", "633", "644", "655",
	"677", "688", "700", "800", "822", "833", "844", "855", "866", "877", "888", "900",
};

/*
 * po_phone_block returns the i-th of the blocks that are nobody's, NULL behind
 * the last.
 */
const char *
po_phone_block(int i)
{
	return i < (int) lengthof(blocks) ? blocks[i] : NULL;
}

static bool
in_block(const char *block, const char *digits)
{
	char		repeated = '\0';

	for (int i = 0; i < NANP_DIGITS - 1; i++)
	{
		if (block[i] == 'a')
		{
			if (repeated != '\0' && digits[i] != repeated)
				return false;
			repeated = digits[i];
		}
		else if (block[i] != 'x' && block[i] != digits[i])
			return false;
	}
	return true;
}

static bool
is_service(const char *digits)
{
	for (int i = 0; i < (int) lengthof(services); i++)
	{
		if (memcmp(services[i], digits, 3) == 0)
			return true;
	}
	return false;
}

/*
 * Ten digits of the North American plan: area code and exchange begin with 2
 * to 9, and are somebody's.
 */
static bool
is_nanp(const char *digits)
{
	if (digits[0] < '2' || digits[3] < '2')
		return false;
	for (int i = 0; i < (int) lengthof(blocks); i++)
	{
		bool		of_services = strncmp(blocks[i], "xaa", 3) == 0;

		if (in_block(blocks[i], digits) && !(of_services && is_service(digits)))
			return false;
	}
	return true;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Skips the channel that an address begins with.  Providers add to them: behind one
 * that nobody knows a number has to have its '+', for most are of other things.
 */
static const char *
skip_channel(const char *p, const char *end)
{
	static const char *const known[] = {"whatsapp:", "rcs:", "tel:", "sms:", "mms:", "smsto:"};
	const char *c = p;

	for (int i = 0; i < (int) lengthof(known); i++)
	{
		int			len = strlen(known[i]);

		if (end - p >= len && pg_strncasecmp(p, known[i], len) == 0)
			return p + len;
	}
	while (c < end && c - p < CHANNEL_MAX &&
		   (is_letter(*c) || (c > p && memchr("0123456789-._", *c, 13) != NULL)))
		c++;
	if (c == p || c == end || *c++ != ':')
		return p;
	while (c < end && *c == ' ')
		c++;
	return c < end && *c == '+' ? c : p;
}

/*
 * Collect the digits.  Returns how many there are, -1 when there is anything
 * that a phone number has not.
 */
static int
read_digits(const char *p, const char *end, char digits[DIGITS_MAX], bool *plus)
{
	int			n = 0;

	*plus = false;
	while (p < end)
	{
		uint32		c;

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
				 c != '.' && !po_is_phone_dash(c))
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
	char		digits[DIGITS_MAX];
	char	   *normal = NULL;
	const char *end;
	bool		plus;
	int			n;

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
	n = read_digits(skip_channel(text, end), end, digits, &plus);
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
	/* a Mexican mobile phone, as it was written until 2019 and carriers still do */
	if (n == MEXICAN_DIGITS + 1 && memcmp(digits, "521", 3) == 0)
		memmove(digits + 2, digits + 3, --n - 2);
	out[0] = '+';
	memcpy(out + 1, digits, n);
	out[n + 1] = '\0';
	return true;
}
