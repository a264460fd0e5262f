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
#include "common/base64.h"
#include "common/url.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/statement.h"
#include "inbound/webhook.h"
#include "lead/channel.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define UUID_TEXT 36

StaticAssertDecl(PO_REFERENCE_LEN == UUID_TEXT + 1 + PO_MAC_HEX, "a reference is an id and a MAC");

/* How a callback names its message, and what it says of it. */
typedef struct Callback
{
	const char *tenant_id;
	const char *provider;
	const char *provider_message_id;
	const pg_uuid_t *message_id;	/* NULL: not known */
	PoMessageStatus to_status;
	const char *error_code;
	const pg_uuid_t *receipt_id;
} Callback;

/* What names it; what parks it; the provider's id alone is PO_TAKE. */
#define NAMES PO_USE
#define PARKS (PO_USE << 1)
#define IS_KEY (PO_TAKE | NAMES | PARKS | PO_GIVE)

static const PoField callback_field[] = {
	PO_FIELD(Callback, tenant_id, TEXT, IS_KEY),
	PO_FIELD(Callback, provider, TEXT, IS_KEY),
	PO_FIELD(Callback, provider_message_id, TEXT, IS_KEY),
	PO_FIELD(Callback, message_id, UUIDP, NAMES | PO_GIVE),
	PO_MESSAGE_STATUS(Callback, to_status, PARKS),
	PO_FIELD(Callback, error_code, TEXT, PARKS),
	PO_FIELD(Callback, receipt_id, UUIDP, PARKS)
};

/* The message that one names. */
typedef struct Found
{
	int			n;
	pg_uuid_t	message_id;
	const char *lead_id;
	const char *account;
	const char *channel;
	const char *phone;
	bool		marked;			/* the phone, as unreachable in the channel */
	bool		has_id;			/* the provider's id is known */
	bool		of_copy;		/* the callback is about a copy of it */
} Found;

static const PoField found_field[] = {
	PO_VALUE(Found, n, "u.n", INT),
	PO_FIELD(Found, message_id, UUID, PO_GIVE),
	PO_FIELD(Found, lead_id, TEXT, PO_GIVE),
	PO_FIELD(Found, account, TEXT, PO_GIVE),
	PO_FIELD(Found, channel, TEXT, PO_GIVE),
	PO_FIELD(Found, phone, TEXT, PO_GIVE),
	PO_VALUE(Found, marked, "coalesce(k.unreachable ? m.channel, false)", BOOL),
	PO_VALUE(Found, has_id, "m.provider_message_id IS NOT NULL", BOOL)
};

static PoStatement select_messages = {
	.name = "status.messages",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {m.*}, m.bcc FROM {rows}"
	" LEFT JOIN outreach.provider_message_ids p ON p.tenant_id = u.tenant_id"
	" AND p.provider = u.provider AND p.provider_message_id = u.provider_message_id"
	" JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id"
	" AND m.message_id = coalesce(u.message_id, p.message_id)"
	" LEFT JOIN outreach.addresses k ON k.tenant_id = m.tenant_id AND k.address = m.phone AND k.unreachable IS NOT NULL",
	.takes = PO_FIELDS(callback_field, NAMES),
	.gives = PO_FIELDS(found_field, PO_GIVE),
	.numbered = true
};

/* What a report says, unless one that is parked already says more, or as much. */
#define UNLESS_KNOWN(column) \
	"CASE WHEN outreach_impl.report_rank(p.to_status::text) >= outreach_impl.report_rank(EXCLUDED.to_status::text)" \
	" THEN p." column " ELSE EXCLUDED." column " END"

