/*
 * segments_test.c
 *	  Unit test of counting the parts of an SMS.
 *
 * Prints TAP.
 */
#include "postgres_fe.h"

#include "common/segments.h"
#include "common/unicode.h"
#include "lib/stringinfo.h"

#define EURO "\u20AC"
#define CYRILLIC "\u044F"
#define EMOJI "\U0001F600"

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool passed, const char *what)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, what);
}

/*
 * Counts what was put together in text, and empties it.
 */
static void
parts(StringInfo text, int expected, bool expected_ucs2, const char *what)
{
	bool		ucs2 = !expected_ucs2;
	int			n = po_segments(text->data, text->len, &ucs2);

	ok(n == expected && ucs2 == expected_ucs2, what);
	if (n != expected || ucs2 != expected_ucs2)
		printf("# got %d of %s\n", n, ucs2 ? "UCS-2" : "GSM-7");
	resetStringInfo(text);
}

static StringInfo
add(StringInfo text, const char *piece, int times)
{
	while (times-- > 0)
		appendStringInfoString(text, piece);
	return text;
}

static void
gsm(const char *text, const char *what)
{
	bool		ucs2 = true;

	ok(po_segments(text, strlen(text), &ucs2) == 1 && !ucs2, what);
}

static void
other(const char *text, const char *what)
{
	bool		ucs2 = false;

	ok(po_segments(text, strlen(text), &ucs2) == 1 && ucs2, what);
}

static void
test_sizes(void)
{
	StringInfoData buffer;
	StringInfo	t = &buffer;

	initStringInfo(t);
	parts(t, 0, false, "empty");
	parts(add(t, "a", 1), 1, false, "a");
	parts(add(t, "a", 160), 1, false, "a x 160");
	parts(add(t, "a", 161), 2, false, "a x 161");
	parts(add(t, "a", 306), 2, false, "a x 306");
	parts(add(t, "a", 307), 3, false, "a x 307");
	parts(add(t, EURO, 80), 1, false, "euro x 80");
	parts(add(t, EURO, 81), 2, false, "euro x 81");
	parts(add(t, EURO, 76 * 2), 2, false, "euro x 152: 76 a part, one septet of each stays free");
	parts(add(t, EURO, 76 * 2 + 1), 3, false, "euro x 153");
	parts(add(add(t, "a", 158), EURO, 1), 1, false, "a x 158, euro");
	parts(add(add(t, "a", 159), EURO, 1), 2, false, "a x 159, euro");
	parts(add(add(add(t, "a", 152), EURO, 1), "a", 7), 2, false, "a x 152, euro, a x 7");
	parts(add(add(add(t, "a", 151), EURO, 1), "a", 152), 2, false, "a x 151, euro, a x 152");
	parts(add(add(add(t, "a", 152), EURO, 1), "a", 151), 2, false, "a x 152, euro, a x 151");
	parts(add(add(add(t, "a", 152), EURO, 1), "a", 152), 3, false, "a x 152, euro, a x 152");
	parts(add(add(add(t, "a", 152), "\f", 1), "a", 152), 3, false, "form feed is not split either");
	parts(add(t, CYRILLIC, 70), 1, true, "Cyrillic x 70");
	parts(add(t, CYRILLIC, 71), 2, true, "Cyrillic x 71");
	parts(add(t, CYRILLIC, 134), 2, true, "Cyrillic x 134");
	parts(add(t, CYRILLIC, 135), 3, true, "Cyrillic x 135");
	parts(add(t, EMOJI, 35), 1, true, "emoji x 35");
	parts(add(t, EMOJI, 36), 2, true, "emoji x 36");
	parts(add(t, EMOJI, 66), 2, true, "emoji x 66: 33 a part, one unit of each stays free");
	parts(add(t, EMOJI, 67), 3, true, "emoji x 67");
	parts(add(add(add(t, CYRILLIC, 66), EMOJI, 1), CYRILLIC, 65), 2, true,
		  "Cyrillic x 66, emoji, Cyrillic x 65");
	parts(add(add(add(t, CYRILLIC, 66), EMOJI, 1), CYRILLIC, 66), 3, true,
		  "Cyrillic x 66, emoji, Cyrillic x 66");
	parts(add(add(t, "a", 99), "\u2019", 1), 2, true, "a x 99, curly apostrophe");
	parts(add(add(t, "[", 69), CYRILLIC, 1), 1, true,
		  "in UCS-2 an extension character is one unit");
	parts(add(add(t, "[", 70), CYRILLIC, 1), 2, true, "in UCS-2, 71 units");
	parts(add(t, "\u00E7", 70), 1, true, "c cedilla x 70");
	parts(add(t, "a", 1600), 11, false, "a x 1600");
	parts(add(t, "\uFFFD", 1), 1, true, "replacement character");
	parts(add(t, "\uFFFF", 71), 2, true, "U+FFFF is one unit");
	parts(add(t, "\U00010000", 36), 2, true, "U+10000 is two");
	pfree(t->data);
}

