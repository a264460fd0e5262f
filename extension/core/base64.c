/*-------------------------------------------------------------------------
 * base64.c
 *	  Strict decoders of base64 and of hexadecimal digits.
 *
 * No locks, no state, no allocation.  Neither function raises.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "core/base64.h"

/* The value of a base64 digit, -1 for any other byte. */
static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
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

/*
 * Decodes base64 of the standard alphabet into `bytes`, which holds `size`, and
 * returns how many bytes it gave.  Returns -1 if the text is not the canonical
 * form of some bytes (white space, missing padding, set bits under the padding)
 * or if they do not fit; `bytes` may then have been written in part.
 */
int
po_base64_decode(const char *text, int len, uint8 *bytes, int size)
{
	int			padding = 0;
	int			nbytes;
	int			used = 0;

	if (len < 0 || len % 4 != 0)
		return -1;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	nbytes = len / 4 * 3 - padding;
	if (nbytes > size)
		return -1;

	for (int i = 0; i < len; i += 4)
	{
		uint32		group = 0;

		for (int j = i; j < i + 4; j++)
		{
			int			digit = j < len - padding ? base64_digit(text[j]) : 0;

			if (digit < 0)
				return -1;
			group = group << 6 | (uint32) digit;
		}
		for (int shift = 16; shift >= 0; shift -= 8)
		{
			uint8		byte = (group >> shift) & 0xFF;

			if (used < nbytes)
				bytes[used++] = byte;
			else if (byte != 0)
				return -1;
		}
	}
	return nbytes;
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
