/*
 * record_ids.c
 *	  The provider's ids of messages, where answers and status callbacks meet.
 *
 * A status callback may come before the answer is recorded; it is parked under the
 * provider's id.  Then the message is already further than its answer says, and
 * stays there.  The ids are written before anything else is locked, here and where
 * callbacks are parked, so that what a callback has said is known in time; what a look-up
 * finds comes later, and nobody waits for it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/key_probe.h"
#include "core/ledger.h"
#include "core/statement.h"
#include "lead/channel.h"
#include "sender/record.h"

/* A provider's name for a message, and what was said of it before the answer. */
typedef struct ProviderName
{
	const char *tenant_id;
	pg_uuid_t	key;
	pg_uuid_t	message_id;
	PoMessageStatus to_status;
	const char *error_code;
	pg_uuid_t	receipt_id;
	bool		has_receipt;
} ProviderName;

static const PoField name_field[] = {
	PO_FIELD(ProviderName, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(ProviderName, key, UUID, PO_TAKE),
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
	" WHERE EXISTS (SELECT FROM outreach.tenants t WHERE t.tenant_id = u.tenant_id)"
	" ORDER BY u.key ON CONFLICT (key) DO UPDATE"
	" SET message_id = coalesce(p.message_id, EXCLUDED.message_id), parked_at = NULL,"
	" provider = NULL, provider_message_id = NULL"
	" RETURNING {p.*}",
	.takes = PO_FIELDS(name_field, PO_TAKE),
	.gives = PO_FIELDS(name_field, PO_GIVE)
};

static bool
is_of(const ProviderName *name, const PoLanding *result)
{
	return memcmp(&name->message_id, &result->flight->message_id, UUID_LEN) == 0 &&
		strcmp(name->tenant_id, result->flight->tenant_id) == 0;
}

static void
read_early(const ProviderName *name, const PoLanding *result, PoEarly *early)
{
	const PoProviderOutcome *outcome = name->error_code == NULL ? NULL
		: po_find_outcome(result->account, 0, name->error_code);

	*early = (PoEarly) {
		.is = true, .report = {.status = name->to_status, .error_code = name->error_code},
		.receipt_id = name->receipt_id, .has_receipt = name->has_receipt,
		.meaning = outcome != NULL ? outcome->meaning : NULL,
		.effect = outcome != NULL ? outcome->effect : PO_OUTCOME_EFFECT_NONE
	};
}

/* Adds the id of an answer; false: somebody is parking a callback there, or notes the id. */
static bool
add_id(PoRows *rows, const PoLanding *result, const char *provider_message_id)
{
	ProviderName name = {
		.tenant_id = result->flight->tenant_id,
		.key = po_provider_key(result->flight->tenant_id, PO_LEDGER_MESSAGE_ID,
							   result->account->profile->provider, provider_message_id),
		.message_id = result->flight->message_id
	};

	if (po_probe_ledger("provider_message_ids", &name.key) == PO_KEY_HELD)
		return false;
	po_rows_add(rows, &name);
	return true;
}

/*
 * po_note_ids writes the provider's ids of messages that were accepted, and tells which
 * callbacks of theirs came first.  Those of which somebody holds the id are held.  Of a
 * tenant that is gone nothing is written.  Needs SPI and the engine's
 * owner as user.
 */
void
po_note_ids(PoLanding **result, int n, PoEarly *early, bool *held)
{
	PoRows		rows = po_rows(&insert_ids, n);
	ProviderName *name;
	int			nnames;

	for (int i = 0; i < n; i++)
		if (!result[i]->flight->lookup && result[i]->outcome.provider_message_id != NULL)
			held[i] = !add_id(&rows, result[i], result[i]->outcome.provider_message_id);
	nnames = po_rows_exec(&rows, NULL);
	name = palloc(Max(nnames, 1) * sizeof(ProviderName));
	po_read_rows(&insert_ids, nnames, name);
	for (int k = 0; k < nnames; k++)
		for (int i = 0; i < n && name[k].to_status != PO_MESSAGE_NONE; i++)
			if (is_of(&name[k], result[i]))
				read_early(&name[k], result[i], &early[i]);
}

/* The id that a look-up has found; what was parked under it counts now. */
static void
note_found(const PoLanding *result, const PoMessage *message, PoEarly *early)
{
	PoRows		rows = po_rows(&insert_ids, 1);
	ProviderName name;

	/* Whoever holds it tells the message by it, or has told it. */
	if (!add_id(&rows, result, message->provider_message_id) || po_rows_exec(&rows, NULL) == 0)
		return;
	po_read_row(&insert_ids, 0, &name);
	if (name.to_status != PO_MESSAGE_NONE && is_of(&name, result))
		read_early(&name, result, early);
}

/*
 * po_apply_early applies the status callback that came before the answer, if there is
 * one: to the message, and to its address, which is locked where that is concerned.
 */
void
po_apply_early(PoUnit *unit, PoHealth *health, const PoLanding *result, PoEarly *early)
{
	PoMessage  *message = po_find_message(unit, result->flight->tenant_id, &result->flight->message_id);
	PoCause		cause = {.source = result->account->profile->provider};
	PoUnreachable mark;
	PoMessageStatus previous;
	PoAddress  *address;

	if (message != NULL && result->flight->lookup && message->provider_message_id != NULL)
		note_found(result, message, early);
	if (message == NULL || !early->is)
		return;
	if (early->has_receipt)
		cause.receipt_id = &early->receipt_id;
	address = message->phone == NULL || !po_goes_to_address(message->channel) ? NULL
		: po_find_address(unit, message->tenant_id, message->phone);
	mark = (PoUnreachable) {
		.channel = message->channel, .code = early->report.error_code, .reason = early->meaning,
		.message_id = &message->message_id
	};
	if (address != NULL)
		po_apply_to_address(unit, address, po_effect_of_report(message, &early->report, early->effect), &mark, &cause);
	previous = message->status;
	if (po_message_report(unit, message, &early->report, &cause))
		po_note_report(health, result->account, message, &early->report, previous);
}
