/*
 * unicode.c
 *	  Characters of UTF-8 text: decoding, classes, lower case, NFKC.
 *
 * What core offers for this depends on the server version, the collation
 * provider or the database encoding; folding must not, or a keyword would stop
 * matching after a change of locale.  Hence tables of our own, except for
 * normalisation, which core does everywhere alike.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/unicode.h"
#include "common/unicode_norm.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

/*
 * Characters are normalised in pieces, so that a text of nothing but combining
 * marks does not meet the quadratic reordering of unicode_normalize.  A piece
 * ends before an ASCII character, with which nothing earlier combines, or
 * when it is full.
 */
#define PIECE_SOFT 64
#define PIECE_FULL 128

typedef struct Range
{
	uint32		first;
	uint32		last;
} Range;

/* Not seen by a reader, so not there: format characters, selectors, tags. */
static const Range invisible[] = {
	{0xAD, 0xAD},     {0x34F, 0x34F},   {0x61C, 0x61C},   {0x115F, 0x1160},
	{0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x200B, 0x200F}, {0x202A, 0x202E},
	{0x2060, 0x206F}, {0x20E3, 0x20E3}, {0x3164, 0x3164}, {0xFE00, 0xFE0F},
	{0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF},
};

/*
 * What takes room or none and shows nothing, and means nothing for the characters
 * beside it: white space, controls, blanks that scripts have of their own.
 */
static const Range space[] = {
	{0x00, 0x20},     {0x7F, 0xA0},       {0xAD, 0xAD},       {0x1680, 0x1680},
	{0x180E, 0x180E}, {0x2000, 0x200B},   {0x2028, 0x2029},   {0x202F, 0x202F},
	{0x205F, 0x2060}, {0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},
	{0xFEFF, 0xFEFF}, {0x16FE4, 0x16FE4}, {0x1BCA0, 0x1BCA3}, {0x1D159, 0x1D159},
	{0x1D173, 0x1D17A},
};

/* Neither letter nor digit.  What is not listed counts as a letter. */
static const Range separator[] = {
	{0x80, 0xA9},       {0xAB, 0xB4},        {0xB6, 0xB9},     {0xBB, 0xBF},
	{0xD7, 0xD7},       {0xF7, 0xF7},        {0x2B9, 0x2DF},   {0x55A, 0x55F},
	{0x589, 0x58A},     {0x5BE, 0x5BE},      {0x5C0, 0x5C0},   {0x5C3, 0x5C3},
	{0x5F3, 0x5F4},     {0x606, 0x60F},      {0x61B, 0x61F},   {0x66A, 0x66D},
	{0x6D4, 0x6D4},     {0x964, 0x965},      {0xE3F, 0xE3F},   {0x1680, 0x1680},
	{0x2000, 0x206F},   {0x20A0, 0x20CF},    {0x2100, 0x2BFF}, {0x2E00, 0x2E7F},
	{0x3000, 0x3004},   {0x3008, 0x3020},    {0x3030, 0x3030}, {0x303D, 0x303F},
	{0x30FB, 0x30FB},   {0xD800, 0xF8FF},    {0xFD3E, 0xFD3F}, {0xFFFC, 0xFFFF},
	{0x1F000, 0x1FAFF}, {0xF0000, 0x10FFFF},
};

/* NFKC leaves these as they are unless a character not listed follows. */
static const Range stable[] = {
	{0x00, 0x9F},     {0xC0, 0x131},    {0x134, 0x13E},   {0x141, 0x148},
	{0x14A, 0x17E},   {0x400, 0x482},   {0x2013, 0x2014}, {0x2018, 0x201E},
	{0x2020, 0x2022}, {0x20AC, 0x20AC}, {0x2600, 0x27BF}, {0x1F300, 0x1FAFF},
};

static bool
in_ranges(const Range *range, int n, uint32 c)
{
	for (int i = 0; i < n && c >= range[i].first; i++)
	{
		if (c <= range[i].last)
			return true;
	}
	return false;
}

#define IN(table, c) in_ranges(table, (int) lengthof(table), c)

/*
 * po_utf8_decode reads the character at s and returns its length in bytes.  A
 * byte that begins none is a noncharacter of length 1.
 */
int
po_utf8_decode(const char *s, const char *end, uint32 *c)
{
	const unsigned char *p = (const unsigned char *) s;
	int			len;

	if (p[0] < 0x80)
	{
		*c = p[0];
		return 1;
	}
	*c = 0xFFFF;
	len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	if (p[0] < 0xC2 || p[0] > 0xF4 || end - s < len)
		return 1;
	for (int i = 1; i < len; i++)
	{
		if ((p[i] & 0xC0) != 0x80)
			return 1;
	}
	if (len == 2)
		*c = (p[0] & 0x1F) << 6 | (p[1] & 0x3F);
	else if (len == 3)
		*c = (p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F);
	else
		*c = (p[0] & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F);
	return len;
}

/*
 * po_utf8_encode writes at most four bytes and returns how many.
 */
