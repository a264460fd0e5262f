/*
 * reach.h
 *	  Phones that cannot be reached in a channel: the mark, and its end.
 */
#ifndef PO_LEAD_REACH_H
#define PO_LEAD_REACH_H

#include "unit/unit.h"

/* What a provider said that makes the mark. */
typedef struct PoUnreachable
{
	const char *channel;
	const char *code;			/* NULL: none */
	const char *reason;			/* what it means */
	const pg_uuid_t *message_id;	/* of the message that did not arrive; NULL: not known */
} PoUnreachable;

extern void po_mark_unreachable(PoUnit *unit, PoAddress *address, const PoUnreachable *mark,
								const PoCause *cause);
extern bool po_mark_reachable(PoUnit *unit, PoAddress *address, const char *channel,
							  const pg_uuid_t *message_id, TimestampTz said_at, const PoCause *cause);
extern bool po_is_marked(const PoAddress *address, const char *channel);
extern const char *po_unreachable_reason(Jsonb *marks, const char *channel);

#endif
