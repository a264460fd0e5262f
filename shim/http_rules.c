/*
 * http_rules.c
 *	  The rules for request line and headers that go beyond what llhttp checks.
 *
 * llhttp finds the pieces; the rules here decide.  They do not rely on llhttp
 * having refused anything: where both check, both must agree to let it pass.
 */
#include "postgres_fe.h"

#include "mb/pg_wchar.h"

#include "http_rules.h"

static bool
refuse(PoHttpRefusal *refusal, int status, const char *reason)
{
	refusal->status = status;
	refusal->reason = reason;
	return false;
}

/* What may appear once at most: two of them have two readers. */
static const char *const single_headers[] = {
	"authorization", "content-encoding", "content-length", "content-type", "expect",
	"host", "idempotency-key", "svix-id", "transfer-encoding", "user-agent", "webhook-id",
};

/* Likewise any header with one of these in its name: what a signature rests on. */
static const char *const single_parts[] = {
	"secret", "signature", "timestamp", "token",
};

/* Of this connection alone, or none of the database's business. */
static const char *const private_headers[] = {
	"connection", "cookie", "expect", "http2-settings", "keep-alive", "proxy-authenticate",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
};

static bool
is_listed(PoSlice name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (po_slice_is(name, list[i]))
			return true;
	}
	return false;
}

/* Is this header kept from the database? */
bool
po_http_header_is_private(PoSlice name)
{
	return is_listed(name, private_headers, lengthof(private_headers));
}

static bool
must_be_single(PoSlice name)
{
	if (is_listed(name, single_headers, lengthof(single_headers)))
		return true;
	for (size_t i = 0; i < lengthof(single_parts); i++)
	{
		if (memmem(name.data, name.len, single_parts[i], strlen(single_parts[i])) != NULL)
			return true;
	}
	return false;
}

static bool
is_token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/*
 * METHOD SP target SP HTTP/1.x, single spaces, nothing else.  Sets the
 * request's path, query and version; the method is the parser's business.
 */
bool
po_http_check_request_line(PoSlice line, PoHttpRequest *request, PoHttpRefusal *refusal)
{
	const char *end = line.data + line.len;
	const char *first = memchr(line.data, ' ', line.len);
	const char *second = first ? memchr(first + 1, ' ', end - first - 1) : NULL;
	PoSlice		target;
	PoSlice		version;

	if (second == NULL || first == line.data)
		return refuse(refusal, 400, "invalid_request_line");
	for (const char *p = line.data; p < first; p++)
	{
		if (!is_token_char((unsigned char) *p))
			return refuse(refusal, 400, "invalid_request_line");
	}

	version.data = second + 1;
	version.len = end - second - 1;
	if (po_slice_is(version, "HTTP/1.1"))
		request->minor_version = 1;
	else if (po_slice_is(version, "HTTP/1.0"))
		request->minor_version = 0;
	else if (version.len == 8 && memcmp(version.data, "HTTP/", 5) == 0)
		return refuse(refusal, 505, "unsupported_version");
	else
		return refuse(refusal, 400, "invalid_request_line");

	target.data = first + 1;
	target.len = second - first - 1;
	return po_http_check_target(target, request, refusal);
}

