/*
 * record.h
 *	  Answers that are being recorded.
 */
#ifndef PO_OUTBOUND_RECORD_H
#define PO_OUTBOUND_RECORD_H

#include "outbound/message.h"
#include "sender/answer.h"
#include "sender/health.h"
#include "sender/sender.h"

/* A landed flight and what is made of it. */
typedef struct PoLanding
{
	PoFlight   *flight;
	const PoAccount *account;
	PoOutcomeOfSend outcome;
	const char *report_phone;	/* an early callback says something of it; NULL: none */
	bool		held;			/* somebody else holds a row of it */
} PoLanding;

typedef struct PoLandings
{
	PoLanding  *result;			/* those that are held come last, */
	int			n;				/* behind so many */
	bool		again;			/* something was discovered too late to be locked */
} PoLandings;

extern void po_set_held_aside(PoLandings *batch);
extern int	po_lock_landings(PoLandings *batch, PoChangeSet *set, PoMessage **message);
extern void po_write_ids(PoChangeSet *set, PoHealth *health, PoLandings *batch, PoMessage *message,
						 int nmessages);

#endif
