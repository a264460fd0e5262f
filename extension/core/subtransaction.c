/*
 * subtransaction.c
 *	  Work on one item that may fail without its neighbours noticing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/subtransaction.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * po_try runs work in a subtransaction and returns 0, or the SQLSTATE it failed
 * with, in which case nothing of it is left in the database; its memory stays in
 * the current context.  Failures that are the server's are raised again; what
 * code that is not the engine's raises, *foreign being true then, is taken for
 * that code's own, but for a cancel and want of memory or disk.
 */
int
po_try(PoWork work, void *arg, const bool *foreign)
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
		if (foreign != NULL && *(const volatile bool *) foreign
			? po_is_everybodys_fault(error->sqlerrcode) : po_is_servers_fault(error->sqlerrcode))
			ReThrowError(error);
		sqlstate = error->sqlerrcode;
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return sqlstate;
}
