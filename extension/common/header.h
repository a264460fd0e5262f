/*-------------------------------------------------------------------------
 * header.h
 *	  Headers that carry proofs: found by their name, and the times in them.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HEADER_H
#define PO_HEADER_H

#include "common/proof.h"

extern bool po_same_name(PoBytes a, PoBytes b);
extern int	po_find_header(const PoSignedRequest *request, PoBytes name, PoBytes *value);
extern bool po_family_of(PoBytes signature_name, PoBytes *family);
extern int	po_find_of_family(const PoSignedRequest *request, PoBytes family, const char *rest,
							  PoBytes *value);
extern bool po_is_recent(const PoSignedRequest *request, PoBytes text, int64 unit_ms);
extern const char *po_header_name_problem(PoBytes name);

#endif							/* PO_HEADER_H */
