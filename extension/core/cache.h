/*
 * cache.h
 *	  When what a backend remembers of the configuration tables is stale.
 */
#ifndef PO_CACHE_H
#define PO_CACHE_H

#include "utils/palloc.h"

/*
 * One remembered set of rows.  Declare it static with a name; everything in it
 * lives in context.
 */
typedef struct PoCache
{
	const char *name;
	MemoryContext context;		/* NULL until first filled */
	uint64		generation;		/* 0 until completely filled */
	uint64		filling;		/* generation when the filling began */
} PoCache;

extern bool po_cache_fresh(PoCache *cache);
extern MemoryContext po_cache_reset(PoCache *cache);
extern void po_cache_filled(PoCache *cache);
extern void po_cache_discard(PoCache *cache);

#endif
