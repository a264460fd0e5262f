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
#include "core/statement.h"
#include "lead/channel.h"
#include "sender/record.h"

/* A provider's name for a message, and what was said of it before the answer. */
typedef struct ProviderName
{
	const char *tenant_id;
	const char *provider;
	const char *provider_message_id;
	pg_uuid_t	message_id;
	PoMessageStatus to_status;
	const char *error_code;
	pg_uuid_t	receipt_id;
	bool		has_receipt;
} ProviderName;

static const PoField name_field[] = {
	PO_FIELD(ProviderName, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(ProviderName, provider, TEXT, PO_TAKE),
	PO_FIELD(ProviderName, provider_message_id, TEXT, PO_TAKE),
	PO_FIELD(ProviderName, message_id, UUID, PO_TAKE | PO_GIVE),
	PO_MESSAGE_STATUS(ProviderName, to_status, PO_GIVE),
	PO_FIELD(ProviderName, error_code, TEXT, PO_GIVE),
	PO_FIELD(ProviderName, receipt_id, UUID, PO_GIVE),
	PO_VALUE(ProviderName, has_receipt, "p.receipt_id IS NOT NULL", BOOL)
};

/* Whoever inserts second, this or an early status callback, finds the other. */
static PoStatement insert_ids = {
	.name = "record.ids",
	.expect = SPI_OK_INSERT_RETURNING,
	.sql = "INSERT INTO outreach.provider_message_ids AS p ({columns}) SELECT {u.*} FROM {rows}"
	" ORDER BY u.tenant_id, u.provider, u.provider_message_id"
	" ON CONFLICT (tenant_id, provider, provider_message_id) DO UPDATE"
	" SET message_id = coalesce(p.message_id, EXCLUDED.message_id), parked_at = NULL"
	" RETURNING {p.*}",
	.takes = PO_FIELDS(name_field, PO_TAKE),
	.gives = PO_FIELDS(name_field, PO_GIVE)
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

	if (!po_concerns_address(effect) || message->phone == NULL || !po_goes_to_address(message->channel))
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
	PoRows		rows = po_rows(&insert_ids, batch->n);
	ProviderName	   *name;
	int			n;

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
		po_rows_add(&rows, &(ProviderName) {key[0], key[1], key[2], result->flight->message_id});
	}
	if (batch->again)
		do_again();
	n = po_rows_exec(&rows, NULL);
	name = palloc(Max(n, 1) * sizeof(ProviderName));
	/* Statements that follow from one would take the rows of the others away. */
	po_read_rows(&insert_ids, n, name);
	for (int i = 0; i < n; i++)
	{
		PoMessage  *m = po_find_message(message, nmessages, name[i].tenant_id, &name[i].message_id);
		PoReport	report = {.status = name[i].to_status, .error_code = name[i].error_code};
		PoMessageStatus previous;
		PoLanding  *result;
		PoCause		cause = {.receipt_id = name[i].has_receipt ? &name[i].receipt_id : NULL};

		if (m == NULL || name[i].to_status == PO_MESSAGE_NONE)
			continue;
		previous = m->status;
		result = find_result(batch, m);
		cause.source = result->account->profile->provider;
		apply_early(set, batch, result, m, &report, &cause);
		if (po_message_report(set, m, &report, &cause))
			po_note_report(health, result->account, m, &report, previous);
	}
	if (batch->again)
		do_again();
}
