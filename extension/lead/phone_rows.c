/*
 * phone_rows.c
 *	  The statements behind the phones of a change set: their rows, locked and
 *	  made, and what is known of consent.
 *
 * When they are locked: see lead_rows.c.  Functions need SPI and the engine's
 * owner as user.  Everything is palloc'd in the current context, which must live
 * until the set is written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/key_probe.h"
#include "core/wakeup.h"
#include "lead/change_set.h"
#include "utils/timestamp.h"

const PoField po_phone_key_field[] = {
	PO_FIELD(PoPhoneKey, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoPhoneKey, phone, TEXT, PO_TAKE)
};

const PoField po_phone_field[] = {
	PO_FIELD(PoPhone, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoPhone, phone, TEXT, PO_TAKE | PO_GIVE),
	PO_CONSENT_FIELD(PoPhone, consent, PO_GIVE),
	PO_FIELD(PoPhone, consent_at, SINCE, PO_GIVE),
	PO_FIELD(PoPhone, unreachable, JSONB, PO_GIVE),
	PO_FIELD(PoPhone, suppress_at, UNTIL, PO_SET)
};

#define INSERT_PHONES(conflict) \
	.expect = SPI_OK_INSERT_RETURNING, \
	.sql = "INSERT INTO outreach.phones AS p ({columns}) SELECT {u.*} FROM {rows}" \
	" ON CONFLICT (tenant_id, phone) DO " conflict " RETURNING {p.*}", \
	.takes = PO_FIELDS(po_phone_key_field, PO_TAKE), \
	.gives = PO_FIELDS(po_phone_field, PO_GIVE)

static PoStatement lock_phones = {.name = "phones.lock", INSERT_PHONES("UPDATE SET phone = EXCLUDED.phone")};
static PoStatement make_phones = {.name = "phones.make", INSERT_PHONES("NOTHING")};

static PoStatement lock_free_phones = {
	.name = "phones.lock_free",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {p.*} FROM {rows} JOIN outreach.phones p ON p.tenant_id = u.tenant_id AND p.phone = u.phone"
	" ORDER BY p.tenant_id, p.phone FOR NO KEY UPDATE OF p SKIP LOCKED",
	.takes = PO_FIELDS(po_phone_key_field, PO_TAKE),
	.gives = PO_FIELDS(po_phone_field, PO_GIVE)
};

/* An act of consent, as it is written. */
typedef struct Act
{
	const char *tenant_id;
	const char *phone;
	const pg_uuid_t *event_id;
	const char *act;
	PoConsent	consent;
	PoCause		cause;
	TimestampTz said_at;
} Act;

static const PoField act_field[] = {
	PO_FIELD(Act, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Act, phone, TEXT, PO_TAKE),
	PO_FIELD(Act, event_id, UUIDP, PO_TAKE),
	PO_FIELD(Act, act, TEXT, PO_TAKE),
	PO_CONSENT_FIELD(Act, consent, PO_TAKE),
	PO_FIELD_AS(Act, cause.source, "source", TEXT, PO_TAKE),
	PO_FIELD_AS(Act, cause.reason, "reason", TEXT, PO_TAKE),
	PO_FIELD_AS(Act, cause.actor, "actor", TEXT, PO_TAKE),
	PO_FIELD_AS(Act, cause.version, "version", TEXT, PO_TAKE),
	PO_FIELD(Act, said_at, SINCE, PO_TAKE)
};

/* The registry takes the last of a phone's changes, the history all of them. */
static PoStatement write_consent = {
	.name = "consent.write",
	.expect = SPI_OK_INSERT,
	.sql = "WITH change AS (SELECT * FROM {rows}), registry AS (UPDATE outreach.phones p"
	" SET consent = c.consent::outreach.consent_status, consent_source = c.source,"
	" consent_reason = c.reason, consent_at = c.said_at"
	" FROM (SELECT DISTINCT ON (tenant_id, phone) * FROM change ORDER BY tenant_id, phone, n DESC) c"
	" WHERE p.tenant_id = c.tenant_id AND p.phone = c.phone)"
	" INSERT INTO outreach.consent_history (tenant_id, phone, event_id, changed_at, act, consent,"
	" source, reason, actor, version) SELECT tenant_id, phone, event_id, $1, act,"
	" consent::outreach.consent_status, source, reason, actor, version FROM change",
	.takes = PO_FIELDS(act_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID),
	.numbered = true
};

/* Leads that the opt-out of their phone has left; nothing is sent to them. */
static PoStatement suppress_later = {
	.name = "phones.suppress_later",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.phones p SET {set} FROM {rows}"
	" WHERE p.tenant_id = u.tenant_id AND p.phone = u.phone",
	.takes = PO_FIELDS(po_phone_field, PO_TAKE)
};

