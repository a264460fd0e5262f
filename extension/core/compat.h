/*
 * compat.h
 *	  Differences between the supported PostgreSQL versions, 15 to 18.
 *
 * The only file that looks at PG_VERSION_NUM.
 */
#ifndef PO_COMPAT_H
#define PO_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "pg_outreach supports PostgreSQL 15 to 18"
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

/* 18 counts index searches. */
#if PG_VERSION_NUM >= 180000
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

#endif
