/*
 * classify_test.c
 *	  Unit test of folding and consent keywords.
 *
 * The words and rules are the shipped ones, read from the install script's
 * data files.  Prints TAP.  With the argument "time" it also reports what
 * usual and worst texts cost.
 */
#include "postgres_fe.h"

#include <time.h>

#include "classify_case.h"
#include "common/classify.h"
#include "common/text.h"
#include "shipped_rows.h"

/* ---- checks ---- */

static void
folds(const char *text, const char *expected)
{
	int			len;
	char	   *folded = po_text_fold(text, strlen(text), &len);

	ok(strcmp(folded, expected) == 0 && len == (int) strlen(expected), "folded", text);
	if (strcmp(folded, expected) != 0)
		printf("# got \"%s\"\n", folded);
	pfree(folded);
}

static void
reads(const char *raw, const char *folded, const char *email, bool question)
{
	PoText		text;

	po_text_read(&text, raw, strlen(raw));
	ok(strcmp(text.folded, folded) == 0 && text.has_question == question &&
	   (email == NULL ? text.email == NULL
		: text.email != NULL && strcmp(text.email, email) == 0),
	   "read", raw);
	if (strcmp(text.folded, folded) != 0)
		printf("# got \"%s\"\n", text.folded);
	po_text_free(&text);
}

static PoConsentReading
consent_of(const char *raw)
{
	PoText		text;
	PoConsentReading reading;

	sign_shipped_words();
	po_text_read(&text, raw, strlen(raw));
	reading = po_read_consent(&shipped_word_set, &text);
	po_text_free(&text);
	return reading;
}

static void
consent(PoConsentAction expected, const char *raw)
{
	static const char *const names[] = {"none", "opt_out", "opt_in", "hold", "help"};
	PoConsentReading reading = consent_of(raw);

	ok(reading.action == expected &&
	   (reading.by_sound || (reading.word != NULL) == (reading.action != PO_CONSENT_NONE)),
	   names[expected], raw);
	if (reading.action != expected)
		printf("# got %s by \"%s\", sound %d\n", names[reading.action],
			   reading.word ? reading.word : "", reading.heard.sound);
}

static void
test_fold(void)
{
	folds("", "");
	folds(" \t\n.!", "");
	folds("  Hello,   World! ", "hello world");
	folds("don't", "dont");
	folds("DON\xE2\x80\x99T", "dont");
	folds("don\xC2\xB4t", "dont");
	folds("'quoted' rock 'n' roll", "quoted rock n roll");
	folds("opt-out", "opt out");
	folds("24/7 at 5pm", "24 7 at 5pm");
	folds("\xEF\xBC\xB3\xEF\xBC\xB4\xEF\xBC\xAF\xEF\xBC\xB0", "stop");
	folds("S\xE2\x80\x8BT\xC2\xADO\xEF\xBB\xBFP", "stop");
	folds("\xE2\x80\xAA\xE2\x80\x8Estop\xE2\x80\xAC", "stop");
	folds("\xF0\x9D\x90\x92\xF0\x9D\x90\x93\xF0\x9D\x90\x8E\xF0\x9D\x90\x8F", "stop");
	folds("stop\xF0\x9F\x9B\x91now", "stop now");
	folds("stop\xC2\xA0now", "stop now");
	folds("ARR\xC3\x8AT", "arret");
	folds("ARRE\xCC\x82T", "arret");
	folds("\xC5\x81\xC3\x93\xC5\xB9 \xC5\xB8", "loz y");
	folds("\xCE\xA3\xCE\x91\xCE\xA3 \xCE\x86", "\xCF\x83"
		  "a\xCF\x83 \xCE\xAC");
	folds("\xD0\xA1\xD0\xA2\xD0\x9E\xD0\x9F \xD0\x81", "cto\xD0\xBF \xD1\x91");
	folds("\xD0\x85T\xD0\x9E\xD0\xA0", "stop");
	folds("\xF0\x9F\x87\xB8\xF0\x9F\x87\xB9\xF0\x9F\x87\xB4\xF0\x9F\x87\xB5", "stop");
	folds("stop \xF0\x9F\x87\xBA\xF0\x9F\x87\xB8", "stop");
	folds("\xEA\x9C\xB1\xE1\xB4\x9B\xE1\xB4\x8F\xE1\xB4\x98", "stop");
	folds("Stoooop SSTTTOOPP callll 1000", "stop stop cal 1000");
	folds("S T O P", "stop");
	folds("\xC4\xB0STANBUL \xE1\xBA\x9E", "istanbul \xC3\x9F");
	folds("\xE2\x80\x8B\xE2\x80\x8F", "");
	folds("\xCC\x81\xCC\x81", "");
	folds("bad \xC3( \xFF\xE2\x80", "bad");
}

