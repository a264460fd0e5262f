/*
 * envelope.c
 *	  JSON building: strings, and the envelope of a request.
 *
 * Appends to a caller's buffer; owns nothing.  Text that reaches the envelope
 * is valid UTF-8 without NUL: the reader has checked the headers, and a body
 * that is not goes in base64.
 */
#include "postgres_fe.h"

#include <openssl/evp.h>

#include "mb/pg_wchar.h"

#include "envelope.h"
#include "http_rules.h"

/* What must be escaped, as two-character escapes; 'u' stands for \u00XX. */
static const char escapes[256] = {
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
	['"'] = '"', ['\\'] = '\\', [0x7f] = 'u',
};

/*
 * Append a JSON string, quotes included.  Bytes from 0x80 on are passed as they
 * are, so the result is UTF-8 exactly when the input is.
 */
void
po_json_append_string(StringInfo out, const char *data, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t		start = 0;

	enlargeStringInfo(out, (int) len + 2);
	appendStringInfoCharMacro(out, '"');
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) data[i];
		char		escape = escapes[c];

		if (escape == 0)
			continue;
		appendBinaryStringInfo(out, data + start, (int) (i - start));
		start = i + 1;
		appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, escape);
		if (escape == 'u')
		{
			appendStringInfoString(out, "00");
			appendStringInfoChar(out, hex[c >> 4]);
			appendStringInfoChar(out, hex[c & 15]);
		}
	}
	appendBinaryStringInfo(out, data + start, (int) (len - start));
	appendStringInfoChar(out, '"');
}

static void
append_member(StringInfo out, const char *name, const char *data, size_t len)
{
	appendStringInfoChar(out, '"');
	appendStringInfoString(out, name);
	appendStringInfoString(out, "\":");
	po_json_append_string(out, data, len);
}

static bool
same_name(const PoHttpHeader *a, const PoHttpHeader *b)
{
	return a->name.len == b->name.len && memcmp(a->name.data, b->name.data, a->name.len) == 0;
}

/* Each name once, in order of first appearance; several values become an array. */
static void
append_headers(StringInfo out, const PoHttpRequest *request)
{
	const PoHttpHeader *headers = request->headers;
	const char *separator = "";

	appendStringInfoString(out, "\"headers\":{");
	for (int i = 0; i < request->nheaders; i++)
	{
		int			same = 0;
		bool		seen = false;

		if (po_http_header_is_private(headers[i].name))
			continue;
		for (int j = 0; j < request->nheaders; j++)
		{
			if (!same_name(&headers[i], &headers[j]))
				continue;
			seen |= j < i;
			same++;
		}
		if (seen)
			continue;

		appendStringInfoString(out, separator);
		separator = ",";
		po_json_append_string(out, headers[i].name.data, headers[i].name.len);
		appendStringInfoChar(out, ':');
		if (same == 1)
		{
			po_json_append_string(out, headers[i].value.data, headers[i].value.len);
			continue;
		}
		for (int j = i; j < request->nheaders; j++)
		{
			if (!same_name(&headers[i], &headers[j]))
				continue;
			appendStringInfoChar(out, j == i ? '[' : ',');
			po_json_append_string(out, headers[j].value.data, headers[j].value.len);
		}
		appendStringInfoChar(out, ']');
	}
	appendStringInfoChar(out, '}');
}

static void
append_body(StringInfo out, const char *body, size_t len)
{
	/* The check the server makes of text; it refuses NUL as well. */
	if (pg_encoding_verifymbstr(PG_UTF8, body, (int) len) == (int) len)
	{
		append_member(out, "body", body, len);
		return;
	}
	appendStringInfoString(out, "\"body_base64\":\"");
	enlargeStringInfo(out, (int) ((len + 2) / 3 * 4) + 1);
	out->len += EVP_EncodeBlock((unsigned char *) out->data + out->len,
								(const unsigned char *) body, (int) len);
	appendStringInfoChar(out, '"');
}

/*
 * Append the envelope.  remote_addr is NULL when there is no address (a unix
 * socket); the member is absent then, as is the query when the target has none.
 */
void
po_envelope_append(StringInfo out, const PoHttpRequest *request,
				   const char *remote_addr, const char *correlation_id)
{
	appendStringInfoChar(out, '{');
	append_member(out, "method", request->method_name, strlen(request->method_name));
	appendStringInfoChar(out, ',');
	append_member(out, "path", request->path.data, request->path.len);
	if (request->has_query)
	{
		appendStringInfoChar(out, ',');
		append_member(out, "query", request->query.data, request->query.len);
	}
	appendStringInfoChar(out, ',');
	append_headers(out, request);
	if (remote_addr != NULL)
	{
		appendStringInfoChar(out, ',');
		append_member(out, "remote_addr", remote_addr, strlen(remote_addr));
	}
	appendStringInfoChar(out, ',');
	append_member(out, "correlation_id", correlation_id, strlen(correlation_id));
	appendStringInfoChar(out, ',');
	append_body(out, request->body != NULL ? request->body : "", request->body_len);
	appendStringInfoChar(out, '}');
}
