/*
 * fuzz_text.c
 *	  Fuzz target: what a message says.
 *
 * The input is a message.  Besides memory errors it looks for a folded text that
 * is longer than the message may be, or not of words apart by one byte, for a
 * reading that is another one the second time, and for shown words that have no
 * end.
 */
#include "postgres_fe.h"

#include "check.h"
#include "common/classify.h"
#include "common/meaning.h"

#define SHOWN_MOST 200

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static PoWord words[3];
static uint64 signatures[3];
static const PoWordSet set = {words, 3, signatures};

static void
make_word(PoWord *word, const char *text, PoConsentAction action)
{
	*word = (PoWord) {.match = PO_MATCH_WHOLE, .action = action, .word = text};
	po_term_init(&word->term, word->match, text, strlen(text));
	signatures[word - words] = word->term.words;
}

static PoConsentReading
read_message(const char *raw, int len)
{
	PoText		text;
	PoConsentReading reading;

	po_text_read(&text, raw, len);
	CHECK(text.len == (int) strlen(text.folded));
	for (int i = 0; i < text.len; i++)
		CHECK((unsigned char) text.folded[i] > ' ' ||
			  (i > 0 && i + 1 < text.len && (unsigned char) text.folded[i + 1] > ' '));
	reading = po_read_consent(&set, &text);
	CHECK(reading.action != PO_CONSENT_NONE || !reading.by_sound ||
		  (reading.heard.intent < PO_N_INTENTS && reading.heard.certainty > 0 &&
		   reading.heard.certainty <= 1));
	if (reading.by_sound && reading.action != PO_CONSENT_NONE)
	{
		char	   *shown = po_revocation_words(&text);

		/* a picture alone has no words */
		CHECK(shown == NULL ? text.len == 0 : strlen(shown) <= SHOWN_MOST);
		if (shown != NULL)
			pfree(shown);
	}
	po_text_free(&text);
	return reading;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *raw = palloc(Max(size, 1)); /* of its size, so that reading beyond it is seen */
	PoConsentReading once;
	PoConsentReading twice;

	if (words[0].word == NULL)
	{
		make_word(&words[0], "stop", PO_CONSENT_OPT_OUT);
		make_word(&words[1], "please", PO_CONSENT_COURTESY);
		make_word(&words[2], "start", PO_CONSENT_OPT_IN);
	}
	memcpy(raw, data, size);
	once = read_message(raw, size);
	twice = read_message(raw, size);
	CHECK(once.action == twice.action && once.heard.sound == twice.heard.sound &&
		  once.word == twice.word);
	pfree(raw);
	return 0;
}