static void
test_read(void)
{
	char		big[3 * PO_TEXT_LIMIT];
	PoText		text;
	int			len;
	bool		idempotent = true;

	reads("", "", NULL, false);
	reads("Stop. I sold the house", "stop\ni sold the house", NULL, false);
	reads("Stop.I sold", "stop\ni sold", NULL, false);
	reads("it b, co - do e-fe \xE2\x80\x94 go (hi) \"is\"\nmy", "it b\nco\vdo e fe\vgo\nhi\nis\vmy",
		  NULL, false);
	reads("S.T.O.P u r a bot", "stop u r a bot", NULL, false);
	reads("who?", "who", NULL, true);
	reads("who\xEF\xBC\x9F", "who", NULL, true);
	reads("see http://x.example/?q=1", "see", NULL, false);
	reads("stop, a@b.c", "stop", NULL, false);
	reads("STOP,pat@Example.COM", "stop", "pat@example.com", false);
	reads("My email is Pat.Lee+x@Mail.Example.com.", "my email is", "pat.lee+x@mail.example.com",
		  false);
	reads("<pat@example.com>, thanks", "thanks", "pat@example.com", false);
	reads("mailto:pat@example.com?", "mailto", "pat@example.com", true);
	reads("a@b, c@d.co", "", "c@d.co", false);
	reads("pat..lee@example.com", "", NULL, false);
	reads("pat.@example.com", "", NULL, false);
	reads("pat@-example.com", "", NULL, false);
	reads("pat@exa-.mple.com", "", NULL, false);
	reads("pat@example.c0m", "", NULL, false);
	reads("pat@localhost", "", NULL, false);
	reads("@pat meet @ 5pm", "pat meet 5pm", NULL, false);
	reads("https://me:pw@host.example.com/a stop", "stop", NULL, false);
	reads("go to https://pat@host.example.com or p@q.example", "go to\nor", "p@q.example", false);
	reads("www.example.com/stop yes", "yes", NULL, false);
	reads("stop 212-555-0123", "stop", NULL, false);
	reads("call (212) 555-0123 at 5", "call at 5", NULL, false);
	reads("+1.212.555.0123", "", NULL, false);
	reads("1234567890123456", "1234567890123456", NULL, false);
	reads("\xEF\xBC\xB0\xEF\xBC\xA0x.example yes", "yes", "p@x.example", false);
	reads("Loved \xE2\x80\x9CHi Pat. Reply STOP to opt out.\xE2\x80\x9D", "loved", NULL, false);
	reads("Laughed at \"Interested?\"", "laughed at", NULL, false);
	reads("STOP\n> Hi Pat, this is Gianna", "stop", NULL, false);
	reads("> Hi Pat\r\n  > more\r\nYes", "yes", NULL, false);
	reads("Yes\nOn Mon, Nov 3 Gianna <g@x.example> wrote:\nReply STOP to opt out", "yes", NULL,
		  false);
	reads("Yes\nOn Mon, Nov 3, 2025 at 9:00 AM Gianna\n<g@x.example> wrote:\nReply STOP", "yes",
		  NULL, false);
	reads("Ja\nAm Fr., 20. Nov. 2026 um 09:00 schrieb Pat <pat@example.com>:\n> Hi", "ja", NULL,
		  false);
	reads("On Mon, Nov 3 Gianna wrote:\n> Hi Pat\nStop", "stop", NULL, false);
	reads("On Monday\nyes", "on monday\vyes", NULL, false);
	reads("STOP\nSent from my iPhone", "stop", NULL, false);
	reads("no\n-----Original Message-----\nSTOP", "no", NULL, false);
	reads("I said \"stop\"", "i said\nstop", NULL, false);

	memset(big, 'a', 65);
	strcpy(big + 65, "@example.com");
	reads(big, "", NULL, false);
	reads(big + 1, "", big + 1, false);

	for (int i = 0; i < (int) sizeof(big); i++)
		big[i] = "xy"[i % 2];
	po_text_read(&text, big, sizeof(big));
	ok(text.len == PO_TEXT_LIMIT, "only the first bytes are read", "letters");
	po_text_free(&text);
	memcpy(big + PO_TEXT_LIMIT - 1, "\xC3\xA9", 2);
	po_text_read(&text, big, sizeof(big));
	ok(text.len == PO_TEXT_LIMIT - 1, "the cut is at a character", "e acute");
	po_text_free(&text);

	/*
	 * Folding what is folded changes nothing.  Combining marks are left out: one
	 * behind an apostrophe meets its letter only when the apostrophe has gone.
	 */
	srandom(7);
	for (int round = 0; round < 20000; round++)
	{
		static const uint32 first[] = {
			0x20,   0x20,   0x20,   0xA0,   0x370,  0x400,  0x5D0,
			0x1E00, 0x2000, 0x2100, 0xAC00, 0xFB00, 0xFF00, 0x1D400
		};
		char	   *once;
		char	   *twice;
		int			twice_len;
		int			n = 0;

		while (n < 60)
		{
			uint32		c = first[random() % (int) lengthof(first)] + random() % 96;

			if (c < 0x80)
				big[n++] = c;
			else if (c < 0x800)
			{
				big[n++] = 0xC0 | c >> 6;
				big[n++] = 0x80 | (c & 0x3F);
			}
			else if (c < 0x10000)
			{
				big[n++] = 0xE0 | c >> 12;
				big[n++] = 0x80 | (c >> 6 & 0x3F);
				big[n++] = 0x80 | (c & 0x3F);
			}
			else
			{
				big[n++] = 0xF0 | c >> 18;
				big[n++] = 0x80 | (c >> 12 & 0x3F);
				big[n++] = 0x80 | (c >> 6 & 0x3F);
				big[n++] = 0x80 | (c & 0x3F);
			}
		}
		once = po_text_fold(big, n, &len);
		twice = po_text_fold(once, len, &twice_len);
		if (idempotent && strcmp(once, twice) != 0)
		{
			idempotent = false;
			printf("# once \"%s\"\n# twice \"%s\"\n", once, twice);
		}
		pfree(once);
		pfree(twice);
		po_text_read(&text, big, n);
		po_text_free(&text);

		/* and no byte string makes it misbehave */
		for (int i = 0; i < 60; i++)
			big[i] = random() % 3 ? " @.:/(1+\"'>\nOa\xC3\xE2"[random() % 17] : random();
		once = palloc(60);
		memcpy(once, big, 60);
		po_text_read(&text, once, 60);
		po_text_free(&text);
		pfree(once);
	}
	ok(idempotent, "folding is idempotent", "random characters");
}