static void
test_alphabet(void)
{
	static const char *const basic =
		"@\u00A3$\u00A5\u00E8\u00E9\u00F9\u00EC\u00F2\u00C7\n\u00D8\u00F8\r\u00C5\u00E5"
		"\u0394_\u03A6\u0393\u039B\u03A9\u03A0\u03A8\u03A3\u0398\u039E\u00C6\u00E6\u00DF\u00C9"
		" !\"#\u00A4%&'()*+,-./0123456789:;<=>?"
		"\u00A1ABCDEFGHIJKLMNOPQRSTUVWXYZ\u00C4\u00D6\u00D1\u00DC\u00A7"
		"\u00BFabcdefghijklmnopqrstuvwxyz\u00E4\u00F6\u00F1\u00FC\u00E0";
	static const char *const extension = "\f^{}\\[~]|" EURO;
	StringInfoData buffer;
	StringInfo	t = &buffer;
	int			nsingle = 0;
	int			ndouble = 0;

	/* 127 characters: the 128 of the table but for the escape */
	initStringInfo(t);
	parts(add(add(t, basic, 1), "a", 160 - 127), 1, false, "the whole basic table, to 160");
	parts(add(add(t, basic, 1), "a", 161 - 127), 2, false, "the whole basic table, to 161");
	parts(add(t, extension, 8), 1, false, "the extension table, 8 x 20 septets");
	parts(add(add(t, extension, 8), "a", 1), 2, false, "and one");

	/* nothing else is in it */
	for (uint32 c = 1; c <= 0xFFFF; c++)
	{
		char		one[4];
		int			len;
		bool		ucs2;

		if (c >= 0xD800 && c <= 0xDFFF)
			continue;
		len = po_utf8_encode(c, one);
		po_segments(one, len, &ucs2);
		if (ucs2)
			continue;
		for (int i = 0; i < 81; i++)
			appendBinaryStringInfo(t, one, len);
		if (po_segments(t->data, t->len, &ucs2) == 2)
			ndouble++;
		else
			nsingle++;
		resetStringInfo(t);
	}
	ok(nsingle == 127, "127 characters of one septet");
	ok(ndouble == 10, "10 characters of two septets");
	pfree(t->data);

	gsm("\u00C7", "C cedilla");
	gsm("\u00F1", "n tilde");
	gsm("\u00E0", "a grave");
	gsm("\f", "form feed");
	gsm("\r\n", "CR LF");
	gsm("^{}[]~|\\", "extension characters");
	gsm("\u03A9", "Greek omega");
	other("`", "back-tick");
	other("\u00A0", "no-break space");
	other("\u00E7", "c cedilla");
	other("\u00E1", "a acute");
	other("\u00ED", "i acute");
	other("\u00F3", "o acute");
	other("\u00FA", "u acute");
	other("\u2019", "curly apostrophe");
	other("\u201C", "curly quotes");
	other("\u2013", "en dash");
	other("\u2026", "ellipsis");
	other("\u2126", "ohm sign");
	other("\u00B5", "micro sign");
	other("\t", "tab");
	other("\x1B", "escape");
	other("\x7F", "delete");
	other("\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466", "family emoji");
}

int
main(void)
{
	test_sizes();
	test_alphabet();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
