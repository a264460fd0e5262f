/*
 * outbox.h
 *	  Asking for messages.
 */
#ifndef PO_OUTBOUND_OUTBOX_H
#define PO_OUTBOUND_OUTBOX_H

#include "outbound/draft.h"

extern void po_enqueue(const PoSendRequest *request, PoSendResult *result);
extern void po_preview(const PoSendRequest *request, PoDraft *draft);

#endif
