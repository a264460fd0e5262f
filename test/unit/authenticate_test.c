/*-------------------------------------------------------------------------
 * authenticate_test.c
 *	  Unit test of webhook authentication: the signed payload files, and what
 *	  Twilio signs.
 *
 * Prints TAP.  Reads the payloads and SIGNATURES from the folder named by the
 * first argument, ../payloads by default.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "authenticate_case.h"

#define EP_URL		"https://hooks.example.com/w/ep_twilio_1"

/* ---- payload files ---- */

static PoBytes
read_file(const char *folder, const char *name, char *buffer, int size)
{
	char		path[MAXPGPATH];
	FILE	   *file;
	int			len;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (file == NULL)
	{
		printf("Bail out! cannot open %s\n", path);
		exit(1);
	}
	len = fread(buffer, 1, size - 1, file);
	buffer[len] = '\0';
	fclose(file);
	return (PoBytes) {buffer, len};
}

/* A field of a line of SIGNATURES; the line is cut up. */
static char *
next_field(char **line)
{
	char	   *field = *line;

	*line += strcspn(*line, "\t\n");
	if (**line != '\0')
		*(*line)++ = '\0';
	return field;
}

static void
test_payloads(const char *folder)
{
	static char list[65536];
	static char body[4096];
	static char arena[4096];
	static Case c;
	char	   *line = list;
	int			nfiles = 0;

	read_file(folder, "SIGNATURES", list, sizeof(list));
	while (*line != '\0')
	{
		char	   *file = next_field(&line);
		char	   *scheme_name;
		char	   *header;
		char	   *signature;
		PoScheme	scheme;
		bool		is_hex;

		if (*file == '#')
			continue;			/* a comment has no tabs */
		scheme_name = next_field(&line);
		header = next_field(&line);
		signature = next_field(&line);
		if (!po_scheme_from_name(scheme_name, &scheme))
		{
			ok(false, file);
			continue;
		}
		nfiles++;

		start(&c, scheme, scheme == PO_SCHEME_TWILIO ? "12345" :
			  scheme == PO_SCHEME_SIGNALHOUSE ? "test-signing-secret" :
			  scheme == PO_SCHEME_SENDGRID ? SENDGRID_KEY :
			  scheme == PO_SCHEME_GHL ? GHL_KEY : "test-texting-secret", "");
		c.request.body = read_file(folder, file, body, sizeof(body));
		if (scheme == PO_SCHEME_TWILIO)
			c.request.nform = decode_form(c.request.body, c.pair, arena);
		c.credential.url = str(EP_URL);
		add_header(&c, header, signature);
		if (scheme == PO_SCHEME_SENDGRID)
			add_header(&c, "x-twilio-email-event-webhook-timestamp", "1725000000");
		else
			add_header(&c, "x-signalhouse-timestamp", "1725000000000");
		is_hex = scheme == PO_SCHEME_SIGNALHOUSE || scheme == PO_SCHEME_HMAC_SHA256;

		ok(passes(&c), file);
		ok(flips_fail(&c, &c.request.body, false), "... each bit of the body counts");
		ok(flips_fail(&c, &c.header[0].value, is_hex), "... each bit of the signature counts");
		ok(flips_fail(&c, &c.credential.secret[0], false), "... each bit of the secret counts");
		if (scheme == PO_SCHEME_TWILIO)
			ok(flips_fail(&c, &c.credential.url, false), "... each bit of the URL counts");
		if (scheme == PO_SCHEME_SIGNALHOUSE || scheme == PO_SCHEME_SENDGRID)
			ok(flips_fail(&c, &c.header[1].value, false), "... each bit of the time counts");
		c.request.body.len--;
		if (scheme == PO_SCHEME_TWILIO)
			c.request.nform = decode_form(c.request.body, c.pair, arena);
		ok(!passes(&c), "... a body cut short is refused");
	}
	ok(nfiles == 35, "all signed payloads were read");
}

/* ---- twilio ---- */

