/*-------------------------------------------------------------------------
 * form.c
 *	  The parser of application/x-www-form-urlencoded bodies.
 *
 * The document is an object of strings.  A key that came more than once is one
 * member, at the place of its first appearance, whose value is the array of
 * its strings in order.  A leading byte order mark is skipped and NUL is
 * dropped, as in JSON.
 *
 * No locks, no state.  Lifetimes: see document.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#include "common/fe_memutils.h"
#endif

#include "common/document.h"
#include "mb/pg_wchar.h"

typedef struct FormScanner
{
	PoDocument *doc;
	const char *start;
	int			len;
	char	   *fill;			/* next free byte of the arena */
} FormScanner;

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* How many bytes from the start on are UTF-8. */
static int
valid_utf8_len(const char *text, int len)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + len;

	while (p < end)
	{
		int			mblen = pg_utf_mblen(p);

		if (mblen > end - p || !pg_utf8_islegal(p, mblen))
			break;
		p += mblen;
	}
	return (int) ((const char *) p - text);
}

/* Reads the bytes that are no UTF-8 as what they mostly are, in place. */
static void
replace_foreign(char *text, int len)
{
	for (int i = valid_utf8_len(text, len); i < len; i += valid_utf8_len(text + i, len - i))
	{
		text[i] = po_foreign_char((unsigned char) text[i]);
		i++;
	}
}

/* Removes NUL bytes in place; returns the new length. */
static int
strip_nul(char *text, int len)
{
	int			kept = 0;

	for (int i = 0; i < len; i++)
	{
		if (text[i] != '\0')
			text[kept++] = text[i];
	}
	return kept;
}

/*
 * po_form_decode decodes a key or a value to out, which has room for as many
 * bytes, and returns where it ends.  A percent sign that begins no byte stays.
 */
char *
po_form_decode(const char *from, const char *to, char *out)
{
	for (const char *p = from; p < to; p++)
	{
		int			upper = *p == '%' && to - p >= 3 ? hex_digit(p[1]) : -1;
		int			lower = *p == '%' && to - p >= 3 ? hex_digit(p[2]) : -1;

		if (upper >= 0 && lower >= 0)
		{
			*out++ = (char) (upper << 4 | lower);
			p += 2;
			continue;
		}
		*out++ = *p == '+' ? ' ' : *p;
	}
	return out;
}

/*
 * Decodes a key or a value, which stays where it is if nothing in it is
 * encoded or foreign.  NUL goes only after that is known: dropping it must not join
 * the halves of a character.
 */
static void
decode_field(FormScanner *s, const char *from, const char *to, const char **text, int *len)
{
	const char *p = from;
	bool		high = false;
	bool		nul = false;
	bool		encoded;
	char	   *out;

	while (p < to && *p != '%' && *p != '+' && *p != '\0')
		high |= (*p++ & 0x80) != 0;

	*text = from;
	*len = (int) (to - from);
	encoded = p < to || (high && valid_utf8_len(from, *len) < *len);
	if (encoded)
	{
		if (s->fill == NULL)
			s->fill = s->doc->arena = palloc(s->len);
		out = po_form_decode(from, to, s->fill);
		for (const char *c = s->fill; c < out; c++)
		{
			high |= (*c & 0x80) != 0;
			nul |= *c == '\0';
		}
		*text = s->fill;
		*len = (int) (out - s->fill);
	}

	if (encoded && high)
		replace_foreign(s->fill, *len);
	if (nul)
		*len = strip_nul(s->fill, *len);
	if (encoded)
		s->fill += *len;
}

/*
 * Makes one array of each run of equal keys in `member`, which is sorted.  The
 * array takes the place of its first string; the strings lose their keys.
 */
