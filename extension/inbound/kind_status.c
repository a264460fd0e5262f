/*
 * kind_status.c
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
#include "core/key_probe.h"
#include "core/ledger.h"
#include "core/statement.h"
#include "inbound/kinds.h"
#include "lead/channel.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define UUID_TEXT 36

StaticAssertDecl(PO_REFERENCE_LEN == UUID_TEXT + 1 + PO_MAC_HEX, "a reference is an id and a MAC");

/* How a callback names its message, and what it says of it. */
typedef struct Callback
{
	const char *tenant_id;
	pg_uuid_t	key;			/* of the provider's id */
	const char *provider;
	const char *provider_message_id;
	const pg_uuid_t *message_id;	/* NULL: not known */
	PoMessageStatus to_status;
	const char *error_code;
	const pg_uuid_t *receipt_id;
} Callback;

/* What names it; what parks it; its key alone is PO_TAKE, with its words WORDS. */
#define NAMES PO_USE
#define PARKS (PO_USE << 1)
#define WORDS (PO_USE << 2)
#define IS_KEY (PO_TAKE | NAMES | PARKS | WORDS | PO_GIVE)

static const PoField callback_field[] = {
	PO_FIELD(Callback, tenant_id, TEXT, NAMES | PARKS),
	PO_FIELD(Callback, key, UUID, IS_KEY),
	PO_FIELD(Callback, provider, TEXT, PARKS | WORDS),
	PO_FIELD(Callback, provider_message_id, TEXT, PARKS | WORDS),
	PO_FIELD(Callback, message_id, UUIDP, NAMES),
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
	" JOIN outreach.outbound_messages m ON m.tenant_id = u.tenant_id AND m.message_id = u.message_id"
	" LEFT JOIN outreach.addresses k ON k.tenant_id = m.tenant_id AND k.address = m.phone"
	" AND k.unreachable IS NOT NULL",
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
	" SELECT DISTINCT ON (u.key) {u.*}, $1"
	" FROM {rows} WHERE EXISTS (SELECT FROM outreach.sending_accounts a WHERE a.tenant_id = u.tenant_id)"
	" ORDER BY u.key, outreach_impl.report_rank(u.to_status) DESC"
	" ON CONFLICT (key) DO UPDATE SET"
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
	.sql = "UPDATE outreach.provider_message_ids p SET message_id = NULL, provider = u.provider,"
	" provider_message_id = u.provider_message_id FROM {rows}"
	" WHERE p.key = u.key AND p.message_id IS NOT NULL"
	" AND NOT EXISTS (SELECT FROM outreach.outbound_messages m WHERE m.tenant_id = p.tenant_id"
	" AND m.message_id = p.message_id)",
	.takes = PO_FIELDS(callback_field, WORDS)
};

