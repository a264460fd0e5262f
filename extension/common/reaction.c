/*
 * reaction.c
 *	  Quotes of our own text: reactions, and our notice in quotation marks.
 *
 * Texts come in NFKC with plain quotes (po_text_nfkc), or in ASCII.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/quote.h"
#include "common/text.h"
#include "common/unicode.h"

#define REACTION_MOST 60		/* bytes before the quote of a reaction */
#define KEYWORD_MOST_WORDS 4	/* of "STOP to opt out" */
#define QUOTE_LEAST_WORDS 4		/* of ours; people quote single words */

/* ---- quotation marks ---- */

/*
 * po_next_mark returns the next quotation mark of [p, end) and its length; NULL:
 * there is none.  Apostrophes are none.
 */
const char *
po_next_mark(const char *p, const char *end, int *len)
{
	const char *plain = memchr(p, '"', end - p);

	*len = 1;
	if (plain != NULL)
		end = plain;
	for (; (p = memchr(p, 0xC2, end - p)) != NULL; p++)
	{
		if (end - p >= 2 && (p[1] == '\xAB' || p[1] == '\xBB'))
		{
			*len = 2;
			return p;
		}
	}
	return plain;
}

static const char *
last_mark(const char *p, const char *end, int *len)
{
	const char *last = NULL;
	int			last_len = 0;

	while ((p = po_next_mark(p, end, len)) != NULL)
	{
		last = p;
		last_len = *len;
		p += *len;
	}
	*len = last_len;
	return last;
}

static int
count_words(const char *folded)
{
	int			n = folded[0] != '\0';

	for (; *folded != '\0'; folded++)
		n += *folded == ' ';
	return n;
}

/* Whether the words stand in the folded text, or begin it with a longer last one. */
static bool
says(const char *folded, const char *words)
{
	const char *p = folded;

	while ((p = strstr(p, words)) != NULL)
	{
		if (p == folded || p[-1] == ' ')
			return true;
		p++;
	}
	return false;
}

/* What our notices say, folded. */
static const char *const notices[] = {
	"reply stop", "reply end", "reply quit", "reply cancel", "reply unsubscribe", "reply opt",
	"reply alto", "reply baja", "reply remove", "text stop", "text end", "text quit", "txt stop",
	"txt end", "send stop", "type stop", "stop to ", "stop 2 ", "stop2", "stop4", "end to ",
	"quit to ", "stop if not", "with stop", "responda ", "responde ", "envie ", "envia ",
	"repondez ", "textez ", "stop para", "alto para", "baja para", "cancelar para", "stop pour",
	"arret pour", "pour vous desabonner", "opt out anytime", "rates may apply", "stop is the word",
	"rispondi ", "antworten ", "antworte ", "stop per ", "per uscire"
};

/* What people say as well, and what then stands beside it in a notice. */
static const char *const purposes[] = {"to opt out", "to unsubscribe"};
static const char *const instructions[] = {"reply", "text ", "click", "visit", "tap ", "respond"};

static bool
says_one_of(const char *folded, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (says(folded, words[i]))
			return true;
	}
	return false;
}

/* Whether a quote has the notice in it that our texts end with. */
static bool
has_notice(const char *folded)
{
	if (count_words(folded) < QUOTE_LEAST_WORDS)
		return says(folded, "reply stop") || says(folded, "text stop");
	return says_one_of(folded, notices, lengthof(notices)) ||
		(says_one_of(folded, purposes, lengthof(purposes)) &&
		 says_one_of(folded, instructions, lengthof(instructions)));
}

/*
 * po_quotes_notice tells whether a quote has our notice in it.
 */
bool
po_quotes_notice(const char *start, const char *end)
{
	int			len;
	char	   *folded = po_text_fold(start, end - start, &len);
	bool		notice = has_notice(folded);

	pfree(folded);
	return notice;
}

/*
 * po_quotes_keyword tells whether a quote is no more than what our notice says to
 * write: "STOP to end".
 */
bool
po_quotes_keyword(const char *start, const char *end)
{
	static const char *const keywords[] = {"stop to ", "stop 2 ", "stop2", "end to ", "quit to "};
	int			len;
	char	   *folded = po_text_fold(start, end - start, &len);
	bool		found = false;

	for (int i = 0; i < (int) lengthof(keywords) && !found; i++)
		found = strncmp(folded, keywords[i], strlen(keywords[i])) == 0 &&
			count_words(folded) <= KEYWORD_MOST_WORDS;
	pfree(folded);
	return found;
}

/* ---- reactions ---- */

