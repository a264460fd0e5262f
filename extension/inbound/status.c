/*
 * status.c
 *	  Status callbacks: what providers say of messages of ours.
 *
 * A callback names the message twice: by the provider's id, and by ours, with a MAC, in
 * the query of the callback URL or in a field that the provider was given with the
 * message.  The second proves that the provider
 * has that very message, also when we never saw its answer.  A callback that
 * comes before its message is known by the provider's id is parked: its row in
 * outreach.provider_message_ids is found by whoever records the answer.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "core/base64.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi_plan.h"
#include "inbound/url.h"
#include "inbound/webhook.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define UUID_TEXT 36

StaticAssertDecl(PO_REFERENCE_LEN == UUID_TEXT + 1 + PO_MAC_HEX, "a reference is an id and a MAC");

static PoRowsPlan select_messages = {
	.name = "status.messages",
	.expect = SPI_OK_SELECT,
	.before = "SELECT u.n, m.message_id, m.lead_id, m.account, m.channel, m.phone,"
	" coalesce(k.unreachable ? m.channel, false), m.bcc FROM",
	.columns = "tenant_id, provider, provider_message_id, message_id",
	.after = "LEFT JOIN outreach.provider_message_ids p ON p.tenant_id = u.tenant_id"
	" AND p.provider = u.provider AND p.provider_message_id = u.provider_message_id"
	" JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id"
	" AND m.message_id = coalesce(u.message_id, p.message_id)"
	" LEFT JOIN outreach.phones k ON k.tenant_id = m.tenant_id AND k.phone = m.phone AND k.unreachable IS NOT NULL",
	.ncolumns = 4,
	.element = {TEXTOID, TEXTOID, TEXTOID, UUIDOID},
	.numbered = true
};

/* For tenants that send through us; other applications' messages are theirs. */
static PoRowsPlan park = {
	.name = "status.park",
	.expect = SPI_OK_INSERT_RETURNING,
	.before = "INSERT INTO outreach.provider_message_ids AS p (tenant_id, provider,"
	" provider_message_id, to_status, error_code, receipt_id, parked_at)"
	" SELECT DISTINCT ON (u.tenant_id, u.provider, u.provider_message_id) u.tenant_id, u.provider,"
	" u.provider_message_id, u.to_status::outreach.message_status, u.error_code, u.receipt_id, $1 FROM",
	.columns = "tenant_id, provider, provider_message_id, to_status, error_code, receipt_id",
	.after = "WHERE EXISTS (SELECT FROM outreach.sending_accounts a WHERE a.tenant_id = u.tenant_id)"
	" ORDER BY u.tenant_id, u.provider, u.provider_message_id,"
	" u.to_status::outreach.message_status DESC"
	" ON CONFLICT (tenant_id, provider, provider_message_id) DO UPDATE SET"
	" to_status = greatest(p.to_status, EXCLUDED.to_status),"
	" parked_at = coalesce(p.parked_at, EXCLUDED.parked_at),"
	" error_code = CASE WHEN p.to_status >= EXCLUDED.to_status THEN p.error_code ELSE EXCLUDED.error_code END,"
	" receipt_id = CASE WHEN p.to_status >= EXCLUDED.to_status THEN p.receipt_id ELSE EXCLUDED.receipt_id END"
	" RETURNING p.message_id, p.tenant_id, p.provider, p.provider_message_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 6,
	.element = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID}
};

/* The message is gone: its id is nobody's, and what comes under it unmatched. */
static PoRowsPlan forget_ids = {
	.name = "status.forget",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.provider_message_ids p SET message_id = NULL FROM",
	.columns = "tenant_id, provider, provider_message_id",
	.after = "WHERE p.tenant_id = u.tenant_id AND p.provider = u.provider"
	" AND p.provider_message_id = u.provider_message_id AND p.message_id IS NOT NULL"
	" AND NOT EXISTS (SELECT FROM outreach.outbound_messages m WHERE m.tenant_id = p.tenant_id"
	" AND m.message_id = p.message_id)",
	.ncolumns = 3,
	.element = {TEXTOID, TEXTOID, TEXTOID}
};

