/*-------------------------------------------------------------------------
 * document_test.c
 *	  Unit test of the JSON and form parsers, their limits and the digest.
 *
 * Prints TAP.  With the argument "time" it also reports how long the usual and
 * the worst bodies take.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <time.h>

#include "common/document.h"
#include "common/fe_memutils.h"

typedef bool (*Parser) (PoDocument *doc, const char *bytes, int len,
						const PoDocumentLimits *limits);

/* A string constant and its length, NUL bytes included. */
#define BYTES(s) (s), (int) (sizeof(s) - 1)

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool passed, const char *name)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, name);
}

static void
release(PoDocument *doc)
{
	if (doc->node)
		pfree(doc->node);
	if (doc->arena)
		pfree(doc->arena);
}

static bool
has_text(const PoDocument *doc, int node, const char *value, int value_len)
{
	const char *text;
	int			len;

	return po_document_scalar(doc, node, &text, &len) &&
		len == value_len && memcmp(text, value, len) == 0;
}

/* The body is accepted and the member "a" has this text. */
static void
gives(Parser parse, const char *bytes, int len, const char *value, int value_len, const char *name)
{
	PoDocument	doc;

	ok(parse(&doc, bytes, len, NULL) &&
	   has_text(&doc, po_document_find(&doc, 0, "a", 1), value, value_len), name);
	release(&doc);
}

/* The body is refused with this phrase at this offset, and nothing is left. */
static void
refuses(Parser parse, const char *bytes, int len, const char *phrase, int offset, const char *name)
{
	PoDocument	doc;
	bool		parsed = parse(&doc, bytes, len, NULL);

	ok(!parsed && strcmp(doc.error, phrase) == 0 && doc.error_offset == offset &&
	   doc.node == NULL && doc.arena == NULL && doc.nnodes == 0, name);
	if (!parsed && (strcmp(doc.error, phrase) != 0 || doc.error_offset != offset))
		printf("# got \"%s\" at %d\n", doc.error, doc.error_offset);
	release(&doc);
}

static void
accepts(Parser parse, const char *bytes, int len, PoNodeType root, const char *name)
{
	PoDocument	doc;

	ok(parse(&doc, bytes, len, NULL) && doc.error == NULL && doc.node[0].type == root &&
	   doc.node[0].key == NULL && doc.node[0].next == -1, name);
	if (doc.error)
		printf("# got \"%s\" at %d\n", doc.error, doc.error_offset);
	release(&doc);
}

static void
digest_of(Parser parse, const char *bytes, int len, uint8 digest[32])
{
	PoDocument	doc;

	memset(digest, 0, 32);
	if (!parse(&doc, bytes, len, NULL))
		return;
	po_document_digest(&doc, digest);
	release(&doc);
}

static bool
same_digest(Parser parse_a, const char *a, Parser parse_b, const char *b)
{
	uint8		digest_a[32];
	uint8		digest_b[32];

	digest_of(parse_a, a, (int) strlen(a), digest_a);
	digest_of(parse_b, b, (int) strlen(b), digest_b);
	return memcmp(digest_a, digest_b, 32) == 0;
}

static bool
digest_is(Parser parse, const char *bytes, const char *hex)
{
	uint8		digest[32];
	char		got[65];

	digest_of(parse, bytes, (int) strlen(bytes), digest);
	for (int i = 0; i < 32; i++)
		snprintf(got + 2 * i, 3, "%02x", digest[i]);
	return strcmp(got, hex) == 0;
}

/* Repeats a pattern with its counter: repeat("[", 3, "") is "[[[". */
static char *
repeat(const char *format, int times, const char *tail)
{
	char	   *body = palloc((Size) times * (strlen(format) + 16) + strlen(tail) + 1);
	char	   *out = body;

	for (int i = 0; i < times; i++)
		out += sprintf(out, format, i);
	strcpy(out, tail);
	return body;
}

static char *
concat(const char *head, char *tail)
{
	char	   *body = palloc(strlen(head) + strlen(tail) + 1);

	strcpy(body, head);
	strcat(body, tail);
	pfree(tail);
	return body;
}