/* What phones write before the quote, folded. */
static const char *const reactions[] = {
	"liked", "loved", "disliked", "laughed at", "emphasized", "emphasised", "questioned",
	"removed a like from", "removed a heart from", "removed a dislike from",
	"removed a laugh from", "removed an exclamation from", "removed an emphasis from",
	"removed a question mark from", "le gusto", "le encanto", "no le gusto", "le ha gustado",
	"le ha encantado", "no le ha gustado", "me gusta", "me encanta", "no me gusta", "se rio de",
	"se rio con", "se ha reido de", "le dio risa", "le hizo gracia", "le ha hecho gracia",
	"enfatizo", "ha enfatizado", "destaco", "ha destacado", "resalto", "pregunto por",
	"cuestiono", "ha cuestionado", "ha preguntado por", "exclamo por", "quito un me gusta de",
	"quito un corazon de", "elimino un me gusta de", "elimino un corazon de",
	"ha eliminado un me gusta de", "ha quitado un me gusta de", "a aime", "a adore",
	"na pas aime", "a ri de", "a ri a", "a trouve drole", "a souligne", "a accentue",
	"a mis en evidence", "a mis en valeur", "a insiste sur", "a interroge", "a questionne",
	"a mis en question", "sest interroge sur", "jaime", "jadore", "a retire un jaime de",
	"a supprime un jaime de", "a retire un coeur de", "curtiu", "gostou de", "nao gostou de",
	"amou", "adorou", "riu de", "enfatizou", "questionou", "removeu um gostei de", "gefallt",
	"gefallt mir", "liebt", "mag", "lacht uber", "betont", "hinterfragt", "ha messo mi piace a",
	"ha adorato", "non piace", "ha riso per", "ha riso di", "ha enfatizzato", "ha domandato"
};

/* The same with a picture among the words, which folding leaves out. */
static const char *const picture_reactions[] = {
	"to", "from", "reacted to", "reacted with to", "removed from", "removed reaction from", "a",
	"de", "reacciono a", "reacciono con a", "ha reaccionado a", "ha reaccionado con a",
	"quito de", "elimino de", "a reagi a", "a reagi avec a", "a ajoute a", "a retire de",
	"reagiu a", "reagiu com a", "em", "zu", "auf", "hat auf", "hat mit auf", "reagierte mit auf",
	"su", "ha reagito a", "ha reagito con a"
};

static bool
is_one_of(const char *folded, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(folded, list[i]) == 0)
			return true;
	}
	return false;
}

static bool
has_picture(const char *p, const char *end)
{
	while (p < end)
	{
		uint32		c;

		p += po_utf8_decode(p, end, &c);
		if (c >= 0x203C && c != 0xFFFF && po_char_is_separator(c))
			return true;
	}
	return false;
}

/*
 * Whether the words before a quote, and the quote, are a reaction.  Of a
 * language that is not listed it is known by its picture and our text.
 */
static bool
is_reaction(PoSpan before, PoSpan quote)
{
	int			len;
	char	   *folded = po_text_fold(before.start, before.end - before.start, &len);
	bool		picture = has_picture(before.start, before.end);
	const char *tail = folded;
	bool		found;

	/* "Marta liked" comes with a name in some groups */
	found = is_one_of(folded, reactions, lengthof(reactions));
	for (int words = 0; !found && words < 3 && (tail = strchr(tail, ' ')) != NULL; words++)
	{
		tail++;
		found = is_one_of(tail, reactions, lengthof(reactions)) &&
			po_quotes_notice(quote.start, quote.end);
	}
	if (!found && picture)
	{
		char	   *quoted = po_text_fold(quote.start, quote.end - quote.start, &len);

		found = is_one_of(folded, picture_reactions, lengthof(picture_reactions)) ||
			(count_words(folded) <= 4 && count_words(quoted) > QUOTE_LEAST_WORDS &&
			 has_notice(quoted));
		pfree(quoted);
	}
	pfree(folded);
	return found;
}

/*
 * po_find_reaction finds the quote of a reaction, whose end may be cut off.  false
 * when the text is no reaction.
 */
bool
po_find_reaction(const char *p, const char *end, PoSpan *quote)
{
	int			open_len;
	int			close_len;
	const char *open = po_next_mark(p, Min(end, p + REACTION_MOST), &open_len);
	const char *close;

	if (open == NULL || open == p)
		return false;
	close = last_mark(open + open_len, end, &close_len);
	*quote = (PoSpan) {open, close != NULL ? close + close_len : end};
	return is_reaction((PoSpan) {p, open}, *quote);
}
