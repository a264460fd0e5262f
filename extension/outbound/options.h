/*
 * options.h
 *	  What a caller asks of a message beside its text.
 */
#ifndef PO_OUTBOUND_OPTIONS_H
#define PO_OUTBOUND_OPTIONS_H

#include "outbound/profile.h"
#include "outbound/send_request.h"

extern void po_read_options(PoSendRequest *request);
extern int	po_read_addresses(const char *path, const JsonbValue *value, const char ***address);
extern int	po_add_address(const char **address, int n, const char *another);
extern const char *po_has_no_place(const PoProfile *profile, const char *placeholder, const char *path,
								   const char **hint);

#endif
