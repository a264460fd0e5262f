/*
 * statement.c
 *	  Statements over rows of a struct.
 *
 * The rows are arrays side by side, or VALUES with scalars when there is one: either
 * way a plan without function scans, which would write all rows down before the first
 * is read.
 *
 * Functions need SPI and the engine's owner as user, and work in the current memory
 * context, which must outlive the rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/statement.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static const Oid type_of_kind[] = {
	[PO_KIND_TEXT] = TEXTOID,
	[PO_KIND_INT] = INT4OID,
	[PO_KIND_NUMBER] = INT4OID,
	[PO_KIND_INT64] = INT8OID,
	[PO_KIND_ID] = INT8OID,
	[PO_KIND_BOOL] = BOOLOID,
	[PO_KIND_SINCE] = TIMESTAMPTZOID,
	[PO_KIND_UNTIL] = TIMESTAMPTZOID,
	[PO_KIND_UUID] = UUIDOID,
	[PO_KIND_UUIDP] = UUIDOID,
	[PO_KIND_TEXTS] = TEXTARRAYOID,
	[PO_KIND_JSONB] = JSONBOID,
	[PO_KIND_BYTEA] = BYTEAOID,
	[PO_KIND_TID] = TIDOID,
	[PO_KIND_NAME] = TEXTOID
};

/* The next field, from one on, that is for all of the wanted uses; NULL behind the last. */
static const PoField *
next_field(const PoFields *fields, const PoField *from, int wanted)
{
	wanted |= fields->use;
	for (; from < fields->field + fields->n; from++)
		if ((from->use & wanted) == wanted)
			return from;
	return NULL;
}

#define FOREACH_FIELD(f, fields, wanted) \
	for (const PoField *f = next_field(fields, (fields)->field, wanted); f != NULL; \
		 f = next_field(fields, f + 1, wanted))

static int
count_fields(const PoFields *fields)
{
	int			n = 0;

	FOREACH_FIELD(f, fields, 0)
		n++;
	return n;
}

/* A list with an item a field; comma parts it from what is there already. */
static void
begin_item(StringInfo sql, bool *comma)
{
	if (*comma)
		appendStringInfoString(sql, ", ");
	*comma = true;
}

static void
append_taken(StringInfo sql, const PoField *field)
{
	appendStringInfo(sql, "u.%s", field->column);
	if (field->type != NULL)
		appendStringInfo(sql, "::%s", field->type);
}

static void
append_rows(StringInfo sql, const PoStatement *statement, bool one)
{
	int			parameter = statement->nfixed + 1;
	bool		comma = false;

	appendStringInfoString(sql, one ? "(VALUES (" : "(SELECT ");
	FOREACH_FIELD(f, &statement->takes, 0)
	{
		begin_item(sql, &comma);
		appendStringInfo(sql, one ? "$%d" : "pg_catalog.unnest($%d)", parameter++);
	}
	if (statement->numbered && one)
		appendStringInfoString(sql, ", 1");
	else if (statement->numbered)
		appendStringInfo(sql, ", pg_catalog.generate_subscripts($%d, 1)", statement->nfixed + 1);
	appendStringInfoString(sql, one ? ")) AS u(" : ") AS u(");
	comma = false;
	FOREACH_FIELD(f, &statement->takes, 0)
	{
		begin_item(sql, &comma);
		appendStringInfoString(sql, f->column);
	}
	appendStringInfoString(sql, statement->numbered ? ", n)" : ")");
}

/* What stands between braces in the text of a statement. */
static void
append_place(StringInfo sql, const PoStatement *statement, bool one, const char *place, int len)
{
	bool		comma = false;

	if (len == 0)
		appendStringInfoString(sql, "{}");
	else if (strncmp(place, "rows", len) == 0)
		append_rows(sql, statement, one);
	else if (strncmp(place, "columns", len) == 0)
	{
		FOREACH_FIELD(f, &statement->takes, 0)
		{
			if (f->kind == PO_KIND_TID)
				continue;
			begin_item(sql, &comma);
			appendStringInfoString(sql, f->column);
		}
	}
	else if (strncmp(place, "set", len) == 0)
	{
		FOREACH_FIELD(f, &statement->takes, PO_SET)
		{
			begin_item(sql, &comma);
			appendStringInfo(sql, "%s = ", f->column);
			append_taken(sql, f);
		}
	}
	else if (strncmp(place, "u.*", len) == 0)
	{
		FOREACH_FIELD(f, &statement->takes, 0)
		{
			if (f->kind == PO_KIND_TID)
				continue;
			begin_item(sql, &comma);
			append_taken(sql, f);
		}
	}
	else
	{
		FOREACH_FIELD(f, &statement->gives, 0)
		{
			begin_item(sql, &comma);
			if (f->expression != NULL)
				appendStringInfoString(sql, f->expression);
			else
				appendStringInfo(sql, "%.*s%s", len - 1, place, f->column);
			if (f->type != NULL)
				appendStringInfoString(sql, "::text");
		}
	}
}

/*
 * A variant's plan; its text lives as long as the process.  An error on the way leaves
 * nothing of it: the next call begins anew.
 */
