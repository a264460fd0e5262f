/*
 * subjects.c
 *	  What webhooks are about, locked.
 *
 * What has to be locked is known before anything is: whose message a callback speaks of,
 * and which senders no lead has, is looked up without locks.
 */
#include "postgres.h"

#include "core/compat.h"
#include "inbound/kinds.h"

/*
 * po_begin_try forgets what a try before has found, and what it came to: both may be
 * otherwise by now.
 */
void
po_begin_try(PoWebhook *webhook)
{
	webhook->subject = (PoWebhookSubject) {0};
	po_be_expected(webhook);
}

/*
 * po_lock_subjects locks what the webhooks are about, and tells which of them others
 * hold, and which want more than was known; all of the others is locked.  Needs SPI and
 * the engine's owner as user.
 */
void
po_lock_subjects(PoUnit *unit, PoWebhook **webhook, int n, bool wait, PoMemberState *state)
{
	PoWants		wants = {0};
	bool	   *held = palloc0(n * sizeof(bool));

	for (int h = 0; h < PO_NHANDLERS; h++)
		if (po_handler[h]->find != NULL)
			po_handler[h]->find(webhook, n, true);
	for (int i = 0; i < n; i++)
		for (int h = 0; h < PO_NHANDLERS; h++)
			if (webhook[i]->reading.is & po_handler[h]->is)
				po_handler[h]->want(webhook[i], &wants, i);
	po_unit_lock(unit, &wants, PO_LOCK_IN_ORDER | (wait ? PO_LOCK_WAITS : 0), held);
	for (int i = 0; i < n; i++)
		state[i] = held[i] ? PO_MEMBER_HELD : PO_MEMBER_DONE;
	for (int h = 0; h < PO_NHANDLERS; h++)
		if (po_handler[h]->look_again != NULL)
			po_handler[h]->look_again(unit, webhook, n, state);
}
