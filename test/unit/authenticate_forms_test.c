/*-------------------------------------------------------------------------
 * authenticate_forms_test.c
 *	  Unit test of webhook authentication: the forms that a proof may have.
 *
 * The spellings of a digest, the families of headers, HTTP Basic authentication, a
 * GET, and names of headers that an endpoint may have of its own.  Prints TAP.
 *
 * What is not from an RFC was computed with openssl, as the comment at it says.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/base64.h"

#include "authenticate_case.h"

#define WHSEC_KEY	"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

/* ---- digests ---- */

/* printf 'body 1' | openssl dgst -sha256 -hmac test-secret, and -binary | base64 */
#define HEX_1	"bf5ac7fdeed54f762594a6202cd85802948c87c7fe69220566e03859a7435c17"
#define HEX_1_UPPER "BF5AC7FDEED54F762594A6202CD85802948C87C7FE69220566E03859A7435C17"
#define HEX_1_MIXED "bF5AC7FDeed54f762594a6202cd85802948c87c7fe69220566e03859a7435C17"
#define BASE64_1 "v1rH/e7VT3YllKYgLNhYApSMh8f+aSIFZuA4WadDXBc"
#define BASE64URL_1 "v1rH_e7VT3YllKYgLNhYApSMh8f-aSIFZuA4WadDXBc"

static bool
takes_digest(PoBytes value)
{
	static Case c;

	start(&c, PO_SCHEME_HMAC_SHA256, "test-secret", "body 1");
	add_header(&c, "x-signature", "");
	c.header[0].value = value;
	return passes(&c);
}

static void
test_digests(void)
{
	static const char *const digest[] = {
		HEX_1, HEX_1_UPPER, HEX_1_MIXED, BASE64_1, BASE64_1 "=", BASE64URL_1, BASE64URL_1 "="
	};
	static const char *const prefix[] = {
		"", "sha256=", "SHA256=", "Sha256:", "sha-256=", "hmac-sha256=", "HMAC-SHA256 ",
		"hmac_sha256=", "hmacsha256=", "HmacSHA256=", "HMAC ", "v1=", "sha256 "
	};
	static const char *const bad_prefix[] = {
		"sha1=", "sha512=", "md5=", "sha256", "sha256==", "sha256=sha256=", "sha256= ",
		" sha256=", "=", "256=", "v0=", "v1,", "t=1,v1=", "sha256=,", "\"", "0x"
	};
	static const char *const bad[] = {
		"", "sha256=", "v1=", "hmac", "hmac ", "sha256", BASE64_1 "==", BASE64_1 "= ", BASE64_1 " ",
		BASE64_1 "=\n", BASE64_1 "A", HEX_1 "=", HEX_1 "0", HEX_1 "00", HEX_1 HEX_1, BASE64_1 BASE64_1,
		BASE64_1 "=" BASE64_1 "=", HEX_1 "," HEX_1, HEX_1 " " HEX_1, "sha256=" HEX_1 ",sha256=" HEX_1,
		/* the alphabets mixed */
		"v1rH/e7VT3YllKYgLNhYApSMh8f-aSIFZuA4WadDXBc=", "v1rH_e7VT3YllKYgLNhYApSMh8f+aSIFZuA4WadDXBc",
		/* set bits under the padding */
		"v1rH/e7VT3YllKYgLNhYApSMh8f+aSIFZuA4WadDXBd=", "v1rH/e7VT3YllKYgLNhYApSMh8f+aSIFZuA4WadDXBe"
	};
	static char longest[102400];
	char		value[256];
	int			wrong;

	for (int p = 0; p < (int) lengthof(prefix); p++)
	{
		wrong = 0;
		for (int d = 0; d < (int) lengthof(digest); d++)
		{
			snprintf(value, sizeof(value), "%s%s", prefix[p], digest[d]);
			wrong += !takes_digest(str(value));
			/* cut short by each length, and with another first digit */
			for (int len = 0; len < (int) strlen(value); len++)
			{
				/* all but the padding is the digest without it */
				if (len == (int) strlen(value) - 1 && value[len] == '=')
					continue;
				wrong += takes_digest((PoBytes) {value, len});
			}
			value[strlen(prefix[p])] = '0';
			wrong += takes_digest(str(value));
		}
		snprintf(value, sizeof(value), "hmac: digests after \"%s\"", prefix[p]);
		ok(wrong == 0, value);
	}
	for (int p = 0; p < (int) lengthof(bad_prefix); p++)
	{
		wrong = 0;
		for (int d = 0; d < (int) lengthof(digest); d++)
		{
			snprintf(value, sizeof(value), "%s%s", bad_prefix[p], digest[d]);
			wrong += takes_digest(str(value));
		}
		snprintf(value, sizeof(value), "hmac: no digest after \"%s\"", bad_prefix[p]);
		ok(wrong == 0, value);
	}
	for (int i = 0; i < (int) lengthof(bad); i++)
		ok(!takes_digest(str(bad[i])), "hmac: no digest");
	ok(!takes_digest((PoBytes) {HEX_1 "\0", 65}) && !takes_digest((PoBytes) {"\0" HEX_1, 65}) &&
	   !takes_digest((PoBytes) {BASE64_1 "\0", 44}) && !takes_digest((PoBytes) {NULL, 0}), "hmac: NUL");
	memset(longest, 'A', sizeof(longest));
	memcpy(longest, HEX_1, 64);
	ok(!takes_digest((PoBytes) {longest, sizeof(longest)}), "hmac: 100 kB");
	memcpy(longest, "sha256=" BASE64_1, 50);
	ok(!takes_digest((PoBytes) {longest, sizeof(longest)}), "hmac: 100 kB of base64");
}

