/*
 * claim.h
 *	  A claim under way: what was found to be due.
 */
#ifndef PO_SENDER_CLAIM_H
#define PO_SENDER_CLAIM_H

#include "outbound/guards.h"
#include "outbound/message.h"
#include "outbound/priority.h"
#include "sender/request_values.h"

/* A tenant of due messages, that there is. */
typedef struct PoClaimTenant
{
	const char *tenant_id;
	bool		locked;			/* against stops; false: somebody else has it */
} PoClaimTenant;

/* A due message, as it was found. */
typedef struct PoCandidate
{
	PoMessageKey key;
	ItemPointerData tid;		/* where it was, */
	ItemPointerData lead_tid;	/* and its lead is */
	const char *lead_id;
	pg_uuid_t	contact_id;		/* of the lead */
	const char *account_name;
	const char *from_phone;
	const char *phone;			/* where it goes now: the lead's address; NULL: the lead has none */
	const char *channel;
	PoContent	content;
	bool		locked;			/* its lead, its phone, if it goes to one, and all against stops */
	const PoClaimTenant *tenant;	/* NULL: gone */
	const PoAccount *account;
	const char *stop;			/* what holds it, or NULL */
	PoGuardResult result;
} PoCandidate;

typedef struct PoStop
{
	const char *tenant_id;
	const char *scope;
	const char *id;
	bool		looked;			/* whether it can be locked */
	bool		locked;
} PoStop;

typedef struct PoClaim
{
	PoCandidate *candidate;
	int			n;
	Size		bytes;			/* of their texts */
	bool		full;			/* what else is due is too long for a batch */
	PoClaimTenant *tenant;
	int			ntenants;
	PoStop	   *stop;
	int			nstops;
} PoClaim;

extern int	po_claim(TimestampTz since);
extern void po_find_due(PoClaim *claim, TimestampTz since, int room);
extern TimestampTz po_claim_since(TimestampTz since);
extern TimestampTz po_claim_due(TimestampTz due);
extern bool po_messages_are_held(void);
extern bool po_room_has_come(void);

#endif
