/*-------------------------------------------------------------------------
 * base64.c
 *	  Strict decoders of base64 and of hexadecimal digits.
 *
 * No locks, no state, no allocation.  None of the functions raises.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/base64.h"

/* The value of a digit in the alphabet that ends in `last`, -1 for any other byte. */
static int
base64_digit(char c, const char *last)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == last[0])
		return 62;
	if (c == last[1])
		return 63;
	return -1;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* How many signs of padding the text ends in, of two at most. */
static int
count_padding(const char *text, int len)
{
	int			padding = 0;

	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	return padding;
}

/* Decodes what stands before the padding. */
static int
decode_digits(const char *text, int len, const char *last, uint8 *bytes, int size)
{
	int			nbytes = len / 4 * 3 + Max(len % 4 - 1, 0);
	uint32		bits = 0;
	int			nbits = 0;
	int			used = 0;

	if (len % 4 == 1 || nbytes > size)
		return -1;
	for (int i = 0; i < len; i++)
	{
		int			digit = base64_digit(text[i], last);

		if (digit < 0)
			return -1;
		bits = bits << 6 | (uint32) digit;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			bytes[used++] = (uint8) (bits >> nbits);
			bits &= (1u << nbits) - 1;
		}
	}
	return bits == 0 ? nbytes : -1;
}

/*
 * Decodes base64 of the standard alphabet into `bytes`, which holds `size`, and
 * returns how many bytes it gave.  Returns -1 if the text is not the canonical
 * form of some bytes (white space, missing padding, set bits under the padding)
 * or if they do not fit; `bytes` may then have been written in part.
 */
int
po_base64_decode(const char *text, int len, uint8 *bytes, int size)
{
	if (len < 0 || len % 4 != 0)
		return -1;
	return decode_digits(text, len - count_padding(text, len), "+/", bytes, size);
}

/*
 * The same of either alphabet, the standard or the one for URLs, and with all of
 * its padding or none.  A text that mixes the alphabets is none.
 */
int
po_base64_decode_any(const char *text, int len, uint8 *bytes, int size)
{
	int			padding = len > 0 ? count_padding(text, len) : 0;
	bool		for_urls = false;

	if (len < 0 || (padding > 0 && len % 4 != 0))
		return -1;
	for (int i = 0; i < len && !for_urls; i++)
		for_urls = text[i] == '-' || text[i] == '_';
	return decode_digits(text, len - padding, for_urls ? "-_" : "+/", bytes, size);
}

/*
 * Decodes exactly `size` bytes from twice as many hexadecimal digits of either
 * case.  Returns false if the text is anything else; `bytes` may then have been
 * written in part.
 */
bool
po_hex_decode(const char *text, int len, uint8 *bytes, int size)
{
	if (len != 2 * size)
		return false;
	for (int i = 0; i < size; i++)
	{
		int			high = hex_digit(text[2 * i]);
		int			low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8) (high << 4 | low);
	}
	return true;
}