static bool
group_repeated(PoDocument *doc, const int *member, int nmembers, const PoDocumentLimits *limits)
{
	int			last;

	for (int i = 0; i < nmembers; i = last + 1)
	{
		int			first = member[i];
		int			moved = doc->nnodes;
		PoNode	   *array;
		PoNode	   *tail;

		for (last = i; last + 1 < nmembers; last++)
		{
			if (po_document_compare_keys(&doc->node[first], &doc->node[member[last + 1]]) != 0)
				break;
		}
		if (last == i)
			continue;

		if (moved >= limits->max_nodes)
			return po_document_fail(doc, "too many values", 0);
		tail = po_document_add(doc, PO_NODE_STRING);
		array = &doc->node[first];
		tail->text = array->text;
		tail->text_len = array->text_len;
		array->type = PO_NODE_ARRAY;
		array->text = NULL;
		array->text_len = 0;
		array->child = moved;
		array->count = last - i + 1;

		for (int j = i + 1; j <= last; j++)
		{
			tail->next = member[j];
			tail = &doc->node[member[j]];
			tail->key = NULL;
			tail->key_len = 0;
		}
	}
	return true;
}

/* Links the nodes 1..npairs that still have a key as the members of the root. */
static void
link_members(PoDocument *doc, int npairs)
{
	int			tail = -1;

	for (int i = 1; i <= npairs; i++)
	{
		if (doc->node[i].key == NULL)
			continue;
		if (tail < 0)
			doc->node[0].child = i;
		else
			doc->node[tail].next = i;
		tail = i;
		doc->node[0].count++;
	}
}

/* Adds one key=value; a pair without '=' has the empty string. */
static bool
add_pair(FormScanner *s, const char *from, const char *to, const PoDocumentLimits *limits)
{
	const char *equals = memchr(from, '=', to - from);
	const char *key_end = equals ? equals : to;
	const char *key;
	const char *text;
	int			key_len;
	int			len;
	PoNode	   *node;

	if (s->doc->nnodes >= limits->max_nodes)
		return po_document_fail(s->doc, "too many values", (int) (from - s->start));
	decode_field(s, from, key_end, &key, &key_len);
	if (key_len > limits->max_key_bytes)
		return po_document_fail(s->doc, "key too long", (int) (from - s->start));
	decode_field(s, equals ? equals + 1 : to, to, &text, &len);

	node = po_document_add(s->doc, PO_NODE_STRING);
	node->key = key;
	node->key_len = key_len;
	node->text = text;
	node->text_len = len;
	return true;
}

/*
 * Parses a form.  Limits may be NULL for the default ones.  True: doc is an
 * object, to be kept no longer than the bytes.  False: doc holds only error
 * and error_offset, and nothing is to be freed.
 */
bool
po_document_parse_form(PoDocument *doc, const char *bytes, int len,
					   const PoDocumentLimits *limits)
{
	FormScanner s = {.doc = doc, .start = bytes, .len = len};
	int			offset = po_document_start(doc, bytes, len);
	const char *end;
	const char *pair_end;
	int			npairs;
	int		   *member;
	bool		grouped;

	if (offset < 0)
		return false;
	if (limits == NULL)
		limits = &po_document_limits;
	end = bytes + len;

	po_document_add(doc, PO_NODE_OBJECT);
	for (const char *pair = bytes + offset; pair < end; pair = pair_end + 1)
	{
		pair_end = memchr(pair, '&', end - pair);
		if (pair_end == NULL)
			pair_end = end;
		if (pair_end > pair && !add_pair(&s, pair, pair_end, limits))
			return false;
	}

	npairs = doc->nnodes - 1;
	if (npairs > 1)
	{
		member = palloc(2 * (Size) npairs * sizeof(int));
		for (int i = 0; i < npairs; i++)
			member[i] = i + 1;
		po_document_sort_members(doc, member, npairs, member + npairs);
		grouped = group_repeated(doc, member, npairs, limits);
		pfree(member);
		if (!grouped)
			return false;
	}
	link_members(doc, npairs);
	return true;
}
