/*
 * settle.h
 *	  Finding out what became of messages whose outcome is not known.
 */
#ifndef PO_SENDER_SETTLE_H
#define PO_SENDER_SETTLE_H

#include "outbound/message.h"
#include "sender/sender.h"

/* Where the profile is gone that would say it. */
#define PO_DEFAULT_QUIET (180 * USECS_PER_SEC)

extern int	po_settle(void);
extern bool po_settle_waits(void);
extern int64 po_quiet_time(const PoProfile *profile);
extern void po_settle_by_lookup(PoUnit *unit, PoMessage *message, const PoAccount *account,
								const PoFlight *flight, const PoCause *cause);

#endif
