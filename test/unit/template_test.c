/*
 * template_test.c
 *	  Unit test of templates: syntax, limits, what is refused and where.
 *
 * Prints TAP.
 */
#include "postgres_fe.h"

#include "template_case.h"

static void
test_syntax(void)
{
	gives("", "");
	gives("Hello", "Hello");
	gives("{{firstName}}", "Pat");
	gives("Hi {{firstName}}, it's {{ lead.first_name }}.", "Hi Pat, it's Lee.");
	gives("{{firstName}}{{firstName}}", "PatPat");
	gives("{{ \t\r\n_1 \t\r\n}}", "one");
	gives("{{firstName|upper}}", "PAT");
	gives("{{ firstName | upper | lower }}", "pat");
	gives("{{firstName|upper}}{{firstName\n|\nlower\n}}", "PATpat");
	gives("{{nobody|default:\"there\"}}", "there");
	gives("{{ nobody | default : \"there\" }}", "there");
	gives("caf\u00E9 {{firstName}} \U0001F600", "caf\u00E9 Pat \U0001F600");

	/* ordinary text */
	gives("{", "{");
	gives("}", "}");
	gives("{firstName}", "{firstName}");
	gives("}}", "}}");
	gives("a }} b", "a }} b");
	gives("{ {firstName} }", "{ {firstName} }");
	gives("{a}{{firstName}}{b}", "{a}Pat{b}");
	gives("{{firstName}}}", "Pat}");
	gives("{{firstName}}}}", "Pat}}");
	gives("{{firstName}}{", "Pat{");
	gives("{\"a\": {\"b\": \"{{firstName}}\"}}", "{\"a\": {\"b\": \"Pat\"}}");

	/* values are not templates */
	gives("{{braces}}}}", "{{firstName}} {{}}");
	gives("{{nobody|default:\"{{firstName}}\"}}", "{{firstName}}");

	/* arguments */
	gives("{{nobody|default:\"}}\"}}", "}}");
	gives("{{nobody|default:\"a \\\"b\\\" \\\\ c\"}}", "a \"b\" \\ c");
	gives("{{nobody|default:\"\\\\\"}}", "\\");
	gives("{{nobody|default:\"a|b:c\nd\"}}", "a|b:c\nd");
	gives("{{firstName|default:\"there\"}}", "Pat");
	gives("a{{nobody|default:\"\"}}b", "ab");

	/* without a value */
	misses("{{nobody}}", "nobody", 0);
	misses("Hi {{ nobody }}!", "nobody", 3);
	misses("Hi {{empty}}", "empty", 3);
	misses("{{firstName}} {{a}} {{b}}", "a", 14);
	misses("{{FirstName}}", "FirstName", 0);
	misses("{{firstNam}}", "firstNam", 0);
	misses("{{nobody|upper|first|xml|digits|money|lower}}", "nobody", 0);
	misses("[{{space}}]", "space", 1);
	gives("{{empty|default:\"there\"}}", "there");
}

/* Of the text of a message, single braces do as well. */
static void
test_single_braces(void)
{
	kind = PO_TEMPLATE_OF_MESSAGE;
	gives("Hi {firstName}, it's { lead.first_name }.", "Hi Pat, it's Lee.");
	gives("{firstName}{{firstName}}{firstName}", "PatPatPat");
	gives("{nobody|default:\"there\"}", "there");
	gives("{ firstName | first | upper }", "PAT");
	gives("{nobody|default:\"{firstName}\"}", "{firstName}");
	gives("{{nobody|default:\"{firstName}\"}}", "{firstName}");
	gives("{ {firstName} }", "{ Pat }");
	gives("${firstName}", "$Pat");
	gives("{firstName}}", "Pat}");
	misses("{nobody}", "nobody", 0);
	misses("Hi {firstNam}", "firstNam", 3);
	misses("{a.b.c}", "a.b.c", 0);
	misses("{\"a\": {b}}", "b", 6);

	/* ordinary text */
	gives(":{ :-{ {: }:{ {} { } {\n}", ":{ :-{ {: }:{ {} { } {\n}");
	gives("{\"firstName\": 1, 'a': {\"b\": []}}", "{\"firstName\": 1, 'a': {\"b\": []}}");
	gives("{first name} {first-name} {1st} {.a} {caf\u00E9}", "{first name} {first-name} {1st} {.a} {caf\u00E9}");
	gives("{Hi|Hello} {a:b} {a,b} {a;b} {%a%} {#a} {/a}", "{Hi|Hello} {a:b} {a,b} {a;b} {%a%} {#a} {/a}");
	gives("{firstName", "{firstName");
	gives("{firstName|default:\"a}", "{firstName|default:\"a}");
	gives("{firstName {firstName}", "{firstName Pat");
	refused("{{{firstName}}}", "invalid name", 2);
	refused("{{firstName}", "the placeholder is not closed", 0);
	kind = PO_TEMPLATE_OF_PROFILE;
}

