/*
 * template_filter.c
 *	  The filters of templates.
 *
 * A filter works in place on the last bytes of the output, where the value was
 * put.  None depends on a locale: what a message says must not change with the
 * server it is sent from.
 *
 * No locks, no state; only the output allocates.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/template_filter.h"
#include "common/unicode.h"

#define MAX_DOLLAR_DIGITS 15
#define MONEY_SIZE 32			/* "-$999,999,999,999,999.99" and to spare */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_white_space(uint32 c)
{
	return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
		(c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
		c == 0x205F || c == 0x3000;
}

/* The production Char of XML 1.0. */
static bool
is_xml_char(uint32 c)
{
	return c >= ' ' ? (c < 0xD800 || c > 0xDFFF) && c != 0xFFFE && c != 0xFFFF
		: c == '\t' || c == '\n' || c == '\r';
}

/* What a document in HTML may hold: no control characters, nor what is no character. */
static bool
is_html_char(uint32 c)
{
	return is_xml_char(c) && (c < 0x7F || c > 0x9F) && (c < 0xFDD0 || c > 0xFDEF) &&
		(c & 0xFFFE) != 0xFFFE;
}

static void
truncate_to(StringInfo out, int len)
{
	out->len = len;
	out->data[len] = '\0';
}

static void
filter_digits(StringInfo out, int start)
{
	int			kept = start;

	for (int i = start; i < out->len; i++)
	{
		if (is_digit(out->data[i]))
			out->data[kept++] = out->data[i];
	}
	truncate_to(out, kept);
}

static void
filter_first(StringInfo out, int start)
{
	const char *end = out->data + out->len;
	const char *word = out->data + start;
	const char *p;
	uint32		c;
	int			len;

	while (word < end)
	{
		len = po_utf8_decode(word, end, &c);
		if (!is_white_space(c))
			break;
		word += len;
	}
	p = word;
	while (p < end)
	{
		len = po_utf8_decode(p, end, &c);
		if (is_white_space(c))
			break;
		p += len;
	}
	len = p - word;
	memmove(out->data + start, word, len);
	truncate_to(out, start + len);
}

static void
filter_lower(StringInfo out, int start)
{
	for (int i = start; i < out->len; i++)
	{
		if (out->data[i] >= 'A' && out->data[i] <= 'Z')
			out->data[i] += 'a' - 'A';
	}
}

static void
filter_upper(StringInfo out, int start)
{
	for (int i = start; i < out->len; i++)
	{
		if (out->data[i] >= 'a' && out->data[i] <= 'z')
			out->data[i] -= 'a' - 'A';
	}
}

/*
 * Reads whole dollars, with or without commas.  Returns the first byte behind
 * them, NULL when that is surely no amount: "350,00" is one in Europe, and what
 * begins with a 0 is a number only by name, as a ZIP code is.
 */
static const char *
read_dollars(const char *p, const char *end, int64 *dollars)
{
	const char *first = p;
	int			ndigits = 0;
	int			group = 0;		/* digits behind the last comma */
	bool		commas = false;

	*dollars = 0;
	for (; p < end && (is_digit(*p) || *p == ','); p++)
	{
		if (*p == ',')
		{
			if (group == 0 || group > 3 || (commas && group != 3))
				return NULL;
			commas = true;
			group = 0;
			continue;
		}
		if (++ndigits > MAX_DOLLAR_DIGITS)
			return NULL;
		group++;
		*dollars = *dollars * 10 + (*p - '0');
	}
	if ((commas && group != 3) || (ndigits > 1 && *first == '0'))
		return NULL;
	return p;
}

/*
 * Reads an amount, rounded to cents.  False when the text is anything else.
 */
static bool
read_cents(const char *p, const char *end, bool *negative, int64 *cents)
{
	const char *first;
	int			ndigits = 0;

	while (p < end && is_blank(*p))
		p++;
	while (p < end && is_blank(end[-1]))
		end--;
	*negative = p < end && *p == '-';
	if (*negative)
		p++;
	if (p < end && *p == '$')
		p++;
	first = p;
	p = read_dollars(p, end, cents);
	if (p == NULL)
		return false;
	*cents *= 100;
	if (p == end)
		return p > first;

	if (*p++ != '.')
		return false;
	for (; p < end && is_digit(*p); p++)
	{
		ndigits++;
		if (ndigits == 1)
			*cents += (*p - '0') * 10;
		else if (ndigits == 2)
			*cents += *p - '0';
		else if (ndigits == 3 && *p >= '5')
			*cents += 1;
	}
	return ndigits > 0 && p == end;
}

static void
filter_money(StringInfo out, int start)
{
	char		buffer[MONEY_SIZE];
	char	   *p = buffer + MONEY_SIZE;
	bool		negative;
	int64		cents;
	int64		dollars;
	int			ndigits = 0;

	if (!read_cents(out->data + start, out->data + out->len, &negative, &cents))
	{
		truncate_to(out, start);
		return;
	}
	dollars = cents / 100;
	if (cents % 100 != 0)
	{
		*--p = '0' + cents % 10;
		*--p = '0' + cents / 10 % 10;
		*--p = '.';
	}
	do
	{
		if (ndigits > 0 && ndigits % 3 == 0)
			*--p = ',';
		*--p = '0' + dollars % 10;
		dollars /= 10;
		ndigits++;
	} while (dollars > 0);
	*--p = '$';
	if (negative && cents > 0)
		*--p = '-';
	truncate_to(out, start);
	appendBinaryStringInfo(out, p, buffer + MONEY_SIZE - p);
}

static const char *
xml_escape(char c)
{
	switch (c)
	{
		case '&':
			return "&amp;";
		case '<':
			return "&lt;";
		case '>':
			return "&gt;";
		case '"':
			return "&quot;";
		case '\'':
			return "&apos;";
		default:
			return NULL;
	}
}

/* Old mail programs do not know the name of the apostrophe. */
static const char *
html_escape(char c)
{
	return c == '\'' ? "&#39;" : xml_escape(c);
}

/*
 * Forbidden characters go first; then what needs escaping is known to be single
 * bytes, and the text is spread out from its end, into the room made for it.
 */
static void
escape_text(StringInfo out, int start, bool (*is_allowed) (uint32 c),
			const char *(*escape_char) (char c))
{
	int			kept = start;
	int			growth = 0;
	int			to;

	for (int from = start; from < out->len;)
	{
		uint32		c;
		int			len = po_utf8_decode(out->data + from, out->data + out->len, &c);

		if (is_allowed(c))
		{
			const char *escape = escape_char(out->data[from]);

			if (escape != NULL)
				growth += strlen(escape) - 1;
			memmove(out->data + kept, out->data + from, len);
			kept += len;
		}
		from += len;
	}
	truncate_to(out, kept);

	enlargeStringInfo(out, growth);
	to = kept + growth;
	truncate_to(out, to);
	for (int from = kept - 1; from >= start; from--)
	{
		const char *escape = escape_char(out->data[from]);

		if (escape == NULL)
			out->data[--to] = out->data[from];
		else
		{
			to -= strlen(escape);
			memcpy(out->data + to, escape, strlen(escape));
		}
	}
}

static void
filter_xml(StringInfo out, int start)
{
	escape_text(out, start, is_xml_char, xml_escape);
}

/*
 * po_template_escape_html makes the bytes of out from start on a text that HTML can
 * hold, also as the value of an attribute in quotes.
 */
void
po_template_escape_html(StringInfo out, int start)
{
	escape_text(out, start, is_html_char, html_escape);
}

/*
 * po_template_filter returns the filter of that name, NULL when there is none.
 */
const PoTemplateFilter *
po_template_filter(const char *name, int len)
{
	static const PoTemplateFilter filters[] = {
		{"default", NULL},       {"digits", filter_digits}, {"first", filter_first},
		{"lower", filter_lower}, {"money", filter_money},   {"upper", filter_upper},
		{"xml", filter_xml},
	};

	for (int i = 0; i < (int) lengthof(filters); i++)
	{
		if ((int) strlen(filters[i].name) == len && memcmp(filters[i].name, name, len) == 0)
			return &filters[i];
	}
	return NULL;
}