/* As accepts() or, with a phrase, refuses() at any offset; frees the body. */
static void
bulk(Parser parse, char *body, const char *phrase, const char *name)
{
	PoDocument	doc;
	bool		parsed = parse(&doc, body, (int) strlen(body), NULL);

	ok(phrase ? !parsed && strcmp(doc.error, phrase) == 0 : parsed, name);
	if (!parsed && (phrase == NULL || strcmp(doc.error, phrase) != 0))
		printf("# \"%s\" at %d\n", doc.error, doc.error_offset);
	release(&doc);
	pfree(body);
}

static void
test_roots(void)
{
	Parser		json = po_document_parse_json;

	refuses(json, BYTES(""), "empty body", 0, "empty body");
	refuses(json, NULL, 0, "empty body", 0, "no body");
	refuses(json, BYTES(" \r\n\t"), "empty body", 0, "white space");
	refuses(json, BYTES("\xEF\xBB\xBF \n"), "empty body", 0, "byte order mark alone");
	accepts(json, BYTES("null"), PO_NODE_NULL, "null as root");
	accepts(json, BYTES(" true "), PO_NODE_TRUE, "true as root");
	accepts(json, BYTES("false"), PO_NODE_FALSE, "false as root");
	accepts(json, BYTES("-0.5e+10"), PO_NODE_NUMBER, "number as root");
	accepts(json, BYTES("\"\""), PO_NODE_STRING, "string as root");
	accepts(json, BYTES("[]"), PO_NODE_ARRAY, "array as root");
	accepts(json, BYTES(" { } "), PO_NODE_OBJECT, "object as root");
	accepts(json, BYTES("\xEF\xBB\xBF{}"), PO_NODE_OBJECT, "byte order mark");
	refuses(json, BYTES("\xEF\xBB\xBF\xEF\xBB\xBF{}"), "value expected", 3, "two byte order marks");
	refuses(json, BYTES("\xFE\xFF\0{\0}"), "value expected", 0, "UTF-16");
}

static void
test_syntax(void)
{
	static const struct
	{
		const char *body;
		const char *phrase;
		int			offset;
	}			bad[] = {
		{"a=b&c=d", "value expected", 0},
		{"{", "unexpected end", 1},
		{"[", "unexpected end", 1},
		{"[1", "unexpected end", 2},
		{"[1,", "unexpected end", 3},
		{"{\"a\"", "colon expected", 4},
		{"{\"a\":", "unexpected end", 5},
		{"{\"a\":1", "unexpected end", 6},
		{"]", "value expected", 0},
		{"[1}", "comma or closing bracket expected", 2},
		{"{\"a\":1]", "comma or closing bracket expected", 6},
		{"[1,]", "value expected", 3},
		{"[,1]", "value expected", 1},
		{"[1 2]", "comma or closing bracket expected", 3},
		{"{\"a\":1,}", "member name expected", 7},
		{"{,\"a\":1}", "member name expected", 1},
		{"{a:1}", "member name expected", 1},
		{"{'a':1}", "member name expected", 1},
		{"{1:1}", "member name expected", 1},
		{"{\"a\" 1}", "colon expected", 5},
		{"{\"a\":1 \"b\":2}", "comma or closing bracket expected", 7},
		{"{} {}", "bytes after the value", 3},
		{"1 // c", "bytes after the value", 2},
		{"/**/1", "value expected", 0},
		{"nul", "value expected", 0},
		{"nulll", "bytes after the value", 4},
		{"True", "value expected", 0},
		{"NaN", "NaN or Infinity", 0},
		{"[Infinity]", "NaN or Infinity", 1},
		{"-Infinity", "NaN or Infinity", 0},
		{"-", "invalid number", 0},
		{"+1", "value expected", 0},
		{"01", "invalid number", 0},
		{"-01", "invalid number", 0},
		{".5", "value expected", 0},
		{"1.", "invalid number", 0},
		{"1.e5", "invalid number", 0},
		{"1e", "invalid number", 0},
		{"1e+", "invalid number", 0},
		{"0x10", "bytes after the value", 1},
		{"1_000", "bytes after the value", 1},
		{"1e1000", "exponent too long", 0},
		{"1e-1000", "exponent too long", 0},
		{"1e0001", "exponent too long", 0},
		{"[1e100000]", "exponent too long", 1},
		{"\"", "unterminated string", 1},
		{"\"\\", "unterminated string", 1},
		{"\"\\\"", "unterminated string", 3},
		{"\"a\nb\"", "control character in string", 2},
		{"\"a\tb\"", "control character in string", 2},
		{"\"\x1f\"", "control character in string", 1},
		{"\"\\x41\"", "invalid escape", 1},
		{"\"\\'\"", "invalid escape", 1},
		{"\"\\u12\"", "invalid escape", 1},
		{"\"\\u12g4\"", "invalid escape", 1},
		{"\"\\u", "invalid escape", 1},
		{"\"\\U0041\"", "invalid escape", 1},
		{"\"\xC3", "unterminated string", 2},
		{"\"caf\xE9\\\"", "unterminated string", 7},
		{"{\xE9:1}", "member name expected", 1},
		{"\xA0{}", "value expected", 0},
	};

	for (int i = 0; i < (int) lengthof(bad); i++)
		refuses(po_document_parse_json, bad[i].body, (int) strlen(bad[i].body),
				bad[i].phrase, bad[i].offset, bad[i].phrase);
}

