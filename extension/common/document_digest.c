/*-------------------------------------------------------------------------
 * document_digest.c
 *	  SHA-256 of a canonical form of a document.
 *
 * Two bodies that say the same get the same digest, whatever their white
 * space, escapes and order of members; of a repeated member the last counts,
 * as it does for readers.  Numbers count as written: 1.0 is not 1.
 *
 * The form is written in preorder, integers in four bytes, high byte first:
 *	  null, false, true		'z', 'f', 't'
 *	  number, string		'n' or 's', length, bytes
 *	  array					'a', count, values
 *	  object				'o', count, then key length, key, value by key
 * Every part states its length first, so no two documents have one form.
 * Digests are stored as keys: this form must never change.
 *
 * No locks.  The only state is the OpenSSL algorithm, fetched once a process
 * because a fetch costs more than the digest of a small body.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#include "common/fe_memutils.h"
#endif

#include <openssl/evp.h>

#include "common/document.h"

static const char node_tag[] = {
	[PO_NODE_NULL] = 'z',
	[PO_NODE_FALSE] = 'f',
	[PO_NODE_TRUE] = 't',
	[PO_NODE_NUMBER] = 'n',
	[PO_NODE_STRING] = 's',
	[PO_NODE_OBJECT] = 'o',
	[PO_NODE_ARRAY] = 'a'
};

/* Tag, key length, and length or count: the most a node adds to its bytes. */
#define NODE_OVERHEAD	9

static char *
put_int(char *out, int value)
{
	uint32		v = (uint32) value;

	*out++ = (char) (v >> 24);
	*out++ = (char) (v >> 16);
	*out++ = (char) (v >> 8);
	*out++ = (char) v;
	return out;
}

static char *
put_bytes(char *out, const char *bytes, int len)
{
	out = put_int(out, len);
	if (len > 0)
		memcpy(out, bytes, len);
	return out + len;
}

/*
 * Lists the children that count, in canonical order; returns how many.  Room
 * in `list` and `scratch`: as many as there are children.
 */
static int
list_children(const PoDocument *doc, const PoNode *container, int *list, int *scratch)
{
	int			n = 0;
	int			kept = 0;

	for (int i = container->child; i >= 0; i = doc->node[i].next)
		list[n++] = i;
	if (container->type != PO_NODE_OBJECT)
		return n;

	po_document_sort_members(doc, list, n, scratch);
	for (int i = 0; i < n; i++)
	{
		if (i + 1 == n ||
			po_document_compare_keys(&doc->node[list[i]], &doc->node[list[i + 1]]) != 0)
			list[kept++] = list[i];
	}
	return kept;
}

/*
 * Writes the canonical form to `out`; returns its end.  A node is on the stack
 * of nodes still to be written at most once, hence `stack` and `scratch` have
 * room for all nodes.
 */
static char *
put_document(char *out, const PoDocument *doc, int *stack, int *scratch)
{
	int			depth = 0;

	if (doc->nnodes > 0)
		stack[depth++] = 0;

	while (depth > 0)
	{
		const PoNode *node = &doc->node[stack[--depth]];

		if (node->key != NULL)
			out = put_bytes(out, node->key, node->key_len);
		*out++ = node_tag[node->type];

		if (node->type == PO_NODE_NUMBER || node->type == PO_NODE_STRING)
			out = put_bytes(out, node->text, node->text_len);
		else if (node->type == PO_NODE_OBJECT || node->type == PO_NODE_ARRAY)
		{
			int		   *list = stack + depth;
			int			n = list_children(doc, node, list, scratch);

			out = put_int(out, n);
			depth += n;
			for (int i = 0; i < n / 2; i++)
			{
				int			swap = list[i];

				list[i] = list[n - 1 - i];
				list[n - 1 - i] = swap;
			}
		}
	}
	return out;
}

static void
sha256(const char *bytes, Size len, uint8 digest[32])
{
	static EVP_MD *algorithm = NULL;

	if (algorithm == NULL)
		algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (algorithm != NULL && EVP_Digest(bytes, len, digest, NULL, algorithm, NULL) == 1)
		return;
#ifdef FRONTEND
	fprintf(stderr, "could not compute SHA-256\n");
	exit(EXIT_FAILURE);
#else
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute SHA-256")));
#endif
}

/*
 * Computes the digest of a parsed document.  Takes time n log n in the number
 * of nodes and leaves nothing allocated.  Raises an error only if OpenSSL has
 * no SHA-256 or memory is out.
 */
void
po_document_digest(const PoDocument *doc, uint8 digest[32])
{
	Size		size = 1;
	char	   *form;
	int		   *stack;

	for (int i = 0; i < doc->nnodes; i++)
		size += NODE_OVERHEAD + (Size) doc->node[i].key_len + (Size) doc->node[i].text_len;

	form = palloc(size);
	stack = palloc(2 * ((Size) doc->nnodes + 1) * sizeof(int));
	sha256(form, put_document(form, doc, stack, stack + doc->nnodes) - form, digest);
	pfree(stack);
	pfree(form);
}
