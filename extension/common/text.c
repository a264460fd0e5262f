/*
 * text.c
 *	  Reading a short message: folding, clauses, addresses.
 *
 * One pass over the bytes writes the folded text.  ASCII, which is most of what
 * comes, is read where it lies; anything else is first brought to NFKC in a
 * buffer of its own.  Every step is linear in the length of the text.
 *
 * Results are palloc'd in the current memory context.  No errors but out of
 * memory: bytes that are not UTF-8 count as separators.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/address.h"
#include "common/escape.h"
#include "common/quote.h"
#include "common/text.h"
#include "common/unicode.h"

#define SPACED_LEAST 4			/* fewer single letters in a row are words: "u r a" */

static inline bool
is_alnum(unsigned char c)
{
	return (unsigned) ((c | 0x20) - 'a') < 26 || (unsigned) (c - '0') < 10;
}

static inline bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_ascii(const char *s, int len)
{
	uint64		seen = 0;
	int			i = 0;

	for (; i + 8 <= len; i += 8)
	{
		uint64		eight;

		memcpy(&eight, s + i, 8);
		seen |= eight;
	}
	for (; i < len; i++)
		seen |= (unsigned char) s[i];
	return (seen & UINT64CONST(0x8080808080808080)) == 0;
}

static bool
begins_with(const char *p, const char *end, const char *prefix)
{
	for (; *prefix != '\0'; p++, prefix++)
	{
		if (p == end || (is_alnum(*p) ? *p | 0x20 : *p) != *prefix)
			return false;
	}
	return true;
}

static inline bool
is_flag_half(uint32 c)
{
	return c >= 0x1F1E6 && c <= 0x1F1FF;
}

/* How many halves of flags stand in a row from p. */
static int
flag_halves(const char *p, const char *end)
{
	int			n = 0;

	for (uint32 c; p < end; n++)
	{
		p += po_utf8_decode(p, end, &c);
		if (!is_flag_half(c))
			break;
	}
	return n;
}

/*
 * Fold [p, end) into out, which has room for as many bytes and a NUL.  With a
 * PoText also mark clauses, leave out e-mail addresses, URLs and phone numbers,
 * and note what it wants to know.  Returns the length.
 */
static int
fold(const char *p, const char *end, char *out, PoText *text)
{
	char	   *o = out;
	char	   *before_word = out;	/* where the current word's separator is */
	char		gap = '\0';		/* separator owed before the next word */
	bool		in_word = false;
	bool		spelled = false;	/* in letters that are halves of flags */
	PoMailRun	mail = {end, end, end};

	if (text != NULL)
		po_next_mail_run(p, end, &mail);
	while (p < end)
	{
		unsigned char c = *p;
		char		clause = '\0';

		if (text != NULL && p >= mail.start)
		{
			if (p == mail.start)
			{
				if (text->email == NULL)
					text->email = po_mail_address(&mail);
				p = mail.end;
				in_word = false;
				gap = PO_CLAUSE;
				po_next_mail_run(p, end, &mail);
				continue;
			}
			/* an address inside a URL */
			po_next_mail_run(p, end, &mail);
		}

		if (!in_word && text != NULL && c < 0x80)
		{
			const char *stop = NULL;

			if ((c >= '0' && c <= '9') || c == '+' || c == '(')
				stop = po_phone_run_end(p, mail.start > p ? mail.start : end);
			else if ((c | 0x20) == 'w' && begins_with(p, end, "www."))
			{
				for (stop = p; stop < end && !is_blank(*stop);)
					stop++;
			}
			if (stop != NULL)
			{
				p = stop;
				continue;
			}
		}

		if (is_alnum(c))
		{
			if (!in_word)
			{
				before_word = o;
				if (o > out)
					*o++ = gap;
				gap = '\0';
				in_word = true;
			}
			do
				*o++ = *p++ | 0x20;
			while (p < mail.start && is_alnum(*p));
			continue;
		}

		if (c >= 0x80)
		{
			uint32		ch;
			int			len = po_utf8_decode(p, end, &ch);
			uint32		letter = po_char_fold(ch);

			/* two halves are a flag, more are letters */
			spelled = is_flag_half(ch) && (spelled || flag_halves(p, end) >= SPACED_LEAST);
			if (is_flag_half(ch) && !spelled)
				letter = ch;
			p += len;
			if (letter == 0)
				continue;
			if (letter != ch || !po_char_is_separator(ch))
			{
				if (!in_word)
				{
					before_word = o;
					if (o > out)
						*o++ = gap;
					gap = '\0';
					in_word = true;
				}
				o += po_utf8_encode(letter, o);
				continue;
			}
			if (text != NULL)
				text->pictures |= po_char_picture(ch);
			if (ch == 0x2013 || ch == 0x2014)
				clause = PO_LINE;
			if (ch == 0x3001 || ch == 0x3002)
				clause = PO_CLAUSE;
			if (ch == 0x61F && text != NULL)
				text->has_question = true;
		}
		else
		{
			p++;
			switch (c)
			{
				case '\'':
				case '`':
					if (in_word && p < end && (is_alnum(*p) || (unsigned char) *p >= 0x80))
						continue;
					break;
				case ':':
					if (text != NULL && in_word && begins_with(p, end, "//"))
					{
						/* the scheme of a URL: take it back, and skip the rest */
						gap = before_word > out ? *before_word : '\0';
						o = before_word;
						in_word = false;
						while (p < end && !is_blank(*p))
							p++;
					}
					clause = PO_CLAUSE;
					break;
				case '\n':
				case '\r':
				case '~':
					clause = PO_LINE;
					break;
				case '?':
					if (text != NULL)
						text->has_question = true;
					clause = PO_CLAUSE;
					break;
				case '.':
				case ',':
				case ';':
				case '!':
				case '"':
				case '(':
				case ')':
					clause = PO_CLAUSE;
					break;
				case '-':
					if (!in_word || p == end || !is_alnum(*p))
						clause = PO_LINE;
					break;
			}
		}
		in_word = false;
		if (text == NULL || clause == '\0')
			clause = ' ';
		if (gap != PO_LINE && (gap != PO_CLAUSE || clause != ' '))
			gap = clause;
	}
	*o = '\0';
	return o - out;
}

