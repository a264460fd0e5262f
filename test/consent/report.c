/*
 * report.c
 *	  How well revocations are recognised: the table of "make consent".
 *
 *	  report [-m] FILE …
 *
 * For each file: what became of the texts of each label, by language and by kind,
 * beside three ways it is done elsewhere; and the intents.  With -m also every miss, with its
 * sound.
 */
#include "postgres_fe.h"

#include <time.h>

#include "../unit/shipped_rows.h"
#include "common/meaning.h"
#include "corpus.h"

static bool show_misses = false;

static PoConsentReading
read_sample(const Sample *sample)
{
	PoText		text;
	PoConsentReading reading;

	po_text_read(&text, sample->text, sample->len);
	reading = po_read_consent(&shipped_word_set, &text);
	po_text_free(&text);
	return reading;
}

static bool
sends_nothing(PoConsentAction action)
{
	return action == PO_CONSENT_OPT_OUT || action == PO_CONSENT_HOLD;
}

/* ---- how others do it ---- */

/* Twilio: the message is one word of the list, case aside, blanks around it. */
static bool
is_twilio_keyword(const char *text)
{
	static const char *const keywords[] = {
		"stop", "stopall", "unsubscribe", "cancel",
		"end",  "quit",    "revoke",      "optout"
	};
	int			len;

	while (isspace((unsigned char) *text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	for (int i = 0; i < (int) lengthof(keywords); i++)
	{
		if ((int) strlen(keywords[i]) == len && pg_strncasecmp(text, keywords[i], len) == 0)
			return true;
	}
	return false;
}

/* Whether the words stand in the text, case aside. */
static const char *
find(const char *text, const char *words)
{
	for (; *text != '\0'; text++)
	{
		if (pg_strncasecmp(text, words, strlen(words)) == 0)
			return text;
	}
	return NULL;
}

/* MoveOn's Spoke, as its users set it up (ProgressiveCoders/Spoke #2184). */
static bool
is_spoke_phrase(const char *text)
{
	static const char *const anywhere[] = {
		"remove my name",
		"take me off the list",
		"take me off this list",
		"lose my number",
		"don't contact me",
		"dont contact me",
		"delete my number",
		"i opt out",
		"stop2quit",
		"stopall"
	};
	static const char *const whole[] = {"unsubscribe", "cancel", "end", "quit"};
	const char *end = text + strlen(text);

	while (isspace((unsigned char) *text))
		text++;
	while (end > text && isspace((unsigned char) end[-1]))
		end--;
	if (pg_strncasecmp(text, "stop", 4) == 0 && !isalnum((unsigned char) text[4]))
		return true;
	if (end - text >= 9 && pg_strncasecmp(end - 9, "remove me", 9) == 0)
		return true;
	for (int i = 0; i < (int) lengthof(anywhere); i++)
	{
		if (find(text, anywhere[i]) != NULL)
			return true;
	}
	for (int i = 0; i < (int) lengthof(whole); i++)
	{
		if (end - text == (int) strlen(whole[i]) && pg_strncasecmp(text, whole[i], end - text) == 0)
			return true;
	}
	return false;
}

/* The keywords anywhere in the text. */
static bool
has_keyword(const char *text)
{
	static const char *const keywords[] = {
		"stop",   "unsubscribe", "cancel", "end",  "quit",
		"remove", "opt out",     "optout", "alto", "arret"
	};

	for (int i = 0; i < (int) lengthof(keywords); i++)
	{
		if (find(text, keywords[i]) != NULL)
			return true;
	}
	return false;
}

/* ---- the table ---- */

typedef struct Row
{
	char		name[64];
	int			n;
	int			opted_out;
	int			held;
	int			twilio;
	int			spoke;
	int			substring;
} Row;

static void
count(Row *row, const Sample *sample, PoConsentAction action)
{
	row->n++;
	row->opted_out += action == PO_CONSENT_OPT_OUT;
	row->held += sends_nothing(action);
	row->twilio += is_twilio_keyword(sample->text);
	row->spoke += is_spoke_phrase(sample->text);
	row->substring += has_keyword(sample->text);
}

static Row *
find_row(Row *rows, int *nrows, const char *name)
{
	for (int i = 0; i < *nrows; i++)
	{
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	memset(&rows[*nrows], 0, sizeof(Row));
	strlcpy(rows[*nrows].name, name, sizeof(rows->name));
	return &rows[(*nrows)++];
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const Row *) a)->name, ((const Row *) b)->name);
}

