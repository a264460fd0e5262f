/*
 * planning.c
 *	  The engine's statements are planned alike whenever that happens.
 *
 * Their plans are kept for the life of a backend.  They must depend neither on a
 * session's settings nor on how full a table was just then: a plan that was made for an
 * empty table reads all of it, for each row of a batch, once it is full.
 */
#include "postgres.h"

#include "core/api.h"
#include "core/compat.h"
#include "core/owner.h"
#include "core/planning.h"
#include "miscadmin.h"
#include "optimizer/pathnode.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "utils/guc.h"

/* So large is every table taken to be, at least. */
#define TUPLES 1000000
#define PAGES 20000

static planner_hook_type previous_planner;
static PO_RELATION_HOOK_TYPE previous_relation;
static int	plans_under_way = 0;
static bool tables_are_large = false;

/*
 * po_is_planning tells whether a function is called by the planner, which wants to know what
 * its result may be.
 */
bool
po_is_planning(void)
{
	return plans_under_way > 0;
}

/* Planning as it would be without us, but for that it is known to be under way. */
static PlannedStmt *
plan_as_usual(PO_PLANNER_PARAMETERS)
{
	PlannedStmt *volatile result = NULL;

	plans_under_way++;
	PG_TRY();
	{
		result = previous_planner ? previous_planner(PO_PLANNER_ARGUMENTS)
			: standard_planner(PO_PLANNER_ARGUMENTS);
	}
	PG_FINALLY();
	{
		plans_under_way--;
	}
	PG_END_TRY();
	return result;
}

/* What the planner knows of a relation, and of its indexes. */
static void
enlarge(PO_RELATION_PARAMETERS)
{
	ListCell   *cell;

	if (previous_relation)
		previous_relation(PO_RELATION_ARGUMENTS);
	if (!tables_are_large || rel->rtekind != RTE_RELATION)
		return;
	rel->tuples = Max(rel->tuples, TUPLES);
	rel->pages = Max(rel->pages, PAGES);
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);

		index->tuples = Max(index->tuples, TUPLES);
		index->pages = Max(index->pages, PAGES);
	}
}

static PlannedStmt *
plan(PO_PLANNER_PARAMETERS)
{
	static const char *const always[][2] = {
		{"jit", "off"}, {"max_parallel_workers_per_gather", "0"}, {"enable_nestloop", "on"},
		{"enable_indexscan", "on"}, {"enable_indexonlyscan", "on"}, {"enable_tidscan", "on"}, {"enable_sort", "on"},
		{"enable_material", "on"}, {"enable_partition_pruning", "on"}, {"constraint_exclusion", "partition"},
		{"from_collapse_limit", "8"}, {"join_collapse_limit", "8"}
	};
	static const char *const scans[] = {
		"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan"
	};
	PlannedStmt *volatile result = NULL;
	PoPlanning	planning = po_planning_of_call();
	bool		outer = tables_are_large;
	int			nest;

	if (!po_is_engine_owner(GetUserId()))
		return plan_as_usual(PO_PLANNER_ARGUMENTS);
	nest = NewGUCNestLevel();
	for (int i = 0; i < lengthof(always); i++)
		(void) set_config_option(always[i][0], always[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	for (int i = 0; i < lengthof(scans); i++)
		(void) set_config_option(scans[i], planning == PO_SETS || (planning == PO_HOT && i == 3) ? "on" : "off",
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	tables_are_large = planning != PO_SETS;
	PG_TRY();
	{
		result = previous_planner ? previous_planner(PO_PLANNER_ARGUMENTS)
			: standard_planner(PO_PLANNER_ARGUMENTS);
	}
	PG_FINALLY();
	{
		tables_are_large = outer;
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest);
	return result;
}

/*
 * po_planning_init hooks in; called once from _PG_init.
 */
void
po_planning_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
	previous_relation = PO_RELATION_HOOK;
	PO_RELATION_HOOK = enlarge;
}
