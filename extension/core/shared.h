/*
 * shared.h
 *	  What the launcher, the workers and the sessions know in common.
 */
#ifndef PO_SHARED_H
#define PO_SHARED_H

#include "datatype/timestamp.h"

#define PO_LATENESS_BUCKETS 12	/* below 1, 2, 4 … 1024 ms, and more */

typedef enum PoDatabaseState
{
	PO_DATABASE_UNKNOWN,		/* nobody has looked yet */
	PO_DATABASE_ABSENT,			/* without the extension */
	PO_DATABASE_PRESENT,
	PO_DATABASE_OTHER_VERSION,	/* its SQL is of another version than the library */
	PO_DATABASE_DISARMED,		/* restored, copied, or told so */
	PO_DATABASE_HELD			/* about to be dropped, renamed or copied */
} PoDatabaseState;

/* One database; copied out whole for whoever wants to look. */
typedef struct PoDatabaseSlot
{
	Oid			database;		/* InvalidOid: the slot is free */
	PoDatabaseState state;
	char		problem[64];	/* why it is not armed, when that is its state */
	TimestampTz next_due;		/* DT_NOBEGIN: look now; DT_NOEND: nothing */
	TimestampTz start_after;	/* back-off after a failure */
	int			failures;
	int			worker_pid;		/* 0: none */
	TimestampTz last_started;
	TimestampTz last_failed;
	int			last_sqlstate;
	uint64		fired;
	uint64		processed;
	uint64		sent;			/* requests */
	uint64		lateness[PO_LATENESS_BUCKETS];
} PoDatabaseSlot;

extern void po_shared_init(void);
extern bool po_shared_available(void);

extern void po_shared_publish(Oid database, TimestampTz due);
extern TimestampTz po_shared_forget_due(int slot);
extern TimestampTz po_shared_lower_due(int slot, TimestampTz due);
extern void po_shared_found(int slot, PoDatabaseState state, const char *problem);
extern int	po_shared_hold(Oid database);
extern void po_shared_release(Oid database);

extern int	po_shared_slots(PoDatabaseSlot *copy);
extern int	po_shared_max_slots(void);
extern int	po_shared_keep_databases(const Oid *database, int n);
extern void po_shared_attach_launcher(void);
extern bool po_shared_take_rescan(void);
extern bool po_shared_attach_worker(int slot, Oid database);
extern void po_shared_detach_worker(int slot, bool well, bool asked, int sqlstate);
extern void po_shared_started(int slot);
extern void po_shared_count(int slot, int fired, int processed, int sent, const int64 *late_ms, int nlate);
extern void po_shared_watch_clock(bool begins);
extern int64 po_shared_calm_for(void);
extern void po_shared_set_waiting(bool waiting);
extern bool po_shared_others_wait(void);

#endif
