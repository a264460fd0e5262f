/*-------------------------------------------------------------------------
 * document.h
 *	  A webhook body as a flat tape of nodes, whatever its media type was.
 *
 * A parser reads the bytes once and leaves an array of nodes linked by index
 * (first child, next sibling).  Everything behind the parser reads the body
 * through that tape, so that the value that was checked and the value that is
 * acted on are always the same one.
 *
 * Parsers neither recurse nor raise errors: a refused body is reported by
 * `error`, a fixed phrase that never repeats bytes of the body, so it may be
 * logged and answered as it is.  Only palloc may raise (out of memory).
 *
 * Lifetime: the nodes and the arena are palloc'd in the current memory context.
 * Text that needed no decoding points into the input, so a document is valid
 * as long as its input and that context are.  Text is valid UTF-8 without NUL
 * and is not NUL-terminated; bytes that are no UTF-8 are read as po_foreign_char() says.
 *-------------------------------------------------------------------------
 */
#ifndef PO_DOCUMENT_H
#define PO_DOCUMENT_H

typedef enum PoNodeType
{
	PO_NODE_NULL,
	PO_NODE_FALSE,
	PO_NODE_TRUE,
	PO_NODE_NUMBER,
	PO_NODE_STRING,
	PO_NODE_OBJECT,
	PO_NODE_ARRAY
} PoNodeType;

typedef struct PoNode
{
	PoNodeType	type;
	const char *key;			/* member name, NULL for elements and the root */
	int			key_len;
	const char *text;			/* decoded string, number or true/false as sent; NULL for containers and null */
	int			text_len;
	int			child;			/* first child, -1 if none */
	int			next;			/* next sibling, -1 if none */
	int			count;			/* members or elements of a container */
} PoNode;

typedef struct PoDocument
{
	PoNode	   *node;			/* node[0] is the root */
	int			nnodes;
	char	   *arena;			/* decoded text, NULL if there is none */
	const char *error;			/* NULL, or a fixed phrase */
	int			error_offset;	/* byte of the input the phrase is about */
} PoDocument;

typedef struct PoDocumentLimits
{
	int			max_depth;		/* containers inside one another */
	int			max_nodes;		/* values of the whole document */
	int			max_key_bytes;	/* of a member name, decoded */
	int			max_exponent_digits;	/* of a number */
} PoDocumentLimits;

/* Longest number literal accepted, in bytes. */
#define PO_DOCUMENT_MAX_NUMBER	64

extern const PoDocumentLimits po_document_limits;

extern bool po_document_parse_json(PoDocument *doc, const char *bytes, int len,
								   const PoDocumentLimits *limits);
extern bool po_document_parse_form(PoDocument *doc, const char *bytes, int len,
								   const PoDocumentLimits *limits);
extern char *po_form_decode(const char *from, const char *to, char *out);
extern char po_foreign_char(unsigned char c);

extern int	po_document_find(const PoDocument *doc, int from, const char *key, int key_len);
extern int	po_document_path(const PoDocument *doc, const char *const *path, int npath);
extern bool po_document_scalar(const PoDocument *doc, int node, const char **text, int *len);
extern void po_document_digest(const PoDocument *doc, uint8 digest[32]);

/* What JSON has between its tokens. */
static inline bool
po_is_json_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* How many bytes a byte order mark takes at the start. */
static inline int
po_byte_order_mark(const char *bytes, int len)
{
	return len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

/* What the parsers and the digest share; not for readers of a document. */
extern int	po_document_start(PoDocument *doc, const char *bytes, int len);
extern PoNode *po_document_add(PoDocument *doc, PoNodeType type);
extern bool po_document_fail(PoDocument *doc, const char *phrase, int offset);
extern int	po_document_compare_keys(const PoNode *a, const PoNode *b);
extern void po_document_sort_members(const PoDocument *doc, int *member, int nmembers,
									 int *scratch);

#endif							/* PO_DOCUMENT_H */
