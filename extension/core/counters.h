/*
 * counters.h
 *	  Counters of what came in.
 */
#ifndef PO_COUNTERS_H
#define PO_COUNTERS_H

/* What became of a webhook; the names are those that ingest_webhook() returns. */
#define PO_OUTCOMES(X) \
	X(PO_OUTCOME_ACCEPTED, "accepted") \
	X(PO_OUTCOME_DUPLICATE, "duplicate") \
	X(PO_OUTCOME_DEFERRED, "deferred") \
	X(PO_OUTCOME_ERROR, "error") \
	X(PO_OUTCOME_REJECTED, "rejected") \
	X(PO_OUTCOME_UNKNOWN_ENDPOINT, "unknown_endpoint") \
	X(PO_OUTCOME_BUSY, "busy") \
	X(PO_OUTCOME_OWN_NUMBER, "own_number")

typedef enum PoOutcome
{
#define X(name, label) name,
	PO_OUTCOMES(X)
#undef X
	PO_NOUTCOMES
} PoOutcome;

extern const char *const po_outcome_name[PO_NOUTCOMES];

extern void po_counters_init(void);
extern void po_count_outcome(PoOutcome outcome);
extern uint64 po_counted(PoOutcome outcome);

#endif
