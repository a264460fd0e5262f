/*-------------------------------------------------------------------------
 * authenticate_case.h
 *	  What the tests of the schemes share: a request with its credential, the
 *	  decoding of forms, and the flipping of every bit.
 *
 * Each test is one program of one file, so all of it is here.
 *-------------------------------------------------------------------------
 */
#ifndef AUTHENTICATE_CASE_H
#define AUTHENTICATE_CASE_H

#include "common/authenticate.h"

#define MAX_HEADERS 8
#define MAX_PAIRS	(PO_MAX_SIGNED_PAIRS + 8)

#define SIGNED_AT	INT64CONST(1725000000000)
#define SENDGRID_KEY \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEo1zLFgHw1g12bQMo2WVuT4/0vr0J" \
	"L0wswcPk/z0iumREmxpJWsn9jV14EJAosSEIsyMmaxPX2giEN5GGb0QuoA=="
#define GHL_KEY		"MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="

/* One request and its credential, changed freely by the tests. */
typedef struct Case
{
	PoCredential credential;
	PoSignedRequest request;
	PoHeader	header[MAX_HEADERS];
	PoFormPair	pair[MAX_PAIRS];
} Case;

static int	ntests = 0;
static int	nfailed = 0;

static inline void
ok(bool passed, const char *name)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, name);
}

static inline PoBytes
str(const char *s)
{
	return (PoBytes) {s, strlen(s)};
}

static inline void
start(Case *c, PoScheme scheme, const char *secret, const char *body)
{
	memset(c, 0, sizeof(*c));
	c->credential.scheme = scheme;
	c->credential.secret[0] = str(secret);
	c->credential.nsecrets = 1;
	c->request.body = str(body);
	c->request.header = c->header;
	c->request.form = c->pair;
	c->request.now_ms = SIGNED_AT;
}

static inline void
add_header(Case *c, const char *name, const char *value)
{
	c->header[c->request.nheaders++] = (PoHeader) {str(name), str(value)};
}

static inline void
set_header(Case *c, const char *name, const char *value)
{
	c->request.nheaders = 0;
	add_header(c, name, value);
}

static inline void
add_pair(Case *c, const char *key, const char *value)
{
	c->pair[c->request.nform++] = (PoFormPair) {str(key), str(value)};
}

static inline bool
passes(const Case *c)
{
	return po_authenticate(&c->credential, &c->request);
}

/* ---- forms ---- */

/* Decodes a form; `arena` holds the decoded bytes.  Returns the number of pairs. */
static inline int
decode_form(PoBytes body, PoFormPair *pair, char *arena)
{
	int			n = 0;
	PoBytes    *field = NULL;

	for (int i = 0; i < body.len; i++)
	{
		char		byte = body.data[i];
		char		digits[3] = {0};

		if (i == 0 || byte == '&')
		{
			pair[n] = (PoFormPair) {{arena, 0}, {arena, 0}};
			field = &pair[n++].key;
		}
		if (byte == '&')
			continue;
		if (byte == '=' && field == &pair[n - 1].key)
		{
			field = &pair[n - 1].value;
			*field = (PoBytes) {arena, 0};
			continue;
		}
		if (byte == '%' && i + 2 < body.len)
		{
			memcpy(digits, body.data + i + 1, 2);
			if (strspn(digits, "0123456789abcdefABCDEF") == 2)
			{
				byte = strtol(digits, NULL, 16);
				i += 2;
			}
		}
		else if (byte == '+')
			byte = ' ';
		*arena++ = byte;
		field->len++;
	}
	return n;
}

static inline bool
same_bytes(PoBytes a, PoBytes b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* ---- flipped bits ---- */

/* Whether a form with these bytes says the same as the case's own body did. */
static inline bool
same_form(PoBytes body, const PoFormPair *pair, int npairs)
{
	static PoFormPair right_pair[MAX_PAIRS];
	static char arena[4096];
	int			n = decode_form(body, right_pair, arena);

	if (n != npairs)
		return false;
	for (int i = 0; i < n; i++)
	{
		if (!same_bytes(pair[i].key, right_pair[i].key) ||
			!same_bytes(pair[i].value, right_pair[i].value))
			return false;
	}
	return true;
}

/*
 * Whether every changed bit of a field makes the request fail.  A bit that only
 * changes the case of a hexadecimal digit changes nothing, and passes.
 */
static inline bool
flips_fail(Case *c, PoBytes *field, bool is_hex)
{
	static char bytes[4096];
	static char arena[4096];
	PoBytes		right = *field;
	bool		is_form = field == &c->request.body && c->request.nform > 0;
	int			wrong = 0;

	for (int bit = 0; bit < right.len * 8; bit++)
	{
		char	   *byte = &bytes[bit / 8];
		bool		equal;

		memcpy(bytes, right.data, right.len);
		*byte ^= 1 << bit % 8;
		*field = (PoBytes) {bytes, right.len};
		equal = is_hex && bit % 8 == 5 && isalpha((unsigned char) *byte);
		if (is_form)
		{
			c->request.nform = decode_form(*field, c->pair, arena);
			equal = same_form(right, c->pair, c->request.nform);
		}
		if (passes(c) != equal)
		{
			printf("# bit %d of \"%.*s\"\n", bit, right.len, right.data);
			wrong++;
		}
	}
	*field = right;
	if (is_form)
		c->request.nform = decode_form(right, c->pair, arena);
	return wrong == 0 && passes(c);
}

#endif							/* AUTHENTICATE_CASE_H */
