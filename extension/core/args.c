/*
 * args.c
 *	  Arguments and results of SQL functions.
 *
 * No function of the API is STRICT: a null where a value is needed is an error
 * that names the argument, not a null result.  What reads an argument has asked
 * before whether it is too long (limits.c).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/shape.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/tuplestore.h"

#define MOST_COLUMNS 16			/* of a row without nulls */

/*
 * po_arg_text returns a text argument, palloc'd; NULL for null.
 */
char *
po_arg_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	po_limit_argument(fcinfo, n);
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * po_arg_required raises an error for null and for the empty string.
 */
char *
po_arg_required(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value = po_arg_text(fcinfo, n, name);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
	return value;
}

/*
 * po_arg_id: ids are the app's, up to 64 characters, and mean nothing to us.
 */
char *
po_arg_id(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value = po_arg_required(fcinfo, n, name);

	Assert(pg_mbstrlen(value) <= PO_MAX_ID);
	return value;
}

/*
 * po_arg_jsonb returns a jsonb argument; NULL for null.
 */
Jsonb *
po_arg_jsonb(FunctionCallInfo fcinfo, int n)
{
	po_limit_argument(fcinfo, n);
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/*
 * po_arg_object returns a jsonb argument that has to be an object.
 */
Jsonb *
po_arg_object(FunctionCallInfo fcinfo, int n, const char *name)
{
	Jsonb	   *object = po_arg_jsonb(fcinfo, n);

	if (object == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	po_require_object(name, &object->root);
	return object;
}

/*
 * po_arg_array returns an array; an error for null.
 */
ArrayType *
po_arg_array(FunctionCallInfo fcinfo, int n, const char *name)
{
	po_limit_argument(fcinfo, n);
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_ARRAYTYPE_P(n);
}

/*
 * po_jsonb_text returns the text of a member that is a string, number or boolean,
 * palloc'd; NULL for others, and where there is none, or no object.
 */
char *
po_jsonb_text(Jsonb *object, const char *key, int len)
{
	JsonbValue	value;

	if (object == NULL || !JB_ROOT_IS_OBJECT(object) ||
		getKeyJsonValueFromContainer(&object->root, key, len, &value) == NULL)
		return NULL;
	switch (value.type)
	{
		case jbvString:
			return pnstrdup(value.val.string.val, value.val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value.val.numeric)));
		case jbvBool:
			return pstrdup(value.val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/*
 * po_texts returns the elements of a text[], palloc'd; null elements are NULL.
 */
const char **
po_texts(ArrayType *array, int *n)
{
	Datum	   *element;
	bool	   *isnull;
	const char **string;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &element, &isnull, n);
	string = palloc(Max(*n, 1) * sizeof(char *));
	for (int i = 0; i < *n; i++)
		string[i] = isnull[i] ? NULL : TextDatumGetCString(element[i]);
	return string;
}

/*
 * po_result_text makes a text, null for NULL.
 */
Datum
po_result_text(FunctionCallInfo fcinfo, const char *text)
{
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/*
 * po_result_texts makes a text[] of n C strings.
 */
Datum
po_result_texts(const char *const *text, int n)
{
	Datum	   *element = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		element[i] = CStringGetTextDatum(text[i]);
	return PointerGetDatum(construct_array(element, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * po_set_text sets a column of a row to a text, or null for NULL.
 */
void
po_set_text(Datum *values, bool *nulls, int i, const char *text)
{
	nulls[i] = text == NULL;
	values[i] = text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
}

static bool *
no_nulls(TupleDesc desc)
{
	static bool none[MOST_COLUMNS];

	Assert(desc->natts <= MOST_COLUMNS);
	return none;
}

/*
 * po_result_row makes the row that a function with OUT parameters returns; nulls NULL:
 * there are none.
 */
Datum
po_result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function does not return a row");
	if (nulls == NULL)
		nulls = no_nulls(desc);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * po_result_add adds such a row to the set that a function returns whole, which has
 * begun with InitMaterializedSRF().
 */
void
po_result_add(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(result->setResult, result->setDesc, values,
						 nulls != NULL ? nulls : no_nulls(result->setDesc));
}

/*
 * po_row_of_type makes a row, whose columns are those of a named type, one of that type.
 */
Datum
po_row_of_type(Datum record, Oid type)
{
	HeapTupleHeader row = DatumGetHeapTupleHeaderCopy(record);

	HeapTupleHeaderSetTypeId(row, type);
	HeapTupleHeaderSetTypMod(row, -1);
	return HeapTupleHeaderGetDatum(row);
}
