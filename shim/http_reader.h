/*
 * http_reader.h
 *	  Bytes in, one request at a time out, or a refusal.
 *
 * The reader knows no sockets and no clock.  Memory: the head (bounded by the
 * two head limits) and the body received so far (bounded by the body limit),
 * both owned by the request inside until po_http_reader_take() moves it out.
 * After a refusal the reader accepts nothing more: the connection must close.
 */
#ifndef PO_SHIM_HTTP_READER_H
#define PO_SHIM_HTTP_READER_H

#include "llhttp.h"

#include "http_request.h"

typedef struct PoHttpLimits
{
	size_t		request_line;
	size_t		header_bytes;
	int			header_count;
	size_t		body;
} PoHttpLimits;

typedef enum PoHttpProgress
{
	PO_HTTP_MORE,				/* all bytes taken, feed more */
	PO_HTTP_HEAD,				/* head read; call again for the body */
	PO_HTTP_COMPLETE,			/* request complete; take it */
	PO_HTTP_REFUSED				/* see refusal; nothing more is read */
} PoHttpProgress;

/* Where in the message the reader stands; see http_reader.c. */
typedef enum PoHttpPhase
{
	PO_PHASE_HEAD,
	PO_PHASE_BODY,
	PO_PHASE_CHUNK_SIZE,
	PO_PHASE_CHUNK_SIZE_LF,
	PO_PHASE_CHUNK_DATA,
	PO_PHASE_CHUNK_DATA_LF,
	PO_PHASE_TRAILER,
	PO_PHASE_DONE,
	PO_PHASE_REFUSED
} PoHttpPhase;

typedef struct PoHttpReader
{
	llhttp_t	parser;
	const PoHttpLimits *limits;
	PoHttpPhase phase;
	PoHttpRefusal refusal;

	/* line discipline of head and trailer */
	bool		after_cr;
	int			lines;			/* complete lines so far */
	size_t		line_len;		/* of the current line, without CR */
	size_t		request_line_len;
	size_t		header_bytes;	/* of head and trailer together */

	/* chunk framing */
	int			size_digits;
	bool		size_nonzero;
	const char *framing;		/* first byte of this feed not yet checked */

	PoHttpRequest *request;
} PoHttpReader;

extern void po_http_reader_init(PoHttpReader *reader, const PoHttpLimits *limits);
extern void po_http_reader_reset(PoHttpReader *reader);
extern PoHttpProgress po_http_read(PoHttpReader *reader, const char *data, size_t len,
								   size_t *consumed);
extern PoHttpRequest *po_http_reader_take(PoHttpReader *reader);
extern size_t po_http_reader_memory(const PoHttpReader *reader);
extern void po_http_request_free(PoHttpRequest *request);

#endif							/* PO_SHIM_HTTP_READER_H */
