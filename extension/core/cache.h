/*
 * cache.h
 *	  When what a backend remembers of the configuration tables is stale.
 */
#ifndef PO_CACHE_H
#define PO_CACHE_H

#include "utils/palloc.h"

/* The configuration tables, each with a bit of its own. */
#define PO_CONFIG_TABLES(X) \
	X(ADMINISTRATORS, 0, "administrators") \
	X(ANSWER_POLICIES, 1, "answer_policies") \
	X(CLASSIFICATION_RULES, 2, "classification_rules") \
	X(ENDPOINTS, 3, "endpoints") \
	X(EVENT_TYPES, 4, "event_types") \
	X(LEAD_TRANSITIONS, 5, "lead_transitions") \
	X(OPT_OUT_WORDS, 6, "opt_out_words") \
	X(PAYLOAD_MAPS, 7, "payload_maps") \
	X(PROVIDER_PROFILES, 8, "provider_profiles") \
	X(PROVIDER_OUTCOMES, 9, "provider_outcomes") \
	X(PROVIDERS, 10, "providers") \
	X(SECRETS, 11, "secrets") \
	X(SENDING_ACCOUNTS, 12, "sending_accounts") \
	X(TENANT_ROLES, 13, "tenant_roles") \
	X(TENANTS, 14, "tenants") \
	X(TIMER_FUNCTIONS, 15, "timer_functions") \
	X(TIMER_TYPES, 16, "timer_types") \
	X(WEBHOOK_KINDS, 17, "webhook_kinds")

#define PO_NCONFIG_TABLES 18

typedef enum PoConfigTable
{
#define X(name, bit, table) PO_OF_##name = 1 << bit,
	PO_CONFIG_TABLES(X)
#undef X
} PoConfigTable;

/*
 * One remembered set of rows.  Declare it static with a name and the tables that it
 * is read from; everything in it lives in context.
 */
typedef struct PoCache
{
	const char *name;
	uint32		tables;			/* PO_OF_… */
	MemoryContext context;		/* NULL until first filled */
	uint64		generation;		/* 0 until completely filled */
	uint64		filling;		/* generation when the filling began */
} PoCache;

extern bool po_cache_fresh(PoCache *cache);
extern MemoryContext po_cache_reset(PoCache *cache);
extern void po_cache_filled(PoCache *cache);
extern void po_cache_discard(PoCache *cache);
extern void po_cache_retire(MemoryContext context);
extern void po_cache_free_retired(void);

#endif
