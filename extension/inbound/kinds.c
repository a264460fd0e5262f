/*
 * kinds.c
 *	  The one table of what a webhook may be.
 *
 * In the order in which they read, lock and decide.  What a webhook tells of an address is
 * decided before what it says of a message that went there.
 */
#include "postgres.h"

#include "core/compat.h"
#include "inbound/kinds.h"

const PoHandler *const po_handler[PO_NHANDLERS] = {
	&po_message_handler, &po_contact_handler, &po_status_handler
};

/*
 * po_hear_webhook reads what po_read_webhook() has left, once: most of the work of reading,
 * and nothing that a duplicate needs.  What it reads lives as long as the webhook.
 */
void
po_hear_webhook(PoWebhook *webhook)
{
	PoWebhookReading *reading = &webhook->reading;
	MemoryContext caller = MemoryContextSwitchTo(webhook->memory);

	for (int h = 0; h < PO_NHANDLERS && !reading->heard; h++)
		if ((reading->is & po_handler[h]->is) && po_handler[h]->hear != NULL)
			po_handler[h]->hear(webhook, reading);
	reading->heard = true;
	MemoryContextSwitchTo(caller);
}

/*
 * po_opts_out returns the handler by which a webhook opts an address out, with the address;
 * NULL: it opts none out.
 */
const PoHandler *
po_opts_out(const PoWebhook *webhook, const char **address)
{
	for (int h = 0; h < PO_NHANDLERS; h++)
		if ((webhook->reading.is & po_handler[h]->is) &&
			(*address = po_handler[h]->opts_out(webhook)) != NULL)
			return po_handler[h];
	return NULL;
}
