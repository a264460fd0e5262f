/*-------------------------------------------------------------------------
 * http_transfer.h
 *	  One request of http.h: what it sends, libcurl's handle, what became of it.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_TRANSFER_H
#define PO_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "lib/ilist.h"

#include "sender/http_answer.h"
#include "sender/http_call.h"

typedef struct PoHttpTransfer
{
	PoHttpAnswer answer;		/* first: it is what the caller gets */
	dlist_node	node;			/* http.c's */
	CURL	   *easy;			/* NULL when it is finished */
	int64		started_at;		/* on po_monotonic_ms() */
	int64		give_up_at;
	int			connect_ms;
	struct curl_slist *header;
	char	   *body;
	size_t		body_len;
	size_t		body_read;
	bool		requested;		/* a request was, or is about to be, written */
	bool		address_refused;
	bool		closed;			/* the connection was, before the request */
	bool		again;			/* it was added a second time */
	PoHttpGathered gathered;
} PoHttpTransfer;

extern int64 po_monotonic_ms(void);

extern bool po_transfers_start(void);
extern void po_transfers_stop(void);

extern PoHttpTransfer *po_transfer_make(const PoHttpCall *call);
extern void po_transfer_refuse(PoHttpTransfer *transfer, const char *problem);
extern bool po_transfer_again(PoHttpTransfer *transfer, CURLcode code);
extern void po_transfer_finish(PoHttpTransfer *transfer, CURLcode code);
extern void po_transfer_free(PoHttpTransfer *transfer);

#endif							/* PO_HTTP_TRANSFER_H */
