/*
 * queue.h
 *	  Webhooks on their way to the database, and the queue they wait in.
 *
 * A webhook owns its request.  It is answered exactly once, by
 * po_webhook_answer(), which frees it.  When the client has gone before that,
 * po_webhook_abandon() cuts the way back: what is still waiting is dropped,
 * what is with the database runs to its end unheard.
 */
#ifndef PO_SHIM_QUEUE_H
#define PO_SHIM_QUEUE_H

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

extern bool po_queue_push(PoWebhook *webhook);
extern void po_queue_push_front(PoWebhook **webhooks, int count);
extern bool po_queue_retry(PoWebhook **webhooks, int count, bool alone);
extern int	po_queue_take(PoWebhook **out, int limit, int calls_of_slow);
extern int	po_queue_length(void);
extern void po_queue_expire(int64 now);
extern void po_queue_fail_all(const char *reason);

#endif							/* PO_SHIM_QUEUE_H */