/* For tenants that send through us; other applications' messages are theirs. */
static PoStatement park = {
	.name = "status.park",
	.expect = SPI_OK_INSERT_RETURNING,
	.sql = "INSERT INTO outreach.provider_message_ids AS p ({columns}, parked_at)"
	" SELECT DISTINCT ON (u.tenant_id, u.provider, u.provider_message_id) {u.*}, $1"
	" FROM {rows} WHERE EXISTS (SELECT FROM outreach.sending_accounts a WHERE a.tenant_id = u.tenant_id)"
	" ORDER BY u.tenant_id, u.provider, u.provider_message_id,"
	" outreach_impl.report_rank(u.to_status) DESC"
	" ON CONFLICT (tenant_id, provider, provider_message_id) DO UPDATE SET"
	" to_status = " UNLESS_KNOWN("to_status") ","
	" parked_at = coalesce(p.parked_at, EXCLUDED.parked_at),"
	" error_code = " UNLESS_KNOWN("error_code") ","
	" receipt_id = " UNLESS_KNOWN("receipt_id")
	" WHERE p.message_id IS NULL RETURNING {p.*}",
	.takes = PO_FIELDS(callback_field, PARKS),
	.gives = PO_FIELDS(callback_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* The message is gone: its id is nobody's, and what comes under it unmatched. */
static PoStatement forget_ids = {
	.name = "status.forget",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.provider_message_ids p SET message_id = NULL FROM {rows}"
	" WHERE p.tenant_id = u.tenant_id AND p.provider = u.provider"
	" AND p.provider_message_id = u.provider_message_id AND p.message_id IS NOT NULL"
	" AND NOT EXISTS (SELECT FROM outreach.outbound_messages m WHERE m.tenant_id = p.tenant_id"
	" AND m.message_id = p.message_id)",
	.takes = PO_FIELDS(callback_field, PO_TAKE)
};

/* So that no look-up of another message takes it for that one's. */
static PoStatement note_ids = {
	.name = "status.ids",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.provider_message_ids AS p ({columns})"
	" SELECT DISTINCT ON (u.tenant_id, u.provider, u.provider_message_id) {u.*} FROM {rows}"
	" ORDER BY u.tenant_id, u.provider, u.provider_message_id"
	" ON CONFLICT (tenant_id, provider, provider_message_id) DO UPDATE SET"
	" message_id = EXCLUDED.message_id, parked_at = NULL WHERE p.message_id IS NULL",
	.takes = PO_FIELDS(callback_field, NAMES)
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
	PoRows		callback = po_rows(&select_messages, n);
	int		   *position = palloc(n * sizeof(int));
	const char **mac = palloc(n * sizeof(char *));
	Found	   *found = palloc0(n * sizeof(Found));
	uint64		nfound;

	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		pg_uuid_t	message_id;

		if (!w->is_status || w->message_lead != NULL ||
			(by_reference ? !read_reference(w, &message_id, &mac[i]) : w->provider_message_id == NULL))
			continue;
		position[callback.n] = i;
		if (by_reference)
			w->message_id = message_id;
		po_rows_add(&callback, &(Callback) {
			.tenant_id = w->endpoint->tenant_id,
			.provider = w->endpoint->provider,
			.provider_message_id = by_reference ? NULL : w->provider_message_id,
			.message_id = by_reference ? &w->message_id : NULL
		});
	}
	nfound = po_rows_exec(&callback, NULL);
	for (uint64 r = 0; r < nfound; r++)
	{
		Found		row;
		PoWebhook  *w;
		const char **bcc;
		int			nbcc;

		po_read_row(&select_messages, r, &row);
		w = webhook[position[row.n - 1]];
		w->message_id = row.message_id;
		w->message_lead = row.lead_id;
		w->channel = row.channel;
		w->message_phone = po_goes_to_address(row.channel) ? row.phone : NULL;
		bcc = po_column_texts(r, lengthof(found_field) + 1, &nbcc);
		row.of_copy = is_of_copy(w, bcc, nbcc);
		found[position[row.n - 1]] = row;
	}
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		char		expected[PO_MAC_HEX + 1];

		if (found[i].account == NULL)
			continue;
		w->account = account_of(w, found[i].account);
		w->has_reference = by_reference && w->account != NULL &&
			po_callback_mac(w->account, &w->message_id, expected) &&
			CRYPTO_memcmp(mac[i], expected, PO_MAC_HEX) == 0;
		if (by_reference && !w->has_reference)
			w->message_lead = NULL;
		w->tells_id = w->has_reference && !found[i].has_id && w->provider_message_id != NULL;
		/* What becomes of a copy is not what becomes of the message, which has left. */
		if (w->message_lead != NULL && found[i].of_copy)
			w->report = (PoReport) {.status = PO_MESSAGE_SENT};
		find_effect(w, found[i].marked);
	}
}

/*
 * po_decide_status applies a status callback to its message, if that is known.
 */