static void
test_strings(void)
{
	Parser		json = po_document_parse_json;

	gives(json, BYTES("{\"a\":\"x\"}"), BYTES("x"), "plain string");
	gives(json, BYTES("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"), BYTES("\"\\/\b\f\n\r\t"),
		  "short escapes");
	gives(json, BYTES("{\"\\u0061\":\"x\\u00e9\\u20AC\"}"), BYTES("x\xC3\xA9\xE2\x82\xAC"),
		  "\\u escapes");
	gives(json, BYTES("{\"a\":\"\\ud83d\\uDE00!\"}"), BYTES("\xF0\x9F\x98\x80!"), "surrogate pair");
	gives(json, BYTES("{\"a\":\"\xF0\x9F\x98\x80\xEF\xBF\xBF\"}"), BYTES("\xF0\x9F\x98\x80\xEF\xBF\xBF"),
		  "raw UTF-8");
	gives(json, BYTES("{\"a\":\"\\ud83dx\"}"), BYTES("\xEF\xBF\xBDx"), "high surrogate alone");
	gives(json, BYTES("{\"a\":\"\\ud83d\"}"), BYTES("\xEF\xBF\xBD"), "high surrogate at the end");
	gives(json, BYTES("{\"a\":\"\\ude00\\ud83d\"}"), BYTES("\xEF\xBF\xBD\xEF\xBF\xBD"),
		  "surrogates swapped");
	gives(json, BYTES("{\"a\":\"\\ud83d\\ud83d\\ude00\"}"), BYTES("\xEF\xBF\xBD\xF0\x9F\x98\x80"),
		  "high surrogate, then a pair");
	gives(json, BYTES("{\"a\":\"\\ud83d\\u0041\"}"), BYTES("\xEF\xBF\xBD" "A"),
		  "high surrogate, then a letter");
	refuses(json, BYTES("{\"a\":\"\\ud83d\\uzzzz\"}"), "invalid escape", 12,
			"high surrogate, then no escape");
	gives(json, BYTES("{\"a\":\"x\\u0000y\"}"), BYTES("xy"), "escaped NUL is dropped");
	gives(json, BYTES("{\"a\":\"\0x\0\0y\0\"}"), BYTES("xy"), "raw NUL in a string is dropped");
	gives(json, BYTES("{\"\0a\\u0000\":\"x\"}"), BYTES("x"), "NUL in a key is dropped");
	gives(json, BYTES("{\"a\":\"\xC3\0\xA9\"}"), BYTES("Ac"), "NUL does not join a character");
	gives(json, BYTES("{\"\xE9\":1,\"a\":\"caf\xE9, \xBFno\x92s\xC3\xA9?\xF0\x9F\"}"), BYTES("cafe, ?no's\xC3\xA9?dY"),
		  "what is no UTF-8 is read as Windows-1252, without accents");
	gives(json, BYTES("{\"a\":\"\x80\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80\xFF\"}"), BYTES("?A-i ?o?" "?" "?y"),
		  "overlong, surrogate, beyond Unicode");
	refuses(json, BYTES("{\0}"), "member name expected", 1, "NUL in an object");
	refuses(json, BYTES("[\0]"), "NUL outside a string", 1, "NUL in an array");
	refuses(json, BYTES("{}\0"), "NUL outside a string", 2, "NUL after the value");
	refuses(json, BYTES("[1\0]"), "NUL outside a string", 2, "NUL after a number");
	refuses(json, BYTES("\"\\\0\""), "invalid escape", 1, "NUL after a backslash");
	gives(json, BYTES("{\"a\":\"1\",\"a\":\"2\"}"), BYTES("2"), "of equal keys the last wins");
	gives(json, BYTES("{\"a\":\"1\",\"\\u0061\":\"2\",\"A\":\"3\",\"aa\":\"4\",\"\":\"5\"}"), BYTES("2"),
		  "keys compare decoded and exactly");
}

