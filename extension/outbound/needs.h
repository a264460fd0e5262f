/*
 * needs.h
 *	  What a profile needs to make a request, of its accounts and of messages.
 */
#ifndef PO_OUTBOUND_NEEDS_H
#define PO_OUTBOUND_NEEDS_H

#include "core/statement.h"

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

extern PoNeeds *po_read_needs(const char *url, const char *lookup_url, Jsonb *headers, Jsonb *body,
							  const PoTexts *required);
extern PoNeed *po_find_need(const PoNeeds *needs, const char *name, int len);
extern bool po_needs(const PoNeeds *needs, const char *name);
extern bool po_has_place(const PoNeeds *needs, const char *name);

#endif
