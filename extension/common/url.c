/*-------------------------------------------------------------------------
 * url.c
 *	  The public URL of an endpoint: its parts, and whether requests can have it.
 *
 * An address is refused when no request can ever have it, or when what stands
 * between provider and endpoint may spell it anew: then a signature over it can
 * never be right, and callbacks to it never arrive.
 *
 * No locks, no state.  See url.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <arpa/inet.h>

#include "common/base64.h"
#include "common/url.h"

#define MAX_HOST_LEN	253
#define MAX_LABEL_LEN	63

static const PoUrlFlaw not_http = {
	"public_url must begin with https:// or http://",
	"Give the whole address that the provider was given, its scheme in lower case."
};
static const PoUrlFlaw bad_character = {
	"public_url has a character that no URL has",
	"White space, control characters, backslashes and what is not ASCII are sent as %XX, or not at all."
};
static const PoUrlFlaw has_user = {
	"public_url must not have a user or password",
	"Give the provider the address without them; scheme basic has them as its secret."
};
static const PoUrlFlaw bad_host = {
	"public_url has no host that a request can go to",
	"It is a name in lower-case ASCII, an IPv4 address, or an IPv6 address in brackets."
};
static const PoUrlFlaw bad_port = {
	"public_url has no port that a request can go to",
	"A port is a number from 1 to 65535 without leading zeros."
};
static const PoUrlFlaw bad_path = {
	"the path of public_url has an empty or dot segment",
	"Clients and proxies take //, /./ and /../ away."
};
static const PoUrlFlaw bad_escape = {
	"public_url has a percent sign that is sent in another way",
	"Write %XX with digits in upper case, and only for what cannot stand as it is; in a path not for a slash, a "
	"backslash or a percent sign."
};
static const PoUrlFlaw has_body_hash = {
	"the query of public_url must not have bodySHA256",
	"Twilio adds it to each request, with the hash of its body."
};

static bool
is_one_of(char c, const char *characters)
{
	return c != '\0' && strchr(characters, c) != NULL;
}

/* Letters, digits and the four that are never encoded. */
static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		is_one_of(c, "-._~");
}

/*
 * The offset, from the given one on, of the first of some characters, or the text's
 * length.
 */
int
po_find_any(PoBytes text, int from, const char *characters)
{
	int			i = from;

	while (i < text.len && !is_one_of(text.data[i], characters))
		i++;
	return i;
}

/*
 * Splits an http or https URL.  A fragment, where Twilio takes settings for the
 * connection, is not part of what it calls and is dropped.  False, and nothing to
 * be used, where there is no host.
 */
bool
po_split_url(PoBytes url, PoUrl *split)
{
	int			host;
	int			host_end;
	int			port;
	int			path_end;
	PoBytes		rest = url;

	if (po_strip_prefix(&rest, "https://"))
		split->standard_port = po_bytes(":443");
	else if (po_strip_prefix(&rest, "http://"))
		split->standard_port = po_bytes(":80");
	else
		return false;

	host = rest.data - url.data;
	url.len = po_find_any(url, host, "#");
	host_end = po_find_any(url, host, "/?");
	path_end = po_find_any(url, host_end, "?");

	for (int i = host; i < host_end; i++)
	{
		if (url.data[i] == '@')
			host = i + 1;
	}
	if (host == host_end)
		return false;

	port = host_end;
	while (port > host && url.data[port - 1] >= '0' && url.data[port - 1] <= '9')
		port--;
	if (port > host && port < host_end && url.data[port - 1] == ':')
		port--;
	else
		port = host_end;

	split->origin = po_slice(url, 0, port);
	split->host = po_slice(url, host, port);
	split->port = po_slice(url, port, host_end);
	split->path = po_slice(url, host_end, path_end);
	split->has_query = path_end < url.len;
	split->query = split->has_query ? po_slice(url, path_end + 1, url.len) : po_bytes("");
	return true;
}

/*
 * Whether a parameter of a query is the reference that the engine adds to the
 * address of status callbacks, by its form.
 */
bool
po_is_reference(PoBytes parameter)
{
	if (!po_strip_prefix(&parameter, "message=") || parameter.len != PO_REFERENCE_LEN)
		return false;
	for (int i = 0; i < parameter.len; i++)
	{
		if (!is_one_of(parameter.data[i], "0123456789abcdefABCDEF-."))
			return false;
	}
	return true;
}