static void
test_scalars(void)
{
	Parser		json = po_document_parse_json;
	PoDocument	doc;
	const char *text;
	int			len;

	gives(json, BYTES("{\"a\":92233720368547758089}"), BYTES("92233720368547758089"),
		  "id beyond int64");
	gives(json, BYTES("{\"a\":1.50}"), BYTES("1.50"), "trailing zero is kept");
	gives(json, BYTES("{\"a\":-0}"), BYTES("-0"), "minus zero");
	gives(json, BYTES("{\"a\":1E+999}"), BYTES("1E+999"), "three digits of exponent");
	gives(json, BYTES("{\"a\":true}"), BYTES("true"), "true");
	gives(json, BYTES("{\"a\":false}"), BYTES("false"), "false");
	gives(json, BYTES("{\"a\":[\"x\"]}"), BYTES("x"), "array of one element");

	ok(json(&doc, BYTES("[null, \"\", [], {}, [1,2], {\"a\":1}, [null], [[1]], [\"\"]]"), NULL),
	   "values without text");
	for (int i = doc.node[0].child; i >= 0; i = doc.node[i].next)
		ok(!po_document_scalar(&doc, i, &text, &len), "no scalar");
	ok(!po_document_scalar(&doc, -1, &text, &len), "no scalar of no node");
	ok(!po_document_scalar(&doc, doc.nnodes, &text, &len), "no scalar past the end");
	release(&doc);
}

static void
test_paths(void)
{
	static const char body[] =
		"{\"type\":\"m\",\"data\":{\"to\":[{\"n\":\"+1\"},{\"n\":\"+2\"}],\"x\":{}},\"0\":\"zero\",\"data2\":7}";
	static const char *const second[] = {"data", "to", "1", "n"};
	static const char *const third[] = {"data", "to", "2"};
	static const char *const padded[] = {"data", "to", "01", "n"};
	static const char *const huge[] = {"data", "to", "99999999999999999999"};
	static const char *const sign[] = {"data", "to", "-1"};
	static const char *const none[] = {"data", "to", ""};
	static const char *const zero[] = {"0"};
	static const char *const through[] = {"type", "m"};
	static const char *const gone[] = {"nope", "n"};
	PoDocument	doc;

	ok(po_document_parse_json(&doc, BYTES(body), NULL), "nested body");
	ok(doc.node[0].count == 4 && doc.nnodes == 11, "counts");
	ok(has_text(&doc, po_document_path(&doc, second, 4), BYTES("+2")), "path through an array");
	ok(po_document_path(&doc, third, 3) == -1, "index past the end");
	ok(has_text(&doc, po_document_path(&doc, padded, 4), BYTES("+2")), "index with a leading zero");
	ok(po_document_path(&doc, huge, 3) == -1, "huge index");
	ok(po_document_path(&doc, sign, 3) == -1, "signed index");
	ok(po_document_path(&doc, none, 3) == -1, "empty index");
	ok(has_text(&doc, po_document_path(&doc, zero, 1), BYTES("zero")), "digits as a key");
	ok(po_document_path(&doc, through, 2) == -1, "path through a string");
	ok(po_document_path(&doc, gone, 2) == -1, "path through nothing");
	ok(po_document_path(&doc, gone, 0) == 0, "empty path is the root");
	ok(po_document_find(&doc, -1, "x", 1) == -1 && po_document_find(&doc, 99, "x", 1) == -1 &&
	   po_document_find(&doc, 1, "x", 1) == -1, "find in no object");
	release(&doc);

	ok(!po_document_parse_json(&doc, BYTES("{"), NULL) &&
	   po_document_path(&doc, gone, 0) == -1 && po_document_find(&doc, 0, "a", 1) == -1,
	   "a refused body has no nodes");
}

