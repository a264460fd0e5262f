/*
 * escape.c
 *	  Texts that a program on the way has escaped.
 *
 * Gateways and web forms hand on "Don&#39;t", "STOP<br>", "don\'t", and UTF-8
 * that was read as Windows-1252.  A text that has none of it is not copied.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/escape.h"
#include "common/unicode.h"

/* Entities, tags that only lay out, escapes and misread UTF-8, as what they say. */
static const struct
{
	const char *escaped;
	const char *plain;
}			escapes[] = {
	{"&amp;", "&"},
	{"&lt;", "<"},
	{"&gt;", ">"},
	{"&quot;", "\""},
	{"&apos;", "'"},
	{"&nbsp;", " "},
	{"&nbsp", " "},
	{"&rsquo;", "'"},
	{"&lsquo;", "'"},
	{"&ldquo;", "\""},
	{"&rdquo;", "\""},
	{"&hellip;", "\xE2\x80\xA6"},
	{"&aacute;", "a"},
	{"&eacute;", "e"},
	{"&iacute;", "i"},
	{"&oacute;", "o"},
	{"&uacute;", "u"},
	{"&ntilde;", "n"},
	{"&agrave;", "a"},
	{"&egrave;", "e"},
	{"&ecirc;", "e"},
	{"&ccedil;", "c"},
	{"&iquest;", " "},
	{"\\'", "'"},
	{"\\\"", "\""},
	{"\\r\\n", "\n"},
	{"\\n", "\n"},
	{"\\r", "\n"},
	{"\\t", " "},
	{"\\/", "/"},
	{"\\\\", "\\"},
	{"\xC3\xA2\xE2\x82\xAC\xE2\x84\xA2", "'"},
	{"\xC3\xA2\xE2\x82\xAC\xC5\x93", "\""},
	{"\xC3\xA2\xE2\x82\xAC", "\""},
	{"\xC3\x83\xC2\xA1", "a"},
	{"\xC3\x83\xC2\xA9", "e"},
	{"\xC3\x83\xC2\xAA", "e"},
	{"\xC3\x83\xC2\xAD", "i"},
	{"\xC3\x83\xC2\xB3", "o"},
	{"\xC3\x83\xC2\xBA", "u"},
	{"\xC3\x83\xC2\xB1", "n"},
};

static const char *const tags[] = {
	"br",   "p", "div", "span", "b",  "i",    "u",  "html",
	"body", "a", "em",  "tr",   "td", "font", "li", "strong"
};

static inline bool
is_letter(char c)
{
	return (unsigned) ((c | 0x20) - 'a') < 26;
}

/* Where a tag ends that only lays out; NULL when there is none at p. */
static const char *
tag_end(const char *p, const char *end)
{
	const char *name = p + 1 + (end - p > 1 && p[1] == '/');
	const char *close = memchr(p, '>', end - p);
	int			len = 0;

	while (name + len < end && is_letter(name[len]))
		len++;
	if (close == NULL || len == 0)
		return NULL;
	for (int i = 0; i < (int) lengthof(tags); i++)
	{
		if ((int) strlen(tags[i]) == len && pg_strncasecmp(name, tags[i], len) == 0)
			return close + 1;
	}
	return NULL;
}

/*
 * The character that "&#39;" or "&#x27;" stands for, 0 when p begins none.
 * *next is behind it.
 */
static uint32
numbered(const char *p, const char *end, const char **next)
{
	uint32		c = 0;
	int			base = 10;
	const char *digit = p + 2;

	if (end - p < 4 || p[1] != '#')
		return 0;
	if ((*digit | 0x20) == 'x')
	{
		base = 16;
		digit++;
	}
	for (; digit < end && c < 0x110000; digit++)
	{
		int			value = *digit >= '0' && *digit <= '9' ? *digit - '0'
			: is_letter(*digit) ? (*digit | 0x20) - 'a' + 10
			: base;

		if (value >= base)
			break;
		c = c * base + value;
	}
	*next = digit + (digit < end && *digit == ';');
	return c < 0x110000 && (c < 0xD800 || c > 0xDFFF) ? c : 0;
}

/* UTF-8 that was misread has these two letters where the lead bytes were. */
static inline bool
may_be_escape(const char *p, const char *end)
{
	return *p == '&' || *p == '<' || *p == '\\' ||
		(*p == '\xC3' && end - p > 1 && (p[1] == '\xA2' || p[1] == '\x83'));
}

/* Replace what p begins by what it stands for, or leave it as it is. */
static const char *
unescape_one(const char *p, const char *end, char **out)
{
	const char *next;
	uint32		c;

	if (*p == '<' && (next = tag_end(p, end)) != NULL)
	{
		*(*out)++ = '\n';
		return next;
	}
	if (*p == '&' && (c = numbered(p, end, &next)) != 0)
	{
		*out += po_utf8_encode(c, *out);
		return next;
	}
	for (int i = 0; i < (int) lengthof(escapes); i++)
	{
		int			len = strlen(escapes[i].escaped);

		if (end - p >= len && pg_strncasecmp(p, escapes[i].escaped, len) == 0)
		{
			int			plain = strlen(escapes[i].plain);

			memcpy(*out, escapes[i].plain, plain);
			*out += plain;
			return p + len;
		}
	}
	*(*out)++ = *p;
	return p + 1;
}

/*
 * po_text_unescape returns a palloc'd copy without escapes, never longer than
 * the text and NUL-terminated; NULL when there are none.
 */
char *
po_text_unescape(const char *text, int len, int *plain_len)
{
	const char *end = text + len;
	char	   *plain = NULL;
	char	   *out = NULL;

	if (memchr(text, '&', len) == NULL && memchr(text, '<', len) == NULL &&
		memchr(text, '\\', len) == NULL && memchr(text, 0xC3, len) == NULL)
		return NULL;
	for (const char *p = text; p < end;)
	{
		if (!may_be_escape(p, end))
		{
			if (plain != NULL)
				*out++ = *p;
			p++;
			continue;
		}
		if (plain == NULL)
		{
			plain = palloc(len + 1);
			memcpy(plain, text, p - text);
			out = plain + (p - text);
		}
		p = unescape_one(p, end, &out);
	}
	if (plain == NULL)
		return NULL;
	*out = '\0';
	*plain_len = out - plain;
	return plain;
}
