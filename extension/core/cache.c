/*
 * cache.c
 *	  Invalidation of what a backend remembers of the configuration tables.
 *
 * A trigger on each of these tables sends a relation cache invalidation when
 * its rows change; it reaches every backend with the commit.  All the caches
 * share one generation: configuration changes seldom, and a rebuild is cheap.
 *
 * A cache is only ever rebuilt at the start of a call.  What it held before
 * stays allocated until the transaction ends, because an outer call of the same
 * transaction may still be reading it.
 *
 * A transaction that keeps one snapshot may fill a cache with rows that were
 * replaced before it did, and whose invalidation has already come: where that
 * can have happened, the caches are stale when it ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "core/cache.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static const char *const config_tables[] = {
	"administrators", "answer_policies", "classification_rules", "endpoints", "event_types",
	"lead_transitions", "opt_out_words", "payload_maps", "provider_profiles",
	"provider_verdicts", "providers", "secrets", "sending_accounts", "tenant_roles", "tenants",
	"timer_functions", "timer_types", "webhook_kinds"
};

static Oid	config_relid[lengthof(config_tables)];
static bool relids_known = false;
static uint64 generation = 1;
static uint64 generation_before = 1;	/* when the last transaction ended */
static bool one_snapshot = false;	/* caches used by such a transaction */

PG_FUNCTION_INFO_V1(po_config_changed);
PG_FUNCTION_INFO_V1(po_protect_shipped);

static void
relation_changed(Datum arg, Oid relid)
{
	bool		ours = (relid == InvalidOid);

	for (int i = 0; i < lengthof(config_tables) && !ours; i++)
		ours = (config_relid[i] == relid);
	if (ours)
	{
		generation++;
		relids_known = false;
	}
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (one_snapshot && generation != generation_before)
		generation++;
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
		RegisterXactCallback(transaction_ended, NULL);
		registered = true;
		/* Whatever changed before nobody listened counts as a change. */
		generation++;
	}
	one_snapshot |= IsolationUsesXactSnapshot();
	if (!relids_known)
	{
		Oid			namespace = get_namespace_oid("outreach", false);

		for (int i = 0; i < lengthof(config_tables); i++)
			config_relid[i] = get_relname_relid(config_tables[i], namespace);
		relids_known = true;
	}
	return cache->context != NULL && cache->generation == generation;
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
	cache->filling = generation;
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
 * po_cache_discard empties the cache; its memory goes when the transaction ends.
 */
void
po_cache_discard(PoCache *cache)
{
	if (cache->context != NULL)
		MemoryContextSetParent(cache->context, TopTransactionContext);
	cache->context = NULL;
}

/*
 * po_config_changed is the statement trigger of the configuration tables.
 */
Datum
po_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_trigger(fcinfo, "config_changed", PO_TRIGGER_AFTER_STATEMENT, NULL);

	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

static void
refuse_shipped(Relation relation)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_SHIPPED_ROW),
			 errmsg("rows of tenant \"*\" in \"%s\" cannot be changed",
					RelationGetRelationName(relation)),
			 errdetail("They are the extension's defaults, and an upgrade replaces them."),
			 errhint("Insert a row of the tenant's own: it comes before the default.")));
}

/*
 * po_protect_shipped is the trigger, for each row and for TRUNCATE, of tables
 * whose tenant '*' holds the shipped defaults: those rows are the extension's,
 * which is why a dump leaves them out.
 */
Datum
po_protect_shipped(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	HeapTuple	tuples[2];
	int			column;

	if (po_trigger_is(fcinfo, PO_TRIGGER_BEFORE_TRUNCATE, NULL))
	{
		trigger = (TriggerData *) fcinfo->context;
		if (!creating_extension)
			refuse_shipped(trigger->tg_relation);
		return PointerGetDatum(NULL);
	}
	trigger = po_trigger(fcinfo, "protect_shipped", PO_TRIGGER_BEFORE_ROW, NULL);
	column = po_trigger_column(trigger, "tenant_id", TEXTOID);
	tuples[0] = trigger->tg_trigtuple;
	tuples[1] = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : NULL;
	for (int i = 0; i < 2 && tuples[i] != NULL && !creating_extension; i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuples[i], column,
										 trigger->tg_relation->rd_att, &isnull);

		if (!isnull && strcmp(TextDatumGetCString(value), "*") == 0)
			refuse_shipped(trigger->tg_relation);
	}
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)
						   ? trigger->tg_newtuple : trigger->tg_trigtuple);
}