/* RFC 4231, test cases 1 and 2, in the forms of base64 */
static void
test_rfc_digests(void)
{
	static Case c;

	start(&c, PO_SCHEME_HMAC_SHA256, "Jefe", "what do ya want for nothing?");
	set_header(&c, "x-signature", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	ok(passes(&c), "hmac: RFC 4231, 4.3");
	set_header(&c, "x-signature", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
	ok(passes(&c), "... in base64");
	ok(flips_fail(&c, &c.header[0].value, false), "... each bit of it counts");
	start(&c, PO_SCHEME_HMAC_SHA256, "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
		  "Hi There");
	set_header(&c, "x-signature", "sDRMYdjbOFNcqK_OrwvxK4gdwgDJgz2nJuk3bC4yz_c");
	ok(passes(&c), "hmac: RFC 4231, 4.2, in base64 for URLs");
	ok(flips_fail(&c, &c.header[0].value, false), "... each bit of it counts");
}

static void
test_decoder(void)
{
	/* RFC 4648, 10 */
	static const struct
	{
		const char *text;
		const char *bytes;
	}			rows[] = {
		{"", ""}, {"Zg==", "f"}, {"Zg", "f"}, {"Zm8=", "fo"}, {"Zm8", "fo"}, {"Zm9v", "foo"},
		{"Zm9vYg==", "foob"}, {"Zm9vYg", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmE", "fooba"},
		{"Zm9vYmFy", "foobar"}, {"-_-_", "\xfb\xff\xbf"}, {"+/+/", "\xfb\xff\xbf"}
	};
	static const char *const bad[] = {
		"Z", "Zg=", "Zg===", "Zm8==", "Zm9v=", "Zm9v==", "=", "==", "====", "Zh==", "Zm9=", "Zm9",
		"Zm9v Yg==", "Zm9vYg==\n", "-_+/", "Zg==Zg==", "Zm9vYmFyZ"
	};
	uint8		bytes[8];
	int			wrong = 0;

	for (int i = 0; i < (int) lengthof(rows); i++)
	{
		int			len = po_base64_decode_any(rows[i].text, strlen(rows[i].text), bytes, 6);

		wrong += len != (int) strlen(rows[i].bytes) || memcmp(bytes, rows[i].bytes, len) != 0;
	}
	ok(wrong == 0, "base64 of any form");
	for (int i = 0; i < (int) lengthof(bad); i++)
		wrong += po_base64_decode_any(bad[i], strlen(bad[i]), bytes, 6) >= 0 ||
			po_base64_decode(bad[i], strlen(bad[i]), bytes, 6) >= 0;
	ok(wrong == 0, "no base64");
	ok(po_base64_decode("-_-_", 4, bytes, 6) < 0 && po_base64_decode("Zg", 2, bytes, 6) < 0 &&
	   po_base64_decode("+/+/", 4, bytes, 6) == 3 && po_base64_decode_any("Zm9v", 4, bytes, 2) < 0 &&
	   po_base64_decode_any("Zm9v", -4, bytes, 6) < 0, "the standard form, and what does not fit");
}

/* ---- families of headers ---- */

/* as the project's vector has them, then another that is as well signed */
static const char *const id_1 = "msg_p5jXN8AQM9LWM0D4loKWxJek";
static const char *const time_1 = "1614265330";
static const char *const list_1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/* Adds headers of a family; a null one is left out. */
static void
add_family(Case *c, const char *const name[3], const char *id, const char *timestamp, const char *list)
{
	const char *const value[3] = {id, timestamp, list};

	for (int i = 0; i < 3; i++)
		if (value[i] != NULL)
			add_header(c, name[i], value[i]);
}

static void
start_family(Case *c)
{
	start(c, PO_SCHEME_STANDARD_WEBHOOKS, WHSEC_KEY, "{\"test\": 2432232314}");
	c->request.now_ms = INT64CONST(1614265330000);
}

static void
test_families(void)
{
	static Case c;
	static const char *const names[][3] = {
		{"webhook-id", "webhook-timestamp", "webhook-signature"},
		{"svix-id", "svix-timestamp", "svix-signature"},
		{"x-mine-id", "x-mine-timestamp", "x-mine-signature"}
	};
	int			wrong = 0;

	for (int f = 0; f < 3; f++)
	{
		start_family(&c);
		add_family(&c, names[f], id_1, time_1, list_1);
		ok(passes(&c) == (f < 2), f < 2 ? "family: as a whole" : "family: one that nobody has named");
		if (f == 2)
			break;
		for (int i = 0; i < 3; i++)
			ok(flips_fail(&c, &c.header[i].value, false), "... each bit of the header counts");
		ok((add_header(&c, f == 0 ? "SVIX-ID" : "Webhook-Id", id_1), !passes(&c)),
		   "family: a part of the other beside it");
	}

	/* each of the three from one of two */
	for (int mix = 1; mix < 7; mix++)
	{
		start_family(&c);
		for (int i = 0; i < 3; i++)
			add_header(&c, names[mix >> i & 1][i], i == 0 ? id_1 : i == 1 ? time_1 : list_1);
		wrong += passes(&c);
		/* and a whole family beside the mixture */
		for (int f = 0; f < 2; f++)
		{
			start_family(&c);
			add_family(&c, names[f], id_1, time_1, list_1);
			for (int i = 0; i < 3; i++)
				if ((mix >> i & 1) != 0)
					add_header(&c, names[1 - f][i], i == 0 ? id_1 : i == 1 ? time_1 : list_1);
			wrong += passes(&c);
		}
	}
	ok(wrong == 0, "family: no mixture");

	start_family(&c);
	add_family(&c, names[0], id_1, time_1, list_1);
	add_family(&c, names[1], id_1, time_1, list_1);
	ok(passes(&c), "family: both, and the same");
	add_header(&c, "svix-signature", list_1);
	ok(!passes(&c), "family: one of them with a header twice");
	/* one that was captured beside one that was made up, whichever is which */
	for (int f = 0; f < 2; f++)
	{
		start_family(&c);
		add_family(&c, names[f], id_1, time_1, list_1);
		add_family(&c, names[1 - f], "msg_2", time_1, list_1);
		wrong += passes(&c);
		start_family(&c);
		add_family(&c, names[f], id_1, time_1, list_1);
		add_family(&c, names[1 - f], id_1, "1614265331", list_1);
		wrong += passes(&c);
		start_family(&c);
		add_family(&c, names[f], id_1, time_1, list_1);
		add_family(&c, names[1 - f], id_1, time_1, "v1,AAAA");
		wrong += passes(&c);
		start_family(&c);
		add_family(&c, names[f], id_1, time_1, list_1);
		add_family(&c, names[1 - f], "", "", "");
		wrong += passes(&c);
	}
	ok(wrong == 0, "family: both, and not the same");

	/* the endpoint names one: then the others are nobody's */
	start_family(&c);
	c.credential.header_name = str("X-Mine-Signature");
	add_family(&c, names[0], id_1, time_1, list_1);
	ok(!passes(&c), "family: another than the endpoint's");
	add_family(&c, names[2], id_1, time_1, list_1);
	ok(passes(&c), "family: the endpoint's, whatever is beside it");
	c.header[5].name = str("x-mine-signature2");
	ok(!passes(&c), "family: a part of the endpoint's");
	for (int i = 0; i < 3; i++)
	{
		start_family(&c);
		c.credential.header_name = str("svix-signature");
		add_family(&c, names[1], i == 0 ? NULL : id_1, i == 1 ? NULL : time_1, i == 2 ? NULL : list_1);
		add_family(&c, names[0], id_1, time_1, list_1);
		wrong += passes(&c);
		c.credential.header_name = str("webhook-signature");
		wrong += !passes(&c);
	}
	ok(wrong == 0, "family: the endpoint's and no other");
	for (int i = 0; i < 4; i++)
	{
		const char *const bad[] = {"x-mine", "-signature", "signature", "x-mine-signature-256"};

		start_family(&c);
		c.credential.header_name = str(bad[i]);
		add_family(&c, names[0], id_1, time_1, list_1);
		add_header(&c, bad[i], list_1);
		wrong += passes(&c);
	}
	ok(wrong == 0, "family: a name that is none");

	start(&c, PO_SCHEME_SIGNALHOUSE, "test-signing-secret", "{\"event\":\"MESSAGE_RECEIVED\"}");
	c.credential.header_name = str("X-Sh-Signature");
	add_header(&c, "x-sh-signature", "sha256=310088736f68baf48949ff6fa8c53578eb667aef05eaa7c63a44cddbaea48766");
	add_header(&c, "x-signalhouse-timestamp", "1725000000000");
	ok(!passes(&c), "signalhouse: the time of another family");
	add_header(&c, "x-sh-timestamp", "1725000000000");
	ok(passes(&c), "signalhouse: another family");
	c.header[1].value = str("1");
	ok(passes(&c), "signalhouse: the time of another family beside it");
}

/* ---- basic ---- */

static bool
takes_authorization(const char *secret, PoBytes value)
{
	static Case c;

	start(&c, PO_SCHEME_BASIC, secret, "x");
	add_header(&c, "authorization", "");
	c.header[0].value = value;
	return passes(&c);
}

static void
test_basic(void)
{
	static Case c;
	static char longest[102400];

	/* RFC 7617, 2 */
	const char *aladdin = "Aladdin:open sesame";
	static const char *const good[] = {
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
		"BASIC QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
	};
	static const char *const bad[] = {
		"", "Basic", "Basic ", "Basic\tQWxhZGRpbjpvcGVuIHNlc2FtZQ==", "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==",
		"QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic Aladdin:open sesame",
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== ", " Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
		"Basic QWxhZGRpbjpvcGVuIHNlc2Ft",	/* cut */
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZSE=",	/* longer by one */
		"Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==",	/* the user in lower case */
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQA=",	/* with a NUL behind */
		"Digest username=\"Aladdin\""
	};
	int			wrong = 0;

	for (int i = 0; i < (int) lengthof(good); i++)
		ok(takes_authorization(aladdin, str(good[i])), good[i]);
	for (int i = 0; i < (int) lengthof(bad); i++)
		ok(!takes_authorization(aladdin, str(bad[i])), bad[i]);
	for (int len = 0; len < (int) strlen(good[0]); len++)
		wrong += takes_authorization(aladdin, (PoBytes) {good[0], len});
	ok(wrong == 0, "basic: cut short");
	ok(!takes_authorization(aladdin, (PoBytes) {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\0", 35}) &&
	   !takes_authorization(aladdin, (PoBytes) {NULL, 0}), "basic: NUL");
	memset(longest, 'A', sizeof(longest));
	memcpy(longest, good[0], 30);
	ok(!takes_authorization(aladdin, (PoBytes) {longest, sizeof(longest)}), "basic: 100 kB");
	memset(longest, ' ', sizeof(longest));
	memcpy(longest, "Basic", 5);
	ok(!takes_authorization(aladdin, (PoBytes) {longest, sizeof(longest)}), "basic: 100 kB of spaces");

	start(&c, PO_SCHEME_BASIC, aladdin, "x");
	ok(!passes(&c), "basic: none");
	add_header(&c, "Authorization", good[0]);
	ok(passes(&c), "basic: the header's name in another case");
	add_header(&c, "authorization", good[0]);
	ok(!passes(&c), "basic: twice");
	c.header[1].value = str("Bearer x");
	ok(!passes(&c), "basic: beside another kind");
	c.header[1].name = str("proxy-authorization");
	ok(passes(&c), "basic: what is for a proxy does not count");
	c.credential.secret[1] = str("test:a password: 123\xc2\xa3");
	c.credential.nsecrets = 2;
	ok(passes(&c), "basic: the first of two secrets");
	/* printf 'test:a password: 123£' | base64 */
	set_header(&c, "authorization", "Basic dGVzdDphIHBhc3N3b3JkOiAxMjPCow==");
	ok(passes(&c), "basic: the second, with a colon in the password");
	c.credential.nsecrets = 1;
	ok(!passes(&c), "basic: no longer one of two");
	c.credential.header_name = str("x-own");
	set_header(&c, "x-own", good[0]);
	ok(!passes(&c), "basic: in another header");

	ok(po_check_secret(PO_SCHEME_BASIC, str("Aladdin:open sesame")) == NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str("a-key-that-is-the-user:")) == NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str(":a-password-alone-16")) == NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str("u:789012345678901")) == NULL, "basic: a secret's form");
	ok(po_check_secret(PO_SCHEME_BASIC, str("")) != NULL &&
	   po_check_secret(PO_SCHEME_BASIC, (PoBytes) {NULL, 0}) != NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str("a-password-without-user")) != NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str("u:78901234567890")) != NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str("user:password-with-a\nline")) != NULL &&
	   po_check_secret(PO_SCHEME_BASIC, str("user:password-with-a\x7f" "delete")) != NULL &&
	   po_check_secret(PO_SCHEME_BASIC, (PoBytes) {"user:password\0and-more", 22}) != NULL, "basic: no secret's form");
}

