/*
 * args.h
 *	  Arguments and results of SQL functions.
 */
#ifndef PO_ARGS_H
#define PO_ARGS_H

#include "fmgr.h"
#include "utils/jsonb.h"

#define PO_MAX_ID 64
/* the same in UTF-8 */
#define PO_MAX_ID_BYTES (4 * PO_MAX_ID)

extern char *po_arg_text(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_arg_required(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_arg_id(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_jsonb_text(Jsonb *object, const char *key, int len);
extern Datum po_result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

#endif