/* So that no look-up of another message takes it for that one's. */
static PoRowsPlan note_ids = {
	.name = "status.ids",
	.expect = SPI_OK_INSERT,
	.before = "INSERT INTO outreach.provider_message_ids AS p (tenant_id, provider,"
	" provider_message_id, message_id)"
	" SELECT DISTINCT ON (u.tenant_id, u.provider, u.provider_message_id) u.tenant_id, u.provider,"
	" u.provider_message_id, u.message_id FROM",
	.columns = "tenant_id, provider, provider_message_id, message_id",
	.after = "ORDER BY u.tenant_id, u.provider, u.provider_message_id"
	" ON CONFLICT (tenant_id, provider, provider_message_id) DO UPDATE SET"
	" message_id = EXCLUDED.message_id, parked_at = NULL WHERE p.message_id IS NULL",
	.ncolumns = 4,
	.element = {TEXTOID, TEXTOID, TEXTOID, UUIDOID}
};

/*
 * The reference in the query, message=<uuid>.<mac>: it and no more is kept, if it may
 * be one.  The endpoint's own query may have a parameter of that name.
 */
static const char *
find_reference(PoBytes query)
{
	int			to;

	for (int from = 0; from < query.len; from = to + 1)
	{
		to = po_find_any(query, from, "&");
		if (po_is_reference(po_slice(query, from, to)))
			return pnstrdup(query.data + to - PO_REFERENCE_LEN, PO_REFERENCE_LEN);
	}
	return NULL;
}

/* What it says, not checked; its MAC is what follows the point. */
static bool
read_reference(const PoWebhook *webhook, pg_uuid_t *message_id, const char **mac)
{
	const char *text = webhook->reference;
	uint8		bytes[UUID_LEN];
	char		digits[2 * UUID_LEN];
	int			n = 0;

	if (text == NULL || strlen(text) != PO_REFERENCE_LEN || text[UUID_TEXT] != '.')
		return false;
	for (int i = 0; i < UUID_TEXT; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (text[i] == '-'))
			return false;
		if (!dash)
			digits[n++] = text[i];
	}
	if (!po_hex_decode(digits, n, bytes, UUID_LEN))
		return false;
	memcpy(message_id->data, bytes, UUID_LEN);
	*mac = text + UUID_TEXT + 1;
	return true;
}

/*
 * po_read_status reads what a status callback says; its kind is known.
 */
void
po_read_status(PoWebhook *webhook)
{
	const PoBytes *id = &webhook->value[PO_FIELD_MESSAGE_ID];
	const PoBytes *code = &webhook->value[PO_FIELD_ERROR_CODE];
	const PoBytes *reference = &webhook->value[PO_FIELD_REFERENCE];

	if (webhook->kind == NULL || webhook->kind->effect != PO_EFFECT_STATUS)
		return;
	webhook->unresolved = webhook->flaw != NULL;
	if (webhook->flaw != NULL)
		return;
	webhook->is_status = true;
	if (!webhook->stored)
		webhook->reference = find_reference(webhook->query);
	if (webhook->reference == NULL && reference->data != NULL && reference->len == PO_REFERENCE_LEN)
		webhook->reference = pnstrdup(reference->data, reference->len);
	webhook->report.status = webhook->kind->to_status;
	webhook->report.error_code = code->data != NULL ? pnstrdup(code->data, Min(code->len, PO_MAX_CODE)) : NULL;
	/* Longer ones are nobody's, and would not fit into the index. */
	if (id->data != NULL && id->len <= 255)
		webhook->provider_message_id = pnstrdup(id->data, id->len);
}

static const PoAccount *
account_of(const PoWebhook *webhook, const char *name)
{
	const PoAccount *account = po_find_account(webhook->endpoint->tenant_id, name);

	return account != NULL && account->profile != NULL ? account : NULL;
}

/* What a report says of the phone its message went to. */
static void
find_effect(PoWebhook *webhook, bool marked)
{
	const PoVerdict *verdict;

	webhook->effect = PO_NO_EFFECT;
	webhook->meaning = NULL;
	if (webhook->message_lead == NULL || webhook->account == NULL)
		return;
	if (po_message_arrived(webhook->report.status) && marked)
		webhook->effect = PO_EFFECT_REACHED;
	else if (webhook->report.error_code != NULL)
	{
		verdict = po_find_verdict(webhook->account, 0, webhook->report.error_code);
		webhook->effect = verdict->effect;
		webhook->meaning = verdict->meaning;
	}
}

