/*-------------------------------------------------------------------------
 * http_call.h
 *	  A call of a provider: the request that its caller wants sent, and the answer.
 *
 * The outcome of an answer says what the provider can know of the request:
 *
 *	ANSWERED	there is a complete answer.  What it means is not judged here: a
 *				redirection or a 500 is an answer as well.
 *	NOT_SENT	surely no byte of the request was written.
 *	LOST		all else: the provider may or may not have acted on it.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_CALL_H
#define PO_HTTP_CALL_H

/* An answer with more than this in its body, or in its header, is LOST. */
#define PO_HTTP_MAX_BODY		(64 * 1024)
#define PO_HTTP_MAX_HEADER		(64 * 1024)

/* The longest Retry-After that is believed, in seconds. */
#define PO_HTTP_MAX_RETRY_AFTER (365 * 24 * 3600)

typedef struct PoHttpCall
{
	const char *method;			/* any but HEAD */
	const char *url;
	const char *const *header;	/* "Name: value"; without a value it is left out */
	int			nheaders;
	const char *body;			/* or NULL */
	int			body_len;
	int			connect_timeout_ms;
	int			timeout_ms;		/* from po_http_add() to the end of the answer */
	const char *answer_header;	/* name of a header that is wanted, or NULL */
	const char *secret;			/* in the headers, for the reader of the answer; or NULL */
	void	   *tag;			/* comes back with the answer */
} PoHttpCall;

typedef enum PoHttpOutcome
{
	PO_HTTP_ANSWERED,
	PO_HTTP_NOT_SENT,
	PO_HTTP_LOST
} PoHttpOutcome;

typedef struct PoHttpAnswer
{
	void	   *tag;
	PoHttpOutcome outcome;
	int			http_status;	/* 200 to 999, 0 when not ANSWERED, as all until latency_ms */
	const char *body;			/* as received, with a NUL behind it; never NULL */
	int			body_len;
	const char *header_value;	/* of answer_header; NULL: not there */
	long		retry_after_s;	/* -1: not there, or not understood */
	long long	date;			/* the provider's own, in seconds since 1970; -1: not there, or not understood */
	int			latency_ms;		/* since po_http_add() */
	const char *error;			/* why it is not ANSWERED: a fixed phrase; else NULL */
} PoHttpAnswer;

extern const char *po_http_call_problem(const PoHttpCall *call);

#endif							/* PO_HTTP_CALL_H */
