/*-------------------------------------------------------------------------
 * fuzz_authenticate.c
 *	  libFuzzer target: what an unauthenticated sender can put into a request,
 *	  and the strict decoders behind it.
 *
 * The first byte of the input chooses the scheme, the second the shape of the
 * request.  The rest is fields, each ended by a newline: URL, query, secret,
 * three header values; what remains is the body, which is also cut into the
 * pairs of a form.
 *
 * Besides memory errors it looks for acceptance without knowledge of the
 * secret, for a base64 text that is accepted but is not what encoding its bytes
 * gives, for a sealed value that opens, and for a public URL that is accepted but
 * has other parts than it should.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <openssl/evp.h>

#include "common/authenticate.h"
#include "common/base64.h"
#include "common/seal.h"
#include "common/url.h"

#define MAX_PAIRS	(PO_MAX_SIGNED_PAIRS + 2)

/* The bits of the second byte. */
#define OWN_SECRET	0x01		/* the secret is the input's */
#define TWO_SECRETS 0x02
#define NAMES_HEADER 0x04
#define IS_FORM		0x08
#define REPEATED	0x10		/* the first header comes twice */
#define IS_GET		0x20
#define OTHER_NAMES 0x40		/* the headers have the names of another family */
#define BOTH_NAMES	0x80		/* they come under both */

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct
{
	const char *secret;			/* unknown to the input, of the scheme's form */
	const char *header[3];
}			schemes[] = {
	[PO_SCHEME_NONE] = {"", {"a", "b", "c"}},
	[PO_SCHEME_TOKEN] = {"f3a9c7d15e8b4260", {"authorization", "x-webhook-token", "c"}},
	[PO_SCHEME_SECRET_HEADER] = {"f3a9c7d15e8b4260", {"x-texting-secret", "b", "c"}},
	[PO_SCHEME_HMAC_SHA256] = {"f3a9c7d15e8b4260", {"x-hub-signature-256", "x-signature", "c"}},
	[PO_SCHEME_TWILIO] = {"f3a9c7d15e8b4260", {"x-twilio-signature", "b", "c"}},
	[PO_SCHEME_SIGNALHOUSE] = {"f3a9c7d15e8b4260",
							   {"x-signalhouse-signature", "x-signalhouse-timestamp", "c"}},
	[PO_SCHEME_GHL] = {"MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=",
					   {"x-ghl-signature", "b", "c"}},
	[PO_SCHEME_STANDARD_WEBHOOKS] = {"whsec_86nH0V6LQmDzqcfRXotCYPOpx9Fei0Jg",
									 {"webhook-signature", "webhook-timestamp", "webhook-id"}},
	[PO_SCHEME_BASIC] = {"f3a9c7d1:5e8b4260f3a9c7d1", {"authorization", "b", "c"}},
	[PO_SCHEME_SENDGRID] = {"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfS"
							"mpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
							{"x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp", "c"}},
};

/* What the headers of standard_webhooks are called besides. */
static const char *const other_names[3] = {"svix-signature", "svix-timestamp", "svix-id"};

static PoBytes
str(const char *text)
{
	return (PoBytes) {text, strlen(text)};
}

static PoBytes
next_field(PoBytes *input, char delimiter)
{
	const char *end = input->len > 0 ? memchr(input->data, delimiter, input->len) : NULL;
	PoBytes		field = {input->data, end != NULL ? end - input->data : input->len};

	input->data += field.len + (end != NULL);
	input->len -= field.len + (end != NULL);
	return field;
}

