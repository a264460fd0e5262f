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
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "lead/change_set.h"
#include "utils/timestamp.h"

static PoRowsPlan lock_phones = {
	.name = "phones.lock",
	.expect = SPI_OK_INSERT_RETURNING,
	.before = "INSERT INTO outreach.phones AS p (tenant_id, phone)"
	" SELECT u.tenant_id, u.phone FROM",
	.columns = "tenant_id, phone",
	.after = "ON CONFLICT (tenant_id, phone) DO UPDATE SET phone = EXCLUDED.phone"
	" RETURNING " PO_PHONE_COLUMNS,
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

static PoRowsPlan lock_free_phones = {
	.name = "phones.lock_free",
	.expect = SPI_OK_SELECT,
	.before = "SELECT " PO_PHONE_COLUMNS " FROM",
	.columns = "tenant_id, phone",
	.after = "JOIN outreach.phones p ON p.tenant_id = u.tenant_id AND p.phone = u.phone"
	" ORDER BY p.tenant_id, p.phone FOR NO KEY UPDATE OF p SKIP LOCKED",
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

static PoRowsPlan make_phones = {
	.name = "phones.make",
	.expect = SPI_OK_INSERT_RETURNING,
	.before = "INSERT INTO outreach.phones AS p (tenant_id, phone)"
	" SELECT u.tenant_id, u.phone FROM",
	.columns = "tenant_id, phone",
	.after = "ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING " PO_PHONE_COLUMNS,
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

/* The registry takes the last of a phone's changes, the history all of them. */
static PoRowsPlan write_consent = {
	.name = "consent.write",
	.expect = SPI_OK_INSERT,
	.before = "WITH change AS (SELECT * FROM",
	.columns = "tenant_id, phone, event_id, act, consent, source, reason, actor, version, said_at",
	.after = "), registry AS (UPDATE outreach.phones p"
	" SET consent = c.consent::outreach.consent_status, consent_source = c.source,"
	" consent_reason = c.reason, consent_at = coalesce(c.said_at, $1)"
	" FROM (SELECT DISTINCT ON (tenant_id, phone) * FROM change ORDER BY tenant_id, phone, n DESC) c"
	" WHERE p.tenant_id = c.tenant_id AND p.phone = c.phone)"
	" INSERT INTO outreach.consent_history (tenant_id, phone, event_id, changed_at, act, consent,"
	" source, reason, actor, version) SELECT tenant_id, phone, event_id, $1, act,"
	" consent::outreach.consent_status, source, reason, actor, version FROM change",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 10,
	.element = {TEXTOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID},
	.numbered = true
};

/* Leads that the opt-out of their phone has left; nothing is sent to them. */
static PoRowsPlan suppress_later = {
	.name = "phones.suppress_later",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.phones p SET suppress_at = u.suppress_at FROM",
	.columns = "tenant_id, phone, suppress_at",
	.after = "WHERE p.tenant_id = u.tenant_id AND p.phone = u.phone",
	.ncolumns = 3,
	.element = {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

/*
 * po_phone_key_rows makes the columns of a statement's rows of keys.
 */
void
po_phone_key_rows(const PoRowsPlan *plan, const PoPhoneKey *key, int n, PoArray column[2])
{
	po_rows_init(plan, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_text(&column[1], key[i].phone);
	}
}

/*
 * po_read_phones takes over the n rows of PO_PHONE_COLUMNS that the last statement
 * locked, in the order of their keys.
 */
void
po_read_phones(PoChangeSet *set, uint64 n)
{
	set->phone = palloc0(Max(n, 1) * sizeof(PoPhone));
	set->nphones = n;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		marks;

		set->phone[i].tenant_id = po_column_text(i, 1);
		set->phone[i].phone = po_column_text(i, 2);
		set->phone[i].consent = po_consent_from_name(po_column_text(i, 3));
		(void) po_column(i, 4, &isnull);
		set->phone[i].consent_at = isnull ? DT_NOBEGIN : po_column_time(i, 4);
		marks = po_column(i, 5, &isnull);
		set->phone[i].unreachable = isnull ? NULL : DatumGetJsonbPCopy(marks);
	}
}

/*
 * po_lock_phones locks the rows of the phones, making those that are missing.
 * To be called at most once a set, before any lead is locked, with sorted keys.
 */
void
po_lock_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	PoArray		column[2];

	Assert(set->nphones == 0 && set->nleads == 0);
	po_phone_key_rows(&lock_phones, key, n, column);
	/* Rows come back in the order they went in. */
	po_read_phones(set, po_exec_rows(&lock_phones, NULL, column));
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
	PoArray		column[2];

	po_rows_init(&make_phones, column, n);
	for (int i = 0; i < n; i++)
	{
		const char *const name[2] = {key[i].tenant_id, key[i].phone};

		if (po_probe_key("phones_pkey", name, 2) != PO_KEY_FREE)
			continue;
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_text(&column[1], key[i].phone);
	}
	return po_exec_rows(&make_phones, NULL, column);
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
	PoArray		column[2];
	int			nknown;
	int			nmissing = 0;

	Assert(set->nphones == 0 && set->nleads == 0);
	po_phone_key_rows(&lock_free_phones, key, n, column);
	po_read_phones(set, po_exec_rows(&lock_free_phones, NULL, column));
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
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		column[10];

	po_rows_init(&write_consent, column, set->nconsents);
	for (int i = 0; i < set->nconsents; i++)
	{
		PoConsentChange *change = &set->consent[i];

		po_array_add_text(&column[0], set->phone[change->phone].tenant_id);
		po_array_add_text(&column[1], set->phone[change->phone].phone);
		po_array_add_uuid(&column[2], &set->events.event[change->event].event_id);
		po_array_add_text(&column[3], change->act);
		po_array_add_text(&column[4], po_consent_name(change->consent));
		po_array_add_text(&column[5], change->cause.source);
		po_array_add_text(&column[6], change->cause.reason);
		po_array_add_text(&column[7], change->cause.actor);
		po_array_add_text(&column[8], change->cause.version);
		if (change->cause.said_at != NULL)
			po_array_add(&column[9], TimestampTzGetDatum(*change->cause.said_at));
		else
			po_array_add_null(&column[9]);
	}
	(void) po_exec_rows(&write_consent, &now, column);
}

static void
write_suppress_later(PoChangeSet *set)
{
	PoArray		column[3];

	po_rows_init(&suppress_later, column, set->nphones);
	for (int i = 0; i < set->nphones; i++)
	{
		PoPhone    *phone = &set->phone[i];

		if (!phone->sets_suppress_at)
			continue;
		po_array_add_text(&column[0], phone->tenant_id);
		po_array_add_text(&column[1], phone->phone);
		if (phone->suppress_at == DT_NOEND)
			po_array_add_null(&column[2]);
		else
		{
			po_array_add(&column[2], TimestampTzGetDatum(phone->suppress_at));
			po_wake_at(phone->suppress_at);
		}
	}
	(void) po_exec_rows(&suppress_later, NULL, column);
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
