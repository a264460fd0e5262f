/*
 * args.h
 *	  Arguments and results of SQL functions.
 */
#ifndef PO_ARGS_H
#define PO_ARGS_H

#include "core/limits.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/jsonb.h"

extern char *po_arg_text(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_arg_required(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_arg_id(FunctionCallInfo fcinfo, int n, const char *name);
extern Jsonb *po_arg_jsonb(FunctionCallInfo fcinfo, int n);
extern Jsonb *po_arg_object(FunctionCallInfo fcinfo, int n, const char *name);
extern ArrayType *po_arg_array(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_jsonb_text(Jsonb *object, const char *key, int len);
extern const char **po_texts(ArrayType *array, int *n);
extern Datum po_result_text(FunctionCallInfo fcinfo, const char *text);
extern Datum po_result_texts(const char *const *text, int n);
extern Datum po_row_of_type(Datum record, Oid type);
extern void po_set_text(Datum *values, bool *nulls, int i, const char *text);
extern Datum po_result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);
extern void po_result_add(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

/* A row without nulls, as the result of a function, and as one more of its set. */
#define PO_RETURN_ROW(...) return po_result_row(fcinfo, (Datum[]) {__VA_ARGS__}, NULL)
#define PO_ADD_ROW(...) po_result_add(fcinfo, (Datum[]) {__VA_ARGS__}, NULL)

#endif