static void
check_decoders(PoBytes text)
{
	uint8		bytes[256];
	unsigned char again[400];
	const uint8 key[PO_SEAL_KEY_LEN] = {1};
	uint8	   *plain;
	int			plain_len;
	int			len = po_base64_decode(text.data, text.len, bytes, sizeof(bytes));

	if (len >= 0 && (EVP_EncodeBlock(again, bytes, len) != text.len ||
					 memcmp(again, text.data, text.len) != 0))
		abort();
	len = po_base64_decode_any(text.data, text.len, bytes, sizeof(bytes));
	if (len >= 0)
	{
		int			padded = EVP_EncodeBlock(again, bytes, len);
		bool		for_urls = memchr(text.data, '-', text.len) != NULL || memchr(text.data, '_', text.len) != NULL;

		if (text.len != padded && text.len != padded - (3 - len % 3) % 3)
			abort();
		for (int i = 0; i < text.len; i++)
		{
			char		c = again[i] == '+' && for_urls ? '-' : again[i] == '/' && for_urls ? '_' : again[i];

			if (text.data[i] != c)
				abort();
		}
	}
	if (po_unseal(key, "a", 1, (const uint8 *) text.data, text.len, &plain, &plain_len) ==
		PO_UNSEAL_OK)
		abort();
}

/* What is accepted is the scheme, a host without a user, a port, and the path. */
static void
check_url(PoBytes url)
{
	PoUrl		split;

	(void) po_check_url(url, false);
	if (po_check_url(url, true) != NULL)
		return;
	if (!po_split_url(url, &split) || split.host.len < 1 ||
		split.host.data - split.origin.data != (split.standard_port.len == 4 && url.data[4] == 's' ? 8 : 7))
		abort();
	for (int i = 0; i < url.len; i++)
	{
		if (url.data[i] <= ' ' || url.data[i] > '~' || url.data[i] == '\\')
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static PoFormPair pair[MAX_PAIRS];
	PoHeader	header[8];
	PoCredential credential = {0};
	PoSignedRequest request = {0};
	PoBytes		input;
	PoBytes		secret;
	PoScheme	scheme;
	uint8		shape;

	if (size < 2)
		return 0;
	scheme = (PoScheme) (data[0] % lengthof(schemes));
	shape = data[1];
	input = (PoBytes) {(const char *) data + 2, size - 2};

	credential.scheme = scheme;
	credential.url = next_field(&input, '\n');
	request.query = next_field(&input, '\n');
	secret = next_field(&input, '\n');
	credential.secret[0] = shape & OWN_SECRET ? secret : str(schemes[scheme].secret);
	credential.secret[1] = str(schemes[scheme].secret);
	credential.nsecrets = shape & TWO_SECRETS ? 2 : 1;
	if (shape & NAMES_HEADER)
		credential.header_name = str("C");

	for (int i = 0; i < 3; i++)
		header[i] = (PoHeader) {str(schemes[scheme].header[i]), next_field(&input, '\n')};
	request.header = header;
	request.nheaders = 3;
	for (int i = 0; i < 3 && scheme == PO_SCHEME_STANDARD_WEBHOOKS && shape & (OTHER_NAMES | BOTH_NAMES); i++)
	{
		PoHeader   *other = shape & BOTH_NAMES ? &header[request.nheaders++] : &header[i];

		*other = (PoHeader) {str(other_names[i]), header[i].value};
	}
	if (shape & REPEATED)
		header[request.nheaders++] = header[0];
	request.is_get = (shape & IS_GET) != 0;
	request.body = input;
	request.now_ms = INT64CONST(1725000000000);
	if (shape & IS_FORM)
	{
		request.form = pair;
		while (input.len > 0 && request.nform < MAX_PAIRS)
		{
			PoBytes		value = next_field(&input, '&');

			pair[request.nform].key = next_field(&value, '=');
			pair[request.nform++].value = value;
		}
	}

	if (po_authenticate(&credential, &request) &&
		scheme != PO_SCHEME_NONE && !(shape & OWN_SECRET))
		abort();
	(void) po_check_secret(scheme, secret);
	(void) po_check_header_name(scheme, secret);
	check_url(credential.url);
	for (int i = 0; i < 3; i++)
		check_decoders(header[i].value);
	return 0;
}
