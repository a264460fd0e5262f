/*
 * errors.c
 *	  Whose fault an error is.
 */
#include "postgres.h"

#include "core/budget.h"
#include "core/compat.h"
#include "core/errors.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"

/*
 * po_is_servers_fault tells failures that would have hit any item (no memory, no
 * disk, a deadlock, a cancel, a shutdown) from those of one item.
 */
bool
po_is_servers_fault(int sqlstate)
{
	/* Somebody holds what this item needs; the next one may need something else. */
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || po_is_busy(sqlstate))
		return false;
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return sqlstate == ERRCODE_DATA_CORRUPTED || sqlstate == ERRCODE_INDEX_CORRUPTED;
	}
}

/*
 * po_is_functions_fault tells what a function of somebody else's raised from what
 * ended it from outside: a person who cancels his own session, or the end of a
 * worker.  Every error of its own is its own, for any SQLSTATE can be raised; in
 * a worker a cancel is how a person, or its time, ends that function.
 */
bool
po_is_functions_fault(int sqlstate)
{
	return sqlstate != ERRCODE_QUERY_CANCELED || (po_is_background_worker() && !ShutdownRequestPending);
}