static void
make_plan(PoStatement *statement, bool one)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	PoPlan	   *plan = &statement->plan[one];
	Oid		   *argtype = palloc((statement->nfixed + count_fields(&statement->takes)) * sizeof(Oid));
	int			nargs = 0;
	const char *rest = statement->sql;
	const char *brace;
	StringInfoData sql;

	initStringInfo(&sql);
	while ((brace = strchr(rest, '{')) != NULL)
	{
		const char *end = strchr(brace, '}');

		appendBinaryStringInfo(&sql, rest, brace - rest);
		append_place(&sql, statement, one, brace + 1, end - brace - 1);
		rest = end + 1;
	}
	appendStringInfoString(&sql, rest);
	MemoryContextSwitchTo(old);
	for (int f = 0; f < statement->nfixed; f++)
		argtype[nargs++] = statement->fixed[f];
	FOREACH_FIELD(f, &statement->takes, 0)
		argtype[nargs++] = one ? type_of_kind[f->kind] : get_array_type(type_of_kind[f->kind]);
	plan->name = statement->name;
	plan->as_anybody = statement->as_anybody;
	plan->expect = statement->expect;
	plan->nargs = nargs;
	plan->argtype = argtype;
	plan->sql = sql.data;
}

/*
 * po_rows begins the rows of a statement; there will be about so many.
 */
PoRows
po_rows(PoStatement *statement, int size)
{
	PoRows		rows = {.statement = statement};

	rows.column = palloc(count_fields(&statement->takes) * sizeof(PoArray));
	FOREACH_FIELD(f, &statement->takes, 0)
		po_array_init(&rows.column[rows.ncolumns++], type_of_kind[f->kind], size);
	return rows;
}

static void
add_value(PoArray *column, const PoField *field, const void *value)
{
	static const pg_uuid_t none = {{0}};

	switch (field->kind)
	{
		case PO_KIND_TEXT:
			po_array_add_text(column, *(const char *const *) value);
			return;
		case PO_KIND_INT:
		case PO_KIND_NUMBER:
			if (field->kind == PO_KIND_NUMBER && *(const int *) value == 0)
				break;
			po_array_add(column, Int32GetDatum(*(const int *) value));
			return;
		case PO_KIND_BOOL:
			po_array_add(column, BoolGetDatum(*(const bool *) value));
			return;
		case PO_KIND_INT64:
		case PO_KIND_ID:
			if (field->kind == PO_KIND_ID && *(const int64 *) value == 0)
				break;
			po_array_add(column, Int64GetDatum(*(const int64 *) value));
			return;
		case PO_KIND_SINCE:
		case PO_KIND_UNTIL:
			if (*(const TimestampTz *) value == (field->kind == PO_KIND_SINCE ? DT_NOBEGIN : DT_NOEND))
				break;
			po_array_add(column, TimestampTzGetDatum(*(const TimestampTz *) value));
			return;
		case PO_KIND_UUID:
			if (memcmp(value, &none, UUID_LEN) == 0)
				break;
			/* The row may be gone before the rows are. */
			po_array_add(column, UUIDPGetDatum(memcpy(palloc(UUID_LEN), value, UUID_LEN)));
			return;
		case PO_KIND_TEXTS:
			elog(ERROR, "arrays of different lengths are no rows of a statement");
			break;
		case PO_KIND_TID:
			if (!ItemPointerIsValid((const ItemPointerData *) value))
				break;
			po_array_add(column, PointerGetDatum(memcpy(palloc(sizeof(ItemPointerData)), value,
														sizeof(ItemPointerData))));
			return;
		case PO_KIND_UUIDP:
		case PO_KIND_JSONB:
		case PO_KIND_BYTEA:
			if (*(void *const *) value == NULL)
				break;
			po_array_add(column, PointerGetDatum(*(void *const *) value));
			return;
		case PO_KIND_NAME:
			if (*(const int *) value < 0)
				break;
			po_array_add_text(column, field->names[*(const int *) value]);
			return;
	}
	po_array_add_null(column);
}

/*
 * po_rows_add adds a row: a struct of the statement's fields.  What it points to must
 * outlive the rows, but for texts.
 */
void
po_rows_add(PoRows *rows, const void *row)
{
	PoArray    *column = rows->column;

	FOREACH_FIELD(f, &rows->statement->takes, 0)
		add_value(column++, f, (const char *) row + f->offset);
	rows->n++;
}

/* Runs a variant over the columns that are there. */
static uint64
exec_variant(PoStatement *statement, bool one, const Datum *fixed, const PoArray *column, int ncolumns)
{
	PoPlan	   *plan = &statement->plan[one];
	Datum	   *args;
	char	   *nulls;

	if (plan->sql == NULL)
		make_plan(statement, one);
	args = palloc((plan->nargs + 1) * sizeof(Datum));
	nulls = palloc(plan->nargs + 1);
	memset(nulls, ' ', plan->nargs);
	for (int f = 0; f < statement->nfixed; f++)
		args[f] = fixed[f];
	for (int c = 0; c < ncolumns; c++)
	{
		args[statement->nfixed + c] = one ? column[c].value[0] : po_array_datum(&column[c]);
		if (one && column[c].isnull[0])
			nulls[statement->nfixed + c] = 'n';
	}
	return po_exec(plan, args, nulls);
}

