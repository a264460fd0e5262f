/*
 * consent_test.c
 *	  What is promised of recognising revocations.
 *
 * The figures: on the texts of test/consent that no weight was made from.  The
 * property: however a keyword message is drawn out, decorated, styled and signed,
 * it stays one.  And what the models keep of words changes nothing: a message
 * sounds as the features do that it is trained by.  Prints TAP.
 */
#include "postgres_fe.h"

#include <math.h>

#include "../consent/corpus.h"
#include "common/classify.h"
#include "shipped_rows.h"

#define VARIANTS 100000

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool passed, const char *what)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, what);
}

static PoConsentAction
action_of(const char *raw, int len)
{
	PoText		text;
	PoConsentReading reading;

	po_text_read(&text, raw, len);
	reading = po_read_consent(&shipped_word_set, &text);
	po_text_free(&text);
	return reading.action;
}

/* ---- the figures ---- */

/* The share of the texts of a label that opt out, or are at least held, in per mille. */
static int
share(const Corpus *corpus, Label label, bool held)
{
	int			n = 0;
	int			found = 0;

	for (int i = 0; i < corpus->n; i++)
	{
		const Sample *sample = &corpus->sample[i];
		PoConsentAction action;

		if (sample->label != label)
			continue;
		action = action_of(sample->text, sample->len);
		found += action == PO_CONSENT_OPT_OUT || (held && action == PO_CONSENT_HOLD);
		n++;
	}
	return 1000 * found / n;
}

static void
test_figures(const char *file)
{
	char		what[128];
	Corpus		corpus = {0};

	read_corpus(file, &corpus);
	snprintf(what, sizeof(what), "%s: at least 98 %% of opt_out opt out", file);
	ok(share(&corpus, LABEL_OPT_OUT, false) >= 980, what);
	snprintf(what, sizeof(what), "%s: at least 97 %% of revoke are held", file);
	ok(share(&corpus, LABEL_REVOKE, true) >= 970, what);
	snprintf(what, sizeof(what), "%s: at most 1 %% of free are held", file);
	ok(share(&corpus, LABEL_FREE, true) <= 10, what);
}

/* ---- variants ---- */

static int
random_of(int n)
{
	return random() % n;
}

static bool
one_in(int n)
{
	return random_of(n) == 0;
}

#define PICK(list) (list)[random_of((int) lengthof(list))]

static void
append(char **out, const char *text)
{
	int			len = strlen(text);

	memcpy(*out, text, len);
	*out += len;
}

/* A letter in one of the ways in which phones and people style it. */
static void
append_letter(char **out, char c, int style)
{
	char		utf8[8];

	if (style == 1 && c >= 'a' && c <= 'z')
		snprintf(utf8, sizeof(utf8), "\xEF\xBD%c", c - 'a' + 0x81); /* full width */
	else if (style == 2 && c >= 'a' && c <= 'z')
		snprintf(utf8, sizeof(utf8), "\xF0\x9D\x90%c", c - 'a' + 0x9A); /* bold */
	else if (style == 3)
		snprintf(utf8, sizeof(utf8), "%c", pg_toupper(c));
	else
		snprintf(utf8, sizeof(utf8), "%c", c);
	append(out, utf8);
}

/* The keyword styled, drawn out, and with what is not seen in it. */
static void
append_keyword(char **out, const char *keyword)
{
	static const char *const unseen[] = {
		"\xE2\x80\x8B", "\xC2\xAD", "\xEF\xBB\xBF",
		"\xE2\x80\x8E", "\xEF\xB8\x8F"
	};
	int			style = random_of(4);
	bool		draws = one_in(3);

	for (const char *p = keyword; *p != '\0'; p++)
	{
		int			times = draws && *p >= 'a' && *p <= 'z' && one_in(3) ? 3 + random_of(6) : 1;

		while (times-- > 0)
			append_letter(out, *p, style);
		/* between characters, not inside one */
		if (one_in(12) && p[1] != '\0' && ((unsigned char) p[1] & 0xC0) != 0x80)
			append(out, PICK(unseen));
	}
}

