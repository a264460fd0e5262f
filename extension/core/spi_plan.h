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

extern void po_spi_connect(void);
extern uint64 po_exec(PoPlan *plan, Datum *args, const char *nulls);

extern char *po_column_text(uint64 row, int column);
extern bool po_column_bool(uint64 row, int column);
extern int	po_column_int(uint64 row, int column);
extern ItemPointerData po_column_tid(uint64 row, int column);
extern int64 po_column_int64(uint64 row, int column);
extern bool po_column_uuid(uint64 row, int column, pg_uuid_t *uuid);
extern bytea *po_column_bytea(uint64 row, int column);
extern const char **po_column_texts(uint64 row, int column, int *n);
extern Datum po_column(uint64 row, int column, bool *isnull);

extern void po_array_init(PoArray *array, Oid element, int size);
extern void po_array_add(PoArray *array, Datum value);
extern void po_array_add_null(PoArray *array);
extern void po_array_add_text(PoArray *array, const char *text);
extern const char *po_texts_as_text(const char *const *text, int n);
extern void po_array_add_uuid(PoArray *array, const pg_uuid_t *uuid);
extern Datum po_array_datum(const PoArray *array);

#endif
