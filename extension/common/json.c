/*-------------------------------------------------------------------------
 * json.c
 *	  The parser of application/json bodies.
 *
 * What is accepted is RFC 8259 with three tolerances that providers make
 * necessary: a leading byte order mark is skipped, NUL inside a string (raw or
 * escaped) is dropped because PostgreSQL text cannot hold it, and an escaped
 * surrogate without its other half becomes U+FFFD.  Numbers are never
 * converted: a reader gets the literal as sent.
 *
 * There is no stack.  While a container is open its `next`, not yet known,
 * holds the index of the container around it.
 *
 * No locks, no state.  Lifetimes: see document.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#include "common/fe_memutils.h"
#endif

#include "common/document.h"
#include "mb/pg_wchar.h"

#define REPLACEMENT_CHAR	0xFFFD

typedef struct Scanner
{
	PoDocument *doc;
	const PoDocumentLimits *limits;
	const char *start;
	const char *end;
	const char *p;				/* next byte to read */
	char	   *fill;			/* next free byte of the arena */
	const char *key;			/* name of the value that comes next, or NULL */
	int			key_len;
	int			open;			/* innermost open container, -1 outside the root */
	int			last;			/* its last complete child, -1 if none yet */
	int			depth;
} Scanner;

static bool
fail(Scanner *s, const char *phrase)
{
	return po_document_fail(s->doc, phrase, (int) (s->p - s->start));
}

/* Skips white space; returns the next byte without taking it, or -1 at the end. */
static inline int
next_token(Scanner *s)
{
	const char *p = s->p;

	while (p < s->end && po_is_json_space(*p))
		p++;
	s->p = p;
	return p < s->end ? (unsigned char) *p : -1;
}

