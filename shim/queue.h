/*
 * queue.h
 *	  The queue that webhooks wait in for the database.
 */
#ifndef PO_SHIM_QUEUE_H
#define PO_SHIM_QUEUE_H

#include "webhook.h"

extern bool po_queue_push(PoWebhook *webhook);
extern void po_queue_push_front(PoWebhook **webhooks, int count);
extern bool po_queue_retry(PoWebhook **webhooks, int count, bool alone);
extern int	po_queue_take(PoWebhook **out, int limit, int calls_of_slow);
extern int	po_queue_length(void);
extern void po_queue_expire(int64 now);
extern void po_queue_fail_all(const char *reason);

#endif							/* PO_SHIM_QUEUE_H */
