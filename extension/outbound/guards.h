/*
 * guards.h
 *	  Whether a message may leave.
 */
#ifndef PO_OUTBOUND_GUARDS_H
#define PO_OUTBOUND_GUARDS_H

#include "unit/unit.h"

typedef enum PoGuardVerdict
{
	PO_GUARD_ALLOW,
	PO_GUARD_DEFER,
	PO_GUARD_REVIEW,
	PO_GUARD_BLOCK
} PoGuardVerdict;

/* When a guard is asked. */
typedef enum PoGuardMoment
{
	PO_AT_REQUEST = 1,			/* send_message() */
	PO_AT_CLAIM = 2				/* a worker is about to send, with the address locked */
} PoGuardMoment;

/* All that guards may look at. */
typedef struct PoGuardInput
{
	PoGuardMoment moment;
	const char *address;		/* NULL: the lead has none that is valid */
	const char *channel;
	PoConsent	consent;
	bool		copy_blocked;	/* an address that gets a copy is not to be written to */
	PoState		lead_state;
	const char *unreachable;	/* why the address cannot be reached in the channel, or NULL */
	const char *missing;		/* the variable that has no value, or NULL */
	bool		malformed;		/* the text cannot be filled in */
	const char *lacks;			/* the path of what the profile needs and the message has not, or NULL */
	int			body_len;
	bool		may_be_empty;	/* the text: something else is sent */
	int			segments;
	int			max_segments;
	const char *stop;			/* what holds it, as scope:id, or NULL */
} PoGuardInput;

typedef struct PoGuardResult
{
	PoGuardVerdict verdict;
	const char *guard;
	const char *reason;
} PoGuardResult;

typedef struct PoGuard
{
	const char *name;
	int			moments;		/* PoGuardMoment */
	PoGuardVerdict (*judge) (const PoGuardInput *input, const char **reason);
	const char *description;
} PoGuard;

extern const PoGuard *po_guard(int i);
extern PoGuardResult po_judge(const PoGuardInput *input);
extern Jsonb *po_verdict_list(const char *const member[][2], int n);
extern Jsonb *po_guard_verdicts(const PoGuardResult *result);

#endif
