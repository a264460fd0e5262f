/*-------------------------------------------------------------------------
 * fuzz_form.c
 *	  Fuzz target: the form parser and the digest.
 *
 * An accepted form is written again with every byte encoded, the pairs of a
 * repeated key next to one another and empty pairs between; that must give the
 * same digest.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/document.h"
#include "common/fe_memutils.h"

#include "document_check.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
put_encoded(char *out, const char *text, int len)
{
	static const char digits[] = "0123456789aBcDeF";

	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		*out++ = '%';
		*out++ = digits[c >> 4];
		*out++ = digits[c & 15];
	}
	return out;
}

static char *
put_pair(char *out, const PoNode *named, const PoNode *value)
{
	*out++ = '&';
	*out++ = '&';
	out = put_encoded(out, named->key, named->key_len);
	*out++ = '=';
	return put_encoded(out, value->text, value->text_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PoDocument	doc;
	uint8		digest[32];
	size_t		room = 16;
	char	   *bytes;
	char	   *out;

	if (size > 1024 * 1024 ||
		!parse_checked(po_document_parse_form, &doc, (const char *) data, (int) size))
		return 0;

	CHECK(doc.node[0].type == PO_NODE_OBJECT);
	po_document_digest(&doc, digest);

	for (int i = doc.node[0].child; i != -1; i = doc.node[i].next)
	{
		const PoNode *node = &doc.node[i];

		CHECK(node->type == PO_NODE_STRING || (node->type == PO_NODE_ARRAY && node->count > 1));
		room += 3 * (size_t) (node->key_len + node->text_len) + 8;
		for (int j = node->child; j != -1; j = doc.node[j].next)
		{
			CHECK(doc.node[j].type == PO_NODE_STRING);
			room += 3 * (size_t) (node->key_len + doc.node[j].text_len) + 8;
		}
	}

	out = bytes = pg_malloc(room);
	for (int i = doc.node[0].child; i != -1; i = doc.node[i].next)
	{
		const PoNode *node = &doc.node[i];

		if (node->type == PO_NODE_STRING)
			out = put_pair(out, node, node);
		for (int j = node->child; j != -1; j = doc.node[j].next)
			out = put_pair(out, node, &doc.node[j]);
	}
	*out++ = '&';
	CHECK((size_t) (out - bytes) <= room);
	check_same_digest(po_document_parse_form, bytes, (int) (out - bytes), digest);

	pg_free(bytes);
	release_document(&doc);
	return 0;
}
