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

/* An index with its table, open, and where a row of it is put */
typedef struct Probe
{
	Relation	table;
	Relation	index;
	TupleTableSlot *slot;
	SnapshotData dirty;
	IndexScanDesc scan;
	int			n;				/* the columns of a key */
} Probe;

static void
begin(Probe *probe, const char *index_name, int n)
{
	Oid			index_oid = get_relname_relid(index_name, get_namespace_oid("outreach", false));

	Assert(n <= MOST_COLUMNS);
	probe->n = n;
	probe->table = table_open(IndexGetRelation(index_oid, false), AccessShareLock);
	probe->index = index_open(index_oid, AccessShareLock);
	probe->slot = table_slot_create(probe->table, NULL);
	InitDirtySnapshot(probe->dirty);
	probe->scan = po_index_beginscan(probe->table, probe->index, &probe->dirty, n);
}

/*
 * The state of the key, or as soon as it is known that it is no less than that; unseen:
 * also by rows that another transaction is just making.
 */
static PoKeyState
look_up(Probe *probe, const char *const *key, PoKeyState enough, bool unseen)
{
	PoKeyState	state = PO_KEY_FREE;
	ScanKeyData column[MOST_COLUMNS];

	for (int i = 0; i < probe->n; i++)
		ScanKeyEntryInitialize(&column[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   probe->index->rd_indcollation[i], F_TEXTEQ, CStringGetTextDatum(key[i]));
	index_rescan(probe->scan, column, probe->n, NULL, 0);
	while (state < enough && index_getnext_slot(probe->scan, ForwardScanDirection, probe->slot))
		if (unseen || !TransactionIdIsValid(probe->dirty.xmin))
			state = TransactionIdIsValid(probe->dirty.xmin) || TransactionIdIsValid(probe->dirty.xmax)
				? PO_KEY_HELD : PO_KEY_TAKEN;
	return state;
}

static void
end(Probe *probe)
{
	index_endscan(probe->scan);
	ExecDropSingleTupleTableSlot(probe->slot);
	index_close(probe->index, AccessShareLock);
	table_close(probe->table, AccessShareLock);
}

/*
 * po_probe_key tells whether a row could be inserted under a key of n texts, of a
 * unique index, without waiting.  Needs a transaction; takes ACCESS SHARE on the table
 * and the index.
 */
PoKeyState
po_probe_key(const char *index_name, const char *const *key, int n)
{
	Probe		probe;
	PoKeyState	state;

	begin(&probe, index_name, n);
	state = look_up(&probe, key, PO_KEY_HELD, true);
	end(&probe);
	return state;
}

/*
 * po_have_rows tells in has, for each of nkeys keys of n texts that follow each other,
 * whether an index, of some of the rows perhaps, has one under it: one that is there,
 * or that another transaction is changing or deleting, or unseen, is making.  Needs and
 * takes the same.
 */
void
po_have_rows(const char *index_name, const char *const *key, int n, int nkeys, bool unseen, bool *has)
{
	Probe		probe;

	if (nkeys == 0)
		return;
	begin(&probe, index_name, n);
	for (int i = 0; i < nkeys; i++)
		has[i] = look_up(&probe, &key[i * n], PO_KEY_TAKEN, unseen) != PO_KEY_FREE;
	end(&probe);
}
