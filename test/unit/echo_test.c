/*
 * echo_test.c
 *	  Unit test of finding a secret in a text, and of the origin of a URL.
 *
 * Prints TAP.
 */
#include "postgres_fe.h"

#include "common/echo.h"
#include "common/origin.h"

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool passed, const char *what)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, what);
}

static bool
tells(const char *secret, const char *text)
{
	return po_tells_secret(secret, text, strlen(text));
}

#define SECRET "sk/live+51HqL-x9=\"Zt&pQ_r8Wm"

static void
test_forms(void)
{
	static const struct
	{
		const char *text;
		const char *what;
	}			told[] = {
		{"Bearer " SECRET " is wrong", "as it is"},
		{"{\"e\":\"sk\\/live+51HqL-x9=\\\"Zt&pQ_r8Wm\"}", "escaped in JSON"},
		{"{\"e\":\"\\u0073\\u006b\\u002flive\\u002B51HqL-x9\\u003d\\u0022Zt\\u0026pQ_r8Wm\"}",
		 "in code points of JSON"},
		{"key=sk%2Flive%2B51HqL-x9%3D%22Zt%26pQ_r8Wm&x=1", "percent-encoded"},
		{"key=%73%6b%2F%6c%69%76%65%2B51HqL-x9%3D%22Zt%26pQ_r8Wm", "percent-encoded letters"},
		{"key=sk%252Flive%252B51HqL-x9%253D%2522Zt%2526pQ_r8Wm", "percent-encoded twice"},
		{"<b>sk/live+51HqL-x9=&quot;Zt&amp;pQ_r8Wm</b>", "escaped in HTML"},
		{"<b>&#115;&#x6B;&#47;live&#43;51HqL-x9&#61;&#34;Zt&#38;pQ_r8Wm</b>", "in references of HTML"},
		{"SK/LIVE+51HQL-X9=\"ZT&PQ_R8WM", "in capitals"},
		{"sk/live+51HqL-x9=\"Zt&pQ_r8W***", "but for its end"},
		{"...e+51HqL-x9=\"Zt&pQ_r8Wm", "but for its start"},
		{"sk/li ve+51H\r\n qL-x9=\"Zt&p Q_r8Wm", "broken into lines"},
		/* printf %s SECRET | base64, with user: and with ab: in front */
		{"c2svbGl2ZSs1MUhxTC14OT0iWnQmcFFfcjhXbQ==", "base64"},
		{"Basic dXNlcjpzay9saXZlKzUxSHFMLXg5PSJadCZwUV9yOFdt", "base64 behind a name"},
		{"Basic YWI6c2svbGl2ZSs1MUhxTC14OT0iWnQmcFFfcjhXbQ==", "base64 behind a shorter one"},
		{"Basic YTpzay9saXZlKzUxSHFMLXg5PSJadCZwUV9yOFdt", "base64 behind the shortest"},
		{"{\"h\":\"Basic dXNlcjpzay9saXZl\\nKzUxSHFMLXg5PSJadCZwUV9yOFdt\"}", "base64 that is broken into lines"},
		{"736b2f6c6976652b353148714c2d78393d225a742670515f7238576d", "hexadecimal"},
		{"73 6B 2F 6C 69 76 65 2B 35 31 48 71 4C 2D", "a piece in hexadecimal"},
	};
	static const char *const others[] = {
		"", "a", "{\"message\": \"The number +14155550100 is not a mobile number\", \"code\": 21614}",
		"{\"sid\": \"SM00000000000000000000000000000001\", \"status\": \"queued\"}",
		"https://api.example.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
		"Basic dXNlcjpwYXNzd29yZCBvZiBzb21lYm9keSBlbHNl", "sk/live", "%", "%4", "\\u", "\\u00", "&", "&#", "&#;",
		"&#x;",
		"&#99999999;", "&amp", "%zz", "\\uzzzz", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
	};

	for (int i = 0; i < (int) lengthof(told); i++)
		ok(tells(SECRET, told[i].text), told[i].what);
	for (int i = 0; i < (int) lengthof(others); i++)
		ok(!tells(SECRET, others[i]), "not told");
}