static void
blank(const char *text, const char *what)
{
	v->value = text;
	misses("{{v}}", "v", 0);
	gives("{{v|default:\"there\"}}", "there");
	v->value = NULL;
	ok(po_template_is_blank(text, strlen(text)), what);
}

static void
trims(const char *text, const char *expected)
{
	int			len = strlen(text);
	const char *kept = po_template_trim(text, &len);

	ok(len == (int) strlen(expected) && memcmp(kept, expected, len) == 0, expected);
}

static void
test_blank(void)
{
	blank("", "nothing");
	blank(" \t\r\n", "blanks");
	blank("\u00A0", "NBSP");
	blank("\u200B\u200C\u200D", "of no width");
	blank("\uFEFF", "a byte order mark");
	blank("\u2060\u00AD", "a word joiner, a soft hyphen");
	blank("\u2800", "a blank of Braille");
	blank("\u3000\u3164\u115F\uFFA0", "an ideographic blank, fillers of Hangul");
	blank("\u202E\u2066\u061C", "marks of direction");
	blank("\uFE0F", "a selector alone");
	blank("\U000E0041", "a tag alone");
	blank("\x7F\xC2\x85\x1B", "controls");
	ok(!po_template_is_blank("\u200B.", strlen("\u200B.")), "a full stop is seen");
	ok(!po_template_is_blank("1\uFE0F\u20E3", strlen("1\uFE0F\u20E3")), "a keycap is seen");
	ok(!po_template_is_blank("\xFF", 1), "what is no UTF-8 is not nothing");

	trims("", "");
	trims("Pat", "Pat");
	trims(" \u00A0\u200BPat Lee\u3000\uFEFF\n", "Pat Lee");
	trims("\u2764\uFE0F ", "\u2764\uFE0F");
	trims("\U0001F3F4\U000E0067\U000E007F", "\U0001F3F4\U000E0067\U000E007F");
	trims(" \t ", "");
}

static void
visit(void *arg, const char *name, int name_len, bool optional)
{
	appendStringInfo(arg, "%.*s%s ", name_len, name, optional ? "?" : "");
}

static void
test_each(void)
{
	static const char text[] = "{{a}} {b} {{c|upper|default:\"d\"}} {{a.e|first}} {{";
	StringInfoData seen;

	initStringInfo(&seen);
	po_template_each(PO_TEMPLATE_OF_PROFILE, text, strlen(text), visit, &seen);
	ok(strcmp(seen.data, "a c? a.e ") == 0, "each placeholder of a profile is told of");
	resetStringInfo(&seen);
	po_template_each(PO_TEMPLATE_OF_MESSAGE, text, strlen(text), visit, &seen);
	ok(strcmp(seen.data, "a b c? a.e ") == 0, "and of a message");
	pfree(seen.data);
}