void
po_decide_status(PoSubjects *subjects, PoWebhook *webhook, const PoCause *cause)
{
	const char *tenant_id = webhook->endpoint->tenant_id;
	PoMessage  *message = webhook->message_lead == NULL ? NULL
		: po_find_message(&subjects->unit, tenant_id, &webhook->message_id);
	PoAddress    *phone = webhook->message_phone == NULL ? NULL
		: po_find_address(&subjects->unit, tenant_id, webhook->message_phone);
	PoMessageStatus previous;

	if (message == NULL)
		return;
	if (webhook->has_reference && message->provider_message_id == NULL)
	{
		message->provider_message_id = webhook->provider_message_id;
		message->changed = true;
	}
	/* What is told of the address in the payload is decided for itself. */
	if (phone != NULL && webhook->opted_out && !webhook->is_revocation)
		po_decide_opt_out(&subjects->unit, webhook, phone, cause);
	else if (phone != NULL)
	{
		PoUnreachable mark = {
			.channel = webhook->channel, .code = webhook->report.error_code,
			.reason = webhook->meaning, .message_id = &webhook->message_id
		};

		po_apply_to_address(&subjects->unit, phone,
						  po_effect_of_report(message, &webhook->report, webhook->effect), &mark, cause);
	}
	previous = message->status;
	if (po_message_report(&subjects->unit, message, &webhook->report, cause) && webhook->account != NULL)
		po_note_report(&subjects->health, webhook->account, message, &webhook->report, previous);
}

static void
add_callback(PoRows *rows, const PoWebhook *webhook)
{
	po_rows_add(rows, &(Callback) {
		.tenant_id = webhook->endpoint->tenant_id,
		.provider = webhook->endpoint->provider,
		.provider_message_id = webhook->provider_message_id,
		.message_id = &webhook->message_id,
		.to_status = webhook->report.status,
		.error_code = webhook->report.error_code,
		.receipt_id = &webhook->receipt_id
	});
}

/* So that no look-up of another message takes it for that one's. */
static void
write_ids(PoWebhook **webhook, int n)
{
	PoRows		told = po_rows(&note_ids, 1);

	for (int i = 0; i < n; i++)
		if (webhook[i]->tells_id)
			add_callback(&told, webhook[i]);
	(void) po_rows_exec(&told, NULL);
}

static bool
is_unmatched(const PoWebhook *webhook)
{
	return webhook->is_status && webhook->message_lead == NULL && webhook->provider_message_id != NULL;
}

static bool
has_id(const PoWebhook *webhook, const Callback *callback)
{
	return strcmp(webhook->provider_message_id, callback->provider_message_id) == 0 &&
		strcmp(webhook->endpoint->provider, callback->provider) == 0 &&
		strcmp(webhook->endpoint->tenant_id, callback->tenant_id) == 0;
}

/* Parks those whose message is not known; of those that are not parked the id is known. */
static bool
park_unmatched(PoWebhook **webhook, int n, bool *parked)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		rows = po_rows(&park, 1);
	uint64		nparked;
	bool		all = true;

	for (int i = 0; i < n; i++)
	{
		parked[i] = !is_unmatched(webhook[i]);
		if (!parked[i])
			add_callback(&rows, webhook[i]);
	}
	nparked = po_rows_exec(&rows, &now);
	for (uint64 r = 0; r < nparked; r++)
	{
		Callback	row;

		po_read_row(&park, r, &row);
		for (int i = 0; i < n; i++)
			parked[i] |= is_unmatched(webhook[i]) && has_id(webhook[i], &row);
	}
	for (int i = 0; i < n; i++)
		all &= parked[i];
	return all;
}

/*
 * Keeps callbacks whose message is not known by the provider's id for whoever will know
 * it.  An id that has become known meanwhile leads to the message; that of a message
 * which is gone is nobody's.
 */
static void
park_statuses(PoWebhook **webhook, int n)
{
	bool	   *parked = palloc(n * sizeof(bool));
	PoRows		gone = po_rows(&forget_ids, 1);

	if (park_unmatched(webhook, n, parked))
		return;
	look_up(webhook, n, false);
	for (int i = 0; i < n; i++)
		if (!parked[i] && is_unmatched(webhook[i]))
			add_callback(&gone, webhook[i]);
	if (po_rows_exec(&gone, NULL) > 0)
		(void) park_unmatched(webhook, n, parked);
}

/*
 * po_find_statuses finds the messages that status callbacks are about, without a lock.
 * Where it parks, it notes the ids that references have told and keeps callbacks whose
 * message is not known: the rows of the providers' ids come before all others in the
 * order of locks, here and where answers are recorded.  Needs SPI and the engine's owner
 * as user.
 */
void
po_find_statuses(PoWebhook **webhook, int n, bool parks)
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
	if (!parks)
		return;
	write_ids(webhook, n);
	park_statuses(webhook, n);
}
