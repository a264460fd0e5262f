/*
 * classify_rules_test.c
 *	  Unit test of rules.
 *
 * The rules are the shipped ones, read from the install script's data files.
 * Prints TAP.
 */
#include "postgres_fe.h"

#include "classify_case.h"
#include "common/classify.h"
#include "common/text.h"
#include "shipped_rows.h"

/* Whether a message of that text is for the rule, the only one. */
static bool
is_for(const PoRule *only, const PoText *text)
{
	PoConsentReading consent = {PO_CONSENT_NONE, NULL, false, {0}};
	PoRuleSet	set = {only, 1};
	PoRuling	ruling;

	po_classify(&set, text, &consent, NULL, &ruling);
	return ruling.rule == only;
}

static void
rule(const char *expected, const char *raw)
{
	PoText		text;
	PoConsentReading consent = {PO_CONSENT_NONE, NULL, true, {0}};
	PoRuling	ruling;
	const PoRule *found;

	po_text_read(&text, raw, strlen(raw));
	po_hear(&text, &consent.heard);
	po_classify(&shipped_rule_set, &text, &consent, NULL, &ruling);
	found = ruling.rule;
	ok(found != NULL && strcmp(found->rule, expected) == 0, expected, raw);
	if (found != NULL && strcmp(found->rule, expected) != 0)
		printf("# got %s\n", found->rule);
	po_text_free(&text);
}

static void
test_rules(void)
{
	static const char *const interested[] = {
		"YES",
		"Yes!",
		"yes please",
		"I'm interested",
		"Interested",
		"call me",
		"Please call me tomorrow",
		"Send me more info",
		"INFO",
		"details?",
		"tell me more",
		"Tell me about it",
		"count me in",
		"thanks, yes I'm interested",
		"Yes? Call me"
	};
	static const char *const not_interested[] = {
		"Not interested",
		"NOT INTERESTED!",
		"No thanks",
		"no",
		"No, not interested",
		"yes but not now",
		"I'll pass",
		"decline",

		"I'm not really interested",

		"Nope",
		"I don't want any more info"
	};
	static const char *const question[] = {
		"who is this", "who is this?", "why\xEF\xBC\x9F",
		"What do you know?"
	};
	static const char *const other[] = {
		"",
		"yesterday",
		"thirty",
		"knowledge",
		"class",
		"hello",
		"hello there",
		"now",
		"information overload is never good",
		"no problem",

		"eyes",
		"recall me maybe"
	};

	rule("email-capture", "Yes interested, email me at pat@example.com");
	rule("email-capture", "not interested pat@example.com");
	rule("called-phone-line", "[CALL] from +12125550123");
	rule("called-phone-line", "  [inbound] voicemail");
	rule("called-phone-line", "Inbound call 5 min");
	rule("called-phone-line", "She called back");
	rule("called-phone-line", "CALL FROM Pat");
	rule("not-interested", "Got a call from you. Not interested");
	for (int i = 0; i < (int) lengthof(interested); i++)
		rule("interested", interested[i]);
	for (int i = 0; i < (int) lengthof(not_interested); i++)
		rule("not-interested", not_interested[i]);
	rule("interested", "Stop by tomorrow");
	rule("other", "wrong year lol its 2026");
	rule("interested", "That is my old number, use this one from now on");
	rule("interested", "wrong address, the house is on Elm");
	rule("wrong-number", "wrong number");
	rule("wrong-number", "Sorry, you have the wrong person");
	rule("busy", "I'm in a meeting");
	rule("busy", "Im in the hospital");
	rule("busy", "I'm in class, text you later");
	rule("busy", "Can't talk now. Call me later?");
	rule("not-interested", "Yeah right");
	rule("thank-you", "thank you");
	rule("thank-you", "TY");
	rule("thank-you", "thanks?");
	for (int i = 0; i < (int) lengthof(question); i++)
		rule("question", question[i]);
	for (int i = 0; i < (int) lengthof(other); i++)
		rule("other", other[i]);

	{
		PoTerm		term;
		PoRule		whole = {.rule = "w", .match = PO_MATCH_WHOLE, .terms = &term, .nterms = 1};
		PoText		text;

		po_term_init(&term, PO_MATCH_WHOLE, "Call me", 7);
		po_text_read(&text, "call me!", 8);
		ok(is_for(&whole, &text), "whole", "call me!");
		whole.match = PO_MATCH_LEADING;
		ok(is_for(&whole, &text), "leading", "call me!");
		po_text_free(&text);
		po_text_read(&text, "call me, now", 12);
		ok(is_for(&whole, &text), "leading", "call me, now");
		whole.match = PO_MATCH_WHOLE;
		ok(!is_for(&whole, &text), "not whole", "call me, now");
		po_text_free(&text);
		po_text_read(&text, "", 0);
		po_term_init(&term, PO_MATCH_WORD, "!!!", 3);
		whole.match = PO_MATCH_WORD;
		ok(!is_for(&whole, &text), "an empty term", "matches nothing");
		po_text_free(&text);
	}
}

int
main(void)
{
	ok(read_shipped_words(), "rows", "opt_out_words");
	ok(read_shipped_rules(), "rows", "classification_rules");
	test_rules();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
