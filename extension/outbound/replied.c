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
#include "lead/change.h"
#include "outbound/replied.h"
#include "utils/timestamp.h"

static PoStatement select_replied = {
	.name = "replied.since",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.outbound_queue m ON m.tenant_id = u.tenant_id"
	" AND m.message_id = u.message_id"
	" JOIN outreach.leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id"
	" WHERE l.last_inbound_at > m.created_at OR EXISTS (SELECT FROM outreach.leads o"
	" WHERE o.tenant_id = l.tenant_id AND o.phone = l.phone AND o.last_inbound_at > m.created_at)",
	.takes = PO_FIELDS(po_message_key_field, PO_TAKE),
	.numbered = true
};

/*
 * po_cancel_on_reply takes back those of the locked messages that a reply of the lead
 * does: its own, and those of the unit's other leads with its phone.
 */
void
po_cancel_on_reply(PoUnit *unit, const PoLead *replied, const PoCause *cause)
{
	for (int i = 0; i < unit->nmessages; i++)
	{
		PoMessage  *m = &unit->message[i];
		PoLead	   *lead;
		PoCause		why = *cause;

		if (!m->cancel_on_reply || !po_message_waits(m->status) ||
			strcmp(m->tenant_id, replied->tenant_id) != 0)
			continue;
		lead = po_find_lead(unit, m->tenant_id, m->lead_id);
		if (lead == NULL || (lead != replied && !po_have_one_phone(lead, replied)))
			continue;
		why.reason = lead == replied ? "the lead replied" : "another lead with its phone replied";
		why.reason_is_class = true;
		m->last_error = why.reason;
		(void) po_message_cancel(unit, m, &why);
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
