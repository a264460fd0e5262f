/*
 * replied.h
 *	  Messages that a reply takes back.
 */
#ifndef PO_OUTBOUND_REPLIED_H
#define PO_OUTBOUND_REPLIED_H

#include "outbound/message.h"

/* A message that a reply of its lead, or of another with the phone, takes back. */
typedef struct PoReplyCancel
{
	PoMessageKey key;
	const char *lead_id;
} PoReplyCancel;

extern int	po_find_reply_cancels(const PoLeadKey *lead, int n, PoReplyCancel **cancel);
extern void po_cancel_on_reply(PoChangeSet *set, PoMessage *message, int n, const PoLead *replied,
							   const PoCause *cause);
extern void po_find_replied(const PoMessage *message, int n, bool *replied);

#endif
