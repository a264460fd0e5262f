/*
 * shared.h
 *	  What the launcher, the workers and the sessions know in common.
 */
#ifndef PO_SHARED_H
#define PO_SHARED_H

#include "core/calm.h"
#include "datatype/timestamp.h"

#define PO_LATENESS_BUCKETS 12	/* below 1, 2, 4 … 1024 ms, and more */

typedef enum PoDatabaseState
{
	PO_DATABASE_UNKNOWN,		/* nobody has looked yet */
	PO_DATABASE_ABSENT,			/* without the extension */
	PO_DATABASE_PRESENT,
	PO_DATABASE_OTHER_VERSION,	/* its SQL is of another version than the library */
	PO_DATABASE_DISARMED,		/* restored, copied, or told so */
	PO_DATABASE_HELD,			/* about to be dropped, renamed or copied */
	PO_DATABASE_CLOSED			/* no worker may enter it, or none could */
} PoDatabaseState;

/* What runs in a database: one process of each kind at most. */
typedef enum PoWorkerKind
{
	PO_WORKER_MAIN,
	PO_WORKER_FUNCTIONS,		/* calls what timers call */
	PO_WORKER_KINDS
} PoWorkerKind;

typedef struct PoWorkerSlot
{
	TimestampTz next_due;		/* DT_NOBEGIN: look now; DT_NOEND: nothing */
	TimestampTz start_after;	/* back-off after a failure */
	int			failures;		/* in a row */
	int			pid;			/* 0: none */
	TimestampTz last_started;
	TimestampTz left;			/* when the last one ended */
	bool		drains;			/* stays for nothing but requests that are under way */
	TimestampTz last_failed;
	int			last_sqlstate;
} PoWorkerSlot;

/* One database; copied out whole for whoever wants to look. */
typedef struct PoDatabaseSlot
{
	Oid			database;		/* InvalidOid: the slot is free */
	PoDatabaseState state;
	int			holds;			/* sessions whose statements keep workers out */
	char		problem[64];	/* why it is not armed or entered, when that is its state */
	PoWorkerSlot worker[PO_WORKER_KINDS];
	uint64		fired;
	uint64		processed;
	uint64		sent;			/* requests */
	uint64		lateness[PO_LATENESS_BUCKETS];
} PoDatabaseSlot;

/* A database as the launcher has seen it. */
typedef struct PoSeenDatabase
{
	Oid			database;
	const char *closed;			/* why no worker may enter it; NULL: it may */
} PoSeenDatabase;

/* How a worker ended. */
typedef enum PoWorkerEnd
{
	PO_END_WELL,
	PO_END_ASKED,				/* told to: what it was at is to be done by another */
	PO_END_FAILED,
	PO_END_OUTSIDE				/* it could not enter the database */
} PoWorkerEnd;

extern void po_shared_init(void);
extern bool po_shared_available(void);

extern void po_shared_publish(Oid database, TimestampTz due);
extern void po_shared_hand_over(int slot, TimestampTz due);
extern TimestampTz po_shared_forget_due(int slot, PoWorkerKind kind);
extern TimestampTz po_shared_lower_due(int slot, PoWorkerKind kind, TimestampTz due);
extern void po_shared_found(int slot, PoDatabaseState state, const char *problem);

extern bool po_shared_hold(Oid database);
extern int	po_shared_worker_of(Oid database);
extern void po_shared_release(Oid database);
extern void po_shared_ask_rescan(void);

extern int	po_shared_slots(PoDatabaseSlot *copy);
extern int	po_shared_max_slots(void);
extern int	po_shared_keep_databases(const PoSeenDatabase *database, int n);
extern void po_shared_attach_launcher(void);
extern bool po_shared_take_rescan(void);
extern bool po_shared_attach_worker(int slot, PoWorkerKind kind, Oid database);
extern void po_shared_detach_worker(int slot, PoWorkerKind kind, PoWorkerEnd end, int sqlstate);
extern void po_shared_started(int slot, PoWorkerKind kind);
extern void po_shared_failed(int slot, PoWorkerKind kind, int sqlstate);
extern void po_shared_recovered(int slot, PoWorkerKind kind);
extern void po_shared_rest(int slot, PoWorkerKind kind, TimestampTz until);
extern void po_shared_count(int slot, int fired, int processed, int sent, const int64 *late_ms, int nlate);
extern void po_shared_set_waiting(PoWorkerKind kind, bool waiting);
extern bool po_shared_others_wait(PoWorkerKind kind);
extern int	po_shared_drain(int slot, PoWorkerKind kind, bool drains);

#endif
