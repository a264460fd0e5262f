/*
 * spi_plan.c
 *	  Saved statements, and the arrays they take.
 *
 * All functions need a connected SPI and work in the current memory context.
 * Results of po_column_* are palloc'd there; the tuple table itself belongs to
 * SPI and lives until the next statement or SPI_finish.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/owner.h"
#include "core/spi_plan.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * po_spi_connect connects to SPI and stays in the current memory context, so that what
 * is read outlives SPI_finish.
 */
void
po_spi_connect(void)
{
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	MemoryContextSwitchTo(context);
}

/*
 * po_exec runs a saved statement, preparing it first where needed, and returns
 * the number of rows.  nulls is as for SPI_execute_plan.  Row security is part of
 * a plan: the statements of the engine run as its owner or not at all.
 */
uint64
po_exec(PoPlan *plan, Datum *args, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			rc;

	if (!plan->as_anybody && GetUserId() != po_engine_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("statement \"%s\" runs outside the engine's functions", plan->name),
				 errhint("Call the function of the same name in the schema outreach.")));
	if (plan->plan == NULL)
	{
		SPIPlanPtr	prepared;

		/*
		 * A generic plan: the arrays differ in length at each call, and
		 * planning anew would cost more than executing.
		 */
		prepared = SPI_prepare_cursor(plan->sql, plan->nargs, unconstify(Oid *, plan->argtype),
									  CURSOR_OPT_GENERIC_PLAN);
		if (prepared == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not prepare statement \"%s\": %s", plan->name,
							SPI_result_code_string(SPI_result))));
		if (SPI_keepplan(prepared) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not keep statement \"%s\"", plan->name)));
		plan->plan = prepared;
	}
	rc = SPI_execute_plan(plan->plan, args, nulls, false, 0);
	/* SPI leaves its own context behind. */
	MemoryContextSwitchTo(context);
	if (rc != plan->expect)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("statement \"%s\" ended with %s, expected %s", plan->name,
						SPI_result_code_string(rc),
						SPI_result_code_string(plan->expect))));
	return SPI_processed;
}

/*
 * po_column returns one value of the last statement's result.
 */
Datum
po_column(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/*
 * po_column_text returns a text column as a C string, NULL for null.
 */
char *
po_column_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * po_column_bool: null is false.
 */
bool
po_column_bool(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	return isnull ? false : DatumGetBool(value);
}

/*
 * po_column_int: null is 0.
 */
int
po_column_int(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

/*
 * po_column_tid: null is invalid.
 */
ItemPointerData
po_column_tid(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);
	ItemPointerData tid;

	ItemPointerSetInvalid(&tid);
	return isnull ? tid : *(ItemPointer) DatumGetPointer(value);
}

/*
 * po_column_int64: null is 0.
 */
int64
po_column_int64(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * po_column_uuid copies a uuid column; false for null.
 */
bool
po_column_uuid(uint64 row, int column, pg_uuid_t *uuid)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	if (!isnull)
		*uuid = *DatumGetUUIDP(value);
	return !isnull;
}

/*
 * po_column_bytea returns a detoasted copy, NULL for null.
 */
bytea *
po_column_bytea(uint64 row, int column)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

/*
 * po_column_texts returns the elements of a text[] that are not null, and sets how
 * many: none for null.
 */
const char **
po_column_texts(uint64 row, int column, int *n)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);
	const char **string;
	int			size;

	*n = 0;
	if (isnull)
		return NULL;
	string = po_texts(DatumGetArrayTypeP(value), &size);
	for (int i = 0; i < size; i++)
		if (string[i] != NULL)
			string[(*n)++] = string[i];
	return string;
}

/*
 * po_array_init makes an empty array with room for size elements; it grows.
 */
void
po_array_init(PoArray *array, Oid element, int size)
{
	array->element = element;
	array->n = 0;
	array->size = Max(size, 1);
	array->value = palloc(array->size * sizeof(Datum));
	array->isnull = palloc(array->size * sizeof(bool));
}

static void
append_element(PoArray *array, Datum value, bool isnull)
{
	if (array->n == array->size)
	{
		array->size *= 2;
		array->value = repalloc(array->value, array->size * sizeof(Datum));
		array->isnull = repalloc(array->isnull, array->size * sizeof(bool));
	}
	array->value[array->n] = value;
	array->isnull[array->n++] = isnull;
}

/*
 * po_array_add appends a value; what it points to must outlive the array.
 */
void
po_array_add(PoArray *array, Datum value)
{
	append_element(array, value, false);
}

/*
 * po_array_add_null appends a null.
 */
void
po_array_add_null(PoArray *array)
{
	append_element(array, (Datum) 0, true);
}

/*
 * po_array_add_text appends a copy of a C string; NULL becomes null.
 */
void
po_array_add_text(PoArray *array, const char *text)
{
	if (text == NULL)
		po_array_add_null(array);
	else
		po_array_add(array, CStringGetTextDatum(text));
}

/*
 * po_texts_as_text returns n C strings as the text of a text[], for rows of arrays of
 * different lengths; NULL for none.  None of them is null.
 */
const char *
po_texts_as_text(const char *const *text, int n)
{
	return n == 0 ? NULL : OidOutputFunctionCall(F_ARRAY_OUT, po_result_texts(text, n));
}

/*
 * po_array_add_uuid appends a uuid by reference; NULL becomes null.
 */
void
po_array_add_uuid(PoArray *array, const pg_uuid_t *uuid)
{
	if (uuid == NULL)
		po_array_add_null(array);
	else
		po_array_add(array, UUIDPGetDatum(uuid));
}

/*
 * po_array_datum returns the PostgreSQL array, palloc'd.
 */
Datum
po_array_datum(const PoArray *array)
{
	int			dims[1] = {array->n};
	int			lbs[1] = {1};
	int16		len = -1;
	bool		byval = false;
	char		align = TYPALIGN_INT;

	/* The few types the engine's statements take; all built in. */
	switch (array->element)
	{
		case TEXTOID:
		case BYTEAOID:
		case JSONBOID:
			break;
		case INT4OID:
			len = 4;
			byval = true;
			break;
		case INT8OID:
		case TIMESTAMPTZOID:
			len = 8;
			byval = FLOAT8PASSBYVAL;
			align = TYPALIGN_DOUBLE;
			break;
		case BOOLOID:
			len = 1;
			byval = true;
			align = TYPALIGN_CHAR;
			break;
		case UUIDOID:
			len = UUID_LEN;
			align = TYPALIGN_CHAR;
			break;
		case TIDOID:
			len = sizeof(ItemPointerData);
			align = TYPALIGN_SHORT;
			break;
		default:
			elog(ERROR, "unsupported array element type %u", array->element);
	}
	return PointerGetDatum(construct_md_array(array->value, array->isnull, 1,
											  dims, lbs, array->element,
											  len, byval, align));
}
