/*
 * record.h
 *	  Answers that are being recorded.
 */
#ifndef PO_SENDER_RECORD_H
#define PO_SENDER_RECORD_H

#include "outbound/message.h"
#include "sender/answer.h"
#include "sender/health.h"
#include "sender/sender.h"

/* A landed flight and what is made of it. */
typedef struct PoLanding
{
	PoFlight   *flight;
	const PoAccount *account;
	PoRequestOutcome outcome;
} PoLanding;

/* A status callback that came before the answer. */
typedef struct PoEarly
{
	bool		is;
	PoReport	report;
	pg_uuid_t	receipt_id;
	bool		has_receipt;
	const char *meaning;		/* of its error code; NULL: none */
	PoOutcomeEffect effect;
} PoEarly;

extern int	po_record(void);
extern void po_note_ids(PoLanding **result, int n, PoEarly *early, bool *held);
extern void po_apply_early(PoUnit *unit, PoHealth *health, const PoLanding *result, PoEarly *early);

#endif
