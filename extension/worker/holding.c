/*
 * holding.c
 *	  Keeping workers out of databases that statements want for themselves.
 *
 * A database that is to be dropped, renamed, copied or moved may have nobody
 * connected.  Its workers are ended, and none is started until the transaction of
 * that statement ends, or its subtransaction is rolled back.  A transaction may
 * hold several, as one that swaps two names does.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "core/compat.h"
#include "core/shared.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "worker/holding.h"

/* A database that this session's transaction holds. */
typedef struct Held
{
	Oid			database;
	SubTransactionId level;
	struct Held *next;
} Held;

static Held *held = NULL;		/* in TopMemoryContext */
static bool look_at_end = false;
static ProcessUtility_hook_type previous_utility;

/* The database that the statement wants for itself. */
static Oid
wanted(Node *statement)
{
	const char *name = NULL;
	Oid			database;

	if (IsA(statement, DropdbStmt))
		name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) statement)->subname;
	else if (IsA(statement, CreatedbStmt))
	{
		ListCell   *cell;

		foreach(cell, ((CreatedbStmt *) statement)->options)
		{
			DefElem    *option = lfirst(cell);

			if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
				name = defGetString(option);
		}
	}
	else if (IsA(statement, AlterDatabaseStmt))
	{
		ListCell   *cell;

		foreach(cell, ((AlterDatabaseStmt *) statement)->options)
		{
			if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
				name = ((AlterDatabaseStmt *) statement)->dbname;
		}
	}
	if (name == NULL || !OidIsValid(database = get_database_oid(name, true)))
		return InvalidOid;
	/* Only for those who may: the statement itself says so to the others. */
	return po_owns_database(database, GetUserId()) ? database : InvalidOid;
}

/* Noted before anything can fail, and so released whatever happens. */
static void
hold(Oid database)
{
	Held	   *one = MemoryContextAlloc(TopMemoryContext, sizeof(Held));
	int			signalled = 0;
	int			pid;

	one->database = database;
	one->level = GetCurrentSubTransactionId();
	one->next = held;
	if (!po_shared_hold(database))
	{
		pfree(one);
		return;
	}
	held = one;

	/* It may be too young to be in the array of processes. */
	for (int i = 0; i < 500 && (pid = po_shared_worker_of(database)) != 0; i++)
	{
		if (pid != signalled)
			(void) kill(signalled = pid, SIGTERM);
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* Releases what the level holds, or everything. */
static void
release(SubTransactionId level)
{
	Held	  **link = &held;

	while (*link != NULL)
	{
		Held	   *one = *link;

		if (level != InvalidSubTransactionId && one->level != level)
		{
			link = &one->next;
			continue;
		}
		*link = one->next;
		po_shared_release(one->database);
		pfree(one);
	}
}

/*
 * Only now is a new database in pg_database for the launcher to see, and one that
 * was dropped no longer.
 */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	release(InvalidSubTransactionId);
	if (look_at_end)
		po_shared_ask_rescan();
	look_at_end = false;
}

static void
at_end_of_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
						 void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		release(mine);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (Held *one = held; one != NULL; one = one->next)
			if (one->level == mine)
				one->level = parent;
}

/* Whether it can change which databases there are, or who may enter them. */
static bool
is_of_databases(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
		case T_CreatedbStmt:
		case T_AlterDatabaseStmt:
			return true;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE;
		case T_GrantStmt:
			return ((GrantStmt *) statement)->objtype == OBJECT_DATABASE;
		default:
			return false;
	}
}

static void
utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	static bool registered = false;

	if (is_of_databases(pstmt->utilityStmt))
	{
		Oid			database = wanted(pstmt->utilityStmt);

		if (!registered)
		{
			RegisterXactCallback(at_end_of_transaction, NULL);
			RegisterSubXactCallback(at_end_of_subtransaction, NULL);
		}
		registered = true;
		look_at_end = true;
		if (OidIsValid(database))
			hold(database);
	}
	if (previous_utility)
		previous_utility(pstmt, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, dest,
								completion);
}

/*
 * po_holding_init hooks in; called once, while the library is preloaded.
 */
void
po_holding_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
