/*
 * engine_api.c
 *	  What the engine's own bodies and statements in SQL ask the C code: the time, keys
 *	  of ledgers, locks, and to keep a secret.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ledger.h"
#include "core/secrets.h"
#include "fmgr.h"
#include "storage/itemptr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(po_engine_now);
PG_FUNCTION_INFO_V1(po_ledger_key_of);
PG_FUNCTION_INFO_V1(po_is_awaited);
PG_FUNCTION_INFO_V1(po_is_own_transaction);
PG_FUNCTION_INFO_V1(po_store_secret);

/*
 * engine_now(): the time by po_now().
 */
Datum
po_engine_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(po_now());
}

/*
 * ledger_key(tenant_id, scope, key): the key that a ledger has of a text.
 */
Datum
po_ledger_key_of(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *key = palloc(sizeof(pg_uuid_t));

	*key = po_ledger_key(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
						 text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_UUID_P(key);
}

/*
 * is_awaited(tableoid, ctid): whether somebody waits to lock a row against those who
 * share it.  A row that others share is shared with one more at once, past those who
 * wait to have it alone: while one sharer follows the other, they wait for ever.  Whoever
 * shares rows again and again asks first, and leaves what is awaited.
 *
 * Who waits for a row holds its tuple lock meanwhile, in a mode that conflicts with ROW
 * SHARE unless it would only share the row.  Takes that lock if it is free, and gives it
 * back; waits for nobody.
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

/*
 * is_own_transaction(): whether locks that the call takes end with its statement.  To
 * be asked before a block that handles errors.
 */
Datum
po_is_own_transaction(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!IsTransactionBlock());
}

/*
 * store_secret(tenant_id, purpose, name, secret, given_for): seals and stores.
 */
Datum
po_store_secret(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *secret_id = palloc(sizeof(pg_uuid_t));

	po_secret_store(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
					text_to_cstring(PG_GETARG_TEXT_PP(2)), text_to_cstring(PG_GETARG_TEXT_PP(4)),
					PG_GETARG_TEXT_PP(3), secret_id);
	PG_RETURN_UUID_P(secret_id);
}
