/*-------------------------------------------------------------------------
 * document.c
 *	  The tape all media types are parsed into, and how it is read.
 *
 * Owns the node array's growth and every way to look something up in it.  The
 * parsers are json.c and form.c.
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

#define INITIAL_NODES	16

const PoDocumentLimits po_document_limits = {
	.max_depth = 64,
	.max_nodes = 10000,
	.max_key_bytes = 256,
	.max_exponent_digits = 3
};

/*
 * po_foreign_char returns what a byte that is no UTF-8 is read as: the character that
 * it is in Windows-1252, which is what senders of other encodings mostly use, without
 * its accent.  A name in a foreign encoding does not keep a STOP beside it from being
 * read; the bytes themselves are kept.
 */
char
po_foreign_char(unsigned char c)
{
	static const char read_as[] =
		"??,f\".??^%S<O?Z?" "?''\"\"*--~?s>o?zY"
		" !c??Y|??ca<--r-" "o?23'u?.,1o>????"
		"AAAAAAACEEEEIIII" "DNOOOOOxOUUUUYTs"
		"aaaaaaaceeeeiiii" "dnooooo/ouuuuyty";

	StaticAssertStmt(sizeof(read_as) == 128 + 1, "one for each byte above ASCII");
	return c < 0x80 ? (char) c : read_as[c - 0x80];
}

/*
 * Prepares an empty document.  Returns the offset of the first byte after a
 * byte order mark, or -1 with the error set if there is only white space.
 */
int
po_document_start(PoDocument *doc, const char *bytes, int len)
{
	int			offset = po_byte_order_mark(bytes, len);

	memset(doc, 0, sizeof(*doc));
	for (int i = offset; i < len; i++)
		if (!po_is_json_space(bytes[i]))
			return offset;
	po_document_fail(doc, "empty body", 0);
	return -1;
}

/*
 * Appends a node without links and returns it; the pointer is good until the
 * next call.  The array starts at INITIAL_NODES and doubles, so it is full
 * exactly when the count is one of those powers of two.
 */
PoNode *
po_document_add(PoDocument *doc, PoNodeType type)
{
	PoNode	   *node;
	int			n = doc->nnodes;

	if (n == 0)
		doc->node = palloc(INITIAL_NODES * sizeof(PoNode));
	else if (n >= INITIAL_NODES && (n & (n - 1)) == 0)
		doc->node = repalloc(doc->node, 2 * (Size) n * sizeof(PoNode));

	node = &doc->node[n];
	doc->nnodes = n + 1;
	node->type = type;
	node->key = NULL;
	node->key_len = 0;
	node->text = NULL;
	node->text_len = 0;
	node->child = -1;
	node->next = -1;
	node->count = 0;
	return node;
}

/*
 * Frees what was parsed and leaves only the error.  The phrase must be a
 * constant.  Returns false, for the caller to return.
 */
bool
po_document_fail(PoDocument *doc, const char *phrase, int offset)
{
	if (doc->node != NULL)
		pfree(doc->node);
	if (doc->arena != NULL)
		pfree(doc->arena);
	memset(doc, 0, sizeof(*doc));
	doc->error = phrase;
	doc->error_offset = offset;
	return false;
}

/* Orders two members by the bytes of their keys, a prefix first. */
int
po_document_compare_keys(const PoNode *a, const PoNode *b)
{
	int			cmp = memcmp(a->key, b->key, Min(a->key_len, b->key_len));

	return cmp != 0 ? cmp : a->key_len - b->key_len;
}

/*
 * Sorts node indexes by key, equal keys in the order given.  Scratch has room
 * for nmembers.  A merge sort, because no choice of keys makes it quadratic.
 */
void
po_document_sort_members(const PoDocument *doc, int *member, int nmembers, int *scratch)
{
	const PoNode *node = doc->node;

	for (int width = 1; width < nmembers; width *= 2)
	{
		for (int low = 0; low + width < nmembers; low += 2 * width)
		{
			int			mid = low + width;
			int			high = Min(mid + width, nmembers);
			int			left = 0;
			int			right = mid;
			int			out = low;

			if (po_document_compare_keys(&node[member[mid - 1]], &node[member[mid]]) <= 0)
				continue;
			memcpy(scratch, member + low, width * sizeof(int));
			while (left < width && right < high)
			{
				if (po_document_compare_keys(&node[scratch[left]], &node[member[right]]) <= 0)
					member[out++] = scratch[left++];
				else
					member[out++] = member[right++];
			}
			memcpy(member + out, scratch + left, (width - left) * sizeof(int));
		}
	}
}

/*
 * Finds the member of an object by its exact key; of several, the last one.
 * Returns -1 if there is none, or if `from` is -1 or no object.
 */
int
po_document_find(const PoDocument *doc, int from, const char *key, int key_len)
{
	const PoNode *node = doc->node;
	int			found = -1;

	if (from < 0 || from >= doc->nnodes || node[from].type != PO_NODE_OBJECT)
		return -1;
	for (int i = node[from].child; i >= 0; i = node[i].next)
	{
		if (node[i].key_len == key_len && memcmp(node[i].key, key, key_len) == 0)
			found = i;
	}
	return found;
}

/* Finds the element of an array by its decimal index, written without sign. */
static int
find_element(const PoDocument *doc, int from, const char *step)
{
	int			index = 0;
	int			i = doc->node[from].child;

	if (*step == '\0')
		return -1;
	for (; *step; step++)
	{
		if (*step < '0' || *step > '9')
			return -1;
		index = index * 10 + (*step - '0');
		if (index >= doc->node[from].count)
			return -1;
	}
	while (index-- > 0)
		i = doc->node[i].next;
	return i;
}

/*
 * Walks from the root: each step is a key of an object or the index of an
 * array; an array of one counts as its element.  No steps give the root.
 * Returns -1 as soon as a step finds nothing.
 */
int
po_document_path(const PoDocument *doc, const char *const *path, int npath)
{
	int			at = doc->nnodes > 0 ? 0 : -1;

	for (int i = 0; i < npath && at >= 0; i++)
	{
		int			element = -1;

		while (doc->node[at].type == PO_NODE_ARRAY &&
			   (element = find_element(doc, at, path[i])) < 0 && doc->node[at].count == 1)
			at = doc->node[at].child;
		at = element >= 0 ? element : po_document_find(doc, at, path[i], (int) strlen(path[i]));
	}
	return at;
}

/*
 * Gives the text of a string, number or boolean, or of the only element of an
 * array.  False for everything providers send for "nothing": no node (-1),
 * null, the empty string; and for any other container.  The text is the
 * document's own.
 */
bool
po_document_scalar(const PoDocument *doc, int node, const char **text, int *len)
{
	const PoNode *n;

	if (node < 0 || node >= doc->nnodes)
		return false;
	n = &doc->node[node];
	if (n->type == PO_NODE_ARRAY && n->count == 1)
		n = &doc->node[n->child];
	if (n->text == NULL || n->text_len == 0)
		return false;
	*text = n->text;
	*len = n->text_len;
	return true;
}
