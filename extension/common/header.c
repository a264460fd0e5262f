/*-------------------------------------------------------------------------
 * header.c
 *	  Headers that carry proofs: found by their name, and the times in them.
 *
 * Names are compared without regard to case.  How often a header is there is
 * always told, because one that is there twice proves nothing.
 *
 * No locks, no state.  See authenticate.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/header.h"

/* How far a signed time may be from ours. */
#define MAX_AGE_MS			(5 * 60 * 1000)
#define MAX_AHEAD_MS		(60 * 1000)

#define MAX_TIMESTAMP_DIGITS	15

#define SIGNATURE_HEADER	"-signature"

/* Headers that outreach-shim does not hand on, or refuses requests with. */
static const char *const lost_headers[] = {
	"connection", "content-encoding", "content-length", "cookie", "expect", "host",
	"http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"
};

/*
 * Whether two names are the same but for the case of their letters.
 */
bool
po_same_name(PoBytes a, PoBytes b)
{
	if (a.len != b.len)
		return false;
	for (int i = 0; i < a.len; i++)
	{
		if (pg_ascii_tolower((unsigned char) a.data[i]) !=
			pg_ascii_tolower((unsigned char) b.data[i]))
			return false;
	}
	return true;
}

/*
 * How often the request has the header; the last value is left in *value.
 */
int
po_find_header(const PoSignedRequest *request, PoBytes name, PoBytes *value)
{
	int			found = 0;

	for (int i = 0; i < request->nheaders; i++)
	{
		if (po_same_name(request->header[i].name, name))
		{
			*value = request->header[i].value;
			found++;
		}
	}
	return found;
}

/*
 * The family that a header with a signature belongs to: its name without
 * "-signature".  False if it is no such name.
 */
bool
po_family_of(PoBytes signature_name, PoBytes *family)
{
	PoBytes		rest = signature_name;

	family->data = signature_name.data;
	family->len = signature_name.len - (int) strlen(SIGNATURE_HEADER);
	if (family->len < 1)
		return false;
	rest.data += family->len;
	rest.len -= family->len;
	return po_same_name(rest, po_bytes(SIGNATURE_HEADER));
}

/*
 * How often the request has the header of a family whose name ends so; the last
 * value is left in *value.
 */
int
po_find_of_family(const PoSignedRequest *request, PoBytes family, const char *rest,
				  PoBytes *value)
{
	char		name[PO_MAX_HEADER_NAME + 16];
	int			len = strlen(rest);

	if (family.len > PO_MAX_HEADER_NAME || len > 16)
		return 0;
	memcpy(name, family.data, family.len);
	memcpy(name + family.len, rest, len);
	return po_find_header(request, (PoBytes) {name, family.len + len}, value);
}

/*
 * Whether the text is a unix time in units of `unit_ms` milliseconds, near
 * enough to now that the request was not captured long ago.
 */
bool
po_is_recent(const PoSignedRequest *request, PoBytes text, int64 unit_ms)
{
	int64		value = 0;
	int64		age;

	if (text.len < 1 || text.len > MAX_TIMESTAMP_DIGITS || request->now_ms < 0)
		return false;
	for (int i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		value = value * 10 + (text.data[i] - '0');
	}
	age = request->now_ms - value * unit_ms;
	return age <= MAX_AGE_MS && age >= -MAX_AHEAD_MS;
}

/*
 * Returns NULL if a request may have a header of this name, as far as outreach-shim
 * hands headers on, or else a fixed phrase that says why none has.
 */
const char *
po_header_name_problem(PoBytes name)
{
	if (name.len < 1 || name.len > PO_MAX_HEADER_NAME)
		return "signature_header must have 1 to 128 characters";
	for (int i = 0; i < name.len; i++)
	{
		char		c = name.data[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			(c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return "signature_header has a character that no header's name has";
	}
	for (int i = 0; i < (int) lengthof(lost_headers); i++)
	{
		if (po_same_name(name, po_bytes(lost_headers[i])))
			return "signature_header is a header that outreach-shim does not hand on";
	}
	return NULL;
}
