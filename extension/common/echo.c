/*-------------------------------------------------------------------------
 * echo.c
 *	  Whether a text tells a secret, in any of the forms that answers repeat
 *	  what they were sent in.
 *
 * Text and secret are brought to a bare form first: escapes of JSON, URLs and
 * HTML undone, case, blanks and the characters in which spellings of base64
 * differ left out.  The secret is looked for as it is, in base64 wherever it
 * stands in what was encoded, and in hexadecimal.  Of a long one a piece is
 * enough, so that neither a cut nor a mask hides it.
 *
 * This is for providers that repeat what they were sent, not for ones that hide
 * it: to a host that is not trusted, a secret is never sent.
 *
 * No state; scratch memory is palloc'd, wiped and freed.  Raises nothing but for
 * want of memory.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#include "common/fe_memutils.h"
#endif

#include <ctype.h>

#include <openssl/evp.h>

#include "common/echo.h"
#include "common/unicode.h"

#define PIECE		16			/* so many bare characters in a row tell a secret */
#define SHORTEST	4			/* fewer are in any text */
#define SHORTEST_ENCODED 8
#define GRAM		4
#define FILTER_BITS 4096
#define NFORMS		5			/* plain, hexadecimal, three of base64 */
#define PASSES		3			/* what was escaped so many times is undone */

typedef struct Form
{
	char	   *bare;
	int			len;
} Form;

/* The number in a row of digits, -1 when there are others among them. */
static int
number(const char *digits, int n, int base)
{
	int			value = n > 0 ? 0 : -1;

	for (int i = 0; i < n && value >= 0; i++)
	{
		int			digit = digits[i] >= '0' && digits[i] <= '9' ? digits[i] - '0'
			: base == 16 && isxdigit((unsigned char) digits[i]) ? (digits[i] | 0x20) - 'a' + 10 : -1;

		value = digit < 0 ? -1 : value * base + digit;
	}
	return value;
}

/* A reference of HTML: its code and how long it is; -1 for none. */
static int
html_reference(const char *text, int len, int *used)
{
	static const struct
	{
		const char *name;
		char		code;
	}			names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
	int			digits = 2;
	int			base = 10;
	const char *end;

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		*used = strlen(names[i].name);
		if (len >= *used && memcmp(text, names[i].name, *used) == 0)
			return names[i].code;
	}
	if (len < 4 || text[1] != '#')
		return -1;
	if ((text[2] | 0x20) == 'x')
	{
		digits = 3;
		base = 16;
	}
	end = memchr(text + digits, ';', Min(len - digits, 7));
	if (end == NULL)
		return -1;
	*used = end + 1 - text;
	return number(text + digits, end - text - digits, base);
}

/* One level of escapes undone, in place; returns the new length. */
static int
undo_escapes(char *text, int len)
{
	int			n = 0;

	for (int i = 0; i < len;)
	{
		int			left = len - i;
		int			used = 1;
		int			code = -1;

		if (text[i] == '%' && left >= 3)
		{
			code = number(text + i + 1, 2, 16);
			used = 3;
			/* a byte, perhaps of a longer character */
			if (code >= 0)
			{
				text[n++] = code;
				i += used;
				continue;
			}
		}
		else if (text[i] == '\\' && left >= 6 && text[i + 1] == 'u')
		{
			code = number(text + i + 2, 4, 16);
			used = 6;
		}
		else if (text[i] == '&')
			code = html_reference(text + i, left, &used);
		/* At most three bytes in UTF-8, than which no escape is shorter. */
		if (code >= 0 && code <= 0xffff)
		{
			n += po_utf8_encode(code, text + n);
			i += used;
		}
		else
			text[n++] = text[i++];
	}
	return n;
}

