/*
 * pool.h
 *	  The connections to the database, and who takes which webhooks when.
 */
#ifndef PO_SHIM_POOL_H
#define PO_SHIM_POOL_H

#include <event2/event.h>

#include "webhook.h"

extern void po_pool_start(struct event_base *base);
extern void po_pool_stop(void);
extern void po_pool_submit(PoWebhook *webhook);
extern const char *po_pool_problem(void);

#endif							/* PO_SHIM_POOL_H */
