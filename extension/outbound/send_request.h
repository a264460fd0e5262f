/*
 * send_request.h
 *	  What a caller asks to be sent, and what becomes of each message of it.
 */
#ifndef PO_OUTBOUND_SEND_REQUEST_H
#define PO_OUTBOUND_SEND_REQUEST_H

#include "outbound/priority.h"
#include "unit/message_states.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/*
 * Keys of messages that timers send.  No caller can give one, and so none can hold
 * one that a worker is to insert.
 */
#define PO_TIMER_KEY_PREFIX "timer:"

/*
 * A message to one or many leads of a tenant.  Who gets it is named by lead, or by
 * address; po_enqueue then sets the leads.
 */
typedef struct PoSendRequest
{
	const char *tenant_id;
	const char *channel;
	const char *body;			/* NULL: of the template, or of per_lead */
	const char *template;		/* NULL: body */
	const char *from_phone;		/* NULL: chosen */
	TimestampTz send_at;		/* DT_NOBEGIN: now */
	PoPriority	priority;
	bool		cancel_on_reply;
	Jsonb	   *options;		/* NULL: none; read by po_read_options */
	const char *html;			/* NULL: of the template, or none */
	const char **bcc;			/* folded */
	int			nbcc;
	const char **media_url;
	int			nmedia;
	const char **lead_id;
	const char **address;		/* NULL: leads are named */
	Jsonb	   *per_lead;		/* what differs, by lead or address as named; NULL: nothing */
	bool		each;			/* what is wrong with one is its result, and no error */
	const char **send_key;		/* NULL, or each may be NULL: made of lead, template and day */
	int			n;
} PoSendRequest;

typedef struct PoSendResult
{
	pg_uuid_t	message_id;
	PoMessageStatus status;
	bool		duplicate;
	bool		rejected;		/* no message can be made of it; verdicts say why */
	Jsonb	   *verdicts;		/* NULL: all guards allow */
} PoSendResult;

#endif