/* Whether it is an address of digits, as text that the family's parser takes. */
static bool
is_address(int family, PoBytes text)
{
	char		copy[INET6_ADDRSTRLEN];
	uint8		address[sizeof(struct in6_addr)];

	if ((size_t) text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	return inet_pton(family, copy, address) == 1;
}

/* A name of labels; one whose last label is a number is an IPv4 address. */
static bool
is_host(PoBytes host)
{
	int			label = 0;
	bool		digits = true;

	if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
		return is_address(AF_INET6, po_slice(host, 1, host.len - 1));
	if (host.len > MAX_HOST_LEN)
		return false;
	for (int i = 0; i <= host.len; i++)
	{
		char		c = i < host.len ? host.data[i] : '.';

		if (c == '.')
		{
			if (i == label || i - label > MAX_LABEL_LEN || host.data[label] == '-' ||
				host.data[i - 1] == '-')
				return false;
			if (i < host.len)
				digits = true;
			label = i + 1;
			continue;
		}
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
		digits = digits && c >= '0' && c <= '9';
	}
	return !digits || is_address(AF_INET, host);
}

/* With its colon. */
static bool
is_port(PoBytes port)
{
	int			number = 0;

	if (port.len < 2 || port.len > 6 || port.data[1] == '0')
		return false;
	for (int i = 1; i < port.len; i++)
		number = number * 10 + (port.data[i] - '0');
	return number <= 65535;
}

/* Whether what is encoded has to be, and is so in the one way that nobody changes. */
static bool
are_escapes(PoBytes text, bool of_path)
{
	for (int i = 0; i < text.len; i++)
	{
		uint8		byte;

		if (text.data[i] != '%')
			continue;
		if (text.len - i < 3 || !po_hex_decode(text.data + i + 1, 2, &byte, 1) ||
			(text.data[i + 1] >= 'a') || (text.data[i + 2] >= 'a') ||
			byte < ' ' || byte == 0x7f || is_unreserved((char) byte) ||
			(of_path && (byte == '/' || byte == '\\' || byte == '%')))
			return false;
		i += 2;
	}
	return true;
}

static bool
has_odd_segment(PoBytes path)
{
	for (int from = 1; from <= path.len; from++)
	{
		int			to = po_find_any(path, from, "/");
		int			len = to - from;

		/* the last one is empty where the path ends in a slash */
		if ((len == 0 && to < path.len) || (len == 1 && path.data[from] == '.') ||
			(len == 2 && path.data[from] == '.' && path.data[from + 1] == '.'))
			return true;
		from = to;
	}
	return false;
}

static bool
has_body_hash_parameter(PoBytes query)
{
	for (int from = 0; from < query.len;)
	{
		int			to = po_find_any(query, from, "&");
		PoBytes		parameter = po_slice(query, from, to);

		if (po_strip_prefix(&parameter, "bodySHA256="))
			return true;
		from = to + 1;
	}
	return false;
}

/*
 * Returns why no request can have the URL, or NULL.  Its path need not be the
 * endpoint's: a proxy may rewrite it.
 */
const PoUrlFlaw *
po_check_url(PoBytes url, bool is_signed)
{
	PoUrl		split;
	PoBytes		rest = url;
	int			authority;
	int			authority_end;
	int			end;

	for (int i = 0; i < url.len; i++)
	{
		if (!is_unreserved(url.data[i]) && !is_one_of(url.data[i], ":/?#[]@!$&'()*+,;=%"))
			return &bad_character;
	}
	if (!po_strip_prefix(&rest, "https://") && !po_strip_prefix(&rest, "http://"))
		return &not_http;
	authority = rest.data - url.data;
	authority_end = po_find_any(url, authority, "/?#");
	if (po_find_any(url, authority, "@") < authority_end)
		return &has_user;
	/* a second # is no fragment's, and brackets are the host's alone */
	end = po_find_any(url, authority_end, "#");
	if (po_find_any(url, authority_end, "[]") < url.len ||
		(end < url.len && po_find_any(url, end + 1, "#") < url.len))
		return &bad_character;
	if (!po_split_url(url, &split))
		return &bad_host;
	if (split.port.len > 0 ? !is_port(split.port) :
		split.host.data[split.host.len - 1] == ':')
		return &bad_port;
	if (!is_host(split.host))
		return po_find_any(split.host, 0, "[") == split.host.len &&
			po_find_any(split.host, 0, ":") < split.host.len ? &bad_port : &bad_host;
	if (!are_escapes(split.path, true) || !are_escapes(split.query, false) ||
		!are_escapes(po_slice(url, end, url.len), false))
		return &bad_escape;
	if (has_odd_segment(split.path))
		return &bad_path;
	return is_signed && has_body_hash_parameter(split.query) ? &has_body_hash : NULL;
}
