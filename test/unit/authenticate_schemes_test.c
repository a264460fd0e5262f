/*-------------------------------------------------------------------------
 * authenticate_schemes_test.c
 *	  Unit test of webhook authentication: every scheme but Twilio's, and the
 *	  form of secrets.
 *
 * Prints TAP.  With the argument "time" it also reports how long checks take.
 *
 * What is signed here is signed with OpenSSL's one-shot functions, which the
 * code under test does not use.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "authenticate_case.h"

#define WHSEC_KEY	"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define WHPK_KEY	"whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="

/* ---- signing ---- */

static const char *
hex(const unsigned char *bytes, int len)
{
	static char buffer[2 * EVP_MAX_MD_SIZE + 1];

	for (int i = 0; i < len; i++)
		sprintf(buffer + 2 * i, "%02x", bytes[i]);
	return buffer;
}

static const char *
sign_hex(const char *secret, const char *message)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int len;

	HMAC(EVP_sha256(), secret, strlen(secret), (const unsigned char *) message,
		 strlen(message), mac, &len);
	return hex(mac, len);
}

/* A v1 signature under the key of WHSEC_KEY. */
static const char *
sign_v1(const char *message)
{
	static char buffer[64] = "v1,";
	unsigned char key[32];
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int len;

	EVP_DecodeBlock(key, (const unsigned char *) WHSEC_KEY + 6, strlen(WHSEC_KEY) - 6);
	HMAC(EVP_sha256(), key, 24, (const unsigned char *) message, strlen(message), mac, &len);
	EVP_EncodeBlock((unsigned char *) buffer + 3, mac, len);
	return buffer;
}

/* Base64 of an Ed25519 signature by the key of the seed 00 01 .. 1f. */
static const char *
sign_ed25519(const char *message)
{
	static char buffer[96];
	unsigned char seed[32];
	unsigned char signature[64];
	size_t		len = sizeof(signature);
	EVP_PKEY   *pkey;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	for (int i = 0; i < 32; i++)
		seed[i] = i;
	pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey);
	EVP_DigestSign(ctx, signature, &len, (const unsigned char *) message, strlen(message));
	EVP_EncodeBlock((unsigned char *) buffer, signature, len);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return buffer;
}

/* ---- hmac_sha256 and signalhouse ---- */

static void
test_hmac(void)
{
	static Case c;
	static const char *const names[] = {
		"x-texting-signature", "x-signature",
		"x-broadcast-signature", "x-hub-signature-256"
	};
	char		signature[72];
	char		prefixed[80];

	start(&c, PO_SCHEME_HMAC_SHA256, "test-texting-secret", "{\"a\":1}");
	strcpy(signature, sign_hex("test-texting-secret", "{\"a\":1}"));
	ok(!passes(&c), "hmac: no signature");
	for (int i = 0; i < 4; i++)
	{
		set_header(&c, names[i], signature);
		ok(passes(&c), names[i]);
	}
	add_header(&c, "x-hub-signature-256", signature);
	ok(!passes(&c), "hmac: the signature twice");
	snprintf(prefixed, sizeof(prefixed), "sha256=%s", signature);
	set_header(&c, "x-hub-signature-256", prefixed);
	ok(passes(&c), "hmac: with the prefix");
	snprintf(prefixed, sizeof(prefixed), "sha1=%s", signature);
	set_header(&c, "x-hub-signature-256", prefixed);
	ok(!passes(&c), "hmac: another prefix");
	snprintf(prefixed, sizeof(prefixed), "%s ", signature);
	set_header(&c, "x-signature", prefixed);
	ok(!passes(&c), "hmac: white space");
	prefixed[63] = '\0';
	ok((set_header(&c, "x-signature", prefixed), !passes(&c)), "hmac: 63 digits");
	for (char *p = signature; *p != '\0'; p++)
		*p = toupper((unsigned char) *p);
	set_header(&c, "x-signature", signature);
	ok(passes(&c), "hmac: upper case");
	c.request.body = str("{\"a\": 1}");
	ok(!passes(&c), "hmac: the same JSON in other bytes");
	c.request.body = str("{\"a\":1}");
	c.credential.header_name = str("X-Mine");
	ok(!passes(&c), "hmac: the endpoint names another header");
	add_header(&c, "x-mine", signature);
	ok(passes(&c), "hmac: the header the endpoint names");

	start(&c, PO_SCHEME_HMAC_SHA256, "test-texting-secret", "");
	set_header(&c, "x-signature", sign_hex("test-texting-secret", ""));
	c.request.body.data = NULL;
	ok(passes(&c), "hmac: empty body");
}

