/*
 * errors.c
 *	  The engine's SQLSTATE values as rows.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

static const struct
{
	int			sqlstate;
	const char *name;
	const char *description;
}			error_code[] = {
#define X(name, a, b, c, label, text) {name, label, text},
	PO_ERROR_CODES(X)
#undef X
};

PG_FUNCTION_INFO_V1(po_error_codes);

/*
 * error_codes(): one row a code.
 */
Datum
po_error_codes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(error_code); i++)
	{
		Datum		values[3] = {
			CStringGetTextDatum(unpack_sql_state(error_code[i].sqlstate)),
			CStringGetTextDatum(error_code[i].name),
			CStringGetTextDatum(error_code[i].description)
		};
		bool		nulls[3] = {false, false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
