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
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
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

static Oid
oid_of(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("outreach", false));
}

/* The table is open. */
static void
begin(Probe *probe, Oid index_oid, int n, Snapshot snapshot)
{
	Assert(n <= MOST_COLUMNS);
	probe->n = n;
	probe->index = index_open(index_oid, AccessShareLock);
	probe->slot = table_slot_create(probe->table, NULL);
	InitDirtySnapshot(probe->dirty);
	probe->scan = po_index_beginscan(probe->table, probe->index, snapshot != NULL ? snapshot : &probe->dirty, n);
}

static void
begin_index(Probe *probe, const char *name, int n)
{
	Oid			index_oid = oid_of(name);

	probe->table = table_open(IndexGetRelation(index_oid, false), AccessShareLock);
	begin(probe, index_oid, n, NULL);
}

/*
 * The state of the key, or as soon as it is known that it is no less than that; unseen:
 * also by rows that another transaction is just making.
 */
static PoKeyState
scan(Probe *probe, ScanKeyData *column, PoKeyState enough, bool unseen)
{
	PoKeyState	state = PO_KEY_FREE;

	index_rescan(probe->scan, column, probe->n, NULL, 0);
	while (state < enough && index_getnext_slot(probe->scan, ForwardScanDirection, probe->slot))
		if (unseen || !TransactionIdIsValid(probe->dirty.xmin))
			state = TransactionIdIsValid(probe->dirty.xmin) || TransactionIdIsValid(probe->dirty.xmax)
				? PO_KEY_HELD : PO_KEY_TAKEN;
	return state;
}

static PoKeyState
look_up(Probe *probe, const char *const *key, PoKeyState enough, bool unseen)
{
	ScanKeyData column[MOST_COLUMNS];

	for (int i = 0; i < probe->n; i++)
		ScanKeyEntryInitialize(&column[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   probe->index->rd_indcollation[i], F_TEXTEQ, CStringGetTextDatum(key[i]));
	return scan(probe, column, enough, unseen);
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

	begin_index(&probe, index_name, n);
	state = look_up(&probe, key, PO_KEY_HELD, true);
	end(&probe);
	return state;
}

/* A ledger that is being looked into: a table in partitions by the hash of a key of one uuid */
struct PoLedger
{
	const char *name;
	Relation	table;
	Snapshot	snapshot;		/* NULL: what is there now, committed or not */
	int			n;
	struct
	{
		Oid			oid;		/* as it was when the ledger was opened; InvalidOid: somebody has detached it */
		Probe		probe;		/* its table is NULL until a key leads there */
	}			partition[FLEXIBLE_ARRAY_MEMBER];	/* by remainder */
};

static PoLedger *
open_ledger(const char *name, Snapshot snapshot)
{
	Relation	table = table_open(oid_of(name), AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(table, false);
	PartitionBoundInfo bounds = partitions->boundinfo;
	int			n = bounds != NULL ? bounds->nindexes : 0;
	PoLedger   *ledger = palloc0(offsetof(PoLedger, partition) + n * sizeof(ledger->partition[0]));

	ledger->name = name;
	ledger->table = table;
	ledger->snapshot = snapshot;
	ledger->n = n;
	for (int i = 0; i < n; i++)
		ledger->partition[i].oid = bounds->indexes[i] >= 0 ? partitions->oids[bounds->indexes[i]] : InvalidOid;
	return ledger;
}

/* The partition that a row is put into, and its key. */
static Probe *
partition_of(PoLedger *ledger, const pg_uuid_t *key, ScanKeyData *column)
{
	PartitionKey by = RelationGetPartitionKey(ledger->table);
	Datum		value = UUIDPGetDatum(key);
	bool		isnull = false;
	uint64		hash = compute_partition_hash_value(by->partnatts, by->partsupfunc, by->partcollation, &value, &isnull);
	int			i = ledger->n > 0 ? hash % ledger->n : -1;
	Probe	   *probe;

	if (i < 0 || !OidIsValid(ledger->partition[i].oid))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("table \"%s\" has no partition for the key", ledger->name),
				 errhint("Attach the one that was detached.")));
	probe = &ledger->partition[i].probe;
	if (probe->table == NULL)
	{
		probe->table = table_open(ledger->partition[i].oid, AccessShareLock);
		list_free(RelationGetIndexList(probe->table));
		begin(probe, probe->table->rd_pkindex, 1, ledger->snapshot);
	}
	ScanKeyInit(column, 1, BTEqualStrategyNumber, F_UUID_EQ, value);
	return probe;
}

/*
 * po_open_ledger begins to look into a ledger, as the transaction's next statement would
 * read it; po_close_ledger ends that.  Takes ACCESS SHARE on what is read: of the
 * partitions only those of the keys asked for, where a statement would open all.
 */
PoLedger *
po_open_ledger(const char *name)
{
	return open_ledger(name, RegisterSnapshot(GetTransactionSnapshot()));
}

void
po_close_ledger(PoLedger *ledger)
{
	for (int i = 0; i < ledger->n; i++)
		if (ledger->partition[i].probe.table != NULL)
			end(&ledger->partition[i].probe);
	table_close(ledger->table, AccessShareLock);
	if (ledger->snapshot != NULL)
		UnregisterSnapshot(ledger->snapshot);
	pfree(ledger);
}

/*
 * po_read_ledger returns in value what columns of its row have, which is good until the
 * next call; false: there is none under the key.
 */
bool
po_read_ledger(PoLedger *ledger, const pg_uuid_t *key, const char *const *column, int n, NullableDatum *value)
{
	ScanKeyData by;
	Probe	   *probe = partition_of(ledger, key, &by);

	index_rescan(probe->scan, &by, 1, NULL, 0);
	if (!index_getnext_slot(probe->scan, ForwardScanDirection, probe->slot))
		return false;
	for (int i = 0; i < n; i++)
		value[i].value = slot_getattr(probe->slot, get_attnum(RelationGetRelid(probe->table), column[i]),
									  &value[i].isnull);
	return true;
}

/*
 * po_probe_ledger tells what po_probe_key does of a key of a ledger.
 */
PoKeyState
po_probe_ledger(const char *name, const pg_uuid_t *key)
{
	PoLedger   *ledger = open_ledger(name, NULL);
	ScanKeyData column;
	Probe	   *probe = partition_of(ledger, key, &column);
	PoKeyState	state = scan(probe, &column, PO_KEY_HELD, true);

	po_close_ledger(ledger);
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
	begin_index(&probe, index_name, n);
	for (int i = 0; i < nkeys; i++)
		has[i] = look_up(&probe, &key[i * n], PO_KEY_TAKEN, unseen) != PO_KEY_FREE;
	end(&probe);
}