static void
test_refused(void)
{
	static const char unclosed[] = "the placeholder is not closed";
	static const char follows[] = "neither | nor }} follows";
	static const char no_name[] = "the placeholder has no name";

	refused("{{", unclosed, 0);
	refused("Hi {{", unclosed, 3);
	refused("Hi {{ ", unclosed, 3);
	refused("Hi {{}", unclosed, 3);
	refused("Hi {{firstName", unclosed, 3);
	refused("Hi {{firstName ", unclosed, 3);
	refused("Hi {{firstName}", unclosed, 3);
	refused("Hi {{firstName|", unclosed, 3);
	refused("Hi {{firstName|upper", unclosed, 3);
	refused("Hi {{firstName|upper}", unclosed, 3);
	refused("Hi {{firstName|default", unclosed, 3);
	refused("Hi {{firstName|default:", unclosed, 3);
	refused("Hi {{firstName|default:\"a\"", unclosed, 3);
	refused("Hi {{firstName, welcome", follows, 14);
	refused("Hi {{firstName} }", follows, 14);
	refused("Hi {{firstName}, welcome", follows, 14);
	refused("Hi {{first name}}", follows, 11);
	refused("Hi {{first-name}}", follows, 10);
	refused("{{firstName {{firstName}}", follows, 12);
	refused("{{caf\u00E9}}", follows, 5);

	refused("{{}}", no_name, 2);
	refused("Hi {{ }}", no_name, 6);
	refused("{{|upper}}", no_name, 2);
	refused("{{ | upper}}", no_name, 3);
	refused("{{{firstName}}}", "invalid name", 2);
	refused("{{{{firstName}}}}", "invalid name", 2);
	refused("{{1st}}", "invalid name", 2);
	refused("{{.a}}", "invalid name", 2);
	refused("{{\"a\"}}", "invalid name", 2);
	refused("{{#if}}", "invalid name", 2);
	refused("{{\u00E9}}", "invalid name", 2);
	refused("{{} }", "invalid name", 2);

	refused("{{firstName|}}", "the filter has no name", 12);
	refused("{{firstName||upper}}", "the filter has no name", 12);
	refused("{{firstName|shout}}", "unknown filter", 12);
	refused("{{firstName|Upper}}", "unknown filter", 12);
	refused("{{firstName|uppe}}", "unknown filter", 12);
	refused("{{firstName|upper2}}", "unknown filter", 12);
	refused("{{firstName|upper lower}}", follows, 18);
	refused("{{firstName|upper:\"a\"}}", "the filter takes no argument", 17);
	refused("{{firstName|default}}", "the filter needs an argument", 19);
	refused("{{firstName|default \"a\"}}", "the filter needs an argument", 20);
	refused("{{firstName|default:}}", "the argument is not in double quotes", 20);
	refused("{{firstName|default:there}}", "the argument is not in double quotes", 20);
	refused("{{firstName|default:'there'}}", "the argument is not in double quotes", 20);
	refused("{{firstName|default:\u201Cthere\u201D}}", "the argument is not in double quotes", 20);
	refused("{{firstName|default:\"there}}", "the quotes are not closed", 20);
	refused("{{firstName|default:\"there\\", "the quotes are not closed", 20);
	refused("{{firstName|default:\"there\\\"}}", "the quotes are not closed", 20);
	refused("{{firstName|default:\"a\\n\"}}", "invalid escape in the argument", 22);
	refused("{{firstName|default:\"a\"\"b\"}}", follows, 23);

	/* what is wrong with the template comes before what is missing */
	refused("{{nobody}} {{firstName|shout}}", "unknown filter", 23);
	refused("{{nobody}} {{", unclosed, 11);
}

static void
long_text(int before, const char *text, int after, PoTemplateResult expected, const char *what)
{
	StringInfoData whole;
	StringInfoData out;
	PoTemplateProblem problem;
	PoTemplateResult result;
	bool		passed;

	initStringInfo(&whole);
	initStringInfo(&out);
	appendBinaryStringInfo(&whole, big, before);
	appendStringInfoString(&whole, text);
	appendBinaryStringInfo(&whole, big, after);
	result = render(whole.data, whole.len, &out, &problem);
	passed = result == expected && (result != PO_TEMPLATE_MALFORMED ||
									strcmp(problem.reason, "the text is longer than 64 KiB") == 0);
	ok(passed, what);
	if (!passed)
		describe(result, &problem, &out);
	pfree(whole.data);
	pfree(out.data);
}

