/*
 * key_probe.c
 *	  What an index of the engine's has under a key, without a statement.
 *
 * For who looks whether there is anything to do, a statement costs more than the
 * look.  And for who inserts: an insertion waits in the index for a transaction that has inserted the same
 * key and is not over, and no clause of SQL spares it that.  Who may not wait for
 * anybody looks first.  Between the look and the insertion somebody else may
 * insert: that is rare, and what the session's lock_timeout is for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "core/compat.h"
#include "core/key_probe.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define MOST_COLUMNS 3

/* The state of the key, or as soon as it is known that it is no less than that. */
static PoKeyState
look_up(const char *index_name, const char *const *key, int n, PoKeyState enough)
{
	Oid			index_oid = get_relname_relid(index_name, get_namespace_oid("outreach", false));
	Relation	table = table_open(IndexGetRelation(index_oid, false), AccessShareLock);
	Relation	index = index_open(index_oid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	PoKeyState	state = PO_KEY_FREE;
	ScanKeyData column[MOST_COLUMNS];
	SnapshotData dirty;
	IndexScanDesc scan;

	Assert(n <= MOST_COLUMNS);
	InitDirtySnapshot(dirty);
	for (int i = 0; i < n; i++)
		ScanKeyEntryInitialize(&column[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[i], F_TEXTEQ, CStringGetTextDatum(key[i]));
	scan = po_index_beginscan(table, index, &dirty, n);
	index_rescan(scan, column, n, NULL, 0);
	while (state < enough && index_getnext_slot(scan, ForwardScanDirection, slot))
		state = TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax)
			? PO_KEY_HELD : PO_KEY_TAKEN;
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return state;
}

/*
 * po_probe_key tells whether a row could be inserted under a key of n texts, of a
 * unique index, without waiting.  Needs a transaction; takes ACCESS SHARE on the table
 * and the index.
 */
PoKeyState
po_probe_key(const char *index_name, const char *const *key, int n)
{
	return look_up(index_name, key, n, PO_KEY_HELD);
}

/*
 * po_has_row tells whether an index, of some of the rows perhaps, has one under a key
 * of n texts: one that is there, or that another transaction is making, changing or
 * deleting.  Needs and takes the same.
 */
bool
po_has_row(const char *index_name, const char *const *key, int n)
{
	return look_up(index_name, key, n, PO_KEY_TAKEN) != PO_KEY_FREE;
}