static void
test_signalhouse(void)
{
	static Case c;
	static const char *const bad_times[] = {
		"", "-1", "+1725000000000", " 1725000000000",
		"1725000000000 ", "1725000000000x", "1.725e12", "9223372036854775808",
		"0001725000000000"
	};

	start(&c, PO_SCHEME_SIGNALHOUSE, "test-signing-secret", "{\"event\":\"MESSAGE_RECEIVED\"}");
	add_header(&c, "x-signalhouse-signature",
			   "310088736f68baf48949ff6fa8c53578eb667aef05eaa7c63a44cddbaea48766");
	ok(!passes(&c), "signalhouse: no time");
	add_header(&c, "x-signalhouse-timestamp", "1725000000000");
	ok(passes(&c), "signalhouse: the vendor's vector");
	ok(flips_fail(&c, &c.header[1].value, false), "signalhouse: each bit of the time counts");
	c.request.now_ms = SIGNED_AT + 300000;
	ok(passes(&c), "signalhouse: 5 minutes old");
	c.request.now_ms++;
	ok(!passes(&c), "signalhouse: older");
	c.request.now_ms = SIGNED_AT - 60000;
	ok(passes(&c), "signalhouse: 1 minute ahead");
	c.request.now_ms--;
	ok(!passes(&c), "signalhouse: further ahead");
	c.request.now_ms = SIGNED_AT;
	add_header(&c, "x-signalhouse-timestamp", "1725000000000");
	ok(!passes(&c), "signalhouse: the time twice");
	for (int i = 0; i < (int) lengthof(bad_times); i++)
	{
		char		message[64];

		snprintf(message, sizeof(message), "%s.{}", bad_times[i]);
		c.request.body = str("{}");
		set_header(&c, "x-signalhouse-signature", sign_hex("test-signing-secret", message));
		add_header(&c, "x-signalhouse-timestamp", bad_times[i]);
		ok(!passes(&c), "signalhouse: signed, but no time");
	}
}

/* ---- none, token and secret_header ---- */

