/*
 * reply.h
 *	  What is answered, and how it looks on the wire.
 */
#ifndef PO_SHIM_REPLY_H
#define PO_SHIM_REPLY_H

#include <event2/buffer.h>

/* An answer; the strings belong to whoever made it and are copied when sent. */
typedef struct PoAnswer
{
	int			status;
	const char *content_type;	/* NULL: none */
	const char *body;
	size_t		body_len;
	const char *outcome;		/* one word for the log */
	const char *allow;			/* for 405, else NULL */
	bool		retry_later;	/* add Retry-After */
	int			batch;			/* webhooks in the same statement; 0: none */
} PoAnswer;

extern void po_answer_error(PoAnswer *answer, int status, const char *reason);
extern void po_answer_retry(PoAnswer *answer, const char *reason);
extern void po_reply_append(struct evbuffer *out, const PoAnswer *answer,
							const char *correlation_id, bool head_only, int minor_version,
							bool keep_alive);

#endif							/* PO_SHIM_REPLY_H */
