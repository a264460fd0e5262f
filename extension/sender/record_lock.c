/*
 * record_lock.c
 *	  Locking what answers change, of those answers for which nobody else holds
 *	  any of it.
 *
 * A worker waits for nobody: rows are locked with SKIP LOCKED, and an answer of
 * which one is held is set aside before anything is written.  A row that is gone is
 * no reason to wait.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/statement.h"
#include "sender/record.h"

typedef struct NumberKey
{
	const char *tenant_id;
	const char *phone;
	const char *channel;
} NumberKey;

static const PoField number_field[] = {
	PO_FIELD(NumberKey, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(NumberKey, phone, TEXT, PO_TAKE),
	PO_FIELD(NumberKey, channel, TEXT, PO_TAKE)
};

/* Those that somebody else holds. */
static PoStatement lock_numbers = {
	.name = "record.numbers",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n FROM {rows} JOIN outreach.numbers o ON o.tenant_id = u.tenant_id AND o.phone = u.phone"
	" AND o.channel = u.channel LEFT JOIN LATERAL (SELECT l.phone FROM outreach.numbers l"
	" WHERE l.tenant_id = u.tenant_id AND l.phone = u.phone AND l.channel = u.channel"
	" FOR NO KEY UPDATE SKIP LOCKED) free ON true WHERE free.phone IS NULL",
	.takes = PO_FIELDS(number_field, PO_TAKE),
	.numbered = true
};

/*
 * po_set_held_aside brings those that are held behind the others, and counts these.
 */
void
po_set_held_aside(PoLandings *batch)
{
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		PoLanding	free = batch->result[i];

		if (free.held)
			continue;
		batch->result[i] = batch->result[n];
		batch->result[n++] = free;
	}
	batch->n = n;
}

/* The phone that an answer says something of, or NULL. */
static const char *
phone_of(const PoLanding *result)
{
	PoVerdictEffect effect = result->outcome.effect;

	return result->flight->lookup || !po_concerns_address(effect) ? NULL : result->flight->phone;
}

static void
lock_phones(PoLandings *batch, PoChangeSet *set)
{
	PoPhoneKey *key = palloc(Max(2 * batch->n, 1) * sizeof(PoPhoneKey));
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		const PoLanding *result = &batch->result[i];
		const char *const phone[] = {phone_of(result), result->report_phone};

		for (int j = 0; j < lengthof(phone); j++)
		{
			if (phone[j] == NULL)
				continue;
			key[n].tenant_id = result->flight->tenant_id;
			key[n++].phone = phone[j];
		}
	}
	if (n == 0)
		return;
	n = po_phone_keys_sort(key, n);
	po_lock_free_phones(set, key, n);
	for (int i = 0; i < batch->n && set->nphones < n; i++)
	{
		PoLanding  *result = &batch->result[i];
		const char *const phone[] = {phone_of(result), result->report_phone};

		for (int j = 0; j < lengthof(phone); j++)
			result->held |= phone[j] != NULL &&
				po_find_phone(set, result->flight->tenant_id, phone[j]) == NULL;
	}
	po_set_held_aside(batch);
}

/* The rows that counters of numbers are in: they are written last. */
static void
lock_numbers_of(const PoLandings *batch, bool *held)
{
	PoRows		rows = po_rows(&lock_numbers, batch->n);
	int		   *position = palloc(Max(batch->n, 1) * sizeof(int));
	uint64		nheld;

	for (int i = 0; i < batch->n; i++)
	{
		const PoFlight *flight = batch->result[i].flight;

		if (flight->lookup || flight->from_phone == NULL)
			continue;
		position[rows.n] = i;
		po_rows_add(&rows, &(NumberKey) {flight->tenant_id, flight->from_phone, batch->result[i].account->channel});
	}
	nheld = po_rows_exec(&rows, NULL);
	for (uint64 r = 0; r < nheld; r++)
		held[position[po_column_int(r, 1) - 1]] = true;
}

/*
 * po_lock_landings locks phones, leads, messages and numbers of the answers, and sets
 * aside those of which somebody else holds one.  Returns how many messages there
 * are; leads and phones are in the set.
 */
int
po_lock_landings(PoLandings *batch, PoChangeSet *set, PoMessage **message)
{
	PoLeadKey  *lead = palloc0(Max(batch->n, 1) * sizeof(PoLeadKey));
	PoMessageKey *key = palloc(Max(batch->n, 1) * sizeof(PoMessageKey));
	bool	   *held = palloc0(Max(batch->n, 1) * sizeof(bool));
	PoLeadKey  *held_lead;
	int			nheld;
	int			nmessages;

	lock_phones(batch, set);
	for (int i = 0; i < batch->n; i++)
	{
		const PoLanding *result = &batch->result[i];

		lead[i].tenant_id = key[i].tenant_id = result->flight->tenant_id;
		lead[i].lead_id = result->flight->lead_id;
		lead[i].phone = result->report_phone;
		if (!result->flight->lookup && result->outcome.effect == PO_EFFECT_OPTS_OUT)
			lead[i].phone = result->flight->phone;
		key[i].message_id = result->flight->message_id;
	}
	nheld = po_lock_leads_but_held(set, lead, batch->n, &held_lead);
	for (int i = 0; i < batch->n; i++)
		for (int h = 0; h < nheld; h++)
			held[i] |= strcmp(lead[i].tenant_id, held_lead[h].tenant_id) == 0 &&
				(strcmp(lead[i].lead_id, held_lead[h].lead_id) == 0 ||
				 (lead[i].phone != NULL && held_lead[h].phone != NULL &&
				  strcmp(lead[i].phone, held_lead[h].phone) == 0));
	nmessages = po_lock_messages_or_tell(key, batch->n, message, held);
	lock_numbers_of(batch, held);
	for (int i = 0; i < batch->n; i++)
		batch->result[i].held = held[i];
	po_set_held_aside(batch);
	return nmessages;
}