static void
test_consent(void)
{
	static const char *const opt_out[] = {
		"STOP",
		"stop",
		"STOPALL",
		"STOP ALL",
		"UNSUBSCRIBE",
		"CANCEL",
		"END",
		"QUIT",
		"OPTOUT",
		"OPT OUT",
		"OPT-OUT",
		"opt out",
		"REVOKE",
		"REMOVE",
		" Stop. ",
		"Please stop texting me",
		"\xEF\xBC\xB3\xEF\xBC\xB4\xEF\xBC\xAF\xEF\xBC\xB0",
		"stop!!!",
		"S\xE2\x80\x8BTOP",
		"stop, a@b.c",
		"STOP\n> Hi Pat, this is Gianna",
		"Stop. Thank you",
		"stop sms",
		"stop all texts",
		"please stop",
		"Stop now please!",
		"stop stop stop",
		"STOP UNSUBSCRIBE",
		"\"STOP\"",
		"(stop)",
		"stop \xF0\x9F\x9B\x91",
		"Stop texting me",
		"stop sending me messages",
		"STOP2QUIT",
		"stop=quit",
		"Not interested. Stop",
		"No thanks, stop.",
		"Wrong number stop",
		"Stop. Texting. Me.",
		"S.T.O.P",
		"STOP 212-555-0123",
		"STOP https://x.example/y",
		"Remove me please",
		"No. Stop.",
		"stop\nSent from my iPhone",
		"On Mon, Gianna wrote:\n> Hi\nSTOP",
		"Cancel",
		"ARR\xC3\x8AT",
		"Stop?",
		"\nstop\n",
		"stop\xC2\xA0",
		"Stop \xE2\x80\x94 thanks",
		"s'top",
		"UN SUBSCRIBE",
		"opt.out",
		"Staaahp",
		"staaaahp... STOP",
		"Dolores Quintanilla\nSTOP",
		"Pat - stop",
		"\"stop to end\", please",
		"\"Text STOP\""
	};
	static const char *const hold[] = {
		"stopp",
		"stopp texting",
		"Please take me off your list",
		"don't text me again",
		"dont text me again",
		"don\xE2\x80\x99t text me again",
		"I opt out of this",
		"Stop. I sold the house",
		"Stop! I sold the house",
		"Stop, I sold it",
		"I sold the house. Stop",
		"Who is this? Stop!",
		"please stop. I sold it",
		"Ok, stop. I sold it",
		"stop contacting my mother",
		"stop calling this number",
		"remove me from this list",
		"do not contact me",
		"Do. Not. Text. Me.",
		"leave me alone",
		"lose my number",
		"delete my number",
		"I want to unsubscribe",
		"no more texts",
		"quit texting people",
		"stpo",
		"unsubscibe",
		"I told you to stop",
		"cease and desist",
		"Cancel. I changed my mind",
		"STOP START",
		"start stop",
		"no me llames",
		"Can you please stop?",
		"Go away! Who are you",
		"I revoke my consent",
		"\"I want to opt out please\"",
		"\"Please remove me, I want to opt out of this and I never signed up for it\"",
		"I \"want to unsubscribe from this\"",
		"\"Reply STOP\"",
		"\"Quiero darme de baja para no recibir mas\""
	};
	static const char *const none[] = {
		"",
		" ",
		"...",
		"Have a great weekend",
		"send it to me",
		"send it",
		"End of the week works",
		"my friend",
		"nonstop",
		"I'll cancel my other meeting",
		"Stop by tomorrow",
		"Count me in! We have got to STOP this bill",
		"Not interested",
		"not interested.",
		"who is this",
		"Who is this?",
		"yesterday",
		"thirty",
		"can you help me cancel my insurance with them?",
		"in the end yes",
		"I need to quit smoking lol",
		"the end",
		"yes",
		"YES",
		"ok thanks",
		"please",
		"stop@example.com",
		"remove.me@example.com",
		"https://x.example/stop",
		"Loved \xE2\x80\x9CHi Pat. Reply STOP to opt out.\xE2\x80\x9D",
		"unstoppable",
		"Can't stop, won't quit",
		"bus stop, 5pm",
		"restart",
		"more info please",
		"helpful",
		"No worries",
		"class",
		"hello",
		"yes!\n> Reply STOP to opt out",
		"\"Stop foreclosure. Reply STOP to opt out\" ok",
		"\"Stop rent. STOP to end\" interested",
		"Great\n\n---- Original message ----\nFrom: Team A\nTo stop receiving texts reply STOP",
		"Ok\n-- Mensaje original --\nDe: Team A\nResponda STOP para cancelar",
		"friend. weekend. sending.",
		"No thanks",
		"Wrong number",
		"I could not stop by yesterday",
		"the weekend",
		"who's calling",
		"please call me",
		"no"
	};
	static const char *const opt_in[] = {
		"START", "start.", "Unstop", "subscribe",
		"please start"
	};
	static const char *const help[] = {"HELP", "help!", "INFO", "Info?", "help please"};
	char		big[PO_TEXT_LIMIT];
	PoConsentReading reading;
	PoWord		yes = {.match = PO_MATCH_WHOLE, .action = PO_CONSENT_OPT_IN, .word = "YES"};
	PoWord		thanks = {.action = PO_CONSENT_COURTESY, .word = "cordially"};
	PoWord		keep;
	PoWord		gone = {.match = PO_MATCH_LEADING, .action = PO_CONSENT_OPT_OUT, .word = "Banana!"};

	for (int i = 0; i < (int) lengthof(opt_out); i++)
		consent(PO_CONSENT_OPT_OUT, opt_out[i]);
	/* every keyword that ships, in whichever language */
	for (int i = 0; i < shipped_word_set.nwords; i++)
	{
		const PoWord *row = &shipped_words[i];

		if (row->action != PO_CONSENT_COURTESY && row->match <= PO_MATCH_ALONE)
			consent(row->action, row->word);
	}
	for (int i = 0; i < (int) lengthof(hold); i++)
		consent(PO_CONSENT_HOLD, hold[i]);
	for (int i = 0; i < (int) lengthof(none); i++)
		consent(PO_CONSENT_NONE, none[i]);
	for (int i = 0; i < (int) lengthof(opt_in); i++)
		consent(PO_CONSENT_OPT_IN, opt_in[i]);
	for (int i = 0; i < (int) lengthof(help); i++)
		consent(PO_CONSENT_HELP, help[i]);

	/* what a person says they wrote is no quote */
	consent(PO_CONSENT_HOLD, "I told you already. On 5/3 I wrote: stop texting me");
	consent(PO_CONSENT_HOLD, "No.\nOn 11/3 I wrote: STOP, and again last week");

	/* of a long message each part is heard */
	big[0] = '\0';
	for (int i = 0; i < 60; i++)
		strcat(big, "We have two acres behind the barn, and the well is new. ");
	consent(PO_CONSENT_NONE, big);
	strcat(big, "Please take me off your list.");
	consent(PO_CONSENT_HOLD, big);

	reading = consent_of("please STOP ALL");
	ok(reading.action == PO_CONSENT_OPT_OUT && strcmp(reading.word, "stop all") == 0,
	   "the row's word", "please STOP ALL");

	/* what a tenant may add */
	po_term_init(&yes.term, yes.match, "YES", 3);
	po_term_init(&gone.term, gone.match, gone.word, strlen(gone.word));
	shipped_words[shipped_word_set.nwords++] = yes;
	shipped_words[shipped_word_set.nwords++] = gone;
	consent(PO_CONSENT_OPT_IN, "Yes please");
	consent(PO_CONSENT_NONE, "yes I am interested");
	consent(PO_CONSENT_HOLD, "yes, stop");
	consent(PO_CONSENT_OPT_OUT, "Please banana! I sold it");
	consent(PO_CONSENT_NONE, "I sold it. Banana!");
	consent(PO_CONSENT_OPT_OUT, "Hello. Please, banana! I sold it");
	shipped_word_set.nwords -= 2;

	/* courtesy is no answer, wherever it may stand */
	thanks.match = PO_MATCH_WORD;
	po_term_init(&thanks.term, thanks.match, thanks.word, strlen(thanks.word));
	shipped_words[shipped_word_set.nwords++] = thanks;
	consent(PO_CONSENT_NONE, "we talked, cordially, last week");
	shipped_word_set.nwords--;

	/* a row that sends more does not weaken what sounds like a revocation */
	yes.match = PO_MATCH_WORD;
	shipped_words[shipped_word_set.nwords++] = yes;
	consent(PO_CONSENT_OPT_IN, "well yes I am here");
	consent(PO_CONSENT_HOLD, "Yes, stop texting me about it");
	consent(PO_CONSENT_HOLD, "yes take me off your list");
	shipped_word_set.nwords--;

	/* and what not: a row of its own, even the first, does not weaken a keyword */
	keep = shipped_words[0];
	po_term_init(&shipped_words[0].term, PO_MATCH_WHOLE, "cancel", 6);
	shipped_words[0].action = PO_CONSENT_HELP;
	consent(PO_CONSENT_OPT_OUT, "cancel");
	shipped_words[0].action = PO_CONSENT_COURTESY;
	consent(PO_CONSENT_OPT_OUT, "cancel");
	shipped_words[0] = keep;
}

