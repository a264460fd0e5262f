/*
 * replied.h
 *	  Messages that a reply takes back.
 */
#ifndef PO_OUTBOUND_REPLIED_H
#define PO_OUTBOUND_REPLIED_H

#include "outbound/message.h"

extern void po_cancel_on_reply(PoUnit *unit, const PoLead *replied, const PoCause *cause);
extern void po_find_replied(const PoMessage *message, int n, bool *replied);

#endif