static bool
check_syntax(const PoHttpHeader *header, PoHttpRefusal *refusal)
{
	bool		ascii = true;

	if (header->name.len == 0)
		return refuse(refusal, 400, "invalid_header_name");
	for (size_t i = 0; i < header->name.len; i++)
	{
		if (!is_token_char((unsigned char) header->name.data[i]))
			return refuse(refusal, 400, "invalid_header_name");
	}
	for (size_t i = 0; i < header->value.len; i++)
	{
		unsigned char c = (unsigned char) header->value.data[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return refuse(refusal, 400, "invalid_header_value");
		ascii = ascii && c < 0x80;
	}
	if (!ascii && pg_encoding_verifymbstr(PG_UTF8, header->value.data, (int) header->value.len)
		!= (int) header->value.len)
		return refuse(refusal, 400, "header_not_utf8");
	return true;
}

static bool
check_duplicates(const PoHttpRequest *request, PoHttpRefusal *refusal)
{
	for (int i = 1; i < request->nheaders; i++)
	{
		PoSlice		name = request->headers[i].name;

		for (int j = 0; j < i; j++)
		{
			PoSlice		other = request->headers[j].name;

			if (other.len == name.len && memcmp(other.data, name.data, name.len) == 0 &&
				must_be_single(name))
				return refuse(refusal, 400, "duplicate_header");
		}
	}
	return true;
}

static const PoSlice *
find(const PoHttpRequest *request, const char *name)
{
	for (int i = 0; i < request->nheaders; i++)
	{
		if (po_slice_is(request->headers[i].name, name))
			return &request->headers[i].value;
	}
	return NULL;
}

static bool
check_host(const PoHttpRequest *request, PoHttpRefusal *refusal)
{
	const PoSlice *host = find(request, "host");

	if (host == NULL)
		return request->minor_version == 0 ? true : refuse(refusal, 400, "missing_host");
	if (host->len == 0 || host->len > 255)
		return refuse(refusal, 400, "invalid_host");
	for (size_t i = 0; i < host->len; i++)
	{
		unsigned char c = (unsigned char) host->data[i];

		if (!is_token_char(c) && c != ':' && c != '[' && c != ']')
			return refuse(refusal, 400, "invalid_host");
	}
	return true;
}

/* One to nine digits and no other spelling; sets the request's length. */
static bool
check_content_length(PoHttpRequest *request, PoHttpRefusal *refusal)
{
	const PoSlice *value = find(request, "content-length");

	request->content_length = -1;
	if (value == NULL)
		return true;
	if (value->len == 0)
		return refuse(refusal, 400, "invalid_content_length");
	for (size_t i = 0; i < value->len; i++)
	{
		if (value->data[i] < '0' || value->data[i] > '9')
			return refuse(refusal, 400, "invalid_content_length");
	}
	if (value->len > 9)
		return refuse(refusal, 400, "invalid_content_length");
	request->content_length = 0;
	for (size_t i = 0; i < value->len; i++)
		request->content_length = request->content_length * 10 + (value->data[i] - '0');
	return true;
}

/* How the body is delimited, and whether it may be there at all. */
static bool
check_framing(PoHttpRequest *request, size_t body_limit, PoHttpRefusal *refusal)
{
	const PoSlice *coding = find(request, "transfer-encoding");
	const PoSlice *content_coding = find(request, "content-encoding");

	if (!check_content_length(request, refusal))
		return false;
	if (coding != NULL)
	{
		if (request->content_length >= 0)
			return refuse(refusal, 400, "length_and_transfer_encoding");
		if (request->minor_version == 0)
			return refuse(refusal, 400, "invalid_transfer_encoding");
		if (coding->len != strlen("chunked") ||
			pg_strncasecmp(coding->data, "chunked", coding->len) != 0)
			return refuse(refusal, 400, "invalid_transfer_encoding");
		request->chunked = true;
	}
	if (find(request, "expect") != NULL)
		return refuse(refusal, 417, "expect_not_supported");
	if (find(request, "upgrade") != NULL || find(request, "http2-settings") != NULL)
		return refuse(refusal, 400, "upgrade_not_supported");

	if (request->method == PO_METHOD_POST)
	{
		if (content_coding != NULL &&
			(content_coding->len != strlen("identity") ||
			 pg_strncasecmp(content_coding->data, "identity", content_coding->len) != 0))
			return refuse(refusal, 415, "content_encoding");
		if (request->content_length < 0 && !request->chunked)
			return refuse(refusal, 411, "length_required");
		if (request->content_length > (int64) body_limit)
			return refuse(refusal, 413, "body_too_large");
	}
	else if (request->chunked || request->content_length > 0)
		return refuse(refusal, 400, "unexpected_body");
	return true;
}

/* Does this comma-separated list hold the token? */
static bool
list_has(PoSlice list, const char *token)
{
	size_t		len = strlen(token);
	const char *p = list.data;
	const char *end = list.data + list.len;

	while (p < end)
	{
		const char *comma = memchr(p, ',', end - p);
		const char *stop = comma ? comma : end;
		const char *item = p;

		while (item < stop && (*item == ' ' || *item == '\t'))
			item++;
		while (stop > item && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		if ((size_t) (stop - item) == len && pg_strncasecmp(item, token, len) == 0)
			return true;
		p = comma ? comma + 1 : end;
	}
	return false;
}

/* Persistent by default in 1.1, on request in 1.0; a close always wins. */
static bool
check_connection(PoHttpRequest *request, PoHttpRefusal *refusal)
{
	bool		close_asked = false;
	bool		keep_asked = false;

	for (int i = 0; i < request->nheaders; i++)
	{
		if (!po_slice_is(request->headers[i].name, "connection"))
			continue;
		if (list_has(request->headers[i].value, "upgrade"))
			return refuse(refusal, 400, "upgrade_not_supported");
		close_asked |= list_has(request->headers[i].value, "close");
		keep_asked |= list_has(request->headers[i].value, "keep-alive");
	}
	request->keep_alive = !close_asked && (request->minor_version == 1 || keep_asked);
	return true;
}

/*
 * Check the headers of a request whose names are lower case already; sets its
 * framing and persistence.
 */
bool
po_http_check_headers(PoHttpRequest *request, size_t body_limit, PoHttpRefusal *refusal)
{
	for (int i = 0; i < request->nheaders; i++)
	{
		if (!check_syntax(&request->headers[i], refusal))
			return false;
	}
	return check_duplicates(request, refusal) &&
		check_host(request, refusal) &&
		check_framing(request, body_limit, refusal) &&
		check_connection(request, refusal);
}
