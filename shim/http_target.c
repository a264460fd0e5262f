/*
 * http_target.c
 *	  The request target: origin-form only, and nothing that two programs
 *	  could read in two ways.
 *
 * Path and query go to the database as they came, percent-encoding and all; what is
 * refused of a path is every spelling that a proxy, the database and a person could
 * decode differently: dot segments in any encoding, encoded slashes, NUL and
 * control characters, a percent sign that encodes a percent sign.
 */
#include "postgres_fe.h"

#include "http_rules.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte that %XX at p stands for, or -1 when it is no such sequence. */
static int
percent_value(const char *p, const char *end)
{
	int			high;
	int			low;

	if (end - p < 3)
		return -1;
	high = hex_value(p[1]);
	low = hex_value(p[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool
refuse(PoHttpRefusal *refusal, const char *reason)
{
	refusal->status = 400;
	refusal->reason = reason;
	return false;
}

static bool
check_path(PoSlice path, PoHttpRefusal *refusal)
{
	const char *p = path.data;
	const char *end = path.data + path.len;
	int			dots = 0;		/* segment so far is this many dots ... */
	bool		only_dots = true;	/* ... and nothing else */

	if (path.len == 0 || path.data[0] != '/')
		return refuse(refusal, "target_not_origin_form");
	if (path.len > 1 && path.data[1] == '/')
		return refuse(refusal, "target_not_origin_form");

	while (p < end)
	{
		int			c = (unsigned char) *p;
		int			width = 1;

		if (c == '%')
		{
			c = percent_value(p, end);
			width = 3;
			if (c < 0)
				return refuse(refusal, "invalid_percent_encoding");
			if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
				return refuse(refusal, "unsafe_percent_encoding");
			if (c == '%' && end - p >= 5 && hex_value(p[3]) >= 0 && hex_value(p[4]) >= 0)
				return refuse(refusal, "double_percent_encoding");
		}
		else if (c == '\\')
			return refuse(refusal, "invalid_target");

		if (width == 1 && c == '/')
		{
			if (only_dots && (dots == 1 || dots == 2))
				return refuse(refusal, "dot_segment");
			dots = 0;
			only_dots = true;
		}
		else if (c == '.')
			dots++;
		else
			only_dots = false;
		p += width;
	}
	if (only_dots && (dots == 1 || dots == 2))
		return refuse(refusal, "dot_segment");
	return true;
}

/*
 * Any byte may be encoded, NUL too: nothing here decodes, a text may hold one, and
 * what carries an opt-out is not turned away for it.
 */
static bool
check_query(PoSlice query, PoHttpRefusal *refusal)
{
	const char *end = query.data + query.len;

	for (const char *p = query.data; p < end; p++)
	{
		if (*p != '%')
			continue;
		if (percent_value(p, end) < 0)
			return refuse(refusal, "invalid_percent_encoding");
		p += 2;
	}
	return true;
}

/* Split the target into path and query and check both. */
bool
po_http_check_target(PoSlice target, PoHttpRequest *request, PoHttpRefusal *refusal)
{
	const char *mark;

	for (size_t i = 0; i < target.len; i++)
	{
		unsigned char c = (unsigned char) target.data[i];

		if (c <= 0x20 || c >= 0x7f || c == '#' || c == '"' || c == '<' || c == '>')
			return refuse(refusal, "invalid_target");
	}

	mark = memchr(target.data, '?', target.len);
	request->has_query = mark != NULL;
	request->path = target;
	if (mark != NULL)
	{
		request->path.len = (size_t) (mark - target.data);
		request->query.data = mark + 1;
		request->query.len = target.len - request->path.len - 1;
	}
	return check_path(request->path, refusal) &&
		(!request->has_query || check_query(request->query, refusal));
}