static void
test_limits(void)
{
	Parser		json = po_document_parse_json;
	Parser		form = po_document_parse_form;
	PoDocumentLimits own = {2, 3, 1, 1};
	char	   *brackets = repeat("]", 64, "");
	PoDocument	doc;

	bulk(json, repeat("[", 64, brackets), NULL, "depth 64");
	bulk(json, repeat("[", 65, ""), "nested too deeply", "depth 65");
	bulk(json, repeat("[", 100000, ""), "nested too deeply", "depth 100000");
	bulk(json, repeat("{\"a\":", 100000, ""), "nested too deeply", "objects of depth 100000");
	bulk(json, concat("[", repeat("[],", 1000, "1]")), NULL, "a closed container is not deep");
	bulk(json, concat("[", repeat("1,", 9998, "1]")), NULL, "10000 values");
	bulk(json, concat("[", repeat("1,", 9999, "1]")), "too many values", "10001 values");
	bulk(json, concat("{", repeat("\"k%d\":1,", 100000, "\"z\":1}")), "too many values",
		 "100000 members");
	bulk(json, concat("{\"", repeat("k", 256, "\":1}")), NULL, "key of 256 bytes");
	bulk(json, concat("{\"", repeat("k", 257, "\":1}")), "key too long", "key of 257 bytes");
	bulk(json, concat("{\"", repeat("\\u0041", 256, "\":1}")), NULL,
		 "key of 256 bytes when decoded");
	bulk(json, concat("{\"", repeat("k", 70000, "\":1}")), "key too long", "key of 70 kB");
	bulk(json, repeat("9", 64, ""), NULL, "number of 64 bytes");
	bulk(json, repeat("9", 65, ""), "number too long", "number of 65 bytes");
	bulk(json, concat("0.", repeat("0", 200000, "1")), "number too long", "number of 200 kB");
	bulk(json, concat("\"", repeat("x", 250000, "\"")), NULL, "string of 250 kB");

	bulk(form, repeat("k%d=v&", 9999, ""), NULL, "9999 form keys");
	bulk(form, repeat("k%d=v&", 10000, ""), "too many values", "10000 form keys");
	bulk(form, repeat("k%d=v&", 100000, ""), "too many values", "100000 form keys");
	bulk(form, repeat("k=v&", 9998, ""), NULL, "a key 9998 times");
	bulk(form, repeat("k=v&", 9999, ""), "too many values", "the array counts as a value");
	bulk(form, repeat("k", 256, "=v"), NULL, "form key of 256 bytes");
	bulk(form, repeat("k", 257, "=v"), "key too long", "form key of 257 bytes");

	ok(json(&doc, BYTES("[[1e9]]"), &own), "own limits, reached");
	release(&doc);
	pfree(brackets);
	ok(!json(&doc, BYTES("[[[]]]"), &own) && strcmp(doc.error, "nested too deeply") == 0,
	   "own depth");
	ok(!json(&doc, BYTES("[1,2,3]"), &own) && strcmp(doc.error, "too many values") == 0,
	   "own number of nodes");
	ok(!json(&doc, BYTES("{\"ab\":1}"), &own) && strcmp(doc.error, "key too long") == 0,
	   "own key length");
	ok(!json(&doc, BYTES("1e10"), &own) && strcmp(doc.error, "exponent too long") == 0,
	   "own exponent");
}

