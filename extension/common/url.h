/*-------------------------------------------------------------------------
 * url.h
 *	  The public URL of an endpoint: its parts, and whether requests can have it.
 *
 * What is checked when an endpoint is made is split as what is signed, by one
 * function.  Nothing here raises, allocates or keeps a pointer.
 *-------------------------------------------------------------------------
 */
#ifndef PO_URL_H
#define PO_URL_H

#include "common/bytes.h"

/* What the engine adds to a callback's URL: a message's id, a point, and a MAC. */
#define PO_REFERENCE_LEN 69

/* Cut around the port, so that the port can be exchanged. */
typedef struct PoUrl
{
	PoBytes		origin;			/* scheme, user and host */
	PoBytes		host;			/* without the user */
	PoBytes		port;			/* with its colon; may be empty */
	PoBytes		path;
	PoBytes		query;			/* without the '?' */
	bool		has_query;
	PoBytes		standard_port;
} PoUrl;

/* What is wrong with it, and what to do; fixed phrases. */
typedef struct PoUrlFlaw
{
	const char *problem;
	const char *hint;
} PoUrlFlaw;

extern int	po_find_any(PoBytes text, int from, const char *characters);
extern bool po_split_url(PoBytes url, PoUrl *split);
extern bool po_is_reference(PoBytes parameter);
extern const PoUrlFlaw *po_check_url(PoBytes url, bool is_signed);

#endif							/* PO_URL_H */