/* Whether it speaks of an address that got a copy of the message. */
static bool
is_of_copy(const PoWebhook *webhook, const char *const *bcc, int nbcc)
{
	const PoBytes *given = &webhook->value[PO_FIELD_EMAIL];
	char		email[PO_ADDRESS_SIZE];

	if (nbcc == 0 || given->data == NULL || !po_email_fold(given->data, given->len, email))
		return false;
	for (int i = 0; i < nbcc; i++)
		if (strcmp(bcc[i], email) == 0)
			return true;
	return false;
}

/* Looks the messages up, by references or by the providers' ids. */
static void
look_up(PoWebhook **webhook, int n, bool by_reference)
{
	PoArray		column[4];
	int		   *position = palloc(n * sizeof(int));
	const char **mac = palloc(n * sizeof(char *));
	const char **account = palloc0(n * sizeof(char *));
	bool	   *marked = palloc0(n * sizeof(bool));
	bool	   *of_copy = palloc0(n * sizeof(bool));
	uint64		rows;

	po_rows_init(&select_messages, column, n);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		pg_uuid_t	message_id;

		if (!w->is_status || w->message_lead != NULL ||
			(by_reference ? !read_reference(w, &message_id, &mac[i]) : w->provider_message_id == NULL))
			continue;
		position[column[0].n] = i;
		po_array_add_text(&column[0], w->endpoint->tenant_id);
		po_array_add_text(&column[1], w->endpoint->provider);
		po_array_add_text(&column[2], by_reference ? NULL : w->provider_message_id);
		if (by_reference)
		{
			w->message_id = message_id;
			po_array_add_uuid(&column[3], &w->message_id);
		}
		else
			po_array_add_null(&column[3]);
	}
	rows = po_exec_rows(&select_messages, NULL, column);
	for (uint64 r = 0; r < rows; r++)
	{
		int			i = position[po_column_int(r, 1) - 1];
		PoWebhook  *w = webhook[i];
		const char **bcc;
		int			nbcc;

		(void) po_column_uuid(r, 2, &w->message_id);
		w->message_lead = po_column_text(r, 3);
		account[i] = po_column_text(r, 4);
		w->channel = po_column_text(r, 5);
		w->message_phone = po_goes_to_address(w->channel) ? po_column_text(r, 6) : NULL;
		marked[i] = po_column_bool(r, 7);
		bcc = po_column_texts(r, 8, &nbcc);
		of_copy[i] = is_of_copy(w, bcc, nbcc);
	}
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		char		expected[PO_MAC_HEX + 1];

		if (account[i] == NULL)
			continue;
		w->account = account_of(w, account[i]);
		w->has_reference = by_reference && w->account != NULL &&
			po_callback_mac(w->account, &w->message_id, expected) &&
			CRYPTO_memcmp(mac[i], expected, PO_MAC_HEX) == 0;
		if (by_reference && !w->has_reference)
			w->message_lead = NULL;
		/* What becomes of a copy is not what becomes of the message, which has left. */
		if (w->message_lead != NULL && of_copy[i])
			w->report = (PoReport) {.status = PO_MESSAGE_SENT};
		find_effect(w, marked[i]);
	}
}

/*
 * po_find_statuses finds the messages that status callbacks are about, without
 * a lock.  Needs SPI and the engine's owner as user.
 */
void
po_find_statuses(PoWebhook **webhook, int n)
{
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		webhook[i]->message_lead = NULL;
		webhook[i]->message_phone = NULL;
		webhook[i]->tells_id = false;
		any |= webhook[i]->is_status;
	}
	if (!any)
		return;
	po_profiles_begin();
	look_up(webhook, n, true);
	look_up(webhook, n, false);
}

/*
 * po_decide_status applies a status callback to its message, if that is known.
 */
