/*
 * template_filters_test.c
 *	  Unit test of the filters of templates.
 *
 * Prints TAP.
 */
#include "postgres_fe.h"

#include "template_case.h"

/*
 * The value through the filters; expected is NULL when there is none left.
 */
static void
filters(const char *value, const char *chain, const char *expected)
{
	char		text[256];

	v->value = value;
	snprintf(text, sizeof(text), "{{v|%s}}", chain);
	if (expected != NULL)
		gives(text, expected);
	else
		misses(text, "v", 0);
	v->value = NULL;
}

static void
test_filters(void)
{
	filters("350000", "money", "$350,000");
	filters("350000.5", "money", "$350,000.50");
	filters("$350,000", "money", "$350,000");
	filters("$350,000.00", "money", "$350,000");
	filters("0", "money", "$0");
	filters("7", "money", "$7");
	filters("999", "money", "$999");
	filters("1000", "money", "$1,000");
	filters("1234567", "money", "$1,234,567");
	filters("1,234,567.89", "money", "$1,234,567.89");
	filters(".5", "money", "$0.50");
	filters("$.05", "money", "$0.05");
	filters("0.004", "money", "$0");
	filters("0.005", "money", "$0.01");
	filters("999.994999", "money", "$999.99");
	filters("999.995", "money", "$1,000");
	filters("-5000", "money", "-$5,000");
	filters("-$5,000.10", "money", "-$5,000.10");
	filters("-0", "money", "$0");
	filters("-0.001", "money", "$0");
	filters(" 350000\r\n", "money", "$350,000");
	filters("999999999999999.99", "money", "$999,999,999,999,999.99");
	filters("-999999999999999.999", "money", "-$1,000,000,000,000,000");
	filters("1.00000000000000000000000000000000000000000001", "money", "$1");
	filters("350000", "money|money", "$350,000");

	filters("1000000000000000", "money", NULL);
	filters("a lot", "money", NULL);
	filters("350k", "money", NULL);
	filters("$350K", "money", NULL);
	filters("3.5e5", "money", NULL);
	filters("+12025550123", "money", NULL);
	filters("350,00", "money", NULL);
	filters("350.000,00", "money", NULL);
	filters("3500,000", "money", NULL);
	filters("350,0000", "money", NULL);
	filters("1,23,456", "money", NULL);
	filters(",350", "money", NULL);
	filters("350,", "money", NULL);
	filters("1,,000", "money", NULL);
	filters("350.", "money", NULL);
	filters(".", "money", NULL);
	filters("$", "money", NULL);
	filters("-", "money", NULL);
	filters(" ", "money", NULL);
	filters("$ 350", "money", NULL);
	filters("350 000", "money", NULL);
	filters("$-350", "money", NULL);
	filters("--350", "money", NULL);
	filters("$$350", "money", NULL);
	filters("(350)", "money", NULL);
	filters("02139", "money", NULL);
	filters("00", "money", NULL);
	filters("00.50", "money", NULL);
	filters("1.2.3", "money", NULL);
	filters("350000-400000", "money", NULL);
	filters("NaN", "money", NULL);
	filters("Infinity", "money", NULL);
	filters("0x10", "money", NULL);
	filters("\u20AC350", "money", NULL);
	filters("\uFF13\uFF15", "money", NULL);

	filters("+1 (202) 555-0123", "digits", "12025550123");
	filters("none", "digits", NULL);
	filters("\u0661\u0662", "digits", NULL);

	filters("Mary Ann Lee", "first", "Mary");
	filters("Mary", "first", "Mary");
	filters("  Mary\tAnn", "first", "Mary");
	filters("Mary-Ann O'Neil", "first", "Mary-Ann");
	filters("Jos\u00E9\u00A0Luis", "first", "Jos\u00E9");
	filters("\u3000\u5C71\u7530\u3000\u592A\u90CE", "first", "\u5C71\u7530");
	filters(" \t\n", "first", NULL);

	filters("Pat @[`{ Z", "upper", "PAT @[`{ Z");
	filters("Pat @[`{ Z", "lower", "pat @[`{ z");
	filters("\u00C9mile \u00E9", "upper", "\u00C9MILE \u00E9");
	filters("\u00C9mile \u00E9", "lower", "\u00C9mile \u00E9");

	filters("plain", "xml", "plain");
	filters("a<b>&\"c'd", "xml", "a&lt;b&gt;&amp;&quot;c&apos;d");
	filters("&amp;", "xml", "&amp;amp;");
	filters("&", "xml|xml", "&amp;amp;");
	filters("<<<>>>", "xml", "&lt;&lt;&lt;&gt;&gt;&gt;");
	filters("a\tb\r\nc", "xml", "a\tb\r\nc");
	filters("a\x01\x08\x0B\x0C\x0E\x1B\x1F z", "xml", "a z");
	filters("\x01<\x02\u00E9>\x03", "xml", "&lt;\u00E9&gt;");
	filters("a\uFFFE\uFFFF\uFFFD\x7F", "xml", "a\uFFFD\x7F");
	filters("\U0001F600 \U0010FFFF", "xml", "\U0001F600 \U0010FFFF");
	filters("\x01\x02", "xml", NULL);

	/* defaults among the others */
	filters(NULL, "money|default:\"a fair price\"", "a fair price");
	filters("a lot", "money|default:\"a fair price\"", "a fair price");
	filters("a lot", "default:\"0\"|money", NULL);
	filters(NULL, "default:\"1000\"|money", "$1,000");
	filters(NULL, "upper|default:\"there\"", "there");
	filters(NULL, "default:\"there\"|upper", "THERE");
	filters(NULL, "default:\"<\"|xml", "&lt;");
	filters(NULL, "default:\"a\"|default:\"b\"", "a");
	filters(NULL, "default:\"\"|default:\"b\"", "");
	filters(NULL, "default:\"\"|money|first|digits|xml|upper|lower", "");
	filters(NULL, "default:\"none\"|digits", NULL);
	filters("  ", "first|default:\"there\"", "there");
	filters("Pat", "default:\"there\"|upper", "PAT");
	filters("Pat Lee", "first|upper|lower|first|xml|upper|lower|first", "pat");
}

int
main(void)
{
	memset(big, 'x', sizeof(big));
	test_filters();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