static void
test_form(void)
{
	Parser		form = po_document_parse_form;
	PoDocument	doc;
	int			a;

	refuses(form, BYTES(""), "empty body", 0, "empty form");
	refuses(form, BYTES("\r\n"), "empty body", 0, "form of white space");
	accepts(form, BYTES("&&"), PO_NODE_OBJECT, "form of empty pairs");
	accepts(form, BYTES("{\"a\":1}"), PO_NODE_OBJECT, "JSON sent as a form is one odd key");
	gives(form, BYTES("\xEF\xBB\xBF" "a=1"), BYTES("1"), "byte order mark before a form");
	gives(form, BYTES("&&b=2&&a=x+y%20z%2B%26%3d&"), BYTES("x y z+&="), "plus and percent");
	gives(form, BYTES("%61=b=c"), BYTES("b=c"), "first '=' divides");
	gives(form, BYTES("a=x%00y"), BYTES("xy"), "%00 is dropped");
	gives(form, BYTES("a%00=x\0y"), BYTES("xy"), "NUL is dropped");
	gives(form, BYTES("a=%C3%A9\xE2%82\xAC"), BYTES("\xC3\xA9\xE2\x82\xAC"),
		  "UTF-8, partly encoded");
	gives(form, BYTES("a=\xC3\xA9"), BYTES("\xC3\xA9"), "raw UTF-8 in a form");
	gives(form, BYTES("a=%EF%BB%BFx"), BYTES("\xEF\xBB\xBFx"), "encoded mark is a character");
	gives(form, BYTES("a=100%"), BYTES("100%"), "percent at the end");
	gives(form, BYTES("a=%4"), BYTES("%4"), "half a percent sequence");
	gives(form, BYTES("a=%4&b=1"), BYTES("%4"), "percent before '&'");
	gives(form, BYTES("a=x%zz%41"), BYTES("x%zzA"), "percent without digits");
	gives(form, BYTES("a=%u0041"), BYTES("%u0041"), "%u");
	gives(form, BYTES("b=1&a=%FF"), BYTES("y"), "invalid byte");
	gives(form, BYTES("a=%C3%00%A9"), BYTES("Ac"), "%00 does not join a character");
	gives(form, BYTES("a=%C0%AF"), BYTES("A-"), "overlong");
	gives(form, BYTES("a=%ED%A0%80"), BYTES("i ?"), "surrogate");
	accepts(form, BYTES("%E9=1"), PO_NODE_OBJECT, "a foreign key");
	gives(form, BYTES("%E9=1&a=caf\xE9+\xC3\xA9"), BYTES("cafe \xC3\xA9"), "Latin-1 beside UTF-8");
	gives(form, BYTES("a=caf\xE9&b=\xE9"), BYTES("cafe"), "Latin-1, and nothing encoded");

	ok(form(&doc, BYTES("b=&a=1&c&a=2&=e&%61=+"), NULL), "repeated keys");
	a = po_document_find(&doc, 0, "a", 1);
	ok(doc.node[0].count == 4 && doc.node[doc.node[0].child].next == a,
	   "a repeated key is one member in its first place");
	ok(a > 0 && doc.node[a].type == PO_NODE_ARRAY && doc.node[a].count == 3, "it is an array");
	for (int i = doc.node[a].child, n = 0; i >= 0; i = doc.node[i].next, n++)
		ok(doc.node[i].key == NULL && has_text(&doc, i, &"12 "[n], 1), "its strings in order");
	ok(has_text(&doc, po_document_find(&doc, 0, "", 0), BYTES("e")), "empty key");
	a = po_document_find(&doc, 0, "c", 1);
	ok(a > 0 && doc.node[a].type == PO_NODE_STRING && doc.node[a].text_len == 0, "key without '='");
	release(&doc);
}

static void
test_digest(void)
{
	Parser		json = po_document_parse_json;
	Parser		form = po_document_parse_form;
	char	   *long_string;

	/* Computed apart, from the form described in document_digest.c. */
	ok(digest_is(json, "null", "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06"),
	   "digest of null");
	ok(digest_is(json, "{\"b\":[1,true,\"x\\n\"],\"a\":{\"\":false},\"ab\":null,\"b\":[],\"b\":[1.0,true,\"x\\n\"]}",
				 "b047c73684e6b64b803a671420a90f0ce7e293beae000dbb16841fcf580eb702"),
	   "digest of a document");

	long_string = concat("\"", repeat("x", 70000, "\""));
	ok(digest_is(json, long_string, "11b9096005e5c651eb9fa522216d05ebb3f76bf50d743e41952cc65f88519c56"),
	   "digest of a long string");
	pfree(long_string);

	ok(same_digest(json, "{\"a\":1,\"b\":\"\\u0041\"}", json, " {\"b\" : \"A\",\n\"a\" : 1}"),
	   "order, space, escapes do not matter");
	ok(same_digest(json, "{\"a\":0,\"b\":2,\"a\":1}", json, "{\"b\":2,\"a\":1}"),
	   "overridden members do not matter");
	ok(same_digest(json, "{\"a\":[\"1\",\"2\"],\"b\":\"x y\"}", form, "b=x+y&a=1&a=2"),
	   "a form is an object of strings");
	ok(!same_digest(json, "{\"a\":1}", json, "{\"a\":\"1\"}"), "number and string differ");
	ok(!same_digest(json, "1", json, "1.0"), "numbers count as written");
	ok(!same_digest(json, "[1,2]", json, "[2,1]"), "the order of elements matters");
	ok(!same_digest(json, "[\"ab\",\"c\"]", json, "[\"a\",\"bc\"]"),
	   "no collision by concatenation");
	ok(!same_digest(json, "{\"ab\":\"c\"}", json, "{\"a\":\"bc\"}"),
	   "no collision of key and value");
	ok(!same_digest(json, "[[],[]]", json, "[[[]]]"), "no collision of nestings");
	ok(!same_digest(json, "[[1],2]", json, "[[1,2]]"), "no collision of boundaries");
	ok(!same_digest(json, "{}", json, "[]"), "object and array differ");
	ok(!same_digest(json, "null", json, "false"), "null and false differ");
	ok(!same_digest(json, "{\"a\":null}", json, "{}"), "a null member is a member");
}

