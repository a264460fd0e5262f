/*
 * reject.h
 *	  What no message can be made of.
 */
#ifndef PO_OUTBOUND_REJECT_H
#define PO_OUTBOUND_REJECT_H

#include "outbound/send_request.h"

extern void po_reject(const PoSendRequest *request, PoSendResult *result, int sqlstate,
					  const char *message, const char *detail, const char *hint);
extern bool po_check_item(const PoSendRequest *request, int item, PoSendResult *result);

#endif
