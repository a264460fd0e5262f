/*
 * split.c
 *	  Requests that carry several events: an array at the root.
 *
 * Each event is a webhook of its own from here on, with the bytes of its element
 * as its body: its own key, its own payload, its own fate.  Only the top of the
 * array is read here; whether an element can be read its parser says.
 */
#include "postgres.h"

#include "common/document.h"
#include "inbound/webhook.h"

/*
 * More are kept as one webhook that is not understood.  So many of a provider that gives
 * each an id do not fit into a body: an opt-out among them is not left unread.
 */
#define MAX_EVENTS 5000

/* Behind the string that begins at p, end where it does not end. */
static const char *
string_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return Min(p + 1, end);
}

/* Behind the object or scalar that begins at p. */
static const char *
value_end(const char *p, const char *end)
{
	int			depth = 0;

	while (p < end)
	{
		if (*p == '"')
		{
			p = string_end(p, end);
			if (depth == 0)
				return p;
			continue;
		}
		if (depth == 0 && (*p == ',' || *p == ']' || po_is_json_space(*p)))
			return p;
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
		{
			if (--depth == 0)
				return p + 1;
		}
		p++;
	}
	return end;
}

/*
 * po_split_body finds the events of a body that is an array, those of arrays in it
 * too, and returns how many there are, palloc'd; 0 where it is no array, is none
 * that is written as one, or has too many.
 */
int
po_split_body(PoBytes body, PoBytes **event)
{
	const char *p = body.data + po_byte_order_mark(body.data, body.len);
	const char *end = body.data + body.len;
	bool		value_may_come = true;	/* a comma or the start of an array is before it */
	bool		end_may_come = false;
	int			depth = 0;
	int			size = 0;
	int			n = 0;

	*event = NULL;
	for (; p < end; p++)
	{
		const char *start = p;

		if (po_is_json_space(*p))
			continue;
		if (*p == '[')
		{
			if (!value_may_come || ++depth > po_document_limits.max_depth)
				return 0;
			end_may_come = true;
			continue;
		}
		if (depth == 0)
			return 0;
		if (*p == ',' || *p == ']')
		{
			if (!end_may_come || (*p == ',' && value_may_come))
				return 0;
			value_may_come = *p == ',';
			end_may_come = *p == ']';
			depth -= *p == ']';
			if (depth > 0)
				continue;
			for (p++; p < end && po_is_json_space(*p); p++)
				;
			return p == end ? n : 0;
		}
		if (!value_may_come || n == MAX_EVENTS)
			return 0;
		if (n == size)
		{
			size = Max(size * 2, 16);
			*event = n == 0 ? palloc(size * sizeof(PoBytes)) : repalloc(*event, size * sizeof(PoBytes));
		}
		p = value_end(p, end);
		(*event)[n++] = (PoBytes) {start, p - start};
		value_may_come = false;
		end_may_come = true;
		p--;
	}
	return 0;
}
