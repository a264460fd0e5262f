/*
 * counters.h
 *	  Counters of what came in.
 */
#ifndef PO_COUNTERS_H
#define PO_COUNTERS_H

/* What became of a webhook; the names are those that ingest_webhook() returns. */
#define PO_INGEST_OUTCOMES(X) \
	X(PO_INGEST_ACCEPTED, "accepted") \
	X(PO_INGEST_DUPLICATE, "duplicate") \
	X(PO_INGEST_DEFERRED, "deferred") \
	X(PO_INGEST_ERROR, "error") \
	X(PO_INGEST_REJECTED, "rejected") \
	X(PO_INGEST_UNKNOWN_ENDPOINT, "unknown_endpoint") \
	X(PO_INGEST_BUSY, "busy") \
	X(PO_INGEST_OWN_NUMBER, "own_number")

typedef enum PoIngestOutcome
{
#define X(name, label) name,
	PO_INGEST_OUTCOMES(X)
#undef X
	PO_INGEST_NOUTCOMES
} PoIngestOutcome;

extern const char *const po_ingest_outcome_name[PO_INGEST_NOUTCOMES];

extern void po_counters_init(void);
extern void po_count_ingest(PoIngestOutcome outcome);
extern uint64 po_counted(PoIngestOutcome outcome);

#endif
