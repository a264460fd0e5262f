/*
 * webhook.h
 *	  A webhook on its way to the database, and the way back of its answer.
 *
 * A webhook owns its request.  It is answered exactly once, by
 * po_webhook_answer(), which frees it.  When the client has gone before that,
 * po_webhook_abandon() cuts the way back: what is still waiting is dropped,
 * what is with the database runs to its end unheard.
 */
#ifndef PO_SHIM_WEBHOOK_H
#define PO_SHIM_WEBHOOK_H

#include "address.h"
#include "http_request.h"
#include "reply.h"
#include "uuid.h"

typedef struct PoWebhook PoWebhook;
typedef void (*PoWebhookDone) (void *arg, PoWebhook *webhook, const PoAnswer *answer);

struct PoWebhook
{
	PoWebhook  *next;
	PoHttpRequest *request;
	PoWebhookDone done;			/* NULL: abandoned */
	void	   *arg;
	size_t		memory;			/* charged to the budget */
	int64		queued_at;		/* monotonic */
	int			lane;
	bool		retried;
	bool		alone;			/* not to be put in a batch */
	bool		has_remote;
	char		remote[PO_ADDRESS_TEXT];
	char		correlation_id[PO_UUID_LEN + 1];
};

extern void po_webhook_answer(PoWebhook *webhook, const PoAnswer *answer);
extern void po_webhooks_fail(PoWebhook **webhooks, int count, const char *reason);
extern void po_webhook_abandon(PoWebhook *webhook);
extern void po_webhook_free(PoWebhook *webhook);

#endif							/* PO_SHIM_WEBHOOK_H */