static void
test_sent_secrets(void)
{
	static Case c;
	const char *secret = "0123456789abcdef+/";

	start(&c, PO_SCHEME_NONE, "", "x");
	c.credential.nsecrets = 0;
	ok(passes(&c), "none admits everything");

	start(&c, PO_SCHEME_SECRET_HEADER, secret, "x");
	ok(!passes(&c), "secret_header: none");
	add_header(&c, "x-texting-secret", secret);
	ok(passes(&c), "secret_header: right");
	ok(flips_fail(&c, &c.header[0].value, false), "secret_header: each bit counts");
	add_header(&c, "x-texting-secret", secret);
	ok(!passes(&c), "secret_header: twice");
	set_header(&c, "x-texting-secret", "0123456789abcdef+");
	ok(!passes(&c), "secret_header: a part of it");
	set_header(&c, "x-texting-secret", "");
	ok(!passes(&c), "secret_header: empty");

	start(&c, PO_SCHEME_TOKEN, secret, "x");
	ok(!passes(&c), "token: nowhere");
	add_header(&c, "authorization", "Basic dXNlcjpwYXNz");
	ok(!passes(&c), "token: another kind of authorization");
	c.request.query = str("a=b&token=0123456789abcdef%2B%2f&c");
	ok(passes(&c), "token: in the query");
	c.request.query = str("token=0123456789abcdef+/");
	ok(passes(&c), "token: in the query, not encoded");
	set_header(&c, "authorization", "bearer 0123456789abcdef+/");
	ok(passes(&c), "token: in both");
	set_header(&c, "authorization", "Bearer 0123456789abcdef+0");
	ok(!passes(&c), "token: wrong in one of two");
	c.request.query.len = 0;
	ok(!passes(&c), "token: wrong bearer");
	set_header(&c, "authorization", "Bearer 0123456789abcdef+/");
	ok(passes(&c), "token: bearer");
	add_header(&c, "authorization", "Bearer 0123456789abcdef+/");
	ok(!passes(&c), "token: bearer twice");
	set_header(&c, "x-webhook-token", secret);
	ok(passes(&c), "token: header");
	add_header(&c, "x-webhook-token", secret);
	ok(!passes(&c), "token: header twice");
	c.request.nheaders = 0;
	for (int i = 0; i < 6; i++)
	{
		const char *const bad[] = {
			"token=", "token", "token=0123456789abcdef%2B%2",
			"token=0123456789abcdef%2B%2g", "xtoken=0123456789abcdef+/",
			"token=0123456789abcdef+/&token=0123456789abcdef+/"
		};

		c.request.query = str(bad[i]);
		ok(!passes(&c), bad[i]);
	}
	c.credential.secret[1] = str("fedcba9876543210");
	c.request.query = str("token=fedcba9876543210");
	ok(!passes(&c), "token: not yet one of two");
	c.credential.nsecrets = 2;
	ok(passes(&c), "token: the second secret");
	c.request.query = str("token=0123456789abcdef+/");
	ok(passes(&c), "token: the first of two");
	c.credential.secret[0] = str("short");
	c.request.query = str("token=short");
	ok(!passes(&c), "token: a secret that may be guessed");
}

/* ---- ghl ---- */

static void
test_ghl(void)
{
	static Case c;
	char		signature[96];

	start(&c, PO_SCHEME_GHL, GHL_KEY, "{\"a\":1}");
	ok(!passes(&c), "ghl: no signature");
	strcpy(signature, sign_ed25519("{\"a\":1}"));
	set_header(&c, "x-ghl-signature", signature);
	ok(passes(&c), "ghl: right");
	add_header(&c, "x-ghl-signature", signature);
	ok(!passes(&c), "ghl: the signature twice");
	set_header(&c, "x-ghl-signature", "N/A");
	ok(!passes(&c), "ghl: N/A");
	signature[86] = '\0';
	set_header(&c, "x-ghl-signature", signature);
	ok(!passes(&c), "ghl: no padding");
	set_header(&c, "x-ghl-signature", sign_ed25519("{\"a\":1}"));
	c.credential.secret[1] = c.credential.secret[0];
	c.credential.secret[0] = str("MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=");
	ok(!passes(&c), "ghl: another key");
	c.credential.nsecrets = 2;
	ok(passes(&c), "ghl: the second key");
	c.request.body = str("{\"a\": 1}");
	ok(!passes(&c), "ghl: the same JSON in other bytes");
	c.request.body = str("");
	set_header(&c, "x-ghl-signature", sign_ed25519(""));
	ok(passes(&c), "ghl: empty body");
}

/* ---- sendgrid ---- */

#define SENDGRID_TIME "x-twilio-email-event-webhook-timestamp"
#define SENDGRID_SIGNATURE "x-twilio-email-event-webhook-signature"

/* The example that SendGrid's own clients are tested with. */
static void
start_sendgrid(Case *c)
{
	start(c, PO_SCHEME_SENDGRID, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpV"
		  "KS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
		  "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\","
		  "\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\","
		  "\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\","
		  "\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n");
	set_header(c, SENDGRID_SIGNATURE,
			   "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=");
	add_header(c, SENDGRID_TIME, "1600112502");
}

