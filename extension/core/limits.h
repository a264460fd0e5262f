/*
 * limits.h
 *	  How long texts, documents and arrays may be that come from outside.
 */
#ifndef PO_LIMITS_H
#define PO_LIMITS_H

#include "access/htup.h"
#include "fmgr.h"
#include "utils/relcache.h"
#include "utils/jsonb.h"

/* Ids are counted in characters. */
#define PO_MAX_ID 64
/* the same in UTF-8 */
#define PO_MAX_ID_BYTES (4 * PO_MAX_ID)

/* What an event keeps of the fields of a webhook; the body keeps all. */
#define PO_MAX_FIELDS_BYTES (32 * 1024)

/* What a statement that reads wide rows for a batch takes at most, in bytes. */
#define PO_MAX_BATCH_BYTES (8 * 1024 * 1024)

typedef struct PoLimit
{
	const char *name;
	int			most;
	bool		characters;		/* counted in characters, else in bytes */
	int			elements;		/* of an array, whose limit in bytes is that of all of it */
} PoLimit;

extern const PoLimit *po_limit(int i);
extern int	po_limit_of(const char *name);
extern bool po_fits_batch(Size *taken, Datum value);
extern void po_limit_row(Relation table, HeapTuple row);
extern void po_limit_argument(FunctionCallInfo fcinfo, int n);
extern void po_limit_arguments(FunctionCallInfo fcinfo);
extern void po_require_objects(FunctionCallInfo call);
extern char *po_json_key(const JsonbValue *key);

#endif
