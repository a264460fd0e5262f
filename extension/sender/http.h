/*-------------------------------------------------------------------------
 * http.h
 *	  HTTP requests to providers, many at once, none of them ever sent twice.
 *
 * How it is used: po_http_start(), then po_http_add() for each request.  The
 * caller waits for po_http_fd() to become readable, at most
 * po_http_timeout_ms(), calls po_http_drive(), and takes what po_http_next()
 * has.  Nothing here waits.  SIGPIPE must be ignored, as it is in a server
 * process.
 *
 * Each call ends in exactly one answer, at the latest in the first
 * po_http_drive() that begins after its time-out.  What has arrived by then is
 * read before: an answer that came while nobody drove is one.  Its outcome says
 * what the provider can know of the request:
 *
 *	ANSWERED	there is a complete answer.  What it means is not judged here: a
 *				redirection or a 500 is an answer as well.
 *	NOT_SENT	surely no byte of the request was written.
 *	LOST		all else: the provider may or may not have acted on it.
 *
 * Servers must have a certificate of an authority that libcurl trusts, or of one
 * in the file that SSL_CERT_FILE in the server's environment names.
 *
 * A request is written once, to one connection.  libcurl by itself repeats one
 * whose kept-alive connection died before an answer came; here that is LOST.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_H
#define PO_HTTP_H

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

extern bool po_http_start(bool allow_private);
extern void po_http_stop(void);
extern void po_http_allow_private(bool allow);

extern bool po_http_add(const PoHttpCall *call);
extern int	po_http_in_flight(void);

extern int	po_http_fd(void);
extern long po_http_timeout_ms(void);
extern void po_http_drive(void);
extern PoHttpAnswer *po_http_next(void);
extern void po_http_free(PoHttpAnswer *answer);

#endif							/* PO_HTTP_H */
