/*
 * request.h
 *	  The HTTP request that hands a message to its provider, or asks for it.
 */
#ifndef PO_SENDER_REQUEST_H
#define PO_SENDER_REQUEST_H

#include "outbound/profile.h"
#include "sender/http.h"

/* Of the body of a profile. */
#define PO_REQUEST_MAX_DEPTH 16

/* What a request is made of. */
typedef struct PoRequestInput
{
	const PoAccount *account;
	pg_uuid_t	message_id;
	const char *to;
	const char *from;
	const char *subject;
	const char *body;
	const char *html;
	const char **bcc;
	int			nbcc;
	const char **media_url;
	int			nmedia;
	TimestampTz started_at;		/* of a look-up: when the message was sent, perhaps */
} PoRequestInput;

extern const char *po_send_request(const PoRequestInput *input, PoHttpCall *call);
extern const char *po_lookup_request(const PoRequestInput *input, PoHttpCall *call);

#endif