/* ---- a GET ---- */

static void
test_get(void)
{
	static Case c;
	static const PoScheme signs_body[] = {
		PO_SCHEME_HMAC_SHA256, PO_SCHEME_SIGNALHOUSE, PO_SCHEME_GHL, PO_SCHEME_STANDARD_WEBHOOKS
	};

	/* printf "$URL?$QUERY" | openssl dgst -sha1 -hmac 12345 -binary | base64 */
	const char *fields = "MessageSid=SM00000000000000000000000000000001&From=%2B12125550123&Body=Stop+it%21";
	const char *with_own = "team=a&MessageSid=SM00000000000000000000000000000001&From=%2B12125550123&Body=Stop+it%21";

	start(&c, PO_SCHEME_TWILIO, "12345", "");
	c.request.is_get = true;
	c.credential.url = str("https://hooks.example.com/w/tw");
	c.request.query = str(fields);
	set_header(&c, "x-twilio-signature", "rhU2Y4qr5pKJaOU4lAnM/FBvdXQ=");
	ok(passes(&c), "twilio: a GET");
	ok(flips_fail(&c, &c.request.query, false), "... each bit of the query counts");
	c.request.query = str("From=%2B12125550123&MessageSid=SM00000000000000000000000000000001&Body=Stop+it%21");
	ok(!passes(&c), "... and its order");
	c.request.query = str("MessageSid=SM00000000000000000000000000000001&From=%2b12125550123&Body=Stop+it%21");
	ok(!passes(&c), "... and how it is encoded");
	c.request.query = str(fields);
	c.request.body = str("x");
	ok(!passes(&c), "twilio: a GET with a body");

	c.request.body = str("");
	c.credential.url = str("https://hooks.example.com/w/tw?team=a#rc=2");
	c.request.query = str(with_own);
	set_header(&c, "x-twilio-signature", "m51MVt1rWW3bx54bHJVrY72gmQw=");
	ok(passes(&c), "twilio: a GET, after the URL's own query");
	c.request.is_get = false;
	ok(!passes(&c), "... which is no POST");
	c.request.is_get = true;
	c.credential.url = str("https://hooks.example.com/w/tw?team=b");
	ok(!passes(&c), "... nor of another query");
	/* a POST's text, moved into the query: no & after the URL's own */
	c.credential.url = str("https://hooks.example.com/w/tw?team");
	ok(!passes(&c), "... nor of the beginning of one");

	for (int i = 0; i < (int) lengthof(signs_body); i++)
		ok(po_scheme_has(signs_body[i], PO_SIGNS_BODY), "signs the body alone");
	/* printf '' | openssl dgst -sha256 -hmac test-secret */
	start(&c, PO_SCHEME_HMAC_SHA256, "test-secret", "");
	set_header(&c, "x-signature", "a41bc6d81d6413576ae0994995e0ad89a416ec97389515c3604f47722122eeeb");
	ok(passes(&c), "hmac: no body");
	c.request.is_get = true;
	ok(!passes(&c), "hmac: which proves nothing of a GET");
	start(&c, PO_SCHEME_TOKEN, "0123456789abcdef", "");
	c.request.is_get = true;
	c.request.query = str("a=b&token=0123456789abcdef");
	ok(passes(&c), "token: a GET");
	start(&c, PO_SCHEME_BASIC, "Aladdin:open sesame", "");
	c.request.is_get = true;
	set_header(&c, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	ok(passes(&c), "basic: a GET");
}

/* ---- names of headers ---- */

static void
test_header_names(void)
{
	static const struct
	{
		PoScheme	scheme;
		const char *name;
		bool		good;
	}			rows[] = {
		{PO_SCHEME_HMAC_SHA256, "X-Own", true}, {PO_SCHEME_HMAC_SHA256, "x_own~1", true},
		{PO_SCHEME_TOKEN, "authorization", true}, {PO_SCHEME_TWILIO, "x-tw", true},
		{PO_SCHEME_HMAC_SHA256, "", false}, {PO_SCHEME_HMAC_SHA256, "x own", false},
		{PO_SCHEME_HMAC_SHA256, "x-own:", false}, {PO_SCHEME_HMAC_SHA256, "x-\xc3\xa9", false},
		{PO_SCHEME_HMAC_SHA256, "x-own\n", false}, {PO_SCHEME_HMAC_SHA256, "Cookie", false},
		{PO_SCHEME_HMAC_SHA256, "connection", false}, {PO_SCHEME_SECRET_HEADER, "TE", false},
		{PO_SCHEME_TOKEN, "Host", false}, {PO_SCHEME_TOKEN, "proxy-authorization", false},
		{PO_SCHEME_NONE, "x-own", false}, {PO_SCHEME_BASIC, "x-own", false},
		{PO_SCHEME_STANDARD_WEBHOOKS, "svix-signature", true},
		{PO_SCHEME_STANDARD_WEBHOOKS, "Svix-Signature", true},
		{PO_SCHEME_STANDARD_WEBHOOKS, "svix-id", false}, {PO_SCHEME_STANDARD_WEBHOOKS, "svix", false},
		{PO_SCHEME_STANDARD_WEBHOOKS, "-signature", false},
		{PO_SCHEME_SIGNALHOUSE, "x-sh-signature", true}, {PO_SCHEME_SIGNALHOUSE, "x-sh", false},
	};
	char		longest[PO_MAX_HEADER_NAME + 1];

	for (int i = 0; i < (int) lengthof(rows); i++)
		ok((po_check_header_name(rows[i].scheme, str(rows[i].name)) == NULL) == rows[i].good,
		   "the name of a header");
	memset(longest, 'x', sizeof(longest));
	ok(po_check_header_name(PO_SCHEME_TOKEN, (PoBytes) {longest, PO_MAX_HEADER_NAME}) == NULL &&
	   po_check_header_name(PO_SCHEME_TOKEN, (PoBytes) {longest, sizeof(longest)}) != NULL &&
	   po_check_header_name(PO_SCHEME_TOKEN, (PoBytes) {"x\0y", 3}) != NULL, "the longest, and NUL");
}

int
main(void)
{
	test_digests();
	test_rfc_digests();
	test_decoder();
	test_families();
	test_basic();
	test_get();
	test_header_names();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