/*
 * po_text_squeeze writes one letter for each row of it to out, which may be
 * folded.  Returns the length.
 */
int
po_text_squeeze(const char *folded, int len, char *out)
{
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		char		c = folded[i];

		if (n == 0 || c != out[n - 1] || c < 'a' || c > 'z')
			out[n++] = c;
	}
	return n;
}

/* Whether a word ends with a letter three times: "stooo", "sss". */
static inline bool
ends_drawn_out(const char *word, const char *end)
{
	return end - word >= 3 && end[-1] == end[-2] && end[-1] == end[-3] && end[-1] >= 'a' &&
		end[-1] <= 'z';
}

/* How many single letters stand in a row from p, each a word, alike apart. */
static int
spaced_letters(const char *p, const char *end)
{
	const char *start = p;
	int			n = 0;

	while (p < end && *p >= 'a' && *p <= 'z' && (p + 1 == end || (unsigned char) p[1] <= ' '))
	{
		n++;
		if (p + 1 < end && p[1] != start[1])
			break;
		p += 2;
	}
	return n;
}

/*
 * Make words of letters that stand apart, "s t o p", and of words that are drawn
 * out, with a letter three times in a row or more, in place.  Returns the new length.
 */
static int
tidy(char *folded, int len)
{
	char	   *end = folded + len;
	char	   *out = folded;

	for (char *p = folded; p < end;)
	{
		char	   *word = out;
		bool		drawn_out = false;
		int			spaced = spaced_letters(p, end);

		if (spaced >= SPACED_LEAST)
		{
			for (int i = 0; i < spaced; i++)
			{
				*out++ = p[2 * i];
				drawn_out |= ends_drawn_out(word, out);
			}
			p += 2 * spaced - 1;
		}
		else
		{
			while (p < end && (unsigned char) *p > ' ')
			{
				*out++ = *p++;
				drawn_out |= ends_drawn_out(word, out);
			}
		}
		if (drawn_out)
			out = word + po_text_squeeze(word, out - word, word);
		if (p < end)
			*out++ = *p++;
	}
	*out = '\0';
	return out - folded;
}

static int
text_limit(const char *text, int len)
{
	if (len <= PO_TEXT_LIMIT)
		return len;
	for (int blank = PO_TEXT_LIMIT; blank > 0; blank--)
		if (is_blank(text[blank]))
			return blank;
	len = PO_TEXT_LIMIT;
	while (len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80)
		len--;
	return len;
}

