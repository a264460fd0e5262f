/*
 * needs.h
 *	  What a profile needs to make a request, of its accounts and of messages.
 */
#ifndef PO_OUTBOUND_NEEDS_H
#define PO_OUTBOUND_NEEDS_H

#include "outbound/profile.h"

/* A name that a profile speaks of. */
typedef struct PoNeed
{
	const char *name;			/* of a placeholder, or base_url */
	bool		needed;			/* there is no request without it */
	bool		has_place;		/* in the request that sends */
} PoNeed;

typedef struct PoNeeds
{
	PoNeed	   *need;
	int			n;
} PoNeeds;

extern PoNeeds *po_read_needs(const PoProfile *profile);
extern const char *po_account_lacks(const PoAccount *account);
extern const char *po_account_flaw(const PoAccount *account);
extern bool po_needs(const PoProfile *profile, const char *name);
extern bool po_has_place(const PoProfile *profile, const char *name);

#endif
