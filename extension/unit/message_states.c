/*
 * message_states.c
 *	  Which step takes a message from which status to which, and what it may have
 *	  there.
 *
 * Whatever moves a message asks this table: po_message_move() for one whose row is
 * locked, and outreach.message_after() in a statement.  The model of the send protocol
 * (test/model) makes the same moves, and a test compares the two.
 */
#include "postgres.h"

#include "core/compat.h"
#include "unit/message_states.h"

const char *const po_message_status_names[PO_NMESSAGE_STATUSES] = {
	"pending", "deferred", "review", "sending", "unknown", "uncertain", "sent",
	"undelivered", "failed", "delivered", "read", "blocked", "cancelled", "dead", "expired"
};

/* What a message has in a status; elsewhere these columns are null. */
static const int columns_of[PO_NMESSAGE_STATUSES] = {
	[PO_MESSAGE_PENDING] = PO_HAS_DUE | PO_HAS_DOUBT,
	[PO_MESSAGE_DEFERRED] = PO_HAS_DUE | PO_HAS_DOUBT | PO_HAS_HOLDER,
	[PO_MESSAGE_SENDING] = PO_HAS_DUE | PO_HAS_DOUBT | PO_HAS_OWNER,
	[PO_MESSAGE_UNKNOWN] = PO_HAS_DUE | PO_HAS_DOUBT,
	[PO_MESSAGE_UNCERTAIN] = PO_HAS_DOUBT
};

#define IN(status) (1 << PO_MESSAGE_##status)
#define WAITING (IN(PENDING) | IN(DEFERRED))
#define QUEUED (WAITING | IN(REVIEW) | UNSETTLED)
#define UNSETTLED (IN(SENDING) | IN(UNKNOWN) | IN(UNCERTAIN))
/* A report proves that it was sent, whatever we made of it. */
#define REPORTABLE (WAITING | IN(REVIEW) | UNSETTLED | IN(DEAD))

typedef struct Transition
{
	const char *step;
	int			from;			/* statuses */
	PoMessageStatus to;
	PoMessageStatus in_doubt;	/* to this, where an earlier request may have been accepted */
} Transition;

/*
 * What a provider reports: the step that it is, and of two reports that came before
 * their message was known the one that counts, that of the higher rank.
 */
static const struct
{
	PoMessageStatus status;
	PoMessageStep step;
	int			rank;
}			report[] = {
	{PO_MESSAGE_SENT, PO_STEP_REPORT_SENT, 10},
	{PO_MESSAGE_UNDELIVERED, PO_STEP_REPORT_UNDELIVERED, 20},
	{PO_MESSAGE_FAILED, PO_STEP_REPORT_FAILED, 30},
	{PO_MESSAGE_DELIVERED, PO_STEP_REPORT_DELIVERED, 40},
	{PO_MESSAGE_READ, PO_STEP_REPORT_READ, 50}
};

#define ALWAYS(to) PO_MESSAGE_##to, PO_MESSAGE_##to
#define UNLESS_IN_DOUBT(to) PO_MESSAGE_##to, PO_MESSAGE_UNCERTAIN

static const Transition transition[] = {
	[PO_STEP_CLAIM] = {"claim", WAITING, ALWAYS(SENDING)},
	[PO_STEP_DEFER] = {"defer", WAITING, ALWAYS(DEFERRED)},
	[PO_STEP_RELEASE] = {"release", IN(DEFERRED), ALWAYS(PENDING)},
	[PO_STEP_BLOCK] = {"block", WAITING, UNLESS_IN_DOUBT(BLOCKED)},
	[PO_STEP_CANCEL] = {"cancel", WAITING | IN(REVIEW), UNLESS_IN_DOUBT(CANCELLED)},
	[PO_STEP_ACCEPT] = {"accept", ~(IN(SENT) | IN(DELIVERED) | IN(READ) | IN(EXPIRED)), ALWAYS(SENT)},
	[PO_STEP_POSTPONE] = {"postpone", IN(SENDING), ALWAYS(PENDING)},
	[PO_STEP_EXHAUST] = {"exhaust", IN(SENDING), UNLESS_IN_DOUBT(DEAD)},
	[PO_STEP_REFUSE] = {"refuse", IN(SENDING), UNLESS_IN_DOUBT(FAILED)},
	[PO_STEP_DISPUTE] = {"dispute", IN(SENDING), UNLESS_IN_DOUBT(REVIEW)},
	[PO_STEP_LOSE] = {"lose", IN(SENDING), ALWAYS(UNKNOWN)},
	[PO_STEP_REPEAT] = {"repeat", IN(UNKNOWN), ALWAYS(PENDING)},
	[PO_STEP_MISS] = {"miss", IN(UNKNOWN), ALWAYS(PENDING)},
	[PO_STEP_DOUBT] = {"doubt", WAITING | IN(UNKNOWN), ALWAYS(UNCERTAIN)},
	[PO_STEP_REPORT_SENT] = {"report sent", REPORTABLE, ALWAYS(SENT)},
	[PO_STEP_REPORT_UNDELIVERED] = {"report undelivered", REPORTABLE | IN(SENT), ALWAYS(UNDELIVERED)},
	[PO_STEP_REPORT_FAILED] = {"report failed", REPORTABLE | IN(SENT), ALWAYS(FAILED)},
	[PO_STEP_REPORT_DELIVERED] = {"report delivered",
								  REPORTABLE | IN(SENT) | IN(UNDELIVERED) | IN(FAILED), ALWAYS(DELIVERED)},
	[PO_STEP_REPORT_READ] = {"report read",
							 REPORTABLE | IN(SENT) | IN(UNDELIVERED) | IN(FAILED) | IN(DELIVERED), ALWAYS(READ)},
	[PO_STEP_RETRY] = {"retry", IN(UNKNOWN) | IN(UNCERTAIN) | IN(REVIEW) | IN(FAILED) | IN(DEAD), ALWAYS(PENDING)},
	[PO_STEP_ABANDON] = {"abandon", IN(UNKNOWN) | IN(UNCERTAIN) | IN(REVIEW), ALWAYS(FAILED)}
};