#define MY_URL		"https://mycompany.com/myapp.php"
#define MY_QUERY	"foo=1&bar=2"
#define REFERENCE_1 "01930000-0000-7000-8000-000000000001.0123456789abcdef0123456789abcdef"
#define HASH_1		"0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
#define HASH_2		"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define BODY_1		"{\"property\": \"value\", \"boolean\": true}"

static const char *const call_form[] = {
	"CallSid", "CA1234567890ABCDE", "Caller", "+14158675309", "Digits", "1234",
	"From", "+14158675309", "To", "+18005551212", NULL
};
static const char *const digits_form[] = {
	"Digits", "5678", "SidAccount", "AC123", "Digits", "1234", "Sid", "CA123", NULL
};
static const char *const repeated_form[] = {
	"Sid", "CA123", "SidAccount", "AC123", "Digits", "5678", "Digits", "1234",
	"Digits", "1234", NULL
};
static const char *const address_form[] = {
	"MessagingBinding.Address", "+1415xxxxxxx", "MessagingBinding.Address", "+1325xxxxxxx", NULL
};
static const char *const no_form[] = {NULL};

static const struct
{
	const char *name;
	const char *url;			/* without the query */
	const char *query;
	const char *const *form;
	const char *body;
	const char *signature;
}			twilio_vectors[] = {
	{"call", MY_URL, MY_QUERY, call_form, "x", "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
	{"several values", MY_URL, MY_QUERY, digits_form, "x", "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
	{"repeated values", MY_URL, MY_QUERY, repeated_form, "x", "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
	{"http with a port", "http://mycompany.com:1234/myapp.php", MY_QUERY, call_form, "x",
	 "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="},
	{"signed with port 443", MY_URL, MY_QUERY, call_form, "x", "kvajT1Ptam85bY51eRf/AJRuM3w="},
	{"given with port 443", "https://mycompany.com:443/myapp.php", MY_QUERY, call_form, "x",
	 "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
	{"signed with port 80", "http://mycompany.com/myapp.php", MY_QUERY, call_form, "x",
	 "0ZXoZLH/DfblKGATFgpif+LLRf4="},
	{"signed without the port", "https://mycompany.com:1234/myapp.php", MY_QUERY, call_form, "x",
	 "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
	{"hash of the body", MY_URL, MY_QUERY "&bodySHA256=" HASH_1, no_form, BODY_1,
	 "a9nBmqA0ju/hNViExpshrM61xv4="},
	{"hash of {}, signed with port 443", MY_URL, MY_QUERY "&bodySHA256=" HASH_2, no_form, "{}",
	 "Ldidvp12m26NI7eqEvxnEpkd9Hc="},
	{"hash alone", MY_URL, "bodySHA256=" HASH_1, no_form, BODY_1,
	 "y77kIzt2vzLz71DgmJGsen2scGs="},
	{"user and password", "https://user:pass@mycompany.com/myapp.php", MY_QUERY, call_form, "x",
	 "CukzLTc1tT5dXEDIHm/tKBanW10="},
	{"user", "https://user@mycompany.com/myapp.php", MY_QUERY, call_form, "x",
	 "2YRLlVAflCqxaNicjMpJcSTgzSs="},
	{"user, password, signed with port 443", "https://user:pass@mycompany.com/myapp.php", MY_QUERY,
	 call_form, "x", "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI="},
	{"apostrophe", MY_URL, MY_QUERY "&Body=It's+amazing", call_form, "x",
	 "dsq4Ehbj6cs+KdTkpF5sSSplOWw="},
	{"array in either order", MY_URL, MY_QUERY, address_form, "x",
	 "83O6e2vORAoJHUNzJjDWN1jz+BA="},
};

static void
test_twilio_vectors(void)
{
	static Case c;
	char		full[256];

	for (int i = 0; i < (int) lengthof(twilio_vectors); i++)
	{
		start(&c, PO_SCHEME_TWILIO, "12345", twilio_vectors[i].body);
		for (const char *const *field = twilio_vectors[i].form; *field != NULL; field += 2)
			add_pair(&c, field[0], field[1]);
		add_header(&c, "x-twilio-signature", twilio_vectors[i].signature);
		c.request.query = str(twilio_vectors[i].query);

		c.credential.url = str(twilio_vectors[i].url);
		ok(passes(&c), twilio_vectors[i].name);
		ok(flips_fail(&c, &c.request.query, false), "... each bit of the query counts");
		snprintf(full, sizeof(full), "%s?%s", twilio_vectors[i].url, twilio_vectors[i].query);
		c.credential.url = str(full);
		ok(passes(&c), "... with the query in the endpoint's URL");
		c.request.query = (PoBytes) {NULL, 0};
		ok(!passes(&c), "... which may not be left out");
	}
}

/* What Twilio would send with this text signed, by OpenSSL's one-shot function. */
static const char *
sign_sha1(const char *signed_text)
{
	static char buffer[32];
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int len;

	HMAC(EVP_sha1(), "12345", 5, (const unsigned char *) signed_text, strlen(signed_text),
		 mac, &len);
	EVP_EncodeBlock((unsigned char *) buffer, mac, len);
	return buffer;
}

/* Requests that are refused although what was signed is what they say. */
static void
test_twilio_signed_refusals(void)
{
	static Case c;

	start(&c, PO_SCHEME_TWILIO, "12345", "");
	c.credential.url = str(MY_URL);
	set_header(&c, "x-twilio-signature", sign_sha1(MY_URL));
	ok(passes(&c), "twilio: no query, no body");
	c.request.body = str(BODY_1);
	ok(!passes(&c), "twilio: a body that nothing covers");
	add_pair(&c, "", "");
	ok(passes(&c), "twilio: a form of one empty pair");

	start(&c, PO_SCHEME_TWILIO, "12345", BODY_1);
	c.credential.url = str(MY_URL);
	c.request.query = str("bodySHA256=" HASH_1 "&bodySHA256=" HASH_1);
	set_header(&c, "x-twilio-signature",
			   sign_sha1(MY_URL "?bodySHA256=" HASH_1 "&bodySHA256=" HASH_1));
	ok(!passes(&c), "twilio: two hashes of the body, signed");

	c.credential.url = str(MY_URL "?foo=1");
	c.request.query = str("foo=1&bodySHA256=" HASH_1);
	set_header(&c, "x-twilio-signature", sign_sha1(MY_URL "?foo=1&bodySHA256=" HASH_1));
	ok(passes(&c), "twilio: a hash added to the endpoint's own query");
	c.request.query = str("foo=1&bodySHA256=" HASH_1 "&a=b");
	set_header(&c, "x-twilio-signature", sign_sha1(MY_URL "?foo=1&bodySHA256=" HASH_1 "&a=b"));
	ok(!passes(&c), "twilio: something else added to it, signed");
	c.request.query = str("bodySHA256=" HASH_1);
	set_header(&c, "x-twilio-signature", sign_sha1(MY_URL "?bodySHA256=" HASH_1));
	ok(!passes(&c), "twilio: another query than the endpoint's own, signed");
	c.request.query = str("foo=1&message=" REFERENCE_1 "&bodySHA256=" HASH_1);
	set_header(&c, "x-twilio-signature",
			   sign_sha1(MY_URL "?foo=1&message=" REFERENCE_1 "&bodySHA256=" HASH_1));
	ok(passes(&c), "twilio: a message's reference and a hash added to the endpoint's own query");
	c.request.query = str("foo=1&message=" REFERENCE_1 "0&bodySHA256=" HASH_1);
	set_header(&c, "x-twilio-signature",
			   sign_sha1(MY_URL "?foo=1&message=" REFERENCE_1 "0&bodySHA256=" HASH_1));
	ok(!passes(&c), "twilio: what has not the form of a reference, signed");
}

static void
test_twilio_refusals(void)
{
	static Case c;

	start(&c, PO_SCHEME_TWILIO, "12345", BODY_1);
	c.credential.url = str(MY_URL);
	c.request.query = str("bodySHA256=" HASH_1);
	add_header(&c, "x-twilio-signature", "y77kIzt2vzLz71DgmJGsen2scGs=");
	ok(flips_fail(&c, &c.request.body, false), "each bit of a hashed body counts");
	c.credential.url = str(MY_URL "?");
	ok(passes(&c), "a hash added to an empty query");
	c.request.query = str("bodySHA256=" HASH_1 "&bodySHA256=" HASH_1);
	ok(!passes(&c), "a hash added twice");
	c.credential.url = str(MY_URL "?" MY_QUERY);
	c.request.query = str(MY_QUERY "&bodySHA256=" HASH_1);
	set_header(&c, "x-twilio-signature", "a9nBmqA0ju/hNViExpshrM61xv4=");
	ok(passes(&c), "a hash added to the endpoint's own query");

	start(&c, PO_SCHEME_TWILIO, "12345", "");
	c.credential.url = str(MY_URL "?bodySHA256=" HASH_1 "#rc=2");
	c.request.query = str("bodySHA256=" HASH_1);
	c.request.body = str(BODY_1);
	add_header(&c, "x-twilio-signature", "y77kIzt2vzLz71DgmJGsen2scGs=");
	ok(passes(&c), "a fragment of the URL is not signed");
	c.request.body = str("");
	ok(!passes(&c), "an empty body in place of the hashed one");

	start(&c, PO_SCHEME_TWILIO, "12345", "x");
	c.credential.url = str(MY_URL "?" MY_QUERY);
	c.request.query = str(MY_QUERY);
	for (const char *const *field = call_form; *field != NULL; field += 2)
		add_pair(&c, field[0], field[1]);
	ok(!passes(&c), "twilio: no signature");
	add_header(&c, "x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
	ok(passes(&c), "twilio: one signature");
	add_header(&c, "x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
	ok(!passes(&c), "twilio: the signature twice");
	set_header(&c, "x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B9=");
	ok(!passes(&c), "twilio: bits set under the padding");
	set_header(&c, "x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8");
	ok(!passes(&c), "twilio: no padding");
	set_header(&c, "x-twilio-signature", " RSOYDt4T1cUTdK1PDd93/VVr8B8= ");
	ok(!passes(&c), "twilio: white space");
	set_header(&c, "x-twilio-signature", "");
	ok(!passes(&c), "twilio: empty signature");
	set_header(&c, "x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
	c.credential.secret[0] = str("54321");
	ok(!passes(&c), "twilio: another tenant's secret");
	c.credential.secret[1] = str("12345");
	c.credential.nsecrets = 2;
	ok(passes(&c), "twilio: the second secret");
	c.credential.secret[0] = str("");
	ok(!passes(&c), "an empty secret among two");
	c.credential.nsecrets = 0;
	ok(!passes(&c), "no secret");
	c.credential.secret[0] = str("12345");
	c.credential.nsecrets = 1;
	add_pair(&c, "Body", "more");
	ok(!passes(&c), "twilio: a field added");
	c.request.nform = 0;
	ok(!passes(&c), "twilio: a body that is no form");
	c.request.nform = 5;
	for (int i = 0; i < PO_MAX_SIGNED_PAIRS - 4; i++)
		add_pair(&c, "To", "+18005551212");
	ok(!passes(&c), "twilio: too many fields");
	c.request.nform--;
	ok(passes(&c), "twilio: as many as are allowed");
	for (int i = 0; i < 5; i++)
	{
		const char *const urls[] = {
			"", "mycompany.com/myapp.php", "ftp://mycompany.com/",
			"https://", "https://user@/x"
		};

		c.credential.url = str(urls[i]);
		ok(!passes(&c), "twilio: malformed URL");
	}
}

int
main(int argc, char **argv)
{
	test_payloads(argc > 1 ? argv[1] : "../payloads");
	test_twilio_vectors();
	test_twilio_refusals();
	test_twilio_signed_refusals();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
