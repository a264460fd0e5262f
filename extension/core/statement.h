/*
 * statement.h
 *	  Statements over rows of a struct, and which of its fields is which column.
 *
 * A table of fields says once for a struct which columns it has and of what type; the
 * compiler checks the type.  A statement names the fields that it takes and gives, and
 * its text says where they stand:
 *
 *		{rows}		a relation u of the rows it takes, a column a field
 *		{columns}	the names of these columns, but for ctid
 *		{u.*}		the same columns as values of their types
 *		{set}		column = value for those with PO_SET
 *		{x.*}		the columns it gives, of the relation x
 *
 * $1 and on are what is the same for all rows; there may be nothing else.  Where
 * numbered, u has a column n besides, from 1 on.  {} is an empty document.
 */
#ifndef PO_STATEMENT_H
#define PO_STATEMENT_H

#include "core/spi_plan.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

/* The elements of a text[] that are not null. */
typedef struct PoTexts
{
	const char **text;
	int			n;
} PoTexts;

/* The type of a field by its kind, and what null is there; "none": it takes no null. */
#define PO_C_TEXT			const char *	/* NULL */
#define PO_C_INT			int				/* 0; none */
#define PO_C_NUMBER			int				/* 0 */
#define PO_C_INT64			int64			/* 0; none */
#define PO_C_ID				int64			/* 0 */
#define PO_C_BOOL			bool			/* false; none */
#define PO_C_SINCE			TimestampTz		/* DT_NOBEGIN */
#define PO_C_UNTIL			TimestampTz		/* DT_NOEND */
#define PO_C_UUID			pg_uuid_t		/* all zero */
#define PO_C_UUIDP			const pg_uuid_t *	/* NULL */
#define PO_C_TEXTS			PoTexts			/* none; only given */
#define PO_C_JSONB			Jsonb *			/* NULL */
#define PO_C_BYTEA			bytea *			/* NULL */
#define PO_C_TID			ItemPointerData /* invalid */

typedef enum PoFieldKind
{
	PO_KIND_TEXT,
	PO_KIND_INT,
	PO_KIND_NUMBER,
	PO_KIND_INT64,
	PO_KIND_ID,
	PO_KIND_BOOL,
	PO_KIND_SINCE,
	PO_KIND_UNTIL,
	PO_KIND_UUID,
	PO_KIND_UUIDP,
	PO_KIND_TEXTS,
	PO_KIND_JSONB,
	PO_KIND_BYTEA,
	PO_KIND_TID,				/* where a row is */
	PO_KIND_NAME				/* an enum by the names of its values; null is -1 */
} PoFieldKind;

/* What a field is for; a table may have uses of its own from PO_USE on. */
#define PO_TAKE		0x01		/* a statement takes it, */
#define PO_SET		0x03		/* and {set} sets it */
#define PO_GIVE		0x04		/* a statement gives it */
#define PO_USE		0x08

typedef struct PoField
{
	const char *column;
	const char *expression;		/* instead of it */
	PoFieldKind kind;
	int			use;
	int			offset;
	const char *type;			/* what its text is cast to; NULL: nothing */
	const char *const *names;	/* of PO_KIND_NAME */
	int			nnames;
} PoField;

#define PO_OFFSET(row, field, ctype) \
	(offsetof(row, field) + \
	 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((row *) 0)->field), ctype) ? 1 : -1]))