/* Reads the four digits of \uXXXX at p; returns -1 if they are not there. */
static int
hex4(const Scanner *s, const char *p)
{
	int			value = 0;

	if (s->end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = p[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

/*
 * Decodes the escape at s->p (a backslash) to s->fill.  The output is never
 * longer than the input, which is why an arena of the input's size suffices.
 */
static bool
scan_escape(Scanner *s)
{
	int			code;
	const char *p = s->p + 1;

	if (p == s->end)
		return fail(s, "unterminated string");

	switch (*p++)
	{
		case '"':
			*s->fill++ = '"';
			break;
		case '\\':
			*s->fill++ = '\\';
			break;
		case '/':
			*s->fill++ = '/';
			break;
		case 'b':
			*s->fill++ = '\b';
			break;
		case 'f':
			*s->fill++ = '\f';
			break;
		case 'n':
			*s->fill++ = '\n';
			break;
		case 'r':
			*s->fill++ = '\r';
			break;
		case 't':
			*s->fill++ = '\t';
			break;
		case 'u':
			code = hex4(s, p);
			if (code < 0)
				return fail(s, "invalid escape");
			p += 4;
			if (is_utf16_surrogate_first(code))
			{
				int			low = -1;

				if (s->end - p >= 6 && p[0] == '\\' && p[1] == 'u')
					low = hex4(s, p + 2);
				if (low >= 0 && is_utf16_surrogate_second(low))
				{
					code = surrogate_pair_to_codepoint(code, low);
					p += 6;
				}
				else
					code = REPLACEMENT_CHAR;
			}
			else if (is_utf16_surrogate_second(code))
				code = REPLACEMENT_CHAR;

			if (code != 0)
			{
				unicode_to_utf8(code, (unsigned char *) s->fill);
				s->fill += pg_utf_mblen((unsigned char *) s->fill);
			}
			break;
		default:
			return fail(s, "invalid escape");
	}
	s->p = p;
	return true;
}

/* Appends input bytes to the arena, which is made when first needed. */
static inline void
keep(Scanner *s, const char *from, const char *to)
{
	Size		len = to - from;

	if (s->fill == NULL)
		s->fill = s->doc->arena = palloc(s->end - s->start);
	if (len > 0)
		memcpy(s->fill, from, len);
	s->fill += len;
}

/*
 * Reads the string whose opening quote is at s->p.  A string without escapes and
 * foreign bytes is left where it is; otherwise the runs between them are copied.
 */
static bool
scan_string(Scanner *s, const char **text, int *len)
{
	const char *const end = s->end;
	const char *p = s->p + 1;
	const char *run = p;
	int			decoded_at = -1;	/* arena offset, -1: not decoded */

	for (;;)
	{
		unsigned char c = 0;
		int			mblen;

		while (p < end)
		{
			c = (unsigned char) *p;
			if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80)
				break;
			p++;
		}
		s->p = p;
		if (p == end)
			return fail(s, "unterminated string");
		if (c == '"')
			break;

		if (c >= 0x80)
		{
			mblen = pg_utf_mblen((const unsigned char *) p);
			if (mblen <= end - p && pg_utf8_islegal((const unsigned char *) p, mblen))
			{
				p += mblen;
				continue;
			}
		}
		else if (c != '\\' && c != '\0')
			return fail(s, "control character in string");

		if (decoded_at < 0)
			decoded_at = s->fill ? (int) (s->fill - s->doc->arena) : 0;
		keep(s, run, p);
		if (c == '\0')
			s->p++;
		else if (c >= 0x80)
		{
			*s->fill++ = po_foreign_char(c);
			s->p++;
		}
		else if (!scan_escape(s))
			return false;
		run = p = s->p;
	}

	if (decoded_at < 0)
	{
		*text = run;
		*len = (int) (p - run);
	}
	else
	{
		keep(s, run, p);
		*text = s->doc->arena + decoded_at;
		*len = (int) (s->fill - *text);
	}
	s->p = p + 1;
	return true;
}

/* Reads a member name and its colon into s->key. */
static bool
scan_key(Scanner *s)
{
	const char *at;

	if (next_token(s) != '"')
		return fail(s, "member name expected");
	at = s->p;
	if (!scan_string(s, &s->key, &s->key_len))
		return false;
	if (s->key_len > s->limits->max_key_bytes)
	{
		s->p = at;
		return fail(s, "key too long");
	}
	if (next_token(s) != ':')
		return fail(s, "colon expected");
	s->p++;
	return true;
}

static inline const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/*
 * Reads a number as a literal.  The exponent is limited because nine bytes
 * such as 1e100000 become a hundred thousand digits when converted later.
 */
static bool
scan_number(Scanner *s, const char **text, int *len)
{
	const char *const end = s->end;
	const char *p = s->p;
	const char *digits;

	if (*p == '-')
		p++;
	if (p < end && *p == 'I')
		return fail(s, "NaN or Infinity");
	digits = p;
	p = skip_digits(p, end);
	if (p == digits || (*digits == '0' && p - digits > 1))
		return fail(s, "invalid number");
	if (p < end && *p == '.')
	{
		digits = p + 1;
		p = skip_digits(digits, end);
		if (p == digits)
			return fail(s, "invalid number");
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		digits = p + 1;
		if (digits < end && (*digits == '+' || *digits == '-'))
			digits++;
		p = skip_digits(digits, end);
		if (p == digits)
			return fail(s, "invalid number");
		if (p - digits > s->limits->max_exponent_digits)
			return fail(s, "exponent too long");
	}
	if (p - s->p > PO_DOCUMENT_MAX_NUMBER)
		return fail(s, "number too long");

	*text = s->p;
	*len = (int) (p - s->p);
	s->p = p;
	return true;
}

/* Takes one of the words null, true, false. */
static bool
scan_word(Scanner *s, const char *word, int len)
{
	if (s->end - s->p < len || memcmp(s->p, word, len) != 0)
		return fail(s, "value expected");
	s->p += len;
	return true;
}

/*
 * Reads a scalar, or the opening bracket of a container, into a new node that
 * becomes the last child of the open container.
 */
static bool
scan_value(Scanner *s)
{
	PoDocument *doc = s->doc;
	PoNodeType	type;
	PoNode	   *node;
	int			index = doc->nnodes;
	const char *text = NULL;
	int			len = 0;
	int			c = next_token(s);
	const char *at = s->p;

	if (index >= s->limits->max_nodes)
		return fail(s, "too many values");

	switch (c)
	{
		case '"':
			type = PO_NODE_STRING;
			if (!scan_string(s, &text, &len))
				return false;
			break;
		case '{':
		case '[':
			type = c == '{' ? PO_NODE_OBJECT : PO_NODE_ARRAY;
			if (++s->depth > s->limits->max_depth)
				return fail(s, "nested too deeply");
			s->p++;
			break;
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			type = PO_NODE_NUMBER;
			if (!scan_number(s, &text, &len))
				return false;
			break;
		case 't':
			type = PO_NODE_TRUE;
			if (!scan_word(s, "true", 4))
				return false;
			text = at;
			len = 4;
			break;
		case 'f':
			type = PO_NODE_FALSE;
			if (!scan_word(s, "false", 5))
				return false;
			text = at;
			len = 5;
			break;
		case 'n':
			type = PO_NODE_NULL;
			if (!scan_word(s, "null", 4))
				return false;
			break;
		case 'N':
		case 'I':
			return fail(s, "NaN or Infinity");
		case '\0':
			return fail(s, "NUL outside a string");
		case -1:
			return fail(s, "unexpected end");
		default:
			return fail(s, "value expected");
	}

	node = po_document_add(doc, type);
	node->text = text;
	node->text_len = len;
	node->key = s->key;
	node->key_len = s->key_len;
	s->key = NULL;
	s->key_len = 0;

	if (s->open >= 0)
	{
		doc->node[s->open].count++;
		if (s->last >= 0)
			doc->node[s->last].next = index;
		else
			doc->node[s->open].child = index;
	}
	if (type == PO_NODE_OBJECT || type == PO_NODE_ARRAY)
	{
		node->next = s->open;
		s->open = index;
		s->last = -1;
	}
	else
		s->last = index;
	return true;
}

/* Takes the closing bracket at s->p; the container becomes a complete child. */
static void
close_container(Scanner *s)
{
	PoNode	   *node = &s->doc->node[s->open];

	s->p++;
	s->depth--;
	s->last = s->open;
	s->open = node->next;
	node->next = -1;
}

/*
 * Parses a JSON text with any value at its root.  Limits may be NULL for the
 * default ones.  True: doc is complete, to be kept no longer than the bytes.
 * False: doc holds only error and error_offset, and nothing is to be freed.
 */
bool
po_document_parse_json(PoDocument *doc, const char *bytes, int len,
					   const PoDocumentLimits *limits)
{
	int			offset = po_document_start(doc, bytes, len);
	Scanner		s = {
		.doc = doc,
		.limits = limits ? limits : &po_document_limits,
		.open = -1,
		.last = -1
	};

	if (offset < 0)
		return false;
	s.start = bytes;
	s.end = bytes + len;
	s.p = bytes + offset;

	for (;;)
	{
		int			c;
		bool		in_object;

		if (!scan_value(&s))
			return false;

		/* Close what ends here; leave at the place of a further value. */
		for (;;)
		{
			c = next_token(&s);
			if (s.open < 0)
			{
				if (c >= 0)
					return fail(&s, c == '\0' ? "NUL outside a string" : "bytes after the value");
				return true;
			}
			in_object = doc->node[s.open].type == PO_NODE_OBJECT;
			if (c != (in_object ? '}' : ']'))
				break;
			close_container(&s);
		}

		if (c < 0)
			return fail(&s, "unexpected end");
		if (s.last >= 0)
		{
			if (c != ',')
				return fail(&s, c == '\0' ? "NUL outside a string" :
							"comma or closing bracket expected");
			s.p++;
		}
		if (in_object && !scan_key(&s))
			return false;
	}
}