/* So that no look-up of another message takes it for that one's. */
static PoStatement note_ids = {
	.name = "status.ids",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.provider_message_ids AS p ({columns})"
	" SELECT DISTINCT ON (u.key) {u.*} FROM {rows} ORDER BY u.key"
	" ON CONFLICT (key) DO UPDATE SET message_id = EXCLUDED.message_id, parked_at = NULL,"
	" provider = NULL, provider_message_id = NULL WHERE p.message_id IS NULL",
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
read_reference(const char *text, pg_uuid_t *message_id, const char **mac)
{
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

static bool
is_status(const PoWebhook *webhook)
{
	return webhook->reading.is & PO_IS_STATUS;
}

static bool
read_status(const PoWebhook *webhook, PoWebhookReading *reading)
{
	const PoWebhookRequest *request = &webhook->request;
	const PoBytes *id = &reading->value[PO_FIELD_MESSAGE_ID];
	const PoBytes *code = &reading->value[PO_FIELD_ERROR_CODE];
	const PoBytes *reference = &reading->value[PO_FIELD_REFERENCE];

	reading->reference = request->stored ? request->reference : find_reference(request->query);
	if (reading->reference == NULL && reference->data != NULL && reference->len == PO_REFERENCE_LEN)
		reading->reference = pnstrdup(reference->data, reference->len);
	reading->report.status = reading->kind->to_status;
	reading->report.error_code = code->data != NULL ? pnstrdup(code->data, Min(code->len, PO_MAX_CODE)) : NULL;
	/* Longer ones are nobody's, and would not fit into the index. */
	if (id->data != NULL && id->len <= 255)
		reading->provider_message_id = pnstrdup(id->data, id->len);
	return true;
}

static const PoAccount *
account_of(const PoWebhook *webhook, const char *name)
{
	const PoAccount *account = po_find_account(webhook->endpoint->tenant_id, name);

	return account != NULL && account->profile != NULL ? account : NULL;
}

/* What a report says of the phone its message went to. */
static void
find_effect(PoWebhookSubject *subject, bool marked)
{
	const PoProviderOutcome *outcome;

	if (subject->lead_id == NULL || subject->account == NULL)
		return;
	if (po_message_arrived(subject->report.status) && marked)
		subject->effect = PO_OUTCOME_EFFECT_REACHED;
	else if (subject->report.error_code != NULL)
	{
		outcome = po_find_outcome(subject->account, 0, subject->report.error_code);
		subject->effect = outcome->effect;
		subject->meaning = outcome->meaning;
	}
}

/* Whether it speaks of an address that got a copy of the message. */
static bool
is_of_copy(const PoBytes *given, const char *const *bcc, int nbcc)
{
	char		email[PO_ADDRESS_SIZE];

	if (nbcc == 0 || given->data == NULL || !po_email_fold(given->data, given->len, email))
		return false;
	for (int i = 0; i < nbcc; i++)
		if (strcmp(bcc[i], email) == 0)
			return true;
	return false;
}

static pg_uuid_t
key_of(const PoWebhook *webhook)
{
	return po_provider_key(webhook->endpoint->tenant_id, PO_LEDGER_MESSAGE_ID, webhook->endpoint->provider,
						   webhook->reading.provider_message_id);
}

/* The message that the provider's id names. */
static bool
find_id(const PoWebhook *webhook, pg_uuid_t *message_id)
{
	static const char *const column[] = {"message_id"};
	pg_uuid_t	key = key_of(webhook);
	PoLedger   *ledger = po_open_ledger("provider_message_ids");
	NullableDatum value;
	bool		found = po_read_ledger(ledger, &key, column, 1, &value) && !value.isnull;

	if (found)
		*message_id = *DatumGetUUIDP(value.value);
	po_close_ledger(ledger);
	return found;
}

/* Looks the messages up, by references or by the providers' ids. */
static void
look_up(PoWebhook **webhook, int n, bool by_reference)
{
	PoRows		callback = po_rows(&select_messages, n);
	int		   *position = palloc(n * sizeof(int));
	const char **mac = palloc(n * sizeof(char *));
	pg_uuid_t  *known = palloc(n * sizeof(pg_uuid_t));
	Found	   *found = palloc0(n * sizeof(Found));
	uint64		nfound;

	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		const PoWebhookReading *reading = &w->reading;

		if (!is_status(w) || w->subject.lead_id != NULL ||
			(by_reference ? !read_reference(reading->reference, &w->subject.message_id, &mac[i])
			 : reading->provider_message_id == NULL || !find_id(w, &known[i])))
			continue;
		position[callback.n] = i;
		po_rows_add(&callback, &(Callback) {
			.tenant_id = w->endpoint->tenant_id,
			.message_id = by_reference ? &w->subject.message_id : &known[i]
		});
	}
	nfound = po_rows_exec(&callback, NULL);
	for (uint64 r = 0; r < nfound; r++)
	{
		Found		row;
		PoWebhookSubject *subject;
		const char **bcc;
		int			nbcc;
		int			at;

		po_read_row(&select_messages, r, &row);
		at = position[row.n - 1];
		subject = &webhook[at]->subject;
		subject->message_id = row.message_id;
		subject->lead_id = row.lead_id;
		subject->channel = row.channel;
		subject->phone = po_goes_to_address(row.channel) ? row.phone : NULL;
		bcc = po_column_texts(r, lengthof(found_field) + 1, &nbcc);
		row.of_copy = is_of_copy(&webhook[at]->reading.value[PO_FIELD_EMAIL], bcc, nbcc);
		found[at] = row;
	}
	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		PoWebhookSubject *subject = &w->subject;
		char		expected[PO_MAC_HEX + 1];

		if (found[i].account == NULL)
			continue;
		subject->account = account_of(w, found[i].account);
		subject->has_reference = by_reference && subject->account != NULL &&
			po_callback_mac(subject->account, &subject->message_id, expected) &&
			CRYPTO_memcmp(mac[i], expected, PO_MAC_HEX) == 0;
		if (by_reference && !subject->has_reference)
			subject->lead_id = NULL;
		subject->tells_id = subject->has_reference && !found[i].has_id && w->reading.provider_message_id != NULL;
		/* What becomes of a copy is not what becomes of the message, which has left. */
		subject->report = found[i].of_copy ? (PoReport) {.status = PO_MESSAGE_SENT} : w->reading.report;
		find_effect(subject, found[i].marked);
	}
}

static void
add_callback(PoRows *rows, const PoWebhook *webhook, pg_uuid_t key)
{
	po_rows_add(rows, &(Callback) {
		.tenant_id = webhook->endpoint->tenant_id,
		.key = key,
		.provider = webhook->endpoint->provider,
		.provider_message_id = webhook->reading.provider_message_id,
		.message_id = &webhook->subject.message_id,
		.to_status = webhook->reading.report.status,
		.error_code = webhook->reading.report.error_code,
		.receipt_id = &webhook->result.receipt_id
	});
}

/* So that no look-up of another message takes it for that one's. */
static void
write_ids(PoWebhook **webhook, int n)
{
	PoRows		told = po_rows(&note_ids, 1);

	for (int i = 0; i < n; i++)
		if (webhook[i]->subject.tells_id)
			add_callback(&told, webhook[i], key_of(webhook[i]));
	(void) po_rows_exec(&told, NULL);
}

