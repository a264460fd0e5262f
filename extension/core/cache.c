/*
 * cache.c
 *	  Invalidation of what a backend remembers of the configuration tables.
 *
 * A trigger on each of these tables sends a relation cache invalidation when
 * its rows change; it reaches every backend with the commit.  A cache is stale when
 * a table that it is read from has changed: what tenants may write themselves, as
 * often as they like, makes nobody read anew what it has nothing to do with.
 *
 * What a cache held before it was rebuilt stays allocated until the next call that is
 * nobody's part, because this call, or an outer one, may still be reading it: a long
 * transaction is not made to grow by those who change configuration meanwhile.
 *
 * A transaction that keeps one snapshot may fill a cache with rows that were
 * replaced before it did, and whose invalidation has already come: where that
 * can have happened, the caches are stale when it ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "core/cache.h"
#include "core/compat.h"
#include "port/pg_bitutils.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static const char *const config_tables[PO_NCONFIG_TABLES] = {
#define X(name, bit, table) table,
	PO_CONFIG_TABLES(X)
#undef X
};

static Oid	config_relid[PO_NCONFIG_TABLES];
static bool relids_known = false;
static uint64 changes[PO_NCONFIG_TABLES];	/* of each */
static uint64 generation = 1;	/* of all */
static uint64 generation_before = 1;	/* when the last transaction ended */
static bool one_snapshot = false;	/* caches used by such a transaction */
static MemoryContext retired = NULL;	/* what is discarded, below it */

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < PO_NCONFIG_TABLES; i++)
	{
		if (relid != InvalidOid && relid != config_relid[i])
			continue;
		changes[i]++;
		generation++;
		relids_known = false;
	}
}

/* The number of changes of what the cache is read from, and one. */
static uint64
generation_of(const PoCache *cache)
{
	uint64		result = 1;

	for (int i = 0; i < PO_NCONFIG_TABLES; i++)
		if ((cache->tables & ((uint32) 1 << i)) != 0)
			result += changes[i];
	return result;
}

/* A role of another name is bound to other tenants, and so is another of that name. */
static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	changes[pg_rightmost_one_pos32(PO_OF_TENANT_ROLES)]++;
	generation++;
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (one_snapshot && generation != generation_before)
		relation_changed(0, InvalidOid);
	one_snapshot = false;
	generation_before = generation;
}

/*
 * po_cache_fresh tells whether the cache may be used as it is.
 */
bool
po_cache_fresh(PoCache *cache)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
		RegisterXactCallback(transaction_ended, NULL);
		registered = true;
		/* Whatever changed before nobody listened counts as a change. */
		relation_changed(0, InvalidOid);
	}
	one_snapshot |= IsolationUsesXactSnapshot();
	if (!relids_known)
	{
		Oid			namespace = get_namespace_oid("outreach", false);

		for (int i = 0; i < PO_NCONFIG_TABLES; i++)
			config_relid[i] = get_relname_relid(config_tables[i], namespace);
		relids_known = true;
	}
	return cache->context != NULL && cache->generation == generation_of(cache);
}

/*
 * po_cache_reset returns an empty context to fill.  Call po_cache_filled when
 * it is complete; an error before that leaves the cache to be filled again.
 */
MemoryContext
po_cache_reset(PoCache *cache)
{
	po_cache_discard(cache);
	cache->context = AllocSetContextCreateInternal(TopMemoryContext, cache->name,
												   ALLOCSET_SMALL_SIZES);
	cache->generation = 0;
	cache->filling = generation_of(cache);
	return cache->context;
}

/*
 * po_cache_filled makes the cache valid, as of the moment it was reset: a change
 * that came in meanwhile makes the next call fill it again.
 */
void
po_cache_filled(PoCache *cache)
{
	cache->generation = cache->filling;
}

/*
 * po_cache_discard empties the cache; its memory goes when po_cache_free_retired()
 * is called, or the transaction ends.
 */
void
po_cache_discard(PoCache *cache)
{
	if (cache->context != NULL)
		po_cache_retire(cache->context);
	cache->context = NULL;
}

static void
forget_retired(void *arg)
{
	retired = NULL;
}

/*
 * po_cache_retire does the same with a context that is no cache's.
 */
void
po_cache_retire(MemoryContext context)
{
	if (retired == NULL)
	{
		MemoryContext new = AllocSetContextCreate(TopTransactionContext, "outreach retired caches",
												  ALLOCSET_SMALL_SIZES);
		MemoryContextCallback *callback = MemoryContextAllocZero(new, sizeof(MemoryContextCallback));

		callback->func = forget_retired;
		MemoryContextRegisterResetCallback(new, callback);
		retired = new;
	}
	MemoryContextSetParent(context, retired);
}

/*
 * po_cache_free_retired frees what was discarded; for the beginning of a call that
 * no other has led to.  A trigger may be part of one.
 */
void
po_cache_free_retired(void)
{
	if (retired != NULL && DatumGetInt32(pg_trigger_depth(NULL)) == 0)
		MemoryContextDeleteChildren(retired);
}
