/*-------------------------------------------------------------------------
 * fuzz_json.c
 *	  Fuzz target: the JSON parser and the digest.
 *
 * An accepted body is written again in another spelling: everything escaped,
 * members in reverse order, a byte order mark in front, white space between.
 * That must give the same digest; a container without its last bracket must be
 * refused.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/document.h"
#include "common/fe_memutils.h"
#include "mb/pg_wchar.h"

#include "document_check.h"

/* Objects larger than this are written in order, members overridden included. */
#define MAX_REVERSED	200

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Output
{
	char	   *bytes;
	size_t		len;
	size_t		size;
} Output;

static void
put(Output *out, const char *bytes, int len)
{
	if (out->len + len > out->size)
	{
		out->size = 2 * (out->len + len);
		out->bytes = pg_realloc(out->bytes, out->size);
	}
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void
put_string(Output *out, const char *text, int len)
{
	char		escape[16];

	put(out, "\"", 1);
	for (int i = 0, mblen; i < len; i += mblen)
	{
		pg_wchar	c;

		mblen = pg_utf_mblen((const unsigned char *) text + i);
		c = utf8_to_unicode((const unsigned char *) text + i);
		if (c > 0xFFFF)
			snprintf(escape, sizeof(escape), "\\u%04X\\u%04x",
					 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
		else
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		put(out, escape, (int) strlen(escape));
	}
	put(out, "\"", 1);
}

/* Recursive: the depth of what was accepted is bounded. */
static void
put_node(Output *out, const PoDocument *doc, int index)
{
	const PoNode *node = &doc->node[index];
	bool		object = node->type == PO_NODE_OBJECT;
	bool		reversed = object && node->count <= MAX_REVERSED;
	int		   *child;
	int			n = 0;

	switch (node->type)
	{
		case PO_NODE_NULL:
			put(out, "null ", 5);
			return;
		case PO_NODE_FALSE:
		case PO_NODE_TRUE:
		case PO_NODE_NUMBER:
			put(out, node->text, node->text_len);
			put(out, "\t", 1);
			return;
		case PO_NODE_STRING:
			put_string(out, node->text, node->text_len);
			return;
		default:
			break;
	}

	child = pg_malloc0((node->count + 1) * sizeof(int));
	for (int i = node->child; i != -1; i = doc->node[i].next)
	{
		if (!reversed ||
			po_document_find(doc, index, doc->node[i].key, doc->node[i].key_len) == i)
			child[n++] = i;
	}
	put(out, object ? "{ " : "[ ", 2);
	for (int i = 0; i < n; i++)
	{
		int			at = child[reversed ? n - 1 - i : i];

		if (i > 0)
			put(out, "\n,\r", 3);
		if (object)
		{
			put_string(out, doc->node[at].key, doc->node[at].key_len);
			put(out, " : ", 3);
		}
		put_node(out, doc, at);
	}
	put(out, object ? " }" : " ]", 2);
	pg_free(child);
}

static void
check_truncated(const char *bytes, int len)
{
	PoDocument	doc;

	while (len > 0 && bytes[len - 1] != ']' && bytes[len - 1] != '}')
		len--;
	CHECK(len > 0);
	CHECK(!parse_checked(po_document_parse_json, &doc, bytes, len - 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PoDocument	doc;
	uint8		digest[32];
	Output		out = {0};

	if (size > 1024 * 1024 ||
		!parse_checked(po_document_parse_json, &doc, (const char *) data, (int) size))
		return 0;

	po_document_digest(&doc, digest);
	put(&out, "\xEF\xBB\xBF\n", 4);
	put_node(&out, &doc, 0);
	check_same_digest(po_document_parse_json, out.bytes, (int) out.len, digest);
	if (doc.node[0].type == PO_NODE_OBJECT || doc.node[0].type == PO_NODE_ARRAY)
		check_truncated((const char *) data, (int) size);
	pg_free(out.bytes);
	release_document(&doc);
	return 0;
}