static void
test_sendgrid(void)
{
	static Case c;
	static char digit_first[1024] = "2";

	start_sendgrid(&c);
	ok(passes(&c), "sendgrid: the published example, however old");
	c.request.body.len -= 2;
	ok(!passes(&c), "sendgrid: without the end of the line");
	start_sendgrid(&c);
	c.header[1].value = str("1600112503");
	ok(!passes(&c), "sendgrid: another time");
	c.header[1].value = str("");
	ok(!passes(&c), "sendgrid: an empty time");
	/* the first byte of the body as the last of the time, and the reverse */
	start_sendgrid(&c);
	c.header[1].value = str("1600112502[");
	c.request.body.data++;
	c.request.body.len--;
	ok(!passes(&c), "sendgrid: the signed bytes divided anew");
	start_sendgrid(&c);
	c.header[1].value = str("160011250");
	memcpy(digit_first + 1, c.request.body.data, c.request.body.len);
	c.request.body.data = digit_first;
	c.request.body.len++;
	ok(!passes(&c), "sendgrid: divided anew before the last digit");
	start_sendgrid(&c);
	add_header(&c, SENDGRID_TIME, "1600112502");
	ok(!passes(&c), "sendgrid: the time twice");
	start_sendgrid(&c);
	c.request.nheaders = 1;
	ok(!passes(&c), "sendgrid: no time");
	start_sendgrid(&c);
	c.header[0].value.len--;
	ok(!passes(&c), "sendgrid: no padding");
	c.header[0].value = str("");
	ok(!passes(&c), "sendgrid: an empty signature");
	start_sendgrid(&c);
	c.credential.secret[1] = c.credential.secret[0];
	c.credential.secret[0] = str(SENDGRID_KEY);
	ok(!passes(&c), "sendgrid: another key");
	c.credential.nsecrets = 2;
	ok(passes(&c), "sendgrid: the second key");
	c.credential.header_name = str("x-own-signature");
	ok(!passes(&c), "sendgrid: not in the header that the endpoint names");
	c.header[0].name = str("x-own-signature");
	c.header[1].name = str("x-own-timestamp");
	ok(passes(&c), "sendgrid: there, with the time beside it");
}

/* ---- standard_webhooks ---- */

static void
start_webhook(Case *c, const char *secret, const char *signatures)
{
	start(c, PO_SCHEME_STANDARD_WEBHOOKS, secret, "{\"test\": 2432232314}");
	c->request.now_ms = INT64CONST(1614265330000);
	add_header(c, "webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek");
	add_header(c, "webhook-timestamp", "1614265330");
	add_header(c, "webhook-signature", signatures);
}