#define PO_FIELD_AS(row, field, name, column_kind, used) \
	{.column = name, .kind = PO_KIND_##column_kind, .use = (used), \
	.offset = PO_OFFSET(row, field, PO_C_##column_kind)}
#define PO_FIELD(row, field, column_kind, used) PO_FIELD_AS(row, field, #field, column_kind, used)
/* A text that is one of a value of another type. */
#define PO_CAST(row, field, sql_type, used) \
	{.column = #field, .kind = PO_KIND_TEXT, .use = (used), .offset = PO_OFFSET(row, field, PO_C_TEXT), \
	.type = sql_type}
/* What a statement computes, and gives under no name. */
#define PO_VALUE(row, field, text, column_kind) \
	{.expression = text, .kind = PO_KIND_##column_kind, .use = PO_GIVE, \
	.offset = PO_OFFSET(row, field, PO_C_##column_kind)}
#define PO_NAME_VALUE(row, field, ctype, text, all_names) \
	{.expression = text, .kind = PO_KIND_NAME, .use = PO_GIVE, .offset = PO_OFFSET(row, field, ctype), \
	.names = all_names, .nnames = lengthof(all_names), .type = "text"}
#define PO_NAME(row, field, ctype, all_names, sql_type, used) \
	{.column = #field, .kind = PO_KIND_NAME, .use = (used), .offset = PO_OFFSET(row, field, ctype), \
	.names = all_names, .nnames = lengthof(all_names), .type = sql_type}

/*
 * The text of a statement that moves rows m to another table: as they are given, with the
 * columns that are kept, and more columns with their values.
 * They are deleted here and inserted there: of a row that an UPDATE moves across partitions,
 * whoever waits for its lock gets an error.
 */
#define PO_MOVE_ROWS(from, to, which, kept, more, values) \
	"WITH moved AS (DELETE FROM " from " m USING {rows} WHERE " which \
	" RETURNING {u.*}, " kept ")" \
	" INSERT INTO " to " ({columns}, " kept more ") SELECT {columns}, " kept values " FROM moved"

/* Whether a row is that of u, by tenant_id and an id. */
#define PO_BY_KEY(row, id) row ".tenant_id = u.tenant_id AND " row "." id " = u." id
/*
 * The same where u has its ctid too: it is looked for there alone, and may be another by
 * now.  Of a row that this transaction has locked, the ctid stays until it writes it.
 */
#define PO_AT_TID(row, id) \
	row ".ctid = u.ctid AND " row ".tenant_id IS NOT DISTINCT FROM u.tenant_id AND " row "." id \
	" IS NOT DISTINCT FROM u." id

/* The fields of a table that are for all of some uses. */
typedef struct PoFields
{
	const PoField *field;
	int			n;
	int			use;
} PoFields;

#define PO_FIELDS(table, used) {.field = table, .n = lengthof(table), .use = (used)}

typedef struct PoStatement
{
	const char *name;
	int			expect;			/* the SPI_OK_* code it must end with */
	const char *sql;
	PoFields	takes;
	PoFields	gives;
	int			nfixed;
	const Oid  *fixed;
	bool		numbered;
	bool		as_anybody;		/* not as the engine's owner: it calls the API */
	PoPlan		plan[2];		/* for many rows, for one */
} PoStatement;

#define PO_FIXED(...) \
	.nfixed = sizeof((const Oid[]) {__VA_ARGS__}) / sizeof(Oid), .fixed = (const Oid[]) {__VA_ARGS__}

/* Rows for a statement, under construction. */
typedef struct PoRows
{
	PoStatement *statement;
	int			n;
	int			ncolumns;
	PoArray    *column;
} PoRows;

extern PoRows po_rows(PoStatement *statement, int size);
extern void po_rows_add(PoRows *rows, const void *row);
extern uint64 po_rows_exec(PoRows *rows, const Datum *fixed);
extern void po_rows_write(PoRows *rows, const Datum *fixed);
extern uint64 po_exec_array(PoStatement *statement, const Datum *fixed, const void *array, int n, Size size);
extern uint64 po_exec_row(PoStatement *statement, const Datum *fixed, const void *row);
extern uint64 po_exec_fixed(PoStatement *statement, const Datum *fixed);
extern void po_read_row(const PoStatement *statement, uint64 row, void *into);
extern void po_read_array(const PoStatement *statement, uint64 n, void *array, Size size);

/* The same for the structs of an array. */
#define po_exec_rows(statement, fixed, array, n) po_exec_array(statement, fixed, array, n, sizeof(*(array)))
#define po_read_rows(statement, n, array) po_read_array(statement, n, array, sizeof(*(array)))

#endif
