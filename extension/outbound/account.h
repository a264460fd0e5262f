/*
 * account.h
 *	  Whether an account has what its profile needs to make a request.
 */
#ifndef PO_OUTBOUND_ACCOUNT_H
#define PO_OUTBOUND_ACCOUNT_H

#include "outbound/profile.h"

extern const char *po_account_lacks(const PoAccount *account);
extern const char *po_account_flaw(const PoAccount *account);

#endif