static void
test_standard_webhooks(void)
{
	static Case c;
	const char *vector = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
	const char *message = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
	char		list[8192];
	static const char *const bad_times[] = {
		"", "-1", "1614265330 ", "1614265330.0",
		"9223372036854775808", "99999999999999999", "999999999999999", "1614265330000"
	};

	start_webhook(&c, WHSEC_KEY, vector);
	ok(passes(&c), "standard_webhooks: the project's vector");
	ok(strcmp(sign_v1(message), vector) == 0, "... as the test signs it");
	ok(flips_fail(&c, &c.request.body, false), "... each bit of the body counts");
	ok(flips_fail(&c, &c.credential.secret[0], false), "... each bit of the secret counts");
	for (int i = 0; i < 3; i++)
		ok(flips_fail(&c, &c.header[i].value, false), "... each bit of the header counts");
	c.request.now_ms += 300000;
	ok(passes(&c), "standard_webhooks: 5 minutes old");
	c.request.now_ms++;
	ok(!passes(&c), "standard_webhooks: older");
	c.request.now_ms -= 360001;
	ok(passes(&c), "standard_webhooks: 1 minute ahead");
	c.request.now_ms--;
	ok(!passes(&c), "standard_webhooks: further ahead");

	for (int i = 0; i < 3; i++)
	{
		start_webhook(&c, WHSEC_KEY, vector);
		add_header(&c, c.header[i].name.data, c.header[i].value.data);
		ok(!passes(&c), "standard_webhooks: a header twice");
		c.header[3] = c.header[i];
		c.header[i] = c.header[--c.request.nheaders];
		ok(passes(&c), "standard_webhooks: headers in another order");
		c.header[i] = c.header[--c.request.nheaders];
		ok(!passes(&c), "standard_webhooks: a header missing");
	}

	list[0] = '\0';
	for (int i = 0; i < 9; i++)
		strcat(list, i % 2 ? "v2,AAAA " : "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ");
	start_webhook(&c, WHSEC_KEY, strcat(list, vector));
	ok(passes(&c), "standard_webhooks: the last of 10 signatures");
	for (int i = 10; i < 50; i++)
		strcat(strcat(list, " "), vector);
	for (int n = 11; n <= 50; n += 39)
	{
		start_webhook(&c, WHSEC_KEY, list);
		c.header[2].value.len -= (50 - n) * (strlen(vector) + 1);
		ok(!passes(&c), n == 11 ? "standard_webhooks: 11 signatures" : "... and 50");
	}
	for (int i = 0; i < 8; i++)
	{
		const char *const bad[] = {
			"", " ", "v1,", "v1", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			"v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			"V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			"v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		};

		start_webhook(&c, WHSEC_KEY, bad[i]);
		ok(!passes(&c), "standard_webhooks: no usable signature");
	}
	for (int i = 0; i < (int) lengthof(bad_times); i++)
	{
		snprintf(list, sizeof(list), "msg_1.%s.{}", bad_times[i]);
		start_webhook(&c, WHSEC_KEY, sign_v1(list));
		c.request.body = str("{}");
		c.header[0].value = str("msg_1");
		c.header[1].value = str(bad_times[i]);
		ok(!passes(&c), "standard_webhooks: signed, but no time or a wrong one");
	}
	start_webhook(&c, WHSEC_KEY, sign_v1("msg.1.1614265330.{}"));
	c.request.body = str("{}");
	c.header[0].value = str("msg.1");
	ok(!passes(&c), "standard_webhooks: an id with a point");

	snprintf(list, sizeof(list), "%s v1a,%s", vector, sign_ed25519(message));
	start_webhook(&c, WHPK_KEY, list);
	ok(passes(&c), "standard_webhooks: public key");
	ok(flips_fail(&c, &c.request.body, false), "... each bit of the body counts");
	ok(flips_fail(&c, &c.header[1].value, false), "... each bit of the time counts");
	ok(flips_fail(&c, &c.credential.secret[0], false), "... each bit of the key counts");
	c.header[2].value.len = strlen(vector);
	ok(!passes(&c), "standard_webhooks: public key, symmetric signature");
	c.credential.secret[1] = str(WHSEC_KEY);
	c.credential.nsecrets = 2;
	ok(passes(&c), "standard_webhooks: a secret of the other kind");
}

/* ---- secrets ---- */

static void
test_secrets(void)
{
	static const struct
	{
		const char *scheme;
		const char *secret;
		bool		good;
	}			rows[] = {
		{"none", "", true}, {"none", "x", false},
		{"token", "0123456789abcde", false}, {"token", "0123456789abcdef", true},
		{"token", "0123456789 abcdef", false}, {"secret_header", "0123456789abcdef\n", false},
		{"secret_header", "0123456789abcdef", true}, {"hmac_sha256", "", false},
		{"hmac_sha256", "x", true}, {"twilio", "12345", true}, {"twilio", "", false},
		{"signalhouse", "", false}, {"signalhouse", "test-signing-secret", true},
		{"ghl", GHL_KEY, true}, {"ghl", "", false}, {"ghl", "12345", false},
		{"ghl", GHL_KEY "\n", false}, {"ghl", GHL_KEY "AAAA", false},
		{"ghl", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", false},
		{"ghl", "MCowBQYDK2VuAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", false},
		{"sendgrid", SENDGRID_KEY, true}, {"sendgrid", GHL_KEY, false}, {"sendgrid", SENDGRID_KEY "\n", false},
		/* of another curve, and no point of this one */
		{"sendgrid", "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpq"
		 "IM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==", false},
		{"sendgrid", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAf"
		 "SmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+Q==", false},
		{"standard_webhooks", WHSEC_KEY, true}, {"standard_webhooks", WHPK_KEY, true},
		{"standard_webhooks", "whsec_", false}, {"standard_webhooks", "whpk_", false},
		{"standard_webhooks", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false},
		{"standard_webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=", false},
		{"standard_webhooks", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false},
		{"standard_webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw MfKQ", false},
	};
	char		longest[PO_MAX_SECRET_LEN + 1];
	PoScheme	scheme;

	for (int i = 0; i < (int) lengthof(rows); i++)
		ok(po_scheme_from_name(rows[i].scheme, &scheme) &&
		   (po_check_secret(scheme, str(rows[i].secret)) == NULL) == rows[i].good,
		   "the form of a secret");
	memset(longest, 'x', sizeof(longest));
	ok(po_check_secret(PO_SCHEME_TOKEN, (PoBytes) {longest, PO_MAX_SECRET_LEN}) == NULL &&
	   po_check_secret(PO_SCHEME_TOKEN, (PoBytes) {longest, sizeof(longest)}) != NULL,
	   "the longest secret");
	ok(!po_scheme_from_name("", &scheme) && !po_scheme_from_name("TWILIO", &scheme),
	   "unknown schemes");
}

/* ---- time ---- */

static void
report_time(const char *name, const Case *c)
{
	int			n = c->credential.scheme == PO_SCHEME_GHL ? 2000 : 100000;
	struct timespec from;
	struct timespec to;
	int			passed = passes(c);

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < n; i++)
		passed &= passes(c);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("# %-32s %8.2f us%s\n", name, ((to.tv_sec - from.tv_sec) * 1e6 +
										  (to.tv_nsec - from.tv_nsec) / 1e3) / n,
		   passed ? "" : ", refused");
}

static void
report_times(void)
{
	static Case c;
	char		body[601];
	char		message[640];
	char		keys[PO_MAX_SIGNED_PAIRS][8];

	memset(body, 'x', 600);
	body[600] = '\0';
	start(&c, PO_SCHEME_HMAC_SHA256, "test-texting-secret", body);
	add_header(&c, "x-signature", sign_hex("test-texting-secret", body));
	report_time("hmac_sha256", &c);
	snprintf(message, sizeof(message), "1725000000000.%s", body);
	c.credential.scheme = PO_SCHEME_SIGNALHOUSE;
	set_header(&c, "x-signalhouse-signature", sign_hex("test-texting-secret", message));
	add_header(&c, "x-signalhouse-timestamp", "1725000000000");
	report_time("signalhouse", &c);
	start(&c, PO_SCHEME_GHL, GHL_KEY, body);
	set_header(&c, "x-ghl-signature", sign_ed25519(body));
	report_time("ghl", &c);
	start_sendgrid(&c);
	report_time("sendgrid", &c);
	start_webhook(&c, WHSEC_KEY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	report_time("standard_webhooks", &c);
	start(&c, PO_SCHEME_TWILIO, "12345", "x");
	c.credential.url = str("https://hooks.example.com/w/ep_twilio_1");
	set_header(&c, "x-twilio-signature", "SyMH9SpOG99DqFko3a0o3Y03yfg=");
	for (int i = 0; i < PO_MAX_SIGNED_PAIRS; i++)
	{
		snprintf(keys[i], sizeof(keys[i]), "k%d", i * 7919 % 1000);
		if (i == 20)
			report_time("twilio, 20 fields", &c);
		add_pair(&c, keys[i], "value of a field");
	}
	report_time("twilio, the most fields", &c);
}

int
main(int argc, char **argv)
{
	test_hmac();
	test_signalhouse();
	test_sent_secrets();
	test_ghl();
	test_sendgrid();
	test_standard_webhooks();
	test_secrets();
	printf("1..%d\n", ntests);
	if (argc > 1 && strcmp(argv[1], "time") == 0)
		report_times();
	return nfailed > 0;
}