static bool
is_unmatched(const PoWebhook *webhook)
{
	return is_status(webhook) && webhook->subject.lead_id == NULL && webhook->reading.provider_message_id != NULL;
}

/* Parks those whose message is not known; of those that are not parked the id is known. */
static bool
park_unmatched(PoWebhook **webhook, int n, bool *parked)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		rows = po_rows(&park, 1);
	pg_uuid_t  *key = palloc(n * sizeof(pg_uuid_t));
	uint64		nparked;
	bool		all = true;

	for (int i = 0; i < n; i++)
	{
		parked[i] = !is_unmatched(webhook[i]);
		if (parked[i])
			continue;
		key[i] = key_of(webhook[i]);
		add_callback(&rows, webhook[i], key[i]);
	}
	nparked = po_rows_exec(&rows, &now);
	for (uint64 r = 0; r < nparked; r++)
	{
		Callback	row;

		po_read_row(&park, r, &row);
		for (int i = 0; i < n; i++)
			parked[i] |= is_unmatched(webhook[i]) && memcmp(&key[i], &row.key, UUID_LEN) == 0;
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
			add_callback(&gone, webhook[i], key_of(webhook[i]));
	if (po_rows_exec(&gone, NULL) > 0)
		(void) park_unmatched(webhook, n, parked);
}

/*
 * The messages that they are about.  Ids that references have told are noted, and callbacks
 * whose message is not known kept: the rows of the providers' ids come before all others in
 * the order of locks, here and where answers are recorded.
 */
static void
find_messages(PoWebhook **webhook, int n, bool all)
{
	bool		any = false;

	for (int i = 0; i < n; i++)
		any |= is_status(webhook[i]);
	if (!any)
		return;
	po_profiles_begin();
	look_up(webhook, n, true);
	look_up(webhook, n, false);
	if (!all)
		return;
	write_ids(webhook, n);
	park_statuses(webhook, n);
}

/* Whether the error code says something of the phone that the message was sent to. */
static bool
touches_phone(const PoWebhookSubject *subject)
{
	return subject->lead_id != NULL && subject->phone != NULL && po_concerns_address(subject->effect);
}

static void
want_message(const PoWebhook *webhook, PoWants *wants, int member)
{
	const char *tenant_id = webhook->endpoint->tenant_id;
	const PoWebhookSubject *subject = &webhook->subject;

	if (subject->lead_id == NULL)
		return;
	if (touches_phone(subject))
		(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, subject->phone);
	(void) po_want(wants, PO_WANT_LEAD, member, tenant_id, subject->lead_id);
	if (subject->effect == PO_OUTCOME_EFFECT_OPT_OUT && subject->phone != NULL)
		(void) po_want(wants, PO_WANT_LEADS_OF, member, tenant_id, subject->phone);
	po_want_message(wants, member, tenant_id, &subject->message_id);
}

/* Applies it to its message, if that is known. */
static bool
decide_status(PoSubjects *subjects, PoWebhook *webhook, const PoCause *cause)
{
	PoUnit	   *unit = &subjects->unit;
	const char *tenant_id = webhook->endpoint->tenant_id;
	const PoWebhookSubject *subject = &webhook->subject;
	PoMessage  *message = subject->lead_id == NULL ? NULL : po_find_message(unit, tenant_id, &subject->message_id);
	PoAddress  *phone = subject->phone == NULL ? NULL : po_find_address(unit, tenant_id, subject->phone);
	PoMessageStatus previous;

	if (message == NULL)
		return false;
	if (subject->has_reference && message->provider_message_id == NULL)
	{
		message->provider_message_id = webhook->reading.provider_message_id;
		message->changed = true;
	}
	/* What is told of the address in the payload is decided for itself. */
	if (phone != NULL && webhook->result.opted_out && !webhook->reading.is_revocation)
		po_decide_opt_out(unit, &webhook->result, phone, cause);
	else if (phone != NULL)
	{
		PoUnreachable mark = {
			.channel = subject->channel, .code = subject->report.error_code,
			.reason = subject->meaning, .message_id = &subject->message_id
		};

		po_apply_to_address(unit, phone, po_effect_of_report(message, &subject->report, subject->effect),
							&mark, cause);
	}
	previous = message->status;
	if (po_message_report(unit, message, &subject->report, cause) && subject->account != NULL)
		po_note_report(&subjects->health, subject->account, message, &subject->report, previous);
	return false;
}

static const char *
opts_recipient_out(const PoWebhook *webhook)
{
	const PoWebhookSubject *subject = &webhook->subject;

	return touches_phone(subject) && subject->effect == PO_OUTCOME_EFFECT_OPT_OUT ? subject->phone : NULL;
}

const PoHandler po_status_handler = {
	.is = PO_IS_STATUS,
	.effects = 1 << PO_KIND_EFFECT_STATUS,
	.read = read_status,
	.find = find_messages,
	.want = want_message,
	.decide = decide_status,
	.opts_out = opts_recipient_out
};