/*
 * po_message_status_from_name raises an error for an unknown name.
 */
PoMessageStatus
po_message_status_from_name(const char *name)
{
	for (int s = 0; s < PO_NMESSAGE_STATUSES; s++)
		if (strcmp(name, po_message_status_names[s]) == 0)
			return s;
	elog(ERROR, "unknown message status \"%s\"", name);
}

/*
 * po_message_step_name returns the name of a step, the i-th, NULL behind the last.
 */
const char *
po_message_step_name(int i)
{
	return i < lengthof(transition) ? transition[i].step : NULL;
}

/*
 * po_message_leads tells whether a step is legal from a status, and where it leads.
 */
bool
po_message_leads(PoMessageStep step, PoMessageStatus from, bool in_doubt, PoMessageStatus *to)
{
	*to = in_doubt ? transition[step].in_doubt : transition[step].to;
	return (transition[step].from & (1 << from)) != 0;
}

/*
 * po_message_require raises an error where it is not, and returns where it leads.
 */
PoMessageStatus
po_message_require(PoMessageStep step, PoMessageStatus from, bool in_doubt)
{
	PoMessageStatus to;

	if (!po_message_leads(step, from, in_doubt, &to))
		elog(ERROR, "step \"%s\" from message status \"%s\"", transition[step].step, po_message_status_names[from]);
	return to;
}

/*
 * po_message_columns returns which of the columns PO_HAS_* a message has in a status.
 */
int
po_message_columns(PoMessageStatus status)
{
	return columns_of[status];
}

/*
 * po_message_report_step returns the step that a provider's report of a status is.
 */
PoMessageStep
po_message_report_step(PoMessageStatus reported)
{
	for (int i = 0; i < lengthof(report); i++)
		if (report[i].status == reported)
			return report[i].step;
	elog(ERROR, "no provider reports \"%s\"", po_message_status_names[reported]);
}

/*
 * po_reported_status_name returns the i-th status that a provider reports, NULL
 * behind the last.
 */
const char *
po_reported_status_name(int i)
{
	return i < lengthof(report) ? po_message_status_names[report[i].status] : NULL;
}

/*
 * po_message_queued tells whether a message of the status is in outreach.outbound_queue.
 */
bool
po_message_queued(PoMessageStatus status)
{
	return (QUEUED & (1 << status)) != 0;
}

/*
 * po_queued_status_name returns the i-th of those statuses, NULL behind the last.
 */
const char *
po_queued_status_name(int i)
{
	for (int s = 0; s < PO_NMESSAGE_STATUSES; s++)
		if (po_message_queued(s) && i-- == 0)
			return po_message_status_names[s];
	return NULL;
}

/*
 * po_message_waits tells whether it has not left, or surely came back, and nobody has
 * decided that it never will.
 */
bool
po_message_waits(PoMessageStatus status)
{
	return ((WAITING | IN(REVIEW)) & (1 << status)) != 0;
}

/*
 * po_message_arrived tells whether a provider has said that it did.
 */
bool
po_message_arrived(PoMessageStatus status)
{
	return ((IN(DELIVERED) | IN(READ)) & (1 << status)) != 0;
}

/*
 * po_message_report_rank returns the rank of a provider's report of a status: the higher,
 * the more it says; 0 for what no provider reports.
 */
int
po_message_report_rank(PoMessageStatus reported)
{
	for (int i = 0; i < lengthof(report); i++)
		if (report[i].status == reported)
			return report[i].rank;
	return 0;
}
