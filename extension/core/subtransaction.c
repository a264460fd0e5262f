/*
 * subtransaction.c
 *	  Work on one item that may fail without its neighbours noticing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/budget.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/subtransaction.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

static void
do_nothing(void)
{
}

/*
 * What has its turn between the members of a batch that are done one by one, so that
 * long work does not keep sockets waiting.  It raises nothing.
 */
void		(*po_between_members) (void) = do_nothing;

static bool
is_own_fault(int sqlstate, bool foreign, bool alone)
{
	if (foreign)
		return po_is_functions_fault(sqlstate);
	if (po_is_busy(sqlstate) || !po_is_servers_fault(sqlstate))
		return true;
	if (!alone)
		return false;
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_OPERATOR_INTERVENTION:
			return false;
		default:
			return true;
	}
}

static int
try(PoWork work, void *arg, const bool *foreign, bool alone)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int sqlstate = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		/* Also before raising it again: a caller that catches it ends its own. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!is_own_fault(error->sqlerrcode,
						  foreign != NULL && *(const volatile bool *) foreign, alone))
			ReThrowError(error);
		sqlstate = error->sqlerrcode;
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return sqlstate;
}

/*
 * po_try runs work in a subtransaction and returns 0, or the SQLSTATE it failed
 * with, in which case nothing of it is left in the database; its memory stays in
 * the current context.  Failures that are the server's are raised again.  In a
 * worker, where po_is_busy() says so of what is returned, the work was in
 * somebody's way and is to be left for later.  What code that is not the engine's
 * raises, *foreign being true then, is that code's own, whatever it is.
 */
int
po_try(PoWork work, void *arg, const bool *foreign)
{
	return try(work, arg, foreign, false);
}

/*
 * po_try_alone is the same for one item that has failed among others: want of
 * memory, of disk and the like, twice, are the item's too, lest it keep all others
 * from their turn.  What ends the session or the transaction from outside is not.
 */
int
po_try_alone(PoWork work, void *arg, const bool *foreign)
{
	return try(work, arg, foreign, true);
}
