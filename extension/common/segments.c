/*
 * segments.c
 *	  How many parts an SMS is sent, and billed, as.
 *
 * A text of only characters of the GSM 7-bit alphabet (3GPP TS 23.038) is
 * counted in septets, any other in UTF-16 units.  A text that does not fit into
 * one part loses six octets of each to the header that joins them.  Neither the
 * two septets of an extension character nor a surrogate pair is ever split, so
 * a part may be one short of full.
 *
 * No locks, no state, no allocation.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/segments.h"
#include "common/unicode.h"

#define GSM_SINGLE 160			/* septets of a text of one part */
#define GSM_PART 153			/* septets of each of several parts */
#define UCS2_SINGLE 70			/* the same in UTF-16 units */
#define UCS2_PART 67

/* What lies beyond ASCII in the default alphabet; the Greek is capitals only. */
static const uint16 gsm_beyond_ascii[] = {
	0xA1, 0xA3, 0xA4, 0xA5,  0xA7,  0xBF,  0xC4,  0xC5,  0xC6,  0xC7,  0xC9,  0xD1,  0xD6,
	0xD8, 0xDC, 0xDF, 0xE0,  0xE4,  0xE5,  0xE6,  0xE8,  0xE9,  0xEC,  0xF1,  0xF2,  0xF6,
	0xF8, 0xF9, 0xFC, 0x393, 0x394, 0x398, 0x39B, 0x39E, 0x3A0, 0x3A3, 0x3A6, 0x3A8, 0x3A9,
};

/*
 * How many septets a character takes, 0 when the alphabet does not have it.
 */
static int
septets(uint32 c)
{
	switch (c)
	{
		case '\n':
		case '\r':
			return 1;
		case '\f':
		case '[':
		case '\\':
		case ']':
		case '^':
		case '{':
		case '|':
		case '}':
		case '~':
		case 0x20AC:			/* the euro sign */
			return 2;
		case '`':
			return 0;
	}
	if (c < 0x80)
		return c >= ' ' && c < 0x7F;
	for (int i = 0; i < (int) lengthof(gsm_beyond_ascii) && gsm_beyond_ascii[i] <= c; i++)
	{
		if (gsm_beyond_ascii[i] == c)
			return 1;
	}
	return 0;
}

static bool
is_gsm(const char *p, const char *end)
{
	while (p < end)
	{
		uint32		c;

		p += po_utf8_decode(p, end, &c);
		if (septets(c) == 0)
			return false;
	}
	return true;
}

/*
 * The parts that a text fills when each holds "size" units.
 */
static int
count_parts(const char *p, const char *end, bool ucs2, int size)
{
	int			parts = 0;
	int			room = 0;

	while (p < end)
	{
		uint32		c;
		int			units;

		p += po_utf8_decode(p, end, &c);
		units = !ucs2 ? septets(c) : c > 0xFFFF ? 2 : 1;
		if (units > room)
		{
			parts++;
			room = size;
		}
		room -= units;
	}
	return parts;
}

/*
 * po_segments returns the parts of a text, 0 when it is empty; *ucs2 says
 * whether it leaves the GSM alphabet.  The text is UTF-8.
 */
int
po_segments(const char *text, int len, bool *ucs2)
{
	const char *end = text + len;
	int			parts;

	*ucs2 = !is_gsm(text, end);
	parts = count_parts(text, end, *ucs2, *ucs2 ? UCS2_SINGLE : GSM_SINGLE);
	if (parts > 1)
		parts = count_parts(text, end, *ucs2, *ucs2 ? UCS2_PART : GSM_PART);
	return parts;
}