/* ---- timing ---- */

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void
time_text(const char *name, const char *raw, int len, int rounds)
{
	double		spent[3] = {0};
	PoText		text;

	for (int i = 0; i < rounds; i++)
		po_text_read(&text, raw, len), po_text_free(&text);
	for (int pass = 0; pass < 3; pass++)
	{
		double		start;

		po_text_read(&text, raw, len);
		start = now_ns();
		for (int i = 0; i < rounds; i++)
		{
			PoText		again;

			if (pass == 0)
				po_text_read(&again, raw, len), po_text_free(&again);
			else if (pass == 1)
				(void) po_read_consent(&shipped_word_set, &text);
			else
			{
				PoConsentReading consent = {PO_CONSENT_NONE, NULL, true, {0}};
				PoRuling	ruling;

				po_hear(&text, &consent.heard);
				po_classify(&shipped_rule_set, &text, &consent, NULL, &ruling);
			}
		}
		spent[pass] = (now_ns() - start) / rounds;
		po_text_free(&text);
	}
	printf("# %-36s %5d bytes: read %8.0f ns, consent %8.0f ns, rules %8.0f ns\n", name, len,
		   spent[0], spent[1], spent[2]);
}

static void
time_texts(void)
{
	static const char *const texts[] = {
		"STOP", "Yes interested, email me at pat@example.com",
		"Hi this is Pat I sold that house last spring and moved to MI",
		"Please don\xE2\x80\x99t worry, I\xE2\x80\x99m fine with Thursday \xF0\x9F\x91\x8D",
		"\xEF\xBC\xB3\xEF\xBC\xB4\xEF\xBC\xAF\xEF\xBC\xB0 sending me these"
	};
	static const char *const worst[] = {
		"stop ", "please ", "a@",  "a@b.c ",           "1 ",           "+(",       "x://",
		"\n>",   "\"",      "s\n", "\xCC\x81\xCC\xA3", "\xEF\xB7\xBA", "no more ", "\n"
	};
	char		big[PO_TEXT_LIMIT];
	char		name[32];

	for (int i = 0; i < (int) lengthof(texts); i++)
		time_text(texts[i], texts[i], strlen(texts[i]), 200000);
	for (int i = 0; i < (int) lengthof(worst); i++)
	{
		int			len = strlen(worst[i]);
		int			n = 0;

		for (; n + len <= PO_TEXT_LIMIT; n += len)
			memcpy(big + n, worst[i], len);
		snprintf(name, sizeof(name), "worst case %d", i);
		time_text(name, big, n, 100);
	}
}

int
main(int argc, char **argv)
{
	ok(read_shipped_words(), "rows", "opt_out_words");
	ok(read_shipped_rules(), "rows", "classification_rules");
	test_fold();
	test_read();
	test_consent();
	if (argc > 1 && strcmp(argv[1], "time") == 0)
		time_texts();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
