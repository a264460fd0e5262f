/*-------------------------------------------------------------------------
 * bytes.h
 *	  Bytes that belong to somebody else, with their length and without a NUL.
 *
 * Nothing here raises, allocates or copies.
 *-------------------------------------------------------------------------
 */
#ifndef PO_BYTES_H
#define PO_BYTES_H

typedef struct PoBytes
{
	const char *data;
	int			len;
} PoBytes;

/* Whether both have the same bytes; not in constant time. */
static inline bool
po_same_bytes(PoBytes a, PoBytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Those of a text, which must outlive them. */
static inline PoBytes
po_bytes(const char *text)
{
	return (PoBytes) {text, (int) strlen(text)};
}

/* Strips a prefix; false, and nothing changed, if the text has another. */
static inline bool
po_strip_prefix(PoBytes *text, const char *prefix)
{
	int			len = strlen(prefix);

	if (text->len < len || memcmp(text->data, prefix, len) != 0)
		return false;
	text->data += len;
	text->len -= len;
	return true;
}

/* Those from one place on and before another, both within the text. */
static inline PoBytes
po_slice(PoBytes text, int from, int to)
{
	return (PoBytes) {text.data + from, to - from};
}

#endif							/* PO_BYTES_H */
