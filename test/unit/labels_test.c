/*
 * labels_test.c
 *	  What the shipped rules label and extract, beside the one rule that decides.
 */
#include "postgres_fe.h"

#include "shipped_rows.h"

#define SENDER "+12125550100"
#define OURS "+12125550200"

static int	tests = 0;
static int	failures = 0;

static void
ok(bool passed, const char *what, const char *text)
{
	printf("%sok %d - %s: %s\n", passed ? "" : "not ", ++tests, what, text);
	failures += !passed;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The labels in order, and behind them what is extracted. */
static char *
labels_of(const char *raw)
{
	static char out[1024];
	PoText		text;
	PoConsentReading consent;
	PoRuling	ruling;

	po_text_read(&text, raw, strlen(raw));
	consent = po_read_consent(&shipped_word_set, &text);
	po_classify(&shipped_rule_set, &text, &consent, po_text_phone(&text, SENDER, OURS), &ruling);
	qsort(ruling.label, ruling.nlabels, sizeof(char *), compare);
	out[0] = '\0';
	for (int i = 0; i < ruling.nlabels; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s", i > 0 ? " " : "",
				 ruling.label[i]);
	if (ruling.email != NULL)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), " %s", ruling.email);
	if (ruling.phone != NULL)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), " %s", ruling.phone);
	po_text_free(&text);
	return out;
}

static void
labels(const char *expected, const char *raw)
{
	const char *found = labels_of(raw);

	ok(strcmp(found, expected) == 0, expected[0] != '\0' ? expected : "nothing", raw);
	if (strcmp(found, expected) != 0)
		printf("# got %s\n", found);
}

/* A label is there, whatever else is. */
static void
has(const char *label, bool wanted, const char *raw)
{
	char		padded[1100];
	char		word[64];

	snprintf(padded, sizeof(padded), " %s ", labels_of(raw));
	snprintf(word, sizeof(word), " %s ", label);
	ok((strstr(padded, word) != NULL) == wanted, wanted ? label : "it has not", raw);
	if ((strstr(padded, word) != NULL) != wanted)
		printf("# got%s\n", padded);
}

static void
test_consent(void)
{
	labels("opted_out", "STOP");
	labels("opted_out", "stop, pat@example.com");
	labels("opted_out", "STOP 415-555-0199");
	labels("", "Please stop texting me, call my lawyer");
	labels("", "don't call me again, pat@example.com");
	labels("needs_help", "HELP");
	labels("email_captured inbound_data needs_help pat@example.com", "help, pat@example.com");
	labels("", "START");
}

static void
extracts(const char *phone, const char *raw)
{
	const char *found = strchr(labels_of(raw), '+');

	ok(phone == NULL ? found == NULL : found != NULL && strcmp(found, phone) == 0,
	   phone != NULL ? phone : "no phone", raw);
	if (found != NULL && (phone == NULL || strcmp(found, phone) != 0))
		printf("# got %s\n", found);
}

static void
test_addresses(void)
{
	static const char *const ours[] = {
		"415 555 2671 212 555 7777",
		"at 5 415-555-2671",
		"My cell is 415-555-2671. 3 bedrooms",
		"call me at 415-555-2671 5pm",
		"call 4155552671 24/7",
		"+1 415 555 2671 24/7",
		"1 (415) 555-2671",
		"(415)5552671",
		"415 - 555 - 2671",
		"1. 415-555-2671 2. 212-555-7777",
		"415\xE2\x80\x91"
		"555\xE2\x80\x91"
		"2671",
		"415\xE2\x80\x93"
		"555\xE2\x80\x93"
		"2671",
		"\xE2\x80\xAA(415) 555\xE2\x80\x91"
		"2671\xE2\x80\xAC",
		"\xEF\xBC\x94\xEF\xBC\x91\xEF\xBC\x95 555 2671",
		"212 555 0100, 212 555 0100, 212-555-0200, 415 555 2671"
	};
	static const char *const british[] = {
		"I'm at flat 12 +44 20 7946 0958",
		"+44 20 7946 0958 24/7", "+44 20 7946 0958 5 pm",
		"+44 20 7946 0958 +1 415 555 2671"
	};

	/* of what could be read in two ways, of dates, and of other numbers none is taken */
	static const char *const none[] = {
		"011 44 20 7946 0958",
		"011 52 415 555 2671",
		"52 415 555 2671",
		"7 415 555 2671",
		"(+44 (0)20 7946 0958)",
		"We can meet 2026-12-05 10:30",
		"on 2027-03-15 11:15 please",
		"my card is 3056 930902 5904",
		"tracking 9400 1118 9922 3344 5566 77",
		"between 350-400 2000 sq ft",
		"parcel 415-555-2671-22",
		"2125550188@example.com",
		"my email is (4155552671@example.com)",
		"+14155552671@txt.att.net"
	};

	labels("email_captured inbound_data pat@example.com", "pat@EXAMPLE.com");
	labels("email_captured inbound_data 1234567@qq.com", "(1234567@qq.com)");
	labels("inbound_data mobile_captured +14155552671", "(415) 555-2671");
	labels("inbound_data mobile_captured +14155552671", "1-415-555-2671.");
	for (int i = 0; i < (int) lengthof(ours); i++)
		extracts("+14155552671", ours[i]);
	for (int i = 0; i < (int) lengthof(british); i++)
		extracts("+442079460958", british[i]);
	for (int i = 0; i < (int) lengthof(none); i++)
		extracts(NULL, none[i]);
	labels("contact_verified email_captured gold_label high_contactability inbound_data "
		   "mobile_captured pat@example.com +14155552671",
		   "pat@example.com 4155552671");
	/* the sender's own, and ours, are no other */
	has("mobile_captured", false, "yes this is 212-555-0100");
	has("mobile_captured", false, "who is texting me from 212 555 0200");
	labels("inbound_data mobile_captured +14155552671", "212 555 0100, 212 555 0200, 415 555 2671");
	/* no phones */
	has("mobile_captured", false, "123-456-7890");
	has("mobile_captured", false, "555-2671");
	has("mobile_captured", false, "the lot is 4155552671234567");
	has("mobile_captured", false, "parcel 02-0304-0555-0012-9");
	has("mobile_captured", false, "I want 150,000");
	/* nor are those of a quote */
	has("mobile_captured", false,
		"Liked \xE2\x80\x9C"
		"Call me at 415-555-2671\xE2\x80\x9D");
}