static void
test_limits(void)
{
	StringInfoData text;
	StringInfoData expected;

	long_text(KIB64, "", 0, PO_TEMPLATE_OK, "64 KiB");
	long_text(KIB64, "x", 0, PO_TEMPLATE_MALFORMED, "a byte more");
	long_text(0, "{{big}}", 0, PO_TEMPLATE_OK, "64 KiB of a value");
	long_text(0, "{{big}}", 1, PO_TEMPLATE_MALFORMED, "and a byte behind it");
	long_text(1, "{{big}}", 0, PO_TEMPLATE_MALFORMED, "and a byte before it");
	long_text(0, "{{big}}{{_1}}", 0, PO_TEMPLATE_MALFORMED, "and a value behind it");
	long_text(0, "{{big}}{{nobody}}", 0, PO_TEMPLATE_MISSING, "and no value behind it");
	long_text(0, "{{huge}}", 0, PO_TEMPLATE_MALFORMED, "a value too long");
	long_text(0, "{{huge|first}}", 0, PO_TEMPLATE_MALFORMED, "a value too long to be filtered");
	long_text(1, "{{big|digits|default:\"a\"}}", 0, PO_TEMPLATE_OK, "a long value that got short");
	long_text(KIB64 - 20, "{{firstName|xml}}", 3, PO_TEMPLATE_OK, "the template is 64 KiB");
	long_text(KIB64 - 20, "{{firstName|xml}}", 4, PO_TEMPLATE_MALFORMED,
			  "the template is a byte longer, the text is not");
	memset(big, '"', KIB64);
	long_text(0, "{{big}}", 0, PO_TEMPLATE_OK, "64 KiB to be escaped");
	long_text(0, "{{big|xml}}", 0, PO_TEMPLATE_MALFORMED, "64 KiB too long when escaped");
	long_text(0, "{{big|xml|xml|xml|xml|xml|xml|xml|xml}}", 0, PO_TEMPLATE_MALFORMED,
			  "escaped again and again");
	memset(big, 'x', sizeof(big));

	initStringInfo(&text);
	initStringInfo(&expected);
	for (int i = 0; i < 100; i++)
	{
		appendStringInfoString(&text, "{{_1}},");
		appendStringInfoString(&expected, "one,");
	}
	gives(text.data, expected.data);
	appendStringInfoString(&text, "{{_1}}");
	refused(text.data, "more than 100 placeholders", 700);

	gives("{{_1|upper|upper|upper|upper|upper|upper|upper|lower}}", "one");
	refused("{{_1|upper|upper|upper|upper|upper|upper|upper|upper|upper}}", "more than 8 filters",
			53);

	resetStringInfo(&text);
	appendStringInfo(&text, "{{%.*s}}", 64, big);
	misses(text.data, pnstrdup(big, 64), 0);
	resetStringInfo(&text);
	appendStringInfo(&text, "{{%.*s}}", 65, big);
	refused(text.data, "the name is longer than 64 characters", 2);
	pfree(text.data);
	pfree(expected.data);
}

