/*
 * api.h
 *	  Where the SQL functions are entered: who calls, what is allowed, as whom it runs.
 */
#ifndef PO_API_H
#define PO_API_H

#include "fmgr.h"

extern Oid	po_engine_owner(void);
extern bool po_is_engine_owner(Oid role);
extern Oid	po_caller(void);
extern void po_require_administrator(const char *tenant_id);
extern const char *po_api_function(int i, int *callers, bool *of_tenant);
extern Datum po_call_foreign(FmgrInfo *function, Oid role, const char *tenant_id,
							 FunctionCallInfo call);

#endif
