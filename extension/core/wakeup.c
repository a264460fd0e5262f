/*
 * wakeup.c
 *	  Telling the workers, at commit, when work is due.
 *
 * A transaction notes the earliest time; one callback a process publishes it
 * in shared memory when the transaction commits.  What a rolled back
 * subtransaction noted is forgotten with it.  A prepared transaction cannot
 * publish for itself: the session that runs COMMIT PREPARED says that something
 * may be due, and the worker looks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/compat.h"
#include "core/shared.h"
#include "core/wakeup.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* What one level of subtransactions noted; the innermost first. */
typedef struct Noted
{
	struct Noted *outer;
	int			level;
	TimestampTz due;
} Noted;

static Noted *noted = NULL;		/* in TopTransactionContext */
static bool look_at_commit = false;
static ProcessUtility_hook_type previous_utility;

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (event == XACT_EVENT_COMMIT && look_at_commit)
				po_shared_publish(MyDatabaseId, DT_NOBEGIN);
			else if (event == XACT_EVENT_COMMIT && noted != NULL)
				po_shared_publish(MyDatabaseId, noted->due);
			noted = NULL;
			look_at_commit = false;
			break;
		default:
			break;
	}
}

static void
at_end_of_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
						 void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (noted == NULL || noted->level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		noted = noted->outer;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		if (noted->outer != NULL && noted->outer->level == level - 1)
		{
			noted->outer->due = Min(noted->outer->due, noted->due);
			noted = noted->outer;
		}
		else
			noted->level = level - 1;
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_end_of_transaction, NULL);
	RegisterSubXactCallback(at_end_of_subtransaction, NULL);
	registered = true;
}

static void
utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	if (IsA(pstmt->utilityStmt, TransactionStmt) &&
		((TransactionStmt *) pstmt->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED)
	{
		register_callbacks();
		look_at_commit = true;
	}
	if (previous_utility)
		previous_utility(pstmt, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, dest,
								completion);
}

/*
 * po_wakeup_init hooks in; called once, while the library is preloaded.
 */
void
po_wakeup_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}

/*
 * po_wake_at notes that work is due at a time, DT_NOBEGIN for "look now".
 */
void
po_wake_at(TimestampTz due)
{
	int			level = GetCurrentTransactionNestLevel();

	register_callbacks();
	if (noted == NULL || noted->level < level)
	{
		Noted	   *inner = MemoryContextAlloc(TopTransactionContext, sizeof(Noted));

		inner->outer = noted;
		inner->level = level;
		inner->due = due;
		noted = inner;
	}
	else
		noted->due = Min(noted->due, due);
}