static void
print_rows(Row *rows, int nrows)
{
	qsort(rows, nrows, sizeof(Row), by_name);
	for (int i = 0; i < nrows; i++)
		printf("%-44s %5d  %6.1f  %6.1f   %6.1f  %6.1f  %6.1f\n", rows[i].name, rows[i].n,
			   100.0 * rows[i].opted_out / rows[i].n, 100.0 * rows[i].held / rows[i].n,
			   100.0 * rows[i].twilio / rows[i].n, 100.0 * rows[i].spoke / rows[i].n,
			   100.0 * rows[i].substring / rows[i].n);
}

/* How the intents are told apart, of texts that say nothing of consent. */
static void
report_intents(const Corpus *corpus)
{
	int			told[PO_N_INTENTS] = {0};
	int			right[PO_N_INTENTS] = {0};
	int			all[PO_N_INTENTS] = {0};

	for (int i = 0; i < corpus->n; i++)
	{
		const Sample *sample = &corpus->sample[i];
		PoText		text;
		PoHeard		heard;

		if (!sample->has_intent)
			continue;
		po_text_read(&text, sample->text, sample->len);
		po_hear(&text, &heard);
		po_text_free(&text);
		told[heard.intent]++;
		all[sample->intent]++;
		right[heard.intent] += heard.intent == sample->intent;
	}
	for (int k = 0; k < PO_N_INTENTS && told[PO_INTENT_OTHER] > 0; k++)
		printf("%-44s %5d  %6.1f %% found, %6.1f %% of those told so are\n", po_intent_name(k),
			   all[k], 100.0 * right[k] / Max(all[k], 1), 100.0 * right[k] / Max(told[k], 1));
}

static void
report(const char *file)
{
	Corpus		corpus = {0};
	Row		   *by_label = palloc(sizeof(Row) * 64);
	Row		   *by_kind = palloc(sizeof(Row) * 4096);
	int			nlabels = 0;
	int			nkinds = 0;
	char		name[64];
	clock_t		start;

	read_corpus(file, &corpus);
	for (int i = 0; i < corpus.n; i++)
	{
		const Sample *sample = &corpus.sample[i];
		PoConsentReading reading = read_sample(sample);
		bool		miss = sample->label == LABEL_OPT_OUT ? reading.action != PO_CONSENT_OPT_OUT
			: sample->label == LABEL_REVOKE ? !sends_nothing(reading.action)
			: sends_nothing(reading.action);

		snprintf(name, sizeof(name), "%s", label_names[sample->label]);
		count(find_row(by_label, &nlabels, name), sample, reading.action);
		snprintf(name, sizeof(name), "%s %s", label_names[sample->label], sample->language);
		count(find_row(by_label, &nlabels, name), sample, reading.action);
		snprintf(name, sizeof(name), "%s %s %s", label_names[sample->label], sample->language,
				 sample->kind);
		count(find_row(by_kind, &nkinds, name), sample, reading.action);
		if (miss && show_misses)
			printf("! %-7s %4d %s: %s\n", label_names[sample->label], reading.heard.sound,
				   sample->kind, sample->text);
	}
	start = clock();
	for (int i = 0; i < corpus.n; i++)
		(void) read_sample(&corpus.sample[i]);
	printf("%s: %d texts, %.1f us each, model %s\n", file, corpus.n,
		   1e6 * (clock() - start) / CLOCKS_PER_SEC / corpus.n, po_meaning_version);
	printf("%-44s %5s  %6s  %6s   %6s  %6s  %6s\n", "in percent", "texts", "out", "held+", "Twilio",
		   "Spoke", "substr");
	print_rows(by_label, nlabels);
	printf("\n");
	print_rows(by_kind, nkinds);
	printf("\n");
	report_intents(&corpus);
	printf("\n");
}

int
main(int argc, char **argv)
{
	if (!read_shipped_words())
		return 1;
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "-m") == 0)
			show_misses = true;
		else
			report(argv[i]);
	}
	return 0;
}
