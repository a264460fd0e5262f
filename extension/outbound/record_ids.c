/*
 * record_ids.c
 *	  The provider's ids of messages, where answers and status callbacks meet.
 *
 * A status callback may come before the answer is recorded; it is parked under the
 * provider's id.  Then the message is already further than its answer says, and
 * stays there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/key_probe.h"
#include "core/spi_plan.h"
#include "outbound/record.h"

/* A status callback that was there before the answer. */
typedef struct Early
{
	PoMessage  *message;
	PoReport	report;
	bool		has_receipt;
	pg_uuid_t	receipt_id;
} Early;

/* Whoever inserts second, this or an early status callback, finds the other. */
static PoRowsPlan insert_ids = {
	.name = "record.ids",
	.expect = SPI_OK_INSERT_RETURNING,
	.before = "INSERT INTO outreach.provider_message_ids AS p (tenant_id, provider,"
	" provider_message_id, message_id)"
	" SELECT u.tenant_id, u.provider, u.provider_message_id, u.message_id FROM",
	.columns = "tenant_id, provider, provider_message_id, message_id",
	.after = "ORDER BY u.tenant_id, u.provider, u.provider_message_id"
	" ON CONFLICT (tenant_id, provider, provider_message_id) DO UPDATE"
	" SET message_id = coalesce(p.message_id, EXCLUDED.message_id), parked_at = NULL"
	" RETURNING p.tenant_id, p.message_id, p.to_status::text, p.error_code, p.receipt_id",
	.ncolumns = 4,
	.element = {TEXTOID, TEXTOID, TEXTOID, UUIDOID}
};

/*
 * What an early status callback says of the phone.  That is locked before leads
 * and messages: where it is not, all is done again.
 */
static void
apply_early(PoChangeSet *set, PoLandings *batch, PoLanding *result, const PoMessage *message,
			const PoReport *report, const PoCause *cause)
{
	const PoVerdict *verdict = report->error_code == NULL ? NULL
		: po_find_verdict(result->account, 0, report->error_code);
	PoVerdictEffect effect = verdict == NULL ? PO_NO_EFFECT
		: po_effect_of_report(message, report, verdict->effect);
	PoUnreachable mark = {.channel = message->channel, .code = report->error_code, .message_id = &message->message_id};
	PoPhone    *phone;

	if (!PO_CONCERNS_ADDRESS(effect) || message->phone == NULL || !po_goes_to_address(message->channel))
		return;
	mark.reason = verdict->meaning;
	phone = po_find_phone(set, message->tenant_id, message->phone);
	if (phone != NULL)
		po_apply_to_phone(set, phone, effect, &mark, cause);
	else if (result->report_phone == NULL)
	{
		result->report_phone = MemoryContextStrdup(result->flight->context, message->phone);
		batch->again = true;
	}
}

static PoLanding *
find_result(const PoLandings *batch, const PoMessage *message)
{
	int			i = 0;

	while (memcmp(&batch->result[i].flight->message_id, &message->message_id, UUID_LEN) != 0 ||
		   strcmp(batch->result[i].flight->tenant_id, message->tenant_id) != 0)
		i++;
	return &batch->result[i];
}

static void
do_again(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("not all of the answers could be locked at first")));
}

/*
 * po_write_ids writes the provider's ids of accepted messages, and applies the
 * status callbacks of theirs that came first.  Phones, leads and messages of the
 * batch are locked; where more turns out to be needed, an error says so and
 * batch->again is set.  Needs SPI and the engine's owner as user.
 */
void
po_write_ids(PoChangeSet *set, PoHealth *health, PoLandings *batch, PoMessage *message, int nmessages)
{
	PoArray		column[4];
	uint64		rows;
	Early	   *early;
	int			n = 0;

	po_rows_init(&insert_ids, column, batch->n);
	for (int i = 0; i < batch->n; i++)
	{
		PoLanding  *result = &batch->result[i];
		const char *const key[3] = {
			result->flight->tenant_id, result->account->profile->provider,
			result->outcome.provider_message_id
		};

		/* Of a message that is gone with its tenant nothing is written. */
		if (key[2] == NULL ||
			po_find_message(message, nmessages, key[0], &result->flight->message_id) == NULL)
			continue;
		/* A callback that comes now is parking its status there, or notes the id. */
		result->held = po_probe_key("provider_message_ids_pkey", key, 3) == PO_KEY_HELD;
		batch->again |= result->held;
		for (int k = 0; k < 3; k++)
			po_array_add_text(&column[k], key[k]);
		po_array_add_uuid(&column[3], &result->flight->message_id);
	}
	if (batch->again)
		do_again();
	rows = po_exec_rows(&insert_ids, NULL, column);
	early = palloc(Max(rows, 1) * sizeof(Early));
	for (uint64 r = 0; r < rows; r++)
	{
		Early	   *e = &early[n];
		pg_uuid_t	message_id;
		char	   *status = po_column_text(r, 3);

		(void) po_column_uuid(r, 2, &message_id);
		e->message = po_find_message(message, nmessages, po_column_text(r, 1), &message_id);
		if (status == NULL || e->message == NULL)
			continue;
		e->report.status = po_message_status_from_name(status);
		e->report.error_code = po_column_text(r, 4);
		e->has_receipt = po_column_uuid(r, 5, &e->receipt_id);
		n++;
	}
	/* Statements that follow from one would take the rows of the others away. */
	for (int i = 0; i < n; i++)
	{
		Early	   *e = &early[i];
		PoLanding  *result = find_result(batch, e->message);
		PoMessageStatus previous = e->message->status;
		PoCause		cause = {
			.source = result->account->profile->provider,
			.receipt_id = e->has_receipt ? &e->receipt_id : NULL
		};

		apply_early(set, batch, result, e->message, &e->report, &cause);
		if (po_message_report(set, e->message, &e->report, &cause))
			po_note_report(health, result->account, e->message, &e->report, previous);
	}
	if (batch->again)
		do_again();
}
