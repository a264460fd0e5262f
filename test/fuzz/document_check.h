/*-------------------------------------------------------------------------
 * document_check.h
 *	  What must hold of any parsed document; shared by the fuzz targets.
 *-------------------------------------------------------------------------
 */
#ifndef DOCUMENT_CHECK_H
#define DOCUMENT_CHECK_H

typedef bool (*DocumentParser) (PoDocument *doc, const char *bytes, int len,
								const PoDocumentLimits *limits);

/* Stops the process unless the condition holds. */
#define CHECK(condition) \
	do { \
		if (!(condition)) \
			check_failed(#condition, __FILE__, __LINE__); \
	} while (0)

extern void check_failed(const char *condition, const char *file, int line) pg_attribute_noreturn();
extern bool parse_checked(DocumentParser parse, PoDocument *doc, const char *bytes, int len);
extern void check_same_digest(DocumentParser parse, const char *bytes, int len,
							  const uint8 digest[32]);
extern void release_document(PoDocument *doc);

#endif							/* DOCUMENT_CHECK_H */
