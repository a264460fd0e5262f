/*
 * replied.c
 *	  Messages that a reply takes back, because whoever asked for them said so.
 *
 * A reply has the leads of its phone locked, and takes back what of theirs has not
 * left; a claim has the lead of each message locked.  One of the two is first: the
 * reply finds the message claimed, or the claim finds it cancelled.
 *
 * What a reply cannot see the claim finds: a message of a transaction that had not
 * committed, one that was under way and came back refused, and those that are too
 * many for one reply.  It asks whether somebody with the lead's phone has written
 * since the message was asked for.
 *
 * Functions need SPI and the engine's owner as user, and palloc in the current
 * context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/statement.h"
#include "outbound/replied.h"
#include "utils/timestamp.h"

/* So many messages are locked for the replies of a call; the rest is the claim's. */
#define MOST_MESSAGES 2000

static const PoField cancel_field[] = {
	PO_FIELD_AS(PoReplyCancel, key.tenant_id, "tenant_id", TEXT, PO_GIVE),
	PO_FIELD_AS(PoReplyCancel, key.message_id, "message_id", UUID, PO_GIVE),
	PO_FIELD(PoReplyCancel, lead_id, TEXT, PO_GIVE)
};

static PoStatement select_unsent = {
	.name = "replied.unsent",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {m.*} FROM {rows} JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id AND m.lead_id = u.lead_id"
	" WHERE m.cancel_on_reply AND " PO_UNSENT("m") " LIMIT " CppAsString2(MOST_MESSAGES),
	.takes = PO_FIELDS(po_lead_key_field, PO_LEAD_ALONE),
	.gives = PO_FIELDS(cancel_field, PO_GIVE)
};

static PoStatement select_replied = {
	.name = "replied.since",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id AND m.message_id = u.message_id"
	" JOIN outreach.leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id"
	" WHERE l.last_inbound_at > m.created_at OR EXISTS (SELECT FROM outreach.leads o"
	" WHERE o.tenant_id = l.tenant_id AND o.phone = l.phone AND o.last_inbound_at > m.created_at)",
	.takes = PO_FIELDS(po_message_key_field, PO_TAKE),
	.numbered = true
};

/*
 * po_find_reply_cancels finds, without a lock, the messages of leads that a reply
 * takes back, and returns how many there are.  The leads are locked; a message that is
 * found may be another transaction's to change until its own lock is held.
 */
int
po_find_reply_cancels(const PoLeadKey *lead, int n, PoReplyCancel **cancel)
{
	int			found = po_exec_rows(&select_unsent, NULL, lead, n);

	*cancel = palloc(Max(found, 1) * sizeof(PoReplyCancel));
	po_read_rows(&select_unsent, found, *cancel);
	return found;
}

/*
 * po_cancel_on_reply takes back those of the locked messages that a reply of the lead
 * does: its own, and those of the set's other leads with its phone.
 */
void
po_cancel_on_reply(PoChangeSet *set, PoMessage *message, int n, const PoLead *replied,
				   const PoCause *cause)
{
	for (int i = 0; i < n; i++)
	{
		PoMessage  *m = &message[i];
		PoLead	   *lead;
		PoCause		why = *cause;

		if (!m->cancel_on_reply || !po_message_waits(m->status) ||
			strcmp(m->tenant_id, replied->tenant_id) != 0)
			continue;
		lead = po_find_lead(set, m->tenant_id, m->lead_id);
		if (lead == NULL || lead->phone == NULL || strcmp(lead->phone, replied->phone) != 0)
			continue;
		why.reason = lead == replied ? "the lead replied" : "another lead with its phone replied";
		m->last_error = why.reason;
		(void) po_message_cancel(set, m, &why);
	}
}

/*
 * po_find_replied tells which of the locked messages a reply takes back that came after
 * they were asked for.
 */
void
po_find_replied(const PoMessage *message, int n, bool *replied)
{
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	PoRows		rows = po_rows(&select_replied, n);
	uint64		nreplied;

	for (int i = 0; i < n; i++)
	{
		replied[i] = false;
		if (!message[i].cancel_on_reply || !po_message_waits(message[i].status))
			continue;
		position[rows.n] = i;
		po_rows_add(&rows, &(PoMessageKey) {message[i].tenant_id, message[i].message_id});
	}
	nreplied = po_rows_exec(&rows, NULL);
	for (uint64 r = 0; r < nreplied; r++)
		replied[position[po_column_int(r, 1) - 1]] = true;
}
