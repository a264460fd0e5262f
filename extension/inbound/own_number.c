/*
 * own_number.c
 *	  Messages from the tenant's own numbers: its people trying something out, or one
 *	  of its numbers answering another.
 *
 * Such a message makes no lead: nobody is to be worked by it.  Where there is a lead
 * with the phone, a person has made it, and the message is its.  An opt-out is recorded
 * from whomever it comes, and what opts in again lifts it; nothing else is read out of
 * the message.
 *
 * po_find_own_numbers needs SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/statement.h"
#include "inbound/webhook.h"
#include "lead/change.h"

static PoStatement select_own_numbers = {
	.name = "own_number.find",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows}"
	" WHERE EXISTS (SELECT FROM outreach.numbers o WHERE o.tenant_id = u.tenant_id AND o.phone = u.address)",
	.takes = PO_FIELDS(po_address_key_field, PO_TAKE),
	.numbered = true
};

/*
 * po_find_own_numbers marks the messages that come from a number of the tenant's own,
 * among those that may find no lead: their phones are locked in the set.
 */
void
po_find_own_numbers(PoUnit *unit, PoWebhook **webhook, int n, const PoMemberState *state)
{
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	PoRows		sender = po_rows(&select_own_numbers, n);
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		if (w->is_message && state[i] == PO_MEMBER_DONE &&
			po_find_address(unit, w->endpoint->tenant_id, w->phone) != NULL)
		{
			/* A message to itself shows that the number is ours, whatever is known of it. */
			w->own_number = strcmp(w->phone, w->business_phone) == 0;
			position[sender.n] = i;
			po_rows_add(&sender, &(PoAddressKey) {w->endpoint->tenant_id, w->phone});
		}
	}
	found = po_rows_exec(&sender, NULL);
	for (uint64 r = 0; r < found; r++)
		webhook[position[po_column_int(r, 1) - 1]]->own_number = true;
}

/*
 * po_decide_own_number decides a message from the tenant's own number that no lead has;
 * the phone is locked.
 */
void
po_decide_own_number(PoUnit *unit, PoWebhook *webhook, const PoCause *cause)
{
	PoAddress    *phone = po_find_address(unit, webhook->endpoint->tenant_id, webhook->phone);

	if (webhook->consent == PO_CONSENT_OPT_OUT)
		po_decide_opt_out(unit, webhook, phone, cause);
	else if (webhook->consent == PO_CONSENT_OPT_IN && phone->consent == PO_CONSENT_OPTED_OUT &&
			 !po_is_overtaken(webhook, phone))
		(void) po_change_consent(unit, phone, PO_CONSENT_OPTED_IN, cause);
	webhook->outcome = PO_OUTCOME_OWN_NUMBER;
	webhook->status = PO_PAYLOAD_OWN_NUMBER;
}