/* Palloc'd: what is left of a text when nothing counts that spellings differ in. */
static Form
make_bare(const char *text, int len)
{
	Form		form = {palloc(len + 1), 0};
	int			n = len;

	memcpy(form.bare, text, len);
	for (int pass = 0; pass < PASSES; pass++)
	{
		int			before = n;

		n = undo_escapes(form.bare, n);
		if (n == before)
			break;
	}
	for (int i = 0; i < n; i++)
	{
		unsigned char c = form.bare[i];

		if (c > ' ' && strchr("\\+/-_=", c) == NULL)
			form.bare[form.len++] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	/* what was cut off is not to stay behind */
	explicit_bzero(form.bare + form.len, len - form.len);
	return form;
}

static void
wipe(Form *form)
{
	explicit_bzero(form->bare, form->len);
	pfree(form->bare);
}

/*
 * The characters of base64 that a secret decides when `before` bytes stand in
 * front of it; those that it shares with its neighbours are left out.
 */
static Form
base64_form(const char *secret, int len, int before)
{
	int			first = before == 0 ? 0 : before + 1;
	int			whole = (before + len) * 8 / 6;
	char	   *plain = palloc0(before + len);
	char	   *encoded = palloc(4 * ((before + len + 2) / 3) + 1);
	Form		form;

	memcpy(plain + before, secret, len);
	EVP_EncodeBlock((unsigned char *) encoded, (unsigned char *) plain, before + len);
	form = make_bare(encoded + Min(first, whole), Max(whole - first, 0));
	explicit_bzero(plain, before + len);
	explicit_bzero(encoded, strlen(encoded));
	pfree(plain);
	pfree(encoded);
	return form;
}

static Form
hex_form(const char *secret, int len)
{
	char	   *digits = palloc(2 * len + 1);
	Form		form;

	for (int i = 0; i < len; i++)
		snprintf(digits + 2 * i, 3, "%02x", (unsigned char) secret[i]);
	form = make_bare(digits, 2 * len);
	explicit_bzero(digits, 2 * len);
	pfree(digits);
	return form;
}

static uint32
gram_hash(const char *gram)
{
	uint32		bytes;

	memcpy(&bytes, gram, GRAM);
	return bytes * 0x9e3779b1u >> 20;
}

/* Whether a piece of a form is in a bare text. */
static bool
has_piece(const Form *form, int nforms, const Form *text)
{
	uint8		filter[FILTER_BITS / 8] = {0};

	for (int f = 0; f < nforms; f++)
		for (int i = 0; i + GRAM <= form[f].len; i++)
		{
			uint32		bit = gram_hash(form[f].bare + i);

			filter[bit / 8] |= 1 << bit % 8;
		}
	for (int i = 0; i + GRAM <= text->len; i++)
	{
		uint32		bit = gram_hash(text->bare + i);

		if ((filter[bit / 8] & 1 << bit % 8) == 0)
			continue;
		for (int f = 0; f < nforms; f++)
		{
			int			piece = Min(form[f].len, PIECE);

			if (piece >= (f == 0 ? SHORTEST : SHORTEST_ENCODED) && i + piece <= text->len &&
				memmem(form[f].bare, form[f].len, text->bare + i, piece) != NULL)
				return true;
		}
	}
	return false;
}

/*
 * po_tells_secret tells whether the secret, or a piece of it that is long
 * enough, can be read in a text.  A secret of less than four characters is not
 * looked for.
 */
bool
po_tells_secret(const char *secret, const char *text, int len)
{
	int			secret_len = strlen(secret);
	Form		form[NFORMS];
	Form		bare;
	bool		told;

	if (secret_len < SHORTEST || len < SHORTEST)
		return false;
	if (memmem(text, len, secret, secret_len) != NULL)
		return true;
	bare = make_bare(text, len);
	form[0] = make_bare(secret, secret_len);
	form[1] = hex_form(secret, secret_len);
	for (int before = 0; before < 3; before++)
		form[2 + before] = base64_form(secret, secret_len, before);
	told = has_piece(form, NFORMS, &bare);
	for (int f = 0; f < NFORMS; f++)
		wipe(&form[f]);
	wipe(&bare);
	return told;
}
