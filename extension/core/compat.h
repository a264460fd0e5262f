/*
 * compat.h
 *	  Differences between the supported PostgreSQL versions, 15 to 19.
 *
 * The only file that looks at PG_VERSION_NUM.
 */
#ifndef PO_COMPAT_H
#define PO_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "pg_outreach supports PostgreSQL 15 to 19"
#endif

/* 16 split variable-length support out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16 gave DecodeDateTime a place to put time zone errors. */
#if PG_VERSION_NUM >= 160000
#define po_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &(DateTimeErrorExtra) {0})
#else
#define po_decode_datetime DecodeDateTime
#define guc_malloc(elevel, size) malloc(size)
#endif

/* 16 keeps settings in a hash table. */
#if PG_VERSION_NUM >= 160000
#define po_guc_variables(n) get_guc_variables(n)
#else
#define po_guc_variables(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* 16 replaced the per-catalog privilege checks. */
#if PG_VERSION_NUM >= 160000
#define po_function_aclcheck(function, role) \
	object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE)
#define po_owns_database(database, role) \
	object_ownercheck(DatabaseRelationId, database, role)
#else
#define po_function_aclcheck(function, role) pg_proc_aclcheck(function, role, ACL_EXECUTE)
#define po_owns_database(database, role) pg_database_ownercheck(database, role)
#endif

/* 17 tells processes apart by their backend type. */
#if PG_VERSION_NUM >= 170000
#define po_is_background_worker() AmBackgroundWorkerProcess()
#else
#define po_is_background_worker() IsBackgroundWorker
#endif

/* 18 takes the attribute before the declaration alone. */
#if PG_VERSION_NUM >= 180000
#define po_noreturn pg_noreturn
#else
#define po_noreturn pg_attribute_noreturn()
#endif

/* 18 counts index searches, 19 takes hints for the scan of the table. */
#if PG_VERSION_NUM >= 190000
#define po_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0, SO_NONE)
#elif PG_VERSION_NUM >= 180000
#define po_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define po_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* 18 can log that a lock was not to be had. */
#if PG_VERSION_NUM >= 180000
#define po_try_lock_tuple(table, row, mode) ConditionalLockTuple(table, row, mode, false)
#else
#define po_try_lock_tuple(table, row, mode) ConditionalLockTuple(table, row, mode)
#endif

/* 19 knows no other way to read a string literal. */
#if PG_VERSION_NUM >= 190000
#define po_standard_strings true
#else
#define po_standard_strings standard_conforming_strings
#endif

/* 19 hands the planner the state of an EXPLAIN. */
#if PG_VERSION_NUM >= 190000
#define PO_PLANNER_PARAMETERS \
	Query *query, const char *text, int options, ParamListInfo params, ExplainState *explain
#define PO_PLANNER_ARGUMENTS query, text, options, params, explain
#else
#define PO_PLANNER_PARAMETERS Query *query, const char *text, int options, ParamListInfo params
#define PO_PLANNER_ARGUMENTS query, text, options, params
#endif

/* 19 hands out what is known of a relation by another hook. */
#if PG_VERSION_NUM >= 190000
#define PO_RELATION_HOOK build_simple_rel_hook
#define PO_RELATION_HOOK_TYPE build_simple_rel_hook_type
#define PO_RELATION_PARAMETERS PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte
#define PO_RELATION_ARGUMENTS root, rel, rte
#else
#define PO_RELATION_HOOK get_relation_info_hook
#define PO_RELATION_HOOK_TYPE get_relation_info_hook_type
#define PO_RELATION_PARAMETERS PlannerInfo *root, Oid relation, bool inherited, RelOptInfo *rel
#define PO_RELATION_ARGUMENTS root, relation, inherited, rel
#endif

/* 19 builds a jsonb in a state that holds the result too. */
#if PG_VERSION_NUM >= 190000
#define PoJsonbState JsonbInState
#define po_push_jsonb(state, token, value) pushJsonbValue(state, token, value)
#define po_close_jsonb(state, token) (pushJsonbValue(state, token, NULL), (state)->result)
#else
#define PoJsonbState JsonbParseState *
#define po_push_jsonb(state, token, value) ((void) pushJsonbValue(state, token, value))
#define po_close_jsonb(state, token) pushJsonbValue(state, token, NULL)
#endif

#endif
