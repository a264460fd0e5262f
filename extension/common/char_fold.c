/*
 * char_fold.c
 *	  What a character is read as: small letters without accents.
 *
 * People write keywords with accents or without, in capitals, and in letters
 * that only look like those meant.  Everything here is data, in the order of
 * the code points.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/text.h"
#include "common/unicode.h"

/* U+00C0 to U+017F, then U+1E00 to U+1EFF; '.' for what stays as it is */
static const char latin[] = "aaaaaa.ceeeeiiiidnooooo.ouuuuy..aaaaaa.ceeeeiiiidnooooo.ouuuuy.y"
	"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii..jjkkklllllll"
	"lllnnnnnnnnnoooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
static const char latin_additional[] =
	"aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmm"
	"mmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvv"
	"wwwwwwwwwwxxxxyyzzzzzzhtwyas....aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee"
	"eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......";

/* Letters drawn like a Latin one, in code point order. */
static const struct
{
	uint32		c;
	char		like;
}			look_alikes[] = {
	/* small capitals */
	{0x262, 'g'},
	{0x26A, 'i'},
	{0x274, 'n'},
	{0x280, 'r'},
	{0x28F, 'y'},
	{0x299, 'b'},
	{0x29C, 'h'},
	{0x29F, 'l'},
	/* Greek */
	{0x391, 'a'},
	{0x392, 'b'},
	{0x395, 'e'},
	{0x396, 'z'},
	{0x397, 'h'},
	{0x399, 'i'},
	{0x39A, 'k'},
	{0x39C, 'm'},
	{0x39D, 'n'},
	{0x39F, 'o'},
	{0x3A1, 'p'},
	{0x3A4, 't'},
	{0x3A5, 'y'},
	{0x3A7, 'x'},
	{0x3B1, 'a'},
	{0x3B5, 'e'},
	{0x3B9, 'i'},
	{0x3BA, 'k'},
	{0x3BD, 'v'},
	{0x3BF, 'o'},
	{0x3C1, 'p'},
	{0x3C4, 't'},
	{0x3C5, 'u'},
	{0x3C7, 'x'},
	/* Cyrillic */
	{0x405, 's'},
	{0x406, 'i'},
	{0x408, 'j'},
	{0x410, 'a'},
	{0x412, 'b'},
	{0x415, 'e'},
	{0x41A, 'k'},
	{0x41C, 'm'},
	{0x41D, 'h'},
	{0x41E, 'o'},
	{0x420, 'p'},
	{0x421, 'c'},
	{0x422, 't'},
	{0x423, 'y'},
	{0x425, 'x'},
	{0x430, 'a'},
	{0x435, 'e'},
	{0x43A, 'k'},
	{0x43E, 'o'},
	{0x440, 'p'},
	{0x441, 'c'},
	{0x442, 't'},
	{0x443, 'y'},
	{0x445, 'x'},
	{0x455, 's'},
	{0x456, 'i'},
	{0x458, 'j'},
	{0x4BB, 'h'},
	{0x501, 'd'},
	{0x51B, 'q'},
	{0x51D, 'w'},
	/* Armenian */
	{0x578, 'n'},
	{0x57D, 'u'},
	{0x585, 'o'},
	/* small capitals */
	{0x1D00, 'a'},
	{0x1D04, 'c'},
	{0x1D05, 'd'},
	{0x1D07, 'e'},
	{0x1D0A, 'j'},
	{0x1D0B, 'k'},
	{0x1D0D, 'm'},
	{0x1D0F, 'o'},
	{0x1D18, 'p'},
	{0x1D1B, 't'},
	{0x1D1C, 'u'},
	{0x1D20, 'v'},
	{0x1D21, 'w'},
	{0x1D22, 'z'},
	{0xA730, 'f'},
	{0xA731, 's'},
};

/*
 * po_char_fold returns the letter that c is read as, never one that is longer
 * in UTF-8, and 0 for a mark over the letter before.
 */
