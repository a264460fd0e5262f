/*-------------------------------------------------------------------------
 * origin.c
 *	  Where a request goes: scheme, host and port of a URL.
 *
 * An account's secret is bound to this, so it has to be what libcurl makes of
 * the URL.  Only a form is read that nobody can read otherwise: no user, no
 * placeholder, nothing encoded, and a slash or the end behind the host.
 *
 * Nothing is allocated, nothing raised.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/origin.h"

#define MAX_HOST 253

#define DIGITS "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"
#define NAME_CHARS DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-"

/* How long the host is: a name, an IPv4 address, or an IPv6 one in brackets. */
static size_t
host_length(const char *host)
{
	size_t		len;

	if (host[0] != '[')
		return strspn(host, NAME_CHARS);
	len = 1 + strspn(host + 1, HEX_DIGITS ":.");
	return len > 1 && host[len] == ']' ? len + 1 : 0;
}

/*
 * po_url_origin writes the origin of a URL, as https://host:443 with the host in
 * lower case; false, and nothing is written, when it has none that is certain.
 * The URL may be a template behind its host.
 */
bool
po_url_origin(const char *url, char origin[PO_ORIGIN_SIZE])
{
	bool		https = strncmp(url, "https://", 8) == 0;
	const char *host;
	size_t		len;
	const char *end;
	int			port = https ? 443 : 80;
	char	   *out;

	if (!https && strncmp(url, "http://", 7) != 0)
		return false;
	host = url + (https ? 8 : 7);
	len = host_length(host);
	end = host + len;
	if (len == 0 || len > MAX_HOST)
		return false;
	if (*end == ':')
	{
		size_t		digits = strspn(end + 1, DIGITS);

		if (digits == 0 || digits > 5)
			return false;
		port = atoi(end + 1);
		end += 1 + digits;
	}
	if ((*end != '\0' && *end != '/') || port < 1 || port > 65535)
		return false;
	strcpy(origin, https ? "https://" : "http://");
	out = origin + strlen(origin);
	for (size_t i = 0; i < len; i++)
		*out++ = pg_ascii_tolower((unsigned char) host[i]);
	sprintf(out, ":%d", port);
	return true;
}
