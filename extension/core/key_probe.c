/*
 * key_probe.c
 *	  Whether a row could be inserted under a unique key without waiting.
 *
 * An insertion waits in the index for a transaction that has inserted the same
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

/*
 * po_probe_key looks a key of n texts up in a unique index of the engine's.  Needs
 * a transaction; takes ACCESS SHARE on the table and the index.
 */
PoKeyState
po_probe_key(const char *index_name, const char *const *key, int n)
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
	while (state != PO_KEY_HELD && index_getnext_slot(scan, ForwardScanDirection, slot))
		state = TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax)
			? PO_KEY_HELD : PO_KEY_TAKEN;
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return state;
}
