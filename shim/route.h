/*
 * route.h
 *	  Which path and method lead where.
 */
#ifndef PO_SHIM_ROUTE_H
#define PO_SHIM_ROUTE_H

#include "http_request.h"
#include "reply.h"

typedef struct PoRoute
{
	const char *path;
	bool		exact;			/* else every path below it */
	unsigned	methods;		/* bit mask over PoHttpMethod */
	const char *allow;
	void		(*answer) (PoAnswer *answer);	/* NULL: the database answers */
} PoRoute;

extern const PoRoute *po_route_find(const PoHttpRequest *request, PoAnswer *refusal);

#endif							/* PO_SHIM_ROUTE_H */