static void
test_wishes(void)
{
	static const char *const calls[] = {
		"call me",
		"Can you call me tomorrow?",
		"give me a call after 6",
		"Please call my office",
		"I'd like a call",
		"ring me"
	};
	static const char *const no_calls[] = {
		"nobody should call me", "who said call me",
		"recall methods", "I called menards"
	};
	static const char *const interest[] = {
		"Tell me more",
		"send info",
		"sign me up",
		"I'm in",
		"yes interested",
		"Yeah, send me details",
		"can we schedule an appointment"
	};
	static const char *const no_interest[] = {
		"I'm in a meeting", "yeah right", "not interested",
		"I have an appointment at the dentist, sorry"
	};

	for (int i = 0; i < (int) lengthof(calls); i++)
		has("wants_call", true, calls[i]);
	for (int i = 0; i < (int) lengthof(no_calls); i++)
		has("wants_call", false, no_calls[i]);
	for (int i = 0; i < (int) lengthof(interest); i++)
	{
		has("high_intent", true, interest[i]);
		has("needs_follow_up", true, interest[i]);
	}
	for (int i = 0; i < (int) lengthof(no_interest); i++)
		has("high_intent", false, no_interest[i]);
	has("question_asked", true, "how much?");
	has("question_asked", false, "it is sold");
	has("needs_help", true, "I need some assistance");
	has("needs_help", false, "I don't need help");
	has("needs_help", false, "helpful");
}

static void
test_noise(void)
{
	static const char *const noise[] = {
		"\xF0\x9F\x91\x8D", "!!", "k", "OK", "lol", "hmm", "?!", ".", "shit"
	};
	static const char *const no_noise[] = {
		"yes",           "class",
		"hello",         "https://example.com/x",
		"a@example.com", "assessment",
		"lol ok see you"
	};

	for (int i = 0; i < (int) lengthof(noise); i++)
		has("noise", true, noise[i]);
	for (int i = 0; i < (int) lengthof(no_noise); i++)
		has("noise", false, no_noise[i]);
}

/* A label is there once, and there are so many at most. */
static void
test_limits(void)
{
	static char name[PO_LABELS_MOST + 9][8];
	const char *label[PO_LABELS_MOST + 9];
	PoRule		rule[2] = {{.match = PO_MATCH_ANY, .label = label, .nlabels = lengthof(label)}};
	PoRuleSet	set = {rule, 2};
	PoConsentReading consent = {PO_CONSENT_NONE, NULL, false, {0}};
	PoRuling	ruling;
	PoText		text;

	for (int i = 0; i < (int) lengthof(label); i++)
	{
		snprintf(name[i], sizeof(name[i]), "%d", i % (PO_LABELS_MOST - 1));
		label[i] = name[i];
	}
	rule[1] = rule[0];
	po_text_read(&text, "hello", 5);
	po_classify(&set, &text, &consent, NULL, &ruling);
	ok(ruling.nlabels == PO_LABELS_MOST - 1, "once", "each label");
	for (int i = 0; i < (int) lengthof(label); i++)
		snprintf(name[i], sizeof(name[i]), "%d", i);
	po_classify(&set, &text, &consent, NULL, &ruling);
	ok(ruling.nlabels == PO_LABELS_MOST, "no more", "than so many");
	po_text_free(&text);
}

int
main(void)
{
	ok(read_shipped_words() && read_shipped_rules(), "rows", "of words and rules");
	test_consent();
	test_addresses();
	test_wishes();
	test_noise();
	test_limits();
	printf("1..%d\n", tests);
	return failures > 0;
}