/* What the text has in front of it and behind it changes nothing. */
static void
test_places(void)
{
	static const char filler[] = "%\\&#x4u0a{}\"";
	int			len = 70000;
	char	   *text = malloc(len + 1);

	for (int i = 0; i < len; i++)
		text[i] = filler[(i * 7 + i / 11) % (sizeof(filler) - 1)];
	text[len] = '\0';
	ok(!tells(SECRET, text), "a long text without it");
	for (int at = 0; at < 300; at++)
	{
		char		saved[sizeof(SECRET)];

		memcpy(saved, text + at, sizeof(SECRET) - 1);
		memcpy(text + at, SECRET, sizeof(SECRET) - 1);
		if (!po_tells_secret(SECRET, text, at + sizeof(SECRET) - 1))
			ok(false, "anywhere");
		memcpy(text + at, saved, sizeof(SECRET) - 1);
	}
	ok(true, "anywhere");
	memcpy(text + len - (sizeof(SECRET) - 1), SECRET, sizeof(SECRET) - 1);
	ok(tells(SECRET, text), "at the end of a long one");
	free(text);
}

static void
test_secrets(void)
{
	ok(tells("jwt4", "{\"a\": \"jwt4\"}"), "a short secret");
	ok(tells("!?!?!?", "a !?!?!? b"), "one without letters");
	ok(tells("--------", "a -------- b"), "one of which nothing is left");
	ok(!tells("jwt", "{\"a\": \"jwt\"}"), "one too short to be told from other words");
	ok(!tells("", "anything"), "none");
	ok(tells("p\xc3\xa4ssw\xc3\xb6rtlich", "p\\u00e4ssw\\u00f6rtlich"), "characters of two bytes");
	ok(tells("p\xc3\xa4ssw\xc3\xb6rtlich", "p%c3%a4ssw%C3%B6rtlich"), "the same, percent-encoded");
	ok(tells("p\xe2\x82\xacssw\xe2\x82\xacrtlich", "p&#8364;ssw&#x20AC;rtlich"), "characters of three bytes");
	ok(tells("%41%42%43%44%45%46", "x %41%42%43%44%45%46 y"), "one that looks encoded");
	ok(tells("0123456789abcdef0123456789abcdef", "0123456789abcdef"), "a piece");
	ok(!tells("0123456789abcdefghijklmnopqrstuv", "0123456789abcde"), "less than a piece");
}

static void
origin(const char *url, const char *expected)
{
	char		got[PO_ORIGIN_SIZE] = "";

	if (!po_url_origin(url, got))
		got[0] = '\0';
	ok(strcmp(got, expected) == 0, url);
	if (strcmp(got, expected) != 0)
		printf("# got %s\n", got);
}

static void
test_origins(void)
{
	static const char *const uncertain[] = {
		"", "https://", "https:///x", "ftp://a.example/", "HTTPS://a.example/", "https:/a.example/", "a.example/x",
		"//a.example/", "https://user@a.example/", "https://a.example@b.example/", "https://a.example:443@b.example/",
		"https://a.example\\@b.example/", "https://a.example?x", "https://a.example#x", "https://a.example?@b.example/",
		"https://{{host}}/", "https://{{host}}.example/", "https://a.example{{rest}}/", "https://a.example:{{port}}/",
		"https://a.example:44{{port}}/", "https://a.example:/", "https://a.example:0/", "https://a.example:65536/",
		"https://a.example:4430000000443/", "https://a.example:-1/", "https://a%2eexample/", "https://a_b.example/",
		"https://a b.example/", "https://a.example /", "https://\xc3\xa4.example/", "https://[::1/", "https://::1/",
		"https://[]/",
		"https://[fe80::1%25eth0]/", "https://[::1]x/", "https://a.example,b.example/", "https://a.example;b/",
		" https://a.example/",
	};
	char		url[400] = "https://";
	char		expected[PO_ORIGIN_SIZE];

	origin("https://api.example.com/v1/{{username}}/x?y={{to}}", "https://api.example.com:443");
	origin("https://API.Example.COM", "https://api.example.com:443");
	origin("https://api.example.com:443/", "https://api.example.com:443");
	origin("https://api.example.com:8443/", "https://api.example.com:8443");
	origin("http://api.example.com/", "http://api.example.com:80");
	origin("http://api.example.com:443/", "http://api.example.com:443");
	origin("http://127.0.0.1:08080/x", "http://127.0.0.1:8080");
	origin("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443");
	origin("https://api.example.com./", "https://api.example.com.:443");
	origin("https://a.example/@b.example/", "https://a.example:443");
	origin("https://a.example//b.example/", "https://a.example:443");
	for (int i = 0; i < (int) lengthof(uncertain); i++)
		origin(uncertain[i], "");
	memset(url + 8, 'a', 253);
	snprintf(expected, sizeof(expected), "%s:443", url);
	origin(url, expected);
	url[8 + 253] = 'a';
	origin(url, "");
	ok(!po_url_origin("https://a.example\n/", expected), "a line break");
}

int
main(void)
{
	test_forms();
	test_places();
	test_secrets();
	test_origins();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