/* Nothing that is filled in is markup, and what is no text of HTML is left out. */
static void
test_html(void)
{
	char		longest[KIB64 / 5 + 2];

	kind = PO_TEMPLATE_OF_HTML;
	gives("<p class=\"a\">Hi {{firstName}} & {firstName}</p>", "<p class=\"a\">Hi Pat & Pat</p>");
	gives("<style>p {color: red} b {}</style>{{_1}}", "<style>p {color: red} b {}</style>one");
	v->value = "<b>\"Tom\" & 'Co'</b>";
	gives("<i>{{v}}</i>", "<i>&lt;b&gt;&quot;Tom&quot; &amp; &#39;Co&#39;&lt;/b&gt;</i>");
	gives("{{v|first}}", "&lt;b&gt;&quot;Tom&quot;");
	gives("{{v|upper}}", "&lt;B&gt;&quot;TOM&quot; &amp; &#39;CO&#39;&lt;/B&gt;");
	gives("{{v|xml}}", "&amp;lt;b&amp;gt;&amp;quot;Tom&amp;quot; &amp;amp; "
		  "&amp;apos;Co&amp;apos;&amp;lt;/b&amp;gt;");
	v->value = NULL;
	gives("{{v|default:\"<a & 'b'>\"}}", "&lt;a &amp; &#39;b&#39;&gt;");
	gives("[{{v|default:\"\"}}][{{v|default:\" \"}}][{{v|default:\"\x01\"}}]", "[][ ][]");
	misses("<p>{{v}}</p>", "v", 3);
	/* controls, also those above ASCII, and what is no character; the rest stays */
	v->value = "a\x01\x0B\x0C\x1F\x7F\xC2\x85\xC2\x9F\xEF\xB7\x90\xEF\xBF\xBE\xF0\x9F\xBF\xBFz\t\r"
		"\n\xC2\xA0\xC3\xA9\xF0\x9F\x91\x8D";
	gives("{{v}}", "az\t\r\n\xC2\xA0\xC3\xA9\xF0\x9F\x91\x8D");
	v->value = "\xEF\xB7\x90";
	misses("{{v}}", "v", 0);
	memset(longest, '&', sizeof(longest));
	longest[KIB64 / 5 + 1] = '\0';
	v->value = longest;
	long_text(0, "{{v}}", 0, PO_TEMPLATE_MALFORMED, "a byte too long when escaped");
	longest[KIB64 / 5] = '\0';
	long_text(0, "{{v}}", KIB64 % 5, PO_TEMPLATE_OK, "64 KiB when escaped");
	v->value = NULL;
	kind = PO_TEMPLATE_OF_PROFILE;
}

static void
test_is_placeholder(void)
{
	static const char *const yes[] = {
		"{{a}}", "{{ a.b }}", "{{a|default:\"}}{{\"}}",
		"{{a|upper|xml}}"
	};
	static const char *const no[] = {
		"",        "a",       "{}",     "{{",         "{{}}",
		"{{a}",    "{{a}} ",  " {{a}}", "{{a}}{{b}}", "{{a}}}",
		"{{{a}}}", "{{a|b}}", "{{{{",   "}}}}"
	};

	for (int i = 0; i < (int) lengthof(yes); i++)
		ok(po_template_is_placeholder(yes[i], strlen(yes[i])), yes[i]);
	for (int i = 0; i < (int) lengthof(no); i++)
		ok(!po_template_is_placeholder(no[i], strlen(no[i])), no[i]);
	ok(!po_template_is_placeholder("{{a}}", 4), "only len bytes are read");
}

static void
test_lookup(void)
{
	static const char text[] = "{{firstName}}{{firstName|upper}}{{a}}{{firstName}}";
	StringInfoData out;
	PoTemplateProblem problem;
	int			ncalls = 0;

	initStringInfo(&out);
	po_template_render(kind, text, strlen(text), find, &ncalls, &out, &problem);
	ok(ncalls == 3, "a value is looked up once a placeholder, up to the first without one");

	/* bytes that are no UTF-8 are harmless */
	v->value = "\xFF\xC3 \xE2\x82";
	gives("{{v}}", "\xFF\xC3 \xE2\x82");
	gives("{{v|first}}", "\xFF\xC3");
	misses("{{v|xml}}", "v", 0);
	v->value = NULL;
	pfree(out.data);
}

int
main(void)
{
	memset(big, 'x', sizeof(big));
	test_syntax();
	test_single_braces();
	test_blank();
	test_each();
	test_refused();
	test_limits();
	test_html();
	test_is_placeholder();
	test_lookup();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
