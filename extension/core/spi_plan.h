/*
 * spi_plan.h
 *	  Saved statements: named, fully qualified, parameters only.
 *
 * A PoPlan is a static variable beside the code that uses it.  It is prepared
 * at its first use in a backend and kept for the backend's life; PostgreSQL
 * plans it again by itself when the tables change.
 */
#ifndef PO_SPI_PLAN_H
#define PO_SPI_PLAN_H

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/uuid.h"

typedef struct PoPlan
{
	const char *name;
	int			expect;			/* the SPI_OK_* code it must end with */
	const char *sql;
	int			nargs;
	const Oid  *argtype;
	bool		as_anybody;		/* not as the engine's owner: it calls the API */
	SPIPlanPtr	plan;
} PoPlan;

#define PO_ARGS(...) \
	.nargs = sizeof((const Oid[]) {__VA_ARGS__}) / sizeof(Oid), .argtype = (const Oid[]) {__VA_ARGS__}

/* A column of rows under construction. */
typedef struct PoArray
{
	Oid			element;
	int			n;
	int			size;
	Datum	   *value;
	bool	   *isnull;
} PoArray;

#define PO_ROWS_MAX_COLUMNS 20

/*
 * A statement over rows that are its parameters.  Its text is
 *
 *		before (ROWS) AS u(columns) after
 *
 * where ROWS selects the elements of arrays side by side, or is VALUES with scalars
 * when there is one row: either way a plan without function scans, which would write
 * all rows down before the first is read.  $1 and on are the fixed parameters.  Where
 * numbered, u has a column n besides, from 1 on.
 */
typedef struct PoRowsPlan
{
	const char *name;
	int			expect;
	const char *before;
	const char *columns;
	const char *after;
	int			nfixed;
	Oid			fixed[8];
	int			ncolumns;
	Oid			element[PO_ROWS_MAX_COLUMNS];
	bool		numbered;
	PoPlan		plan[2];		/* for many rows, for one */
} PoRowsPlan;

extern void po_spi_connect(void);
extern uint64 po_exec(PoPlan *plan, Datum *args, const char *nulls);
extern void po_rows_init(const PoRowsPlan *plan, PoArray *column, int size);
extern uint64 po_exec_rows(PoRowsPlan *plan, const Datum *fixed, const PoArray *column);

extern char *po_column_text(uint64 row, int column);
extern bool po_column_bool(uint64 row, int column);
extern int	po_column_int(uint64 row, int column);
extern int64 po_column_int64(uint64 row, int column);
extern TimestampTz po_column_time(uint64 row, int column);
extern bool po_column_uuid(uint64 row, int column, pg_uuid_t *uuid);
extern bytea *po_column_bytea(uint64 row, int column);
extern const char **po_column_texts(uint64 row, int column, int *n);
extern Datum po_column(uint64 row, int column, bool *isnull);

extern void po_array_init(PoArray *array, Oid element, int size);
extern void po_array_add(PoArray *array, Datum value);
extern void po_array_add_null(PoArray *array);
extern void po_array_add_text(PoArray *array, const char *text);
extern void po_array_add_text_len(PoArray *array, const char *text, int len);
extern const char *po_texts_as_text(const char *const *text, int n);
extern void po_array_add_uuid(PoArray *array, const pg_uuid_t *uuid);
extern Datum po_array_datum(const PoArray *array);

#endif