/* A message that is the keyword and what may surround it. */
static int
make_variant(char *raw, const char *keyword)
{
	static const char *const before[] = {
		"please ", "Hi, ",       "hello ",    "Good morning. ",    "ok ", "\"", "  ",
		"Hola, ",  "por favor ", "Bonjour, ", "\xF0\x9F\x9B\x91 ", "("
	};
	static const char *const after[] = {
		" please",
		", thanks",
		"!!!",
		".",
		" thank you so much",
		"?",
		" gracias",
		" merci",
		" \xF0\x9F\x99\x8F",
		" now",
		" :)",
		". God bless",
		"\"",
		" \xE2\x9D\x8C\xE2\x9D\x8C",
		"..."
	};
	static const char *const names[] = {
		"Marisol",       "Ernie",        "Mr. Hobart",      "Dolores Quintanilla",
		"H. Villarosa",  "Bev in Ocala", "Jean-Guy Fortin", "Tico",
		"Sra. Quintero", "Wojciech",     "O'Malley",        "Xiomara",
		"Dr. Pruitt",    "Aunt Gladys",  "Nguyen",          "Priya R."
	};
	static const char *const signing[] = {
		"\n- ",         "\n",          " - ",
		"\nRegards,\n", "\nThanks,\n", ". Sincerely, ",
		"\n--\n"
	};
	static const char *const inserted[] = {
		"\nSent from my iPhone", "\n\nSent from my Galaxy S22", "\n> Hi Pat, reply STOP to opt out",
		"\nOn Mon, Nov 3, 2025 at 9:00 AM Pat <pat@example.com> wrote:\n> Hi"
	};
	char	   *out = raw;

	if (one_in(2))
		append(&out, PICK(before));
	append_keyword(&out, keyword);
	for (int i = random_of(3); i > 0; i--)
		append(&out, PICK(after));
	if (one_in(3))
	{
		append(&out, PICK(signing));
		append(&out, PICK(names));
	}
	if (one_in(4))
		append(&out, PICK(inserted));
	*out = '\0';
	return out - raw;
}

static void
test_variants(void)
{
	int			differ = 0;
	char		raw[1024];

	srandom(20261130);
	for (int i = 0; i < VARIANTS; i++)
	{
		const PoWord *word;
		int			len;

		do
			word = &shipped_words[random_of(shipped_word_set.nwords)];
		while (word->action != PO_CONSENT_OPT_OUT);
		len = make_variant(raw, word->term.text);
		if (action_of(raw, len) != PO_CONSENT_OPT_OUT && differ++ < 20)
		{
			printf("# no keyword message: ");
			for (const char *p = raw; *p != '\0'; p++)
				putchar(*p == '\n' ? '|' : *p);
			putchar('\n');
		}
	}
	ok(differ == 0, "a keyword message stays one, however it is written and signed");
}

/* ---- what is kept of words ---- */

/* How a message sounds by the list of its features. */
static int
listed_sound(const PoText *text)
{
	static uint32 feature[PO_MEANING_MOST];
	int			n = po_meaning_features(text, feature);
	int			sum = 0;

	for (int i = 0; i < n; i++)
		sum += po_meaning_weights[feature[i]] - PO_WEIGHT_ZERO;
	return (int) rint(sum * PO_MEANING_SCALE / sqrt(n));
}

/*
 * The texts of a file, twice: read, and recalled.  Between them words that nobody
 * knows, which take the places of those that are kept.
 */
static void
test_kept_words(const char *file)
{
	Corpus		corpus = {0};
	int			differ = 0;

	read_corpus(file, &corpus);
	for (int i = 0; i < 4 * corpus.n; i++)
	{
		char		unknown[64];
		const Sample *sample = &corpus.sample[i / 4];
		bool		known = i % 2 == 0;
		PoText		text;
		PoHeard		heard;

		snprintf(unknown, sizeof(unknown), "stop %ldth%ld %s %ld", random(), random(), "unsuscribe",
				 random());
		po_text_read(&text, known ? sample->text : unknown,
					 known ? sample->len : (int) strlen(unknown));
		po_hear(&text, &heard);
		differ += heard.sound != listed_sound(&text);
		po_text_free(&text);
	}
	ok(differ == 0, "messages sound as their features do, whichever words are kept");
}

int
main(void)
{
	if (!read_shipped_words())
		return 1;
	test_figures("../consent/given.tsv");
	test_figures("../consent/test.tsv");
	test_variants();
	test_kept_words("../consent/test.tsv");
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
