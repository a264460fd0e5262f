/*
 * awaited.c
 *	  Whether somebody waits to lock a row against those who share it.
 *
 * A row that others share is shared with one more at once, past those who wait to
 * have it alone: while one sharer follows the other, they wait for ever.  Whoever
 * shares rows again and again asks first, and leaves what is awaited.
 */
#include "postgres.h"

#include "access/table.h"
#include "core/compat.h"
#include "fmgr.h"
#include "storage/itemptr.h"
#include "storage/lmgr.h"

PG_FUNCTION_INFO_V1(po_is_awaited);

/*
 * is_awaited(tableoid, ctid): who waits for a row holds its tuple lock meanwhile, in
 * a mode that conflicts with ROW SHARE unless it would only share the row.  Takes
 * that lock if it is free, and gives it back; waits for nobody.
 */
Datum
po_is_awaited(PG_FUNCTION_ARGS)
{
	Relation	table = table_open(PG_GETARG_OID(0), AccessShareLock);
	ItemPointer row = (ItemPointer) PG_GETARG_POINTER(1);
	bool		is_free = po_try_lock_tuple(table, row, RowShareLock);

	if (is_free)
		UnlockTuple(table, row, RowShareLock);
	table_close(table, AccessShareLock);
	PG_RETURN_BOOL(!is_free);
}
