/*
 * database.h
 *	  One connection to the database, as a state machine on the event loop.
 *
 * A connection takes one call at a time: one webhook, or a batch of them.  It
 * answers them only when the server is ready for the next query, that is, when
 * their transaction is over; or with 503 when it cannot know.
 */
#ifndef PO_SHIM_DATABASE_H
#define PO_SHIM_DATABASE_H

#include <event2/event.h>

#include "webhook.h"

typedef enum PoDatabaseState
{
	PO_DATABASE_DOWN,			/* waiting for the next attempt */
	PO_DATABASE_CONNECTING,
	PO_DATABASE_CHECKING,
	PO_DATABASE_PREPARING,
	PO_DATABASE_UNUSABLE,		/* connected, but the functions are not there */
	PO_DATABASE_IDLE,
	PO_DATABASE_BUSY,
	PO_DATABASE_CANCELLING		/* nobody waits for the call any more */
} PoDatabaseState;

typedef struct PoDatabase PoDatabase;

extern PoDatabase *po_database_new(struct event_base *base, int number,
								   void (*changed) (PoDatabase *database));
extern void po_database_start(PoDatabase *database);
extern void po_database_free(PoDatabase *database);

extern PoDatabaseState po_database_state(const PoDatabase *database);
extern bool po_database_is_up(const PoDatabase *database);
extern bool po_database_is_likely(const PoDatabase *database);
extern int64 po_database_last_answer(const PoDatabase *database);

extern void po_database_call(PoDatabase *database, PoWebhook **webhooks, int count);

#endif							/* PO_SHIM_DATABASE_H */
