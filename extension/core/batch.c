/*
 * batch.c
 *	  Items that are done together, or else one by one.
 *
 * All of them are one subtransaction.  Where it fails they are done again, each by
 * itself, and what fails alone is at fault itself (subtransaction.c says of which errors
 * that is so).  A member that others hold is left out by the work, which says so; it
 * fails with ERRCODE_LOCK_NOT_AVAILABLE, and the rest goes on without it.  One that wants
 * more than was known when the locks were taken is done by itself, from the beginning:
 * what it has locked already might be in somebody's way.
 *
 * A try has memory of its own, which is deleted after it: what failed leaves nothing.
 *
 * In a worker the members that are done alone have a time, which begins anew when one has
 * used it up: that one's tenant has its next turn later, and in the end all have.
 */
#include "postgres.h"

#include "core/batch.h"
#include "core/budget.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/subtransaction.h"
#include "utils/memutils.h"

#define ALONE_BUDGET_MS 1000
#define MOST_BUDGETS	3
#define MOST_ROUNDS		3

/* A try of some of the members. */
typedef struct Try
{
	PoBatch    *batch;
	const int  *member;			/* NULL: all, which are to be found first if they are not known */
	int			n;
} Try;

static void
do_try(void *arg)
{
	Try		   *try = arg;
	PoBatch    *batch = try->batch;

	if (try->member == NULL)
	{
		int		   *all;

		if (batch->find != NULL)
			batch->n = batch->find(batch);
		all = palloc(Max(batch->n, 1) * sizeof(int));
		for (int i = 0; i < batch->n; i++)
			all[i] = i;
		try->member = all;
		try->n = batch->n;
		batch->state = MemoryContextAllocZero(batch->context, Max(batch->n, 1) * sizeof(PoMemberState));
	}
	if (try->n > 0)
		batch->work(batch, try->member, try->n);
	/* One by itself begins anew, without the locks that it has. */
	if (try->n == 1 && batch->state[try->member[0]] == PO_MEMBER_GROWN)
		po_undo();
}

static int
run(PoBatch *batch, const int *member, int n)
{
	Try			try = {batch, member, n};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext own = AllocSetContextCreate(caller, "outreach batch", ALLOCSET_DEFAULT_SIZES);
	int			sqlstate;

	batch->at = -1;
	MemoryContextSwitchTo(own);
	sqlstate = (batch->of_many ? po_try_alone : po_try) (do_try, &try, batch->foreign);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(own);
	/* Said here, before the time is given anew, by which it is known. */
	return sqlstate != 0 && po_is_busy(sqlstate) ? ERRCODE_LOCK_NOT_AVAILABLE : sqlstate;
}

/* Does one by itself, again where it wants more than was known. */
static int
run_one(PoBatch *batch, int member)
{
	int			sqlstate = 0;

	for (int round = 0; round < MOST_ROUNDS; round++)
	{
		batch->state[member] = PO_MEMBER_DONE;
		sqlstate = run(batch, &member, 1);
		if (sqlstate != 0 || batch->state[member] != PO_MEMBER_GROWN)
			break;
	}
	return sqlstate == 0 && batch->state[member] != PO_MEMBER_DONE ? ERRCODE_LOCK_NOT_AVAILABLE : sqlstate;
}

/* What counts against a tenant: a member that was held, and one that has used up the time. */
#define WAS_HELD	1
#define WAS_SLOW	(1 << 20)

/* Whether so much counts against the tenant of a member that it is left for later. */
static bool
is_of_busy_tenant(const PoBatch *batch, const int *counted, int member)
{
	const char *tenant_id = batch->tenant_of(batch, member);
	int			sum = 0;

	for (int i = 0; i < member; i++)
		if (counted[i] > 0 && strcmp(batch->tenant_of(batch, i), tenant_id) == 0)
			sum += counted[i];
	return sum >= (batch->patience > 0 ? batch->patience : WAS_SLOW);
}

/* The one that is known to have failed together with the others; -1: none is. */
static int
culprit_of(const PoBatch *batch)
{
	/* What has run out of time is nobody's fault; whether it was the server's a second failure tells. */
	if (batch->timed_out || (batch->together != ERRCODE_LOCK_NOT_AVAILABLE && po_is_servers_fault(batch->together)))
		return -1;
	return batch->n == 1 ? 0 : batch->at;
}

static void
run_alone(PoBatch *batch)
{
	int		   *counted = palloc0(batch->n * sizeof(int));
	int			culprit = culprit_of(batch);
	int			budgets = 0;

	/* What all of them have used up is not the members' fault. */
	if (po_waits_for_nobody())
		po_budget_begin(ALONE_BUDGET_MS);
	for (int i = 0; i < batch->n && !batch->stop; i++)
	{
		int			sqlstate;

		batch->tried = false;
		if (budgets >= MOST_BUDGETS || is_of_busy_tenant(batch, counted, i))
			sqlstate = ERRCODE_LOCK_NOT_AVAILABLE;
		else
		{
			batch->tried = true;
			sqlstate = i == culprit ? batch->together : run_one(batch, i);
		}
		if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
			counted[i] = WAS_HELD;
		/* The others have a time of their own, and its tenant the next turn. */
		if (po_waits_for_nobody() && po_budget_ran_out())
		{
			counted[i] = WAS_SLOW;
			if (++budgets < MOST_BUDGETS)
				po_budget_begin(ALONE_BUDGET_MS);
		}
		if (sqlstate != 0)
			batch->failed(batch, i, sqlstate);
		/* Sockets have their turn between the members. */
		po_between_members();
	}
}

/*
 * po_run_batch does the members together, or else one by one; each that could not be done
 * is given to failed().  What is the server's fault, and no member's, is raised.
 */
void
po_run_batch(PoBatch *batch)
{
	batch->context = CurrentMemoryContext;
	batch->together = run(batch, NULL, 0);
	if (batch->together == ERRCODE_LOCK_NOT_AVAILABLE && batch->waits)
	{
		batch->waits = false;
		batch->together = run(batch, NULL, 0);
	}
	if (batch->n > 1)
		batch->waits = false;
	batch->timed_out = po_budget_ran_out();
	if (batch->together != 0 && batch->state == NULL)
		ereport(ERROR,
				(errcode(batch->together),
				 errmsg("what is to be done could not be found")));
	if (batch->together != 0)
		run_alone(batch);
	else
		for (int i = 0; i < batch->n; i++)
		{
			int			sqlstate = batch->state[i] == PO_MEMBER_DONE ? 0
				: batch->state[i] == PO_MEMBER_GROWN ? run_one(batch, i) : ERRCODE_LOCK_NOT_AVAILABLE;

			batch->tried = true;
			if (sqlstate != 0)
				batch->failed(batch, i, sqlstate);
		}
}
