/*
 * message_states.h
 *	  The statuses of an outbound message, and how it moves between them.
 */
#ifndef PO_UNIT_MESSAGE_STATES_H
#define PO_UNIT_MESSAGE_STATES_H

/* The values of the type outreach.message_status; their order has no meaning. */
typedef enum PoMessageStatus
{
	PO_MESSAGE_NONE = -1,
	PO_MESSAGE_PENDING,
	PO_MESSAGE_DEFERRED,
	PO_MESSAGE_REVIEW,
	PO_MESSAGE_SENDING,
	PO_MESSAGE_UNKNOWN,
	PO_MESSAGE_UNCERTAIN,
	PO_MESSAGE_SENT,
	PO_MESSAGE_UNDELIVERED,
	PO_MESSAGE_FAILED,
	PO_MESSAGE_DELIVERED,
	PO_MESSAGE_READ,
	PO_MESSAGE_BLOCKED,
	PO_MESSAGE_CANCELLED,
	PO_MESSAGE_DEAD,
	PO_MESSAGE_EXPIRED,			/* of no message: what a send_key says whose message is gone */
	PO_NMESSAGE_STATUSES
} PoMessageStatus;

/* What happens to a message. */
typedef enum PoMessageStep
{
	PO_STEP_CLAIM,				/* its request is about to leave */
	PO_STEP_DEFER,				/* it may not leave now */
	PO_STEP_RELEASE,			/* what held it is gone */
	PO_STEP_BLOCK,				/* it may never leave */
	PO_STEP_CANCEL,				/* nobody wants it any more */
	PO_STEP_ACCEPT,				/* the provider has it */
	PO_STEP_POSTPONE,			/* surely refused, for now */
	PO_STEP_EXHAUST,			/* surely refused, as often as it may be */
	PO_STEP_REFUSE,				/* surely refused, for good */
	PO_STEP_DISPUTE,			/* surely refused; a person decides */
	PO_STEP_LOSE,				/* nobody knows what became of its request */
	PO_STEP_REPEAT,				/* the same request again, under the same key */
	PO_STEP_MISS,				/* the provider surely has it not */
	PO_STEP_DOUBT,				/* what became of it cannot be found out */
	PO_STEP_REPORT_SENT,		/* the provider says so, and so on */
	PO_STEP_REPORT_UNDELIVERED,
	PO_STEP_REPORT_FAILED,
	PO_STEP_REPORT_DELIVERED,
	PO_STEP_REPORT_READ,
	PO_STEP_RETRY,				/* a person wants it tried again, */
	PO_STEP_ABANDON				/* or knows that it was not accepted */
} PoMessageStep;

/*
 * Statuses as conditions of statements, the same words as in predicates of indexes:
 * those that a claim is legal from, and those that a message is cancelled in.
 */
#define PO_CLAIMABLE(m) m ".status IN ('pending', 'deferred')"
#define PO_UNSENT(m) m ".status IN ('pending', 'deferred', 'review')"

/* Columns that a message has in some statuses only. */
#define PO_HAS_DUE		0x1		/* due_at */
#define PO_HAS_DOUBT	0x2		/* ambiguous_since */
#define PO_HAS_OWNER	0x4
#define PO_HAS_HOLDER	0x8		/* held_by */

extern const char *const po_message_status_names[PO_NMESSAGE_STATUSES];

/* A field of this type, for a statement (core/statement.h). */
#define PO_MESSAGE_STATUS(row, field, used) \
	PO_NAME(row, field, PoMessageStatus, po_message_status_names, "outreach.message_status", used)

extern PoMessageStatus po_message_status_from_name(const char *name);
extern const char *po_message_step_name(int i);
extern bool po_message_leads(PoMessageStep step, PoMessageStatus from, bool in_doubt, PoMessageStatus *to);
extern PoMessageStatus po_message_require(PoMessageStep step, PoMessageStatus from, bool in_doubt);
extern int	po_message_columns(PoMessageStatus status);
extern PoMessageStep po_message_report_step(PoMessageStatus reported);
extern int	po_message_report_rank(PoMessageStatus reported);
extern const char *po_reported_status_name(int i);
extern bool po_message_queued(PoMessageStatus status);
extern const char *po_queued_status_name(int i);
extern bool po_message_waits(PoMessageStatus status);
extern bool po_message_arrived(PoMessageStatus status);

#endif