/*
 * po_read_phones takes over the n rows that the last statement locked, in the order of
 * their keys; it gives what po_phone_field says, and may give more.
 */
void
po_read_phones(PoChangeSet *set, uint64 n)
{
	set->phone = palloc0(Max(n, 1) * sizeof(PoPhone));
	set->nphones = n;
	po_read_rows(&lock_phones, n, set->phone);
}

/*
 * po_lock_phones locks the rows of the phones, making those that are missing.
 * To be called at most once a set, before any lead is locked, with sorted keys.
 */
void
po_lock_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	Assert(set->nphones == 0 && set->nleads == 0);
	/* Rows come back in the order they went in. */
	po_read_phones(set, po_exec_rows(&lock_phones, NULL, key, n));
}

static int
phone_compare(const void *a, const void *b)
{
	const PoPhone *x = a;
	const PoPhone *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : strcmp(x->phone, y->phone);
}

/*
 * po_make_free_phones makes rows for the phones that have none, but for those that
 * another transaction is making: it does not wait for that.  Returns how many it
 * made; they are the statement's result.
 */
int
po_make_free_phones(const PoPhoneKey *key, int n)
{
	PoRows		rows = po_rows(&make_phones, n);

	for (int i = 0; i < n; i++)
	{
		const char *const name[2] = {key[i].tenant_id, key[i].phone};

		if (po_probe_key("phones_pkey", name, 2) == PO_KEY_FREE)
			po_rows_add(&rows, &key[i]);
	}
	return po_rows_exec(&rows, NULL);
}

/*
 * po_lock_free_phones does the same as po_lock_phones for those that nobody else
 * holds or is making; the others are not in the set.  It never waits.
 */
void
po_lock_free_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	PoPhoneKey *missing = palloc(Max(n, 1) * sizeof(PoPhoneKey));
	PoPhone    *known;
	int			nknown;
	int			nmissing = 0;

	Assert(set->nphones == 0 && set->nleads == 0);
	po_read_phones(set, po_exec_rows(&lock_free_phones, NULL, key, n));
	for (int i = 0; i < n; i++)
		if (po_find_phone(set, key[i].tenant_id, key[i].phone) == NULL)
			missing[nmissing++] = key[i];
	if (nmissing == 0)
		return;
	known = set->phone;
	nknown = set->nphones;
	po_read_phones(set, po_make_free_phones(missing, nmissing));
	set->phone = repalloc(set->phone, Max(nknown + set->nphones, 1) * sizeof(PoPhone));
	memcpy(set->phone + set->nphones, known, nknown * sizeof(PoPhone));
	set->nphones += nknown;
	qsort(set->phone, set->nphones, sizeof(PoPhone), phone_compare);
}

static void
write_consents(PoChangeSet *set)
{
	TimestampTz time = po_now();
	Datum		now = TimestampTzGetDatum(time);
	PoRows		rows = po_rows(&write_consent, set->nconsents);

	for (int i = 0; i < set->nconsents; i++)
	{
		const PoConsentChange *change = &set->consent[i];
		const PoPhone *phone = &set->phone[change->phone];
		const TimestampTz *said_at = change->cause.said_at;

		po_rows_add(&rows, &(Act) {
			.tenant_id = phone->tenant_id, .phone = phone->phone,
			.event_id = &set->events.event[change->event].event_id,
			.act = change->act, .consent = change->consent, .cause = change->cause,
			.said_at = said_at != NULL ? *said_at : time
		});
	}
	(void) po_rows_exec(&rows, &now);
}

static void
write_suppress_later(PoChangeSet *set)
{
	PoRows		rows = po_rows(&suppress_later, set->nphones);

	for (int i = 0; i < set->nphones; i++)
	{
		if (!set->phone[i].sets_suppress_at)
			continue;
		po_rows_add(&rows, &set->phone[i]);
		if (set->phone[i].suppress_at != DT_NOEND)
			po_wake_at(set->phone[i].suppress_at);
	}
	(void) po_rows_exec(&rows, NULL);
}

/*
 * po_write_phones writes what was decided of phones; their events have ids.
 */
void
po_write_phones(PoChangeSet *set)
{
	write_consents(set);
	write_suppress_later(set);
}

/*
 * po_write_consent_alone writes the phones of the set and the history of their
 * consent, without the events that this names.
 */
void
po_write_consent_alone(PoChangeSet *set)
{
	for (int i = 0; i < set->events.n; i++)
		po_uuid_v7(&set->events.event[i].event_id);
	po_write_phones(set);
}
