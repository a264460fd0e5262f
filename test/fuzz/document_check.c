/*-------------------------------------------------------------------------
 * document_check.c
 *	  What must hold of any parsed document; shared by the fuzz targets.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/document.h"
#include "common/fe_memutils.h"
#include "mb/pg_wchar.h"

#include "document_check.h"

/* Looking up every member is quadratic: large objects are left out. */
#define MAX_LOOKUPS		200

/* Frees what a parser allocated; a refused document is fine, too. */
void
release_document(PoDocument *doc)
{
	if (doc->node)
		pfree(doc->node);
	if (doc->arena)
		pfree(doc->arena);
}

static void
check_text(const PoDocument *doc, const char *text, int text_len, const char *bytes, int len)
{
	bool		in_input = text >= bytes && text + text_len <= bytes + len;
	bool		in_arena = doc->arena != NULL && text >= doc->arena &&
		text + text_len <= doc->arena + len;

	CHECK(text_len >= 0);
	CHECK(in_input || in_arena);
	CHECK(memchr(text, '\0', text_len) == NULL);
	for (int i = 0, mblen; i < text_len; i += mblen)
	{
		mblen = pg_utf_mblen((const unsigned char *) text + i);
		CHECK(mblen <= text_len - i);
		CHECK(pg_utf8_islegal((const unsigned char *) text + i, mblen));
	}
}

static void
check_node(const PoDocument *doc, int index, const char *bytes, int len)
{
	const PoNode *node = &doc->node[index];
	bool		container = node->type == PO_NODE_OBJECT || node->type == PO_NODE_ARRAY;
	const char *text = NULL;
	int			text_len = 0;

	CHECK((node->text == NULL) == (container || node->type == PO_NODE_NULL));
	if (node->text)
		check_text(doc, node->text, node->text_len, bytes, len);
	if (node->type == PO_NODE_NUMBER)
		CHECK(node->text_len >= 1 && node->text_len <= PO_DOCUMENT_MAX_NUMBER);
	if (node->key)
	{
		check_text(doc, node->key, node->key_len, bytes, len);
		CHECK(node->key_len <= po_document_limits.max_key_bytes);
	}
	if (!container)
		CHECK(node->child == -1 && node->count == 0);
	if (po_document_scalar(doc, index, &text, &text_len))
	{
		CHECK(text_len > 0);
		check_text(doc, text, text_len, bytes, len);
	}
}

/*
 * Every node but the root has exactly one parent, which comes before it, so
 * the nodes are one tree; and it is within the limits.
 */
static void
check_tree(const PoDocument *doc)
{
	int		   *depth = pg_malloc0(doc->nnodes * sizeof(int));

	CHECK(doc->nnodes <= po_document_limits.max_nodes);
	CHECK(doc->node[0].next == -1 && doc->node[0].key == NULL);
	depth[0] = 1;
	for (int i = 0; i < doc->nnodes; i++)
	{
		const PoNode *node = &doc->node[i];
		int			count = 0;

		CHECK(depth[i] > 0);
		if (node->type == PO_NODE_OBJECT || node->type == PO_NODE_ARRAY)
			CHECK(depth[i] <= po_document_limits.max_depth);
		for (int j = node->child; j != -1; j = doc->node[j].next)
		{
			const PoNode *child = &doc->node[j];

			CHECK(j > i && j < doc->nnodes);
			CHECK(depth[j] == 0);
			CHECK((child->key != NULL) == (node->type == PO_NODE_OBJECT));
			depth[j] = depth[i] + 1;
			count++;
		}
		CHECK(count == node->count);

		if (node->type == PO_NODE_OBJECT && count <= MAX_LOOKUPS)
		{
			for (int j = node->child; j != -1; j = doc->node[j].next)
			{
				const PoNode *child = &doc->node[j];
				int			found = po_document_find(doc, i, child->key, child->key_len);

				CHECK(found >= j);
				CHECK(po_document_compare_keys(&doc->node[found], child) == 0);
			}
		}
	}
	pg_free(depth);
}

/* The members or elements of the root are where a path says. */
static void
check_paths(const PoDocument *doc)
{
	const PoNode *root = &doc->node[0];
	int			position = 0;

	for (int i = root->child; i != -1 && position < MAX_LOOKUPS; i = doc->node[i].next)
	{
		const PoNode *node = &doc->node[i];
		char	   *step = node->key ? pnstrdup(node->key, node->key_len) : psprintf("%d", position);
		const char *path[] = {step, "0"};
		int			found = po_document_path(doc, path, 1);

		CHECK(root->type == PO_NODE_OBJECT ? found >= i : found == i);
		if (doc->node[found].type == PO_NODE_ARRAY)
			CHECK(po_document_path(doc, path, 2) == doc->node[found].child);
		pfree(step);
		position++;
	}
}

/* A body within narrow limits must be within the usual ones, too. */
static bool
fits_narrow_limits(DocumentParser parse, const char *bytes, int len)
{
	PoDocument	doc;
	PoDocumentLimits narrow = {3, 8, 4, 1};
	bool		parsed = parse(&doc, bytes, len, &narrow);

	CHECK(parsed == (doc.error == NULL) && doc.nnodes <= narrow.max_nodes);
	release_document(&doc);
	return parsed;
}

/* Parses and checks the outcome.  If true, the caller releases doc. */
bool
parse_checked(DocumentParser parse, PoDocument *doc, const char *bytes, int len)
{
	bool		narrow = fits_narrow_limits(parse, bytes, len);

	if (!parse(doc, bytes, len, NULL))
	{
		CHECK(!narrow && doc->error != NULL);
		CHECK(doc->node == NULL && doc->arena == NULL && doc->nnodes == 0);
		CHECK(doc->error_offset >= 0 && doc->error_offset <= len);
		return false;
	}
	CHECK(doc->error == NULL && doc->nnodes > 0);
	for (int i = 0; i < doc->nnodes; i++)
		check_node(doc, i, bytes, len);
	check_tree(doc);
	check_paths(doc);
	return true;
}

/* Another spelling of a document must be accepted and have its digest. */
void
check_same_digest(DocumentParser parse, const char *bytes, int len, const uint8 digest[32])
{
	PoDocument	doc;
	uint8		again[32];

	CHECK(parse_checked(parse, &doc, bytes, len));
	po_document_digest(&doc, again);
	CHECK(memcmp(digest, again, 32) == 0);
	release_document(&doc);
}
