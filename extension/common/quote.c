/*
 * quote.c
 *	  What in a message its sender did not write.
 *
 * Our own text comes back in three ways: quoted below a reply by mail, in the
 * text that a phone sends for a reaction, and in quotation marks.  It ends with
 * "Reply STOP to opt out", which says nothing of the person.  Each is known by
 * its shape, and what stands outside of it counts.  The lines that a phone or a
 * mail program signs with are no words of the person either.
 *
 * Texts come in NFKC with plain quotes (po_text_nfkc), or in ASCII.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/quote.h"
#include "common/unicode.h"

#define INTRODUCTION_MOST 240	/* bytes of the introduction of a quote */
#define LINE_MOST 60			/* bytes of "Pat wrote:", "Sent from my phone" */
#define RULER_LEAST 16			/* characters of a line above a quote */

static inline bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool
is_letter(char c)
{
	return (unsigned) ((c | 0x20) - 'a') < 26 || (unsigned char) c >= 0x80;
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* prefix is in lower case. */
static bool
begins_with(const char *p, const char *end, const char *prefix)
{
	int			len = strlen(prefix);

	return end - p >= len && (*p | 0x20) == (*prefix | 0x20) && pg_strncasecmp(p, prefix, len) == 0;
}

static const char *
line_end(const char *p, const char *end)
{
	const char *feed = memchr(p, '\n', end - p);
	const char *carriage;

	if (feed == NULL)
		feed = end;
	carriage = memchr(p, '\r', feed - p);
	return carriage != NULL ? carriage : feed;
}

/* ---- mail ---- */

/* Verbs that end the introduction of a quote: "On Tue … Pat wrote:". */
static const char *const introducers[] = {
	"wrote:",
	"wrote :",
	"writes:",
	"escribi\xC3\xB3:",
	"escribio:",
	"escribi\xC3\xB3 :",
	"a \xC3\xA9"
	"crit :",
	"a \xC3\xA9"
	"crit:",
	"a ecrit :",
	"a ecrit:",
	"escreveu:",
	"schrieb:",
	"ha scritto:",
};

/* As written: "AM" is an hour. */
static const char *const introduction_starts[] = {
	"On ", "on ", "El ", "el ", "Le ", "le ",
	"Em ", "Am ", "Il ", "En ", "Op "
};

/* Verbs in the midst of one: "Am Freitag schrieb Pat <pat@example.com>:". */
static const char *const inner_introducers[] = {" schrieb ", " schreef "};

static bool
is_introducer(const char *text, const char *colon)
{
	for (const char *p = Max(text, colon - INTRODUCTION_MOST); p < colon; p++)
	{
		for (int i = 0; i < (int) lengthof(inner_introducers) && *p == ' '; i++)
		{
			if (begins_with(p, colon, inner_introducers[i]))
				return true;
		}
	}
	for (int i = 0; i < (int) lengthof(introducers); i++)
	{
		int			len = strlen(introducers[i]);

		if (colon + 1 - text >= len && begins_with(colon + 1 - len, colon + 1, introducers[i]))
			return true;
	}
	return false;
}

/*
 * Whether a program wrote the words from start to the colon: with an address in
 * them, or at the end of a line, or before a quoted one.  "On 5/3 I wrote: stop" is
 * a person's.
 */
static bool
is_programs(const char *start, const char *colon, const char *end)
{
	const char *next = colon + 1;

	while (next < end && (*next == ' ' || *next == '\t'))
		next++;
	return next == end || *next == '\n' || *next == '\r' || *next == '>' ||
		memchr(start, '@', colon - start) != NULL;
}

/*
 * Where an introduction begins that ends at the colon: at its first word, with a
 * number or an address behind it, or with its line.  NULL: nowhere.
 */
static const char *
introduction_start(const char *text, const char *colon)
{
	const char *least = Max(text, colon - INTRODUCTION_MOST);
	bool		numbered = false;

	for (const char *start = colon; start-- > least;)
	{
		numbered = numbered || is_digit(*start) || *start == '@';
		if (!numbered || (start > text && !is_blank(start[-1])))
			continue;
		for (int i = 0; i < (int) lengthof(introduction_starts); i++)
		{
			if (strncmp(start, introduction_starts[i], strlen(introduction_starts[i])) == 0)
				return start;
		}
	}
	for (const char *start = colon; colon - start < LINE_MOST; start--)
	{
		if (start == text || start[-1] == '\n' || start[-1] == '\r')
			return start;
	}
	return NULL;
}

/*
 * The introduction of a quote in [p, end).  Some gateways make one line of all
 * lines, so it may stand anywhere; without a date or an address it has a line
 * of its own.
 */
static void
find_introduction(const char *p, const char *end, PoSpan *span)
{
	const char *text = p;

	for (const char *colon = p; (colon = memchr(colon, ':', end - colon)) != NULL; colon++)
	{
		const char *start;

		if (!is_introducer(text, colon) || (start = introduction_start(text, colon)) == NULL ||
			!is_programs(start, colon, end))
			continue;
		*span = (PoSpan) {start, colon + 1};
		return;
	}
	*span = (PoSpan) {end, end};
}

/* The head of a mail that a program put above a quote. */
static bool
begins_head(const char *line, const char *end)
{
	static const char *const heads[] = {
		"original message",    "forwarded message",
		"mensaje original",    "mensaje reenviado",
		"message d'origine",   "message original",
		"message transf",      "urspr\xC3\xBCngliche nachricht",
		"messaggio originale", "mensagem original"
	};
	static const char *const from[] = {"from: ", "de: ", "de : ", "von: "};
	static const char *const after[] = {
		"sent:",  "date:",    "to:",       "subject:", "enviado",
		"fecha:", "para:",    "envoy",     "date :",   "asunto:",
		"objet",  "gesendet", "\xC3\x80 :"
	};
	const char *next = line;

	while (next < end && *next == '_')
		next++;
	if (next - line >= RULER_LEAST || begins_with(line, end, "begin forwarded message"))
		return true;
	while (next < end && (*next == '-' || *next == '=' || *next == '*' || *next == ' '))
		next++;
	for (int i = 0; i < (int) lengthof(heads) && next - line >= 2; i++)
	{
		if (begins_with(next, end, heads[i]))
			return true;
	}
	for (int i = 0; i < (int) lengthof(from); i++)
	{
		if (!begins_with(line, end, from[i]))
			continue;
		next = line_end(line, end);
		while (next < end && is_blank(*next))
			next++;
		for (int k = 0; k < (int) lengthof(after); k++)
		{
			if (begins_with(next, end, after[k]))
				return true;
		}
	}
	return false;
}

/* A line that a program put there by itself. */
static bool
is_inserted(const char *line, const char *end)
{
	static const char *const signatures[] = {
		"sent from my ",
		"sent via ",
		"sent from yahoo",
		"sent from outlook",
		"get outlook for ",
		"enviado desde mi ",
		"enviado desde ",
		"envoy\xC3\xA9 de mon ",
		"envoy\xC3\xA9 depuis ",
		"envoye de mon ",
		"enviado do meu ",
		"von meinem ",
		"inviato da "
	};

	const char *eol = line_end(line, end);

	/* ">> STOP <<" is an ornament */
	if (*line == '>')
		return eol[-1] != '<';
	for (int i = 0; i < (int) lengthof(signatures); i++)
	{
		if (begins_with(line, end, signatures[i]))
			return eol - line < LINE_MOST;
	}
	return false;
}

/* ---- all of it ---- */

typedef struct Written
{
	char	   *start;
	char	   *end;
} Written;

static void
append(Written *written, const char *start, const char *end)
{
	memcpy(written->end, start, end - start);
	written->end += end - start;
}

static bool
has_words(const char *p, const char *end)
{
	for (; p < end; p++)
	{
		if (is_letter(*p) || is_digit(*p))
			return true;
	}
	return false;
}

/* Append a line, without the quotes in it that have our notice. */
static void
append_line(Written *written, const char *p, const char *end)
{
	int			len;
	const char *open = po_next_mark(p, end, &len);

	while (open != NULL)
	{
		int			close_len;
		const char *close = po_next_mark(open + len, end, &close_len);

		if (close == NULL)
			break;
		/* what begins as a short quote is the sender's, alone or as a keyword: "stop to end" */
		if (po_quotes_notice(open + len, close) &&
			!(close - open < LINE_MOST && !has_words(written->start, written->end) &&
			  !has_words(p, open) &&
			  (!has_words(close + close_len, end) || po_quotes_keyword(open + len, close))))
		{
			append(written, p, open);
			*written->end++ = '\n';
			p = close + close_len;
		}
		open = po_next_mark(close + close_len, end, &len);
	}
	append(written, p, end);
}

/*
 * po_text_written returns a palloc'd copy of what the sender wrote,
 * NUL-terminated and no longer than the text.
 */
char *
po_text_written(const char *text, int len, int *written_len)
{
	const char *end = text + len;
	const char *p = text;
	char	   *copy = palloc(len + 1);
	Written		written = {copy, copy};
	PoSpan		quote;
	PoSpan		introduction;

	if (po_find_reaction(text, end, &quote))
	{
		append(&written, text, quote.start);
		*written.end++ = '\n';
		p = quote.end;
	}
	find_introduction(p, end, &introduction);
	while (p < end)
	{
		const char *line = p;
		const char *eol = line_end(p, end);

		while (line < eol && is_blank(*line))
			line++;
		if (introduction.start >= line && introduction.start < eol)
		{
			append_line(&written, line, introduction.start);
			*written.end++ = '\n';
			/* below an introduction comes the quote, unless the reply does */
			if (has_words(written.start, written.end))
				break;
			p = introduction.end;
			find_introduction(p, end, &introduction);
			continue;
		}
		if (line < eol && begins_head(line, end))
		{
			if (has_words(written.start, written.end))
				break;
		}
		else if (line < eol && !is_inserted(line, end))
			append_line(&written, line, eol);
		if (eol < end)
			*written.end++ = '\n';
		p = eol + (eol < end);
	}
	*written.end = '\0';
	*written_len = written.end - written.start;
	return copy;
}