/*
 * po_rows_exec runs the statement over the rows and returns how many rows it gives;
 * without rows it does nothing.
 */
uint64
po_rows_exec(PoRows *rows, const Datum *fixed)
{
	return rows->n == 0 ? 0 : exec_variant(rows->statement, rows->n == 1, fixed, rows->column, rows->ncolumns);
}

/*
 * po_rows_write is the same for rows that the transaction has locked: each must be there.
 */
void
po_rows_write(PoRows *rows, const Datum *fixed)
{
	if (po_rows_exec(rows, fixed) != rows->n)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("a row was changed or kept from being written while it was locked"),
				 errdetail("It was for the statement \"%s\".", rows->statement->name),
				 errhint("Look for triggers on the table that are not the extension's.")));
}

/*
 * po_exec_array runs a statement over n rows, which are structs of a size.
 */
uint64
po_exec_array(PoStatement *statement, const Datum *fixed, const void *array, int n, Size size)
{
	PoRows		rows = po_rows(statement, n);

	for (int i = 0; i < n; i++)
		po_rows_add(&rows, (const char *) array + i * size);
	return po_rows_exec(&rows, fixed);
}

/*
 * po_exec_row runs a statement over one row.
 */
uint64
po_exec_row(PoStatement *statement, const Datum *fixed, const void *row)
{
	return po_exec_array(statement, fixed, row, 1, 0);
}

/*
 * po_exec_fixed runs a statement that takes no rows.
 */
uint64
po_exec_fixed(PoStatement *statement, const Datum *fixed)
{
	Assert(statement->takes.n == 0);
	return exec_variant(statement, true, fixed, NULL, 0);
}

static int
index_of_name(const PoField *field, const char *name)
{
	for (int i = 0; name != NULL && i < field->nnames; i++)
		if (strcmp(field->names[i], name) == 0)
			return i;
	if (name != NULL)
		elog(ERROR, "unknown value \"%s\" of %s", name, field->type);
	return -1;
}

/*
 * po_read_row reads the columns that the statement gives, the first ones of a row of its
 * result, into the fields of a struct.
 */
void
po_read_row(const PoStatement *statement, uint64 row, void *into)
{
	int			column = 0;

	FOREACH_FIELD(f, &statement->gives, 0)
	{
		void	   *value = (char *) into + f->offset;
		bool		isnull;
		Datum		datum = po_column(row, ++column, &isnull);

		switch (f->kind)
		{
			case PO_KIND_TEXT:
				*(const char **) value = isnull ? NULL : TextDatumGetCString(datum);
				break;
			case PO_KIND_INT:
			case PO_KIND_NUMBER:
				*(int *) value = isnull ? 0 : DatumGetInt32(datum);
				break;
			case PO_KIND_INT64:
			case PO_KIND_ID:
				*(int64 *) value = isnull ? 0 : DatumGetInt64(datum);
				break;
			case PO_KIND_BOOL:
				*(bool *) value = !isnull && DatumGetBool(datum);
				break;
			case PO_KIND_SINCE:
				*(TimestampTz *) value = isnull ? DT_NOBEGIN : DatumGetTimestampTz(datum);
				break;
			case PO_KIND_UNTIL:
				*(TimestampTz *) value = isnull ? DT_NOEND : DatumGetTimestampTz(datum);
				break;
			case PO_KIND_UUID:
				if (isnull)
					memset(value, 0, UUID_LEN);
				else
					*(pg_uuid_t *) value = *DatumGetUUIDP(datum);
				break;
			case PO_KIND_UUIDP:
				*(const pg_uuid_t **) value = isnull ? NULL
					: memcpy(palloc(UUID_LEN), DatumGetUUIDP(datum), UUID_LEN);
				break;
			case PO_KIND_TEXTS:
				((PoTexts *) value)->text = po_column_texts(row, column, &((PoTexts *) value)->n);
				break;
			case PO_KIND_JSONB:
				*(Jsonb **) value = isnull ? NULL : DatumGetJsonbPCopy(datum);
				break;
			case PO_KIND_BYTEA:
				*(bytea **) value = isnull ? NULL : DatumGetByteaPCopy(datum);
				break;
			case PO_KIND_TID:
				if (isnull)
					ItemPointerSetInvalid((ItemPointer) value);
				else
					ItemPointerCopy((ItemPointer) DatumGetPointer(datum), (ItemPointer) value);
				break;
			case PO_KIND_NAME:
				*(int *) value = index_of_name(f, isnull ? NULL : TextDatumGetCString(datum));
				break;
		}
	}
}

/*
 * po_read_array reads the first n rows of the result into structs of a size.
 */
void
po_read_array(const PoStatement *statement, uint64 n, void *array, Size size)
{
	for (uint64 i = 0; i < n; i++)
		po_read_row(statement, i, (char *) array + i * size);
}