static void
time_body(Parser parse, const char *body, const char *name)
{
	int			len = (int) strlen(body);
	int			rounds = len < 10000 ? 200000 : 200;
	PoDocument	doc;
	uint8		digest[32];
	struct timespec start;
	struct timespec end;
	double		us[2];

	for (int with_digest = 0; with_digest < 2; with_digest++)
	{
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (int i = 0; i < rounds; i++)
		{
			if (parse(&doc, body, len, NULL) && with_digest)
				po_document_digest(&doc, digest);
			release(&doc);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		us[with_digest] = ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / rounds / 1000;
	}
	printf("# %-34s %7d bytes: parse %8.2f us, with digest %8.2f us\n", name, len, us[0], us[1]);
}

static void
measure(void)
{
	Parser		json = po_document_parse_json;
	Parser		form = po_document_parse_form;

	time_body(json,
			  "{\n  \"type\": \"InboundMessage\",\n  \"locationId\": \"aB3dE5fG7hI9jK1lM3nO\",\n"
			  "  \"attachments\": [],\n  \"body\": \"Yes interested, call me after five\",\n"
			  "  \"contactId\": \"pQ5rS7tU9vW1xY3zA5bC\",\n  \"contentType\": \"text/plain\",\n"
			  "  \"conversationId\": \"dE7fG9hI1jK3lM5nO7pQ\",\n  \"dateAdded\": \"2024-05-01T10:00:00.000Z\",\n"
			  "  \"direction\": \"inbound\",\n  \"messageType\": \"SMS\",\n  \"status\": \"delivered\",\n"
			  "  \"messageId\": \"rS9tU1vW3xY5zA7bC9dE\",\n  \"timestamp\": \"2024-05-01T10:00:00.900Z\",\n"
			  "  \"webhookId\": \"0b9f6a52-5a0c-4d3c-9a53-7d0a4a1c2e11\"\n}", "message in JSON");
	time_body(form,
			  "ToCountry=US&ToState=FL&SmsMessageSid=SM00112233445566778899aabbccddeeff&NumMedia=0&ToCity=MIAMI"
			  "&FromZip=10001&SmsSid=SM00112233445566778899aabbccddeeff&FromState=NY&SmsStatus=received"
			  "&FromCity=NEW+YORK&Body=Yes+interested%2C+call+me+after+five&FromCountry=US&To=%2B13055550100"
			  "&ToZip=33101&NumSegments=1&MessageSid=SM00112233445566778899aabbccddeeff"
			  "&AccountSid=AC00112233445566778899aabbccddeeff&From=%2B12125550100&ApiVersion=2010-04-01",
			  "message in a form");
	time_body(json, concat("[", repeat("[],", 9998, "1]")), "10000 values");
	time_body(json, concat("{", repeat("\"0123456789abcdef%d\":1,", 9990, "\"z\":1}")),
			  "9991 members");
	time_body(json, concat("\"", repeat("\\u00e9", 43000, "\"")), "string of escapes");
	time_body(json, concat("\"", repeat("\xE2\x82\xAC", 87000, "\"")),
			  "string of three-byte characters");
	time_body(form, repeat("0123456789abcdef%d=v&", 9999, ""), "9999 form keys");
	time_body(form, repeat("key=%%41&", 9998, ""), "a form key 9998 times");
	time_body(form, repeat("k%d=v&", 33000, ""), "33000 form keys, refused");
}

int
main(int argc, char **argv)
{
	test_roots();
	test_syntax();
	test_strings();
	test_scalars();
	test_paths();
	test_limits();
	test_form();
	test_digest();
	printf("1..%d\n", ntests);
	if (argc > 1 && strcmp(argv[1], "time") == 0)
		measure();
	return nfailed == 0 ? 0 : 1;
}