uint32
po_char_fold(uint32 c)
{
	if (c < 0xC0)
		return c;
	if (c < 0x180)
		return latin[c - 0xC0] != '.' ? (uint32) latin[c - 0xC0] : po_char_lower(c);
	if (c >= 0x300 && c <= 0x36F)
		return 0;
	if (c >= 0x1E00 && c <= 0x1EFF && latin_additional[c - 0x1E00] != '.')
		return latin_additional[c - 0x1E00];
	/* letters in circles and squares, and the halves of flags */
	if (c >= 0x1F150 && c <= 0x1F169)
		return 'a' + (c - 0x1F150);
	if (c >= 0x1F170 && c <= 0x1F189)
		return 'a' + (c - 0x1F170);
	if (c >= 0x1F1E6 && c <= 0x1F1FF)
		return 'a' + (c - 0x1F1E6);
	for (int i = 0; i < (int) lengthof(look_alikes) && look_alikes[i].c <= c; i++)
	{
		if (look_alikes[i].c == c)
			return look_alikes[i].like;
	}
	return po_char_lower(c);
}

/* Pictures by what they say. */
static const struct
{
	uint32		c;
	int			picture;
}			pictures[] = {
	{0x263A, PO_PICTURE_GLAD},   {0x2639, PO_PICTURE_SAD},   {0x26D4, PO_PICTURE_HALT},
	{0x270B, PO_PICTURE_HALT},   {0x2716, PO_PICTURE_HALT},  {0x274C, PO_PICTURE_HALT},
	{0x274E, PO_PICTURE_HALT},   {0x2764, PO_PICTURE_GLAD},  {0x270C, PO_PICTURE_GLAD},
	{0x1F389, PO_PICTURE_GLAD},  {0x1F44C, PO_PICTURE_GLAD}, {0x1F44D, PO_PICTURE_GLAD},
	{0x1F44E, PO_PICTURE_SAD},   {0x1F44F, PO_PICTURE_GLAD}, {0x1F494, PO_PICTURE_SAD},
	{0x1F4F5, PO_PICTURE_HALT},  {0x1F507, PO_PICTURE_HALT}, {0x1F515, PO_PICTURE_HALT},
	{0x1F590, PO_PICTURE_HALT},  {0x1F595, PO_PICTURE_RUDE}, {0x1F5D1, PO_PICTURE_HALT},
	{0x1F600, PO_PICTURE_GLAD},  {0x1F601, PO_PICTURE_GLAD}, {0x1F602, PO_PICTURE_LAUGH},
	{0x1F603, PO_PICTURE_GLAD},  {0x1F604, PO_PICTURE_GLAD}, {0x1F605, PO_PICTURE_LAUGH},
	{0x1F606, PO_PICTURE_LAUGH}, {0x1F60A, PO_PICTURE_GLAD}, {0x1F60D, PO_PICTURE_GLAD},
	{0x1F612, PO_PICTURE_ANGRY}, {0x1F614, PO_PICTURE_SAD},  {0x1F620, PO_PICTURE_ANGRY},
	{0x1F621, PO_PICTURE_ANGRY}, {0x1F622, PO_PICTURE_SAD},  {0x1F624, PO_PICTURE_ANGRY},
	{0x1F62D, PO_PICTURE_SAD},   {0x1F642, PO_PICTURE_GLAD}, {0x1F644, PO_PICTURE_ANGRY},
	{0x1F645, PO_PICTURE_HALT},  {0x1F64C, PO_PICTURE_GLAD}, {0x1F64F, PO_PICTURE_PLEASE},
	{0x1F6AB, PO_PICTURE_HALT},  {0x1F6D1, PO_PICTURE_HALT}, {0x1F917, PO_PICTURE_GLAD},
	{0x1F91A, PO_PICTURE_HALT},  {0x1F91D, PO_PICTURE_GLAD}, {0x1F923, PO_PICTURE_LAUGH},
	{0x1F92C, PO_PICTURE_ANGRY},
};

/*
 * po_char_picture returns what a picture says, 0 for what is none.
 */
int
po_char_picture(uint32 c)
{
	if (c < 0x2600 || (c > 0x27BF && c < 0x1F300))
		return 0;
	for (int i = 0; i < (int) lengthof(pictures); i++)
	{
		if (pictures[i].c == c)
			return pictures[i].picture;
	}
	return c > 0x1F3FA && c < 0x1F400 ? 0 : PO_PICTURE_OTHER;	/* skin tones */
}