int
po_utf8_encode(uint32 c, char *out)
{
	if (c < 0x80)
	{
		out[0] = c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = 0xC0 | c >> 6;
		out[1] = 0x80 | (c & 0x3F);
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = 0xE0 | c >> 12;
		out[1] = 0x80 | (c >> 6 & 0x3F);
		out[2] = 0x80 | (c & 0x3F);
		return 3;
	}
	out[0] = 0xF0 | c >> 18;
	out[1] = 0x80 | (c >> 12 & 0x3F);
	out[2] = 0x80 | (c >> 6 & 0x3F);
	out[3] = 0x80 | (c & 0x3F);
	return 4;
}

/*
 * po_char_is_separator: neither letter nor digit.
 */
bool
po_char_is_separator(uint32 c)
{
	return IN(separator, c);
}

/*
 * po_char_lower knows the lower case of the scripts our messages come in, and
 * never returns what is longer in UTF-8.  In most blocks capital and small letter are neighbours.
 */
uint32
po_char_lower(uint32 c)
{
	if (c < 0x100)
		return c >= 0xC0 && c <= 0xDE && c != 0xD7 ? c + 32 : c;
	if (c < 0x180)
	{
		if (c == 0x130)
			return 'i';
		if (c == 0x178)
			return 0xFF;
		if ((c >= 0x139 && c <= 0x148) || c >= 0x179)
			return c & 1 && c != 0x17F ? c + 1 : c;
		return c & 1 || c == 0x138 ? c : c + 1;
	}
	if (c < 0x250)
	{
		if (c >= 0x1CD && c <= 0x1DC)
			return c & 1 ? c + 1 : c;
		if ((c >= 0x1DE && c <= 0x1EF) || (c >= 0x1F8 && c <= 0x233 && c != 0x220))
			return c | 1;
		return c;
	}
	if (c >= 0x386 && c <= 0x3C2)
	{
		if (c == 0x386)
			return 0x3AC;
		if (c >= 0x388 && c <= 0x38A)
			return c + 37;
		if (c == 0x38C)
			return 0x3CC;
		if (c == 0x38E || c == 0x38F)
			return c + 63;
		if (c >= 0x391 && c <= 0x3AB && c != 0x3A2)
			return c + 32;
		return c == 0x3C2 ? 0x3C3 : c;	/* final sigma */
	}
	if (c >= 0x400 && c <= 0x52F)
	{
		if (c < 0x410)
			return c + 80;
		if (c < 0x430)
			return c + 32;
		if (c >= 0x4C1 && c <= 0x4CE)
			return c & 1 ? c + 1 : c;
		if (c == 0x4C0)
			return 0x4CF;
		return (c >= 0x460 && c <= 0x481) || c >= 0x48A ? c | 1 : c;
	}
	if (c >= 0x1E00 && c <= 0x1EFF)
	{
		if (c == 0x1E9E)
			return 0xDF;
		return c >= 0x1E96 && c <= 0x1E9F ? c : c | 1;
	}
	return c;
}

/*
 * The quotes and apostrophes of keyboards and typesetters are one.  Some would
 * come out of NFKC as a space and a combining mark.
 */
static uint32
plain_quote(uint32 c)
{
	switch (c)
	{
		case '`':
		case 0xB4:
		case 0x2BC:
		case 0x2018:
		case 0x2019:
		case 0x201B:
		case 0x2032:
			return '\'';
		case 0x201C:
		case 0x201D:
		case 0x201E:
		case 0x201F:
			return '"';
	}
	return c;
}

static void
append_piece(StringInfo out, pg_wchar *piece, int n, bool normalize)
{
	pg_wchar   *chars = piece;
	pg_wchar   *made = NULL;

	piece[n] = 0;
	if (normalize)
		made = unicode_normalize(UNICODE_NFKC, piece);
	if (made != NULL)
		chars = made;
	for (; *chars != 0; chars++)
	{
		char		utf8[4];

		appendBinaryStringInfo(out, utf8, po_utf8_encode(*chars, utf8));
	}
	if (made != NULL)
		pfree(made);
}

/*
 * po_char_is_space: white space, and what else shows nothing and can be left out
 * at the ends of a text.
 */
bool
po_char_is_space(uint32 c)
{
	return IN(space, c);
}

/*
 * po_char_is_blank: a reader sees nothing of it where it stands alone.  The keycap
 * is a frame.
 */
bool
po_char_is_blank(uint32 c)
{
	return IN(space, c) || (c != 0x20E3 && IN(invisible, c));
}

/*
 * po_text_nfkc returns a copy of the text in NFKC, NUL-terminated, without
 * invisible characters and with plain quotes.  The caller frees it.
 */
char *
po_text_nfkc(const char *text, int len, int *normal_len)
{
	const char *end = text + len;
	pg_wchar	piece[PIECE_FULL + 1];
	bool		normalize = false;
	int			n = 0;
	StringInfoData out;

	initStringInfo(&out);
	while (text < end)
	{
		uint32		c;

		text += po_utf8_decode(text, end, &c);
		if (c >= 0x80 && IN(invisible, c))
			continue;
		c = plain_quote(c);
		if (n == PIECE_FULL || (n >= PIECE_SOFT && c < 0x80))
		{
			append_piece(&out, piece, n, normalize);
			n = 0;
			normalize = false;
		}
		piece[n++] = c == 0 ? ' ' : c;
		normalize = normalize || !IN(stable, c);
	}
	append_piece(&out, piece, n, normalize);
	*normal_len = out.len;
	return out.data;
}
