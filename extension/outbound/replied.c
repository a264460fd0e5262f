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
#include "core/spi_plan.h"
#include "outbound/replied.h"
#include "utils/timestamp.h"

/* So many messages are locked for the replies of a call; the rest is the claim's. */
#define MOST_MESSAGES 2000

static PoRowsPlan select_unsent = {
	.name = "replied.unsent",
	.expect = SPI_OK_SELECT,
	.before = "SELECT m.tenant_id, m.message_id, m.lead_id FROM",
	.columns = "tenant_id, lead_id",
	.after = "JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id AND m.lead_id = u.lead_id"
	" WHERE m.cancel_on_reply AND m.status < 'sending' LIMIT " CppAsString2(MOST_MESSAGES),
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

static PoRowsPlan select_replied = {
	.name = "replied.since",
	.expect = SPI_OK_SELECT,
	.before = "SELECT u.n FROM",
	.columns = "tenant_id, message_id",
	.after = "JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id AND m.message_id = u.message_id"
	" JOIN outreach.leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id"
	" WHERE l.last_inbound_at > m.created_at OR EXISTS (SELECT FROM outreach.leads o"
	" WHERE o.tenant_id = l.tenant_id AND o.phone = l.phone AND o.last_inbound_at > m.created_at)",
	.ncolumns = 2,
	.element = {TEXTOID, UUIDOID},
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
	PoArray		column[2];
	int			found;

	po_rows_init(&select_unsent, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], lead[i].tenant_id);
		po_array_add_text(&column[1], lead[i].lead_id);
	}
	found = po_exec_rows(&select_unsent, NULL, column);
	*cancel = palloc(Max(found, 1) * sizeof(PoReplyCancel));
	for (int i = 0; i < found; i++)
	{
		(*cancel)[i].key.tenant_id = po_column_text(i, 1);
		(void) po_column_uuid(i, 2, &(*cancel)[i].key.message_id);
		(*cancel)[i].lead_id = po_column_text(i, 3);
	}
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
	PoArray		column[2];
	uint64		rows;

	po_rows_init(&select_replied, column, n);
	for (int i = 0; i < n; i++)
	{
		replied[i] = false;
		if (!message[i].cancel_on_reply || !po_message_waits(message[i].status))
			continue;
		position[column[0].n] = i;
		po_array_add_text(&column[0], message[i].tenant_id);
		po_array_add_uuid(&column[1], &message[i].message_id);
	}
	rows = po_exec_rows(&select_replied, NULL, column);
	for (uint64 r = 0; r < rows; r++)
		replied[position[po_column_int(r, 1) - 1]] = true;
}