/*
 * po_text_read makes a message ready for matching.  text->start may point into
 * raw, which must then outlive it; the rest is palloc'd, see po_text_free.
 */
void
po_text_read(PoText *text, const char *raw, int len)
{
	char	   *plain;
	char	   *written;
	int			written_len;

	memset(text, 0, sizeof(*text));
	len = text_limit(raw, len);
	plain = po_text_unescape(raw, len, &len);
	if (plain != NULL)
		raw = text->normal = plain;
	if (!is_ascii(raw, len))
	{
		raw = text->normal = po_text_nfkc(raw, len, &len);
		if (plain != NULL)
			pfree(plain);
	}
	text->start = raw;
	text->start_len = len;
	while (text->start_len > 0 && is_blank(*text->start))
	{
		text->start++;
		text->start_len--;
	}
	written = po_text_written(text->start, text->start_len, &written_len);
	text->folded = palloc(written_len + 1);
	text->len = fold(written, written + written_len, text->folded, text);
	text->len = tidy(text->folded, text->len);
	text->words = po_text_words(text->folded, text->len);
	text->nphones = po_find_phones(written, written + written_len, text->phone, PO_TEXT_PHONES);
	pfree(written);
}

/*
 * po_text_free gives back what po_text_read took.  A caller whose memory
 * context ends with its work need not.
 */
void
po_text_free(PoText *text)
{
	pfree(text->folded);
	if (text->normal != NULL)
		pfree(text->normal);
	if (text->email != NULL)
		pfree(text->email);
}

/*
 * po_text_phone returns the first phone of the text that is neither of the two
 * given, of which NULL is none; NULL for no such phone.
 */
const char *
po_text_phone(const PoText *text, const char *from, const char *to)
{
	for (int i = 0; i < text->nphones; i++)
	{
		const char *phone = text->phone[i];

		if ((from == NULL || strcmp(phone, from) != 0) && (to == NULL || strcmp(phone, to) != 0))
			return phone;
	}
	return NULL;
}

/*
 * po_text_is_short returns whether no more than most letters and digits were
 * written, addresses and quotes among them.
 */
bool
po_text_is_short(const PoText *text, int most)
{
	const char *end = text->start + text->start_len;
	int			n = 0;

	for (const char *p = text->start; p < end && n <= most;)
	{
		uint32		c;
		uint32		letter;

		p += po_utf8_decode(p, end, &c);
		letter = c < 0x80 ? c : po_char_fold(c);
		n += c < 0x80 ? is_alnum(c) : letter != 0 && (letter != c || !po_char_is_separator(c));
	}
	return n <= most;
}

/*
 * po_text_fold returns the folded text, words apart by one space,
 * NUL-terminated.  The caller frees it.
 */
char *
po_text_fold(const char *text, int len, int *folded_len)
{
	char	   *normal = NULL;
	char	   *folded;

	len = text_limit(text, len);
	if (!is_ascii(text, len))
		text = normal = po_text_nfkc(text, len, &len);
	folded = palloc(len + 1);
	*folded_len = tidy(folded, fold(text, text + len, folded, NULL));
	if (normal != NULL)
		pfree(normal);
	return folded;
}

/*
 * po_clause_end returns where the clause ends that p is in.
 */
const char *
po_clause_end(const char *p, const char *end)
{
	const char *clause = memchr(p, PO_CLAUSE, end - p);
	const char *line;

	if (clause == NULL)
		clause = end;
	line = memchr(p, PO_LINE, clause - p);
	return line != NULL ? line : clause;
}

/* The bits of a word that has this hash. */
static inline uint64
word_bits(uint32 hash)
{
	hash *= 0x9E3779B1u;
	return UINT64CONST(1) << (hash >> 26) | UINT64CONST(1) << (hash >> 20 & 63);
}

/*
 * po_text_words returns a signature of a folded text: each word sets two of 64
 * bits.  A phrase can be in a text only if the text has all of its bits.
 */
uint64
po_text_words(const char *folded, int len)
{
	uint64		words = 0;
	uint32		hash = 0;

	if (len == 0)
		return 0;
	for (int i = 0; i < len; i++)
	{
		unsigned char c = folded[i];

		if (c > ' ')
			hash = hash * 31 + c;
		else
		{
			words |= word_bits(hash);
			hash = 0;
		}
	}
	return words | word_bits(hash);
}
