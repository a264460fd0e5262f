/*
 * api.h
 *	  Where the SQL functions are entered: who calls, what is allowed, as whom it runs.
 */
#ifndef PO_API_H
#define PO_API_H

#include "fmgr.h"

/* How the statements of a function are planned, once in a backend. */
typedef enum PoPlanning
{
	PO_HOT,						/* for large tables, however full they are just now */
	PO_QUEUE,					/* the same, in the order of an index */
	PO_SETS						/* as PostgreSQL finds best */
} PoPlanning;

extern Oid	po_caller(void);
extern void po_require_administrator(const char *tenant_id);
extern PoPlanning po_planning_of_call(void);
extern const char *po_api_function(int i, int *callers, bool *of_tenant);
extern Datum po_call_foreign(FmgrInfo *function, Oid role, const char *tenant_id,
							 FunctionCallInfo call);

#endif
