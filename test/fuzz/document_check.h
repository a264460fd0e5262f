/*-------------------------------------------------------------------------
 * document_check.h
 *	  What must hold of any parsed document; shared by the fuzz targets.
 *-------------------------------------------------------------------------
 */
#ifndef DOCUMENT_CHECK_H
#define DOCUMENT_CHECK_H

#include "check.h"

typedef bool (*DocumentParser) (PoDocument *doc, const char *bytes, int len,
								const PoDocumentLimits *limits);

extern bool parse_checked(DocumentParser parse, PoDocument *doc, const char *bytes, int len);
extern void check_same_digest(DocumentParser parse, const char *bytes, int len,
							  const uint8 digest[32]);
extern void release_document(PoDocument *doc);

#endif							/* DOCUMENT_CHECK_H */