void
po_decide_status(PoSubjects *subjects, PoWebhook *webhook, const PoCause *cause)
{
	const char *tenant_id = webhook->endpoint->tenant_id;
	PoMessage  *message = webhook->message_lead == NULL ? NULL
		: po_find_message(subjects->message, subjects->nmessages, tenant_id, &webhook->message_id);
	PoPhone    *phone = webhook->message_phone == NULL ? NULL
		: po_find_phone(&subjects->set, tenant_id, webhook->message_phone);
	PoMessageStatus previous;

	if (message == NULL)
		return;
	if (webhook->has_reference && message->provider_message_id == NULL)
	{
		message->provider_message_id = webhook->provider_message_id;
		message->changed = true;
		webhook->tells_id = webhook->provider_message_id != NULL;
	}
	/* What is told of the address in the payload is decided for itself. */
	if (phone != NULL && webhook->opted_out && !webhook->is_revocation)
		po_decide_opt_out(&subjects->set, webhook, phone, cause);
	else if (phone != NULL)
	{
		PoUnreachable mark = {
			.channel = webhook->channel, .code = webhook->report.error_code,
			.reason = webhook->meaning, .message_id = &webhook->message_id
		};

		po_apply_to_phone(&subjects->set, phone,
						  po_effect_of_report(message, &webhook->report, webhook->effect), &mark, cause);
	}
	previous = message->status;
	if (po_message_report(&subjects->set, message, &webhook->report, cause) && webhook->account != NULL)
		po_note_report(&subjects->health, webhook->account, message, &webhook->report, previous);
}

static void
write_ids(PoWebhook **webhook, int n)
{
	PoArray		column[4];

	po_rows_init(&note_ids, column, n);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		if (!w->tells_id)
			continue;
		po_array_add_text(&column[0], w->endpoint->tenant_id);
		po_array_add_text(&column[1], w->endpoint->provider);
		po_array_add_text(&column[2], w->provider_message_id);
		po_array_add_uuid(&column[3], &w->message_id);
	}
	(void) po_exec_rows(&note_ids, NULL, column);
}

/* Those that the last round found to name a message which is not there any more. */
static void
forget_gone(PoWebhook **webhook, int n)
{
	PoArray		column[3];

	po_rows_init(&forget_ids, column, n);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		if (!w->is_status || w->message_lead != NULL || !w->id_known)
			continue;
		po_array_add_text(&column[0], w->endpoint->tenant_id);
		po_array_add_text(&column[1], w->endpoint->provider);
		po_array_add_text(&column[2], w->provider_message_id);
	}
	(void) po_exec_rows(&forget_ids, NULL, column);
}

static void
mark_known(PoWebhook **webhook, int n, uint64 row)
{
	const char *tenant_id = po_column_text(row, 2);
	const char *provider = po_column_text(row, 3);
	const char *id = po_column_text(row, 4);

	for (int i = 0; i < n; i++)
		if (webhook[i]->is_status && webhook[i]->provider_message_id != NULL &&
			strcmp(webhook[i]->provider_message_id, id) == 0 &&
			strcmp(webhook[i]->endpoint->provider, provider) == 0 &&
			strcmp(webhook[i]->endpoint->tenant_id, tenant_id) == 0)
			webhook[i]->id_known = true;
}

/*
 * po_park_statuses notes the ids that references have told, and keeps callbacks
 * whose message is not known by the provider's id for whoever will know it; false
 * when the id names a message all the same, which has become known meanwhile or is
 * gone: then the batch is to be done again.
 */
bool
po_park_statuses(PoWebhook **webhook, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		column[6];
	uint64		rows;
	bool		done = true;

	write_ids(webhook, n);
	forget_gone(webhook, n);
	po_rows_init(&park, column, n);
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];

		if (!w->is_status || w->message_lead != NULL || w->provider_message_id == NULL)
			continue;
		po_array_add_text(&column[0], w->endpoint->tenant_id);
		po_array_add_text(&column[1], w->endpoint->provider);
		po_array_add_text(&column[2], w->provider_message_id);
		po_array_add_text(&column[3], po_message_status_names[w->report.status]);
		po_array_add_text(&column[4], w->report.error_code);
		po_array_add_uuid(&column[5], &w->receipt_id);
	}
	rows = po_exec_rows(&park, &now, column);
	for (uint64 r = 0; r < rows; r++)
	{
		bool		isnull;

		(void) po_column(r, 1, &isnull);
		if (isnull)
			continue;
		mark_known(webhook, n, r);
		done = false;
	}
	return done;
}
