/*
 * batch.h
 *	  Items that are done together, or else one by one.
 */
#ifndef PO_BATCH_H
#define PO_BATCH_H

#include "core/compat.h"

typedef struct PoBatch PoBatch;

/* What the work says of a member that it has left out. */
typedef enum PoMemberState
{
	PO_MEMBER_DONE,				/* it has not */
	PO_MEMBER_HELD,				/* others hold what it wants */
	PO_MEMBER_GROWN				/* it wants more than was locked: it is done by itself */
} PoMemberState;

struct PoBatch
{
	void	   *arg;			/* the caller's */
	int			n;				/* its members */

	/* Finds the members, and returns how many; NULL: they are known.  Part of the first try. */
	int			(*find) (PoBatch *batch);
	/* Does some of them, in a subtransaction; what it allocates is gone afterwards. */
	void		(*work) (PoBatch *batch, const int *member, int n);
	/*
	 * What becomes of one that could not be done, with its SQLSTATE; nothing is left of its
	 * work.  What was in somebody's way, or had no time, has ERRCODE_LOCK_NOT_AVAILABLE.
	 */
	void		(*failed) (PoBatch *batch, int member, int sqlstate);
	/* Whose a member is. */
	const char *(*tenant_of) (const PoBatch *batch, int member);

	bool		of_many;		/* others are in the same call: what looks like the server's fault may be theirs */
	bool		waits;			/* the first try does, for what others hold */
	int			patience;		/* so many of a tenant may turn out to be held, then the rest of it is; 0: all */
	const bool *foreign;		/* whether code runs that is not the engine's; see po_try() */

	/* for failed() */
	bool		tried;			/* else its turn has not come */

	/* for work() */
	MemoryContext context;		/* what has to survive a try */
	int			at;				/* the member being done; -1: all of them */
	bool		stop;			/* no more of them now */

	/* of the runner */
	PoMemberState *state;		/* of each member; the work sets it */
	int			together;		/* the SQLSTATE that all of them failed with; 0: they did not */
	bool		timed_out;		/* because the time was up */
};

extern void po_run_batch(PoBatch *batch);

#endif
