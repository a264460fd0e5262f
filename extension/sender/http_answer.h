/*-------------------------------------------------------------------------
 * http_answer.h
 *	  What comes back from a provider, as it is gathered piece by piece.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_ANSWER_H
#define PO_HTTP_ANSWER_H

/* A date of HTTP has 29 characters, of its oldest form 33. */
#define PO_HTTP_DATE_SIZE		48

typedef struct PoHttpGathered
{
	char	   *wanted;			/* name of a header that is wanted, or NULL */
	int			status;
	bool		header_complete;	/* of the final answer, not of a 1xx */
	int			header_len;		/* all header bytes, those of 1xx and trailers too */
	char	   *value;			/* of the wanted header, or NULL */
	bool		length_known;	/* not only the end of the connection ends the body */
	char		length[PO_HTTP_DATE_SIZE];
	char		date[PO_HTTP_DATE_SIZE];
	char		retry_after[PO_HTTP_DATE_SIZE];
	char	   *body;			/* NULL: none yet; with a NUL behind it */
	int			body_len;
	int			body_size;		/* allocated */
	const char *problem;		/* why it was not taken: a fixed phrase, or NULL */
} PoHttpGathered;

extern size_t po_gather_header(char *line, size_t size, size_t n, void *gathered);
extern size_t po_gather_body(char *bytes, size_t size, size_t n, void *gathered);
extern long po_gathered_retry_after(const PoHttpGathered *gathered);
extern long long po_gathered_date(const PoHttpGathered *gathered);
extern void po_free_gathered(PoHttpGathered *gathered);

#endif							/* PO_HTTP_ANSWER_H */
