/*
 * health.h
 *	  How accounts and numbers are doing.
 */
#ifndef PO_SENDER_HEALTH_H
#define PO_SENDER_HEALTH_H

#include "outbound/message.h"
#include "unit/unit.h"

/* An account (from_phone NULL) or number that rests, or has failed lately. */
typedef struct PoCircuit
{
	const char *tenant_id;
	const char *account;
	const char *from_phone;		/* '': of the account */
	int			failures;
	TimestampTz open_until;		/* DT_NOBEGIN: closed */
	TimestampTz updated_at;
} PoCircuit;

typedef struct PoCircuits
{
	PoCircuit  *circuit;
	int			n;
} PoCircuits;

/* What became of messages of one account and number. */
typedef struct PoHealthNote
{
	const PoAccount *account;
	const char *from_phone;		/* NULL: none */
	const char *channel;
	int			sent;
	int			delivered;
	int			failed;
	const char *error_code;		/* of the last that failed */
	int			outages;		/* answers that a provider in trouble gives */
	TimestampTz last_outage;	/* when the last of those requests was claimed */
	int			answers;		/* others */
	TimestampTz rest_until;		/* the number rests; DT_NOBEGIN: no */
	const char *stop_number;	/* why; NULL: goes on */
	const char *stop_account;
} PoHealthNote;

typedef struct PoHealth
{
	PoHealthNote *note;
	int			n;
	int			size;
} PoHealth;

extern void po_read_circuits(PoCircuits *circuits);
extern bool po_circuit_open_until(PoCircuits *circuits, const PoAccount *account,
								  const char *from_phone, TimestampTz *open_until);
extern PoHealthNote *po_health_note(PoHealth *health, const PoAccount *account,
									const char *from_phone, const char *channel);
extern void po_note_report(PoHealth *health, const PoAccount *account, const PoMessage *message,
						   const PoReport *report, PoMessageStatus previous);
extern void po_write_health(PoHealth *health, PoUnit *unit);

#endif
