/*
 * activity.h
 *	  What a worker does in turn, each in transactions of its own.
 */
#ifndef PO_WORKER_ACTIVITY_H
#define PO_WORKER_ACTIVITY_H

#include "core/shared.h"
#include "datatype/timestamp.h"

/*
 * One of the things that a worker does.  run returns how much it has done; it
 * begins and finishes its transactions itself, and may leave by an error.
 */
typedef struct PoActivity
{
	const char *name;			/* as pg_stat_activity shows it */
	int			(*run) (struct PoActivity *self, TimestampTz since);
	int			budget_ms;		/* of one run */

	/* Private to activity.c */
	int			failures;		/* in a row */
	int			stretch;		/* how often the budget is doubled */
	TimestampTz rest_until;
} PoActivity;

extern int	po_worker_slot;
extern PoWorkerKind po_worker_kind;

extern void po_worker_start(Datum arg, PoWorkerKind kind, void (*work) (void));
extern void po_worker_leave(PoDatabaseState state, const char *problem);
extern bool po_worker_check(void);
extern void po_worker_sleep(long wait_ms);

extern void po_activity_begin(const char *name);
extern void po_activity_finish(void);
extern int	po_activity_run(PoActivity *activity, TimestampTz since);
extern TimestampTz po_activity_due(PoActivity *activity, TimestampTz due);

#endif
