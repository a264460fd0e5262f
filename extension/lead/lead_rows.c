/*
 * lead_rows.c
 *	  The statements behind a change set: reading under lock, and writing.
 *
 * Locks are taken in one order by everybody, so that they cannot deadlock:
 * first the phones, by (tenant, phone), then the leads, by (tenant, lead id).
 * A phone that has no lead yet is locked before one is made for it, so that two
 * first messages make one lead; and an opt-out locks the phone before it looks
 * for the leads it has to suppress.
 *
 * Functions need SPI and the engine's owner as user.  Everything is palloc'd in
 * the current context, which must live until po_write_changes is done.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ids.h"
#include "core/key_probe.h"
#include "core/spi_plan.h"
#include "core/wakeup.h"
#include "lead/change_set.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* What a statement that locks leads has to select from outreach.leads l. */
#define LEAD_COLUMNS \
	"l.tenant_id, l.lead_id, l.phone, l.state::text, l.version, l.last_activity_at," \
	" l.email IS NOT NULL, l.has_timers, l.assigned_agent, l.business_phone," \
	" l.created_at"

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

static PoRowsPlan lock_leads = {
	.name = "leads.lock",
	.expect = SPI_OK_SELECT,
	.before = "SELECT " LEAD_COLUMNS " FROM",
	.columns = "tenant_id, phone",
	.after = "CROSS JOIN LATERAL (SELECT o.lead_id FROM outreach.leads o"
	" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone LIMIT " CppAsString2(PO_MAX_OF_PHONE) ") d"
	" JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.lead_id = d.lead_id AND l.phone = u.phone"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

/* Leads by their ids, and those that have a phone. */
#define LEADS_BY_ID(what, columns_read, how) \
	{ \
		.name = "leads." what, \
		.expect = SPI_OK_SELECT, \
		.before = "SELECT " columns_read " FROM (SELECT DISTINCT s.tenant_id, s.lead_id FROM", \
		.columns = "tenant_id, lead_id, phone", \
		.after = "CROSS JOIN LATERAL (SELECT u.tenant_id, u.lead_id UNION ALL" \
		" (SELECT o.tenant_id, o.lead_id FROM outreach.leads o" \
		" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone LIMIT " CppAsString2(PO_MAX_OF_PHONE) ")) s) d" \
		" JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id" \
		" ORDER BY l.tenant_id, l.lead_id" how, \
		.ncolumns = 3, \
		.element = {TEXTOID, TEXTOID, TEXTOID} \
	}

static PoRowsPlan lock_leads_by_id = LEADS_BY_ID("lock_by_id", LEAD_COLUMNS,
												 " FOR NO KEY UPDATE OF l");
static PoRowsPlan lock_free_leads_by_id = LEADS_BY_ID("lock_free_by_id", LEAD_COLUMNS,
													  " FOR NO KEY UPDATE OF l SKIP LOCKED");
static PoRowsPlan find_leads_by_id = LEADS_BY_ID("find_by_id", "l.tenant_id, l.lead_id, l.phone", "");

static PoRowsPlan lock_free_leads = {
	.name = "leads.lock_free",
	.expect = SPI_OK_SELECT,
	.before = "SELECT " LEAD_COLUMNS " FROM (SELECT DISTINCT tenant_id, lead_id FROM",
	.columns = "tenant_id, lead_id",
	.after = ") d JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l SKIP LOCKED",
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

#define LEADS_TO_SUPPRESS(what, how) \
	{ \
		.name = "leads." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT " LEAD_COLUMNS " FROM outreach.leads l WHERE l.tenant_id = $1" \
		" AND l.phone = $2 AND l.state <> 'suppressed' ORDER BY l.lead_id LIMIT $3" \
		" FOR NO KEY UPDATE" how, \
		.nargs = 3, \
		.argtype = {TEXTOID, TEXTOID, INT4OID} \
	}

static PoPlan lock_to_suppress = LEADS_TO_SUPPRESS("lock_to_suppress", "");
static PoPlan lock_free_to_suppress = LEADS_TO_SUPPRESS("lock_free_to_suppress", " SKIP LOCKED");

static PoPlan count_to_suppress = {
	.name = "leads.to_suppress",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT count(*) FROM (SELECT FROM outreach.leads l WHERE l.tenant_id = $1"
	" AND l.phone = $2 AND l.state <> 'suppressed' LIMIT $3) l",
	.nargs = 3,
	.argtype = {TEXTOID, TEXTOID, INT4OID}
};

static PoPlan lock_lead = {
	.name = "leads.lock_one",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " LEAD_COLUMNS " FROM outreach.leads l"
	" WHERE l.tenant_id = $1 AND l.lead_id = $2 FOR NO KEY UPDATE",
	.nargs = 2,
	.argtype = {TEXTOID, TEXTOID}
};

static PoRowsPlan insert_leads = {
	.name = "leads.insert",
	.expect = SPI_OK_INSERT,
	.before = "INSERT INTO outreach.leads (tenant_id, lead_id, state, version, email,"
	" last_inbound_at, assigned_agent, has_timers, business_phone, phone, source, last_activity_at,"
	" created_at, updated_at)"
	" SELECT u.tenant_id, u.lead_id, u.state::outreach.lead_state, u.version, u.email,"
	" CASE WHEN u.replied THEN $1 END, u.agent, u.has_timers, u.business_phone, u.phone, u.source,"
	" $1, $1, $1 FROM",
	.columns = "tenant_id, lead_id, state, version, email, replied, agent, has_timers,"
	" business_phone, phone, source",
	.after = "",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 11,
	.element = {TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, BOOLOID, TEXTOID, BOOLOID, TEXTOID,
	TEXTOID, TEXTOID}
};

/* The columns of insert_leads, but for the last. */
static PoRowsPlan update_leads = {
	.name = "leads.update",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.leads l SET state = u.state::outreach.lead_state,"
	" version = u.version, email = coalesce(l.email, u.email),"
	" last_inbound_at = CASE WHEN u.replied THEN $1 ELSE l.last_inbound_at END,"
	" last_activity_at = CASE WHEN u.replied OR u.written_to THEN $1 ELSE l.last_activity_at END,"
	" assigned_agent = u.agent, has_timers = u.has_timers,"
	" business_phone = u.business_phone, phone = u.phone, updated_at = $1 FROM",
	.columns = "tenant_id, lead_id, state, version, email, replied, agent, has_timers,"
	" business_phone, phone, written_to",
	.after = "WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 11,
	.element = {TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, BOOLOID, TEXTOID, BOOLOID, TEXTOID,
	TEXTOID, BOOLOID}
};

/* The registry takes the last of a phone's changes, the history all of them. */
static PoRowsPlan write_consent = {
	.name = "consent.write",
	.expect = SPI_OK_INSERT,
	.before = "WITH change AS (SELECT * FROM",
	.columns = "tenant_id, phone, event_id, act, consent, source, reason, actor, version",
	.after = "), registry AS (UPDATE outreach.phones p"
	" SET consent = c.consent::outreach.consent_status, consent_source = c.source,"
	" consent_reason = c.reason, consent_at = $1"
	" FROM (SELECT DISTINCT ON (tenant_id, phone) * FROM change ORDER BY tenant_id, phone, n DESC) c"
	" WHERE p.tenant_id = c.tenant_id AND p.phone = c.phone)"
	" INSERT INTO outreach.consent_history (tenant_id, phone, event_id, changed_at, act, consent,"
	" source, reason, actor, version) SELECT tenant_id, phone, event_id, $1, act,"
	" consent::outreach.consent_status, source, reason, actor, version FROM change",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 9,
	.element = {TEXTOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
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

static void
phone_key_rows(const PoRowsPlan *plan, const PoPhoneKey *key, int n, PoArray column[2])
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

		set->phone[i].tenant_id = po_column_text(i, 1);
		set->phone[i].phone = po_column_text(i, 2);
		set->phone[i].consent = po_consent_from_name(po_column_text(i, 3));
		(void) po_column(i, 4, &isnull);
		set->phone[i].consent_at = isnull ? DT_NOBEGIN : po_column_time(i, 4);
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
	phone_key_rows(&lock_phones, key, n, column);
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
	phone_key_rows(&lock_free_phones, key, n, column);
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

/* Takes over the n rows of LEAD_COLUMNS that the last statement locked. */
static void
read_leads(PoChangeSet *set, uint64 n)
{
	set->max_leads = Max(n, 1);
	set->lead = palloc0(set->max_leads * sizeof(PoLead));
	set->nleads = set->nlocked = n;
	for (uint64 i = 0; i < n; i++)
	{
		PoLead	   *lead = &set->lead[i];

		lead->tenant_id = po_column_text(i, 1);
		lead->lead_id = po_column_text(i, 2);
		lead->phone = po_column_text(i, 3);
		lead->state = po_state_require(po_column_text(i, 4));
		lead->version = po_column_int(i, 5);
		lead->last_activity_at = po_column_time(i, 6);
		lead->has_email = po_column_bool(i, 7);
		lead->has_timers = po_column_bool(i, 8);
		lead->agent = po_column_text(i, 9);
		lead->business_phone = po_column_text(i, 10);
		lead->created_at = po_column_time(i, 11);
	}
}

/*
 * po_lock_leads_of_phones locks all leads that have one of the phones and reads
 * them as they are once locked.
 */
void
po_lock_leads_of_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	PoArray		column[2];

	Assert(set->nleads == 0);
	phone_key_rows(&lock_leads, key, n, column);
	read_leads(set, po_exec_rows(&lock_leads, NULL, column));
}

static void
lead_key_rows(const PoRowsPlan *plan, const PoLeadKey *key, int n, PoArray column[3])
{
	po_rows_init(plan, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_text(&column[1], key[i].lead_id);
		po_array_add_text(&column[2], key[i].phone);
	}
}

/*
 * po_lock_leads locks leads by their ids, and those of their keys' phones; those
 * that are gone are not in the set.
 */
void
po_lock_leads(PoChangeSet *set, const PoLeadKey *key, int n)
{
	PoArray		column[3];

	Assert(set->nleads == 0);
	lead_key_rows(&lock_leads_by_id, key, n, column);
	read_leads(set, po_exec_rows(&lock_leads_by_id, NULL, column));
}

/*
 * po_lock_leads_but_held does the same for those that nobody else holds, and
 * returns how many others there are, with their ids and phones: it never waits.
 */
int
po_lock_leads_but_held(PoChangeSet *set, const PoLeadKey *key, int n, PoLeadKey **held)
{
	PoArray		column[3];
	uint64		found;
	int			nheld = 0;

	Assert(set->nleads == 0);
	lead_key_rows(&lock_free_leads_by_id, key, n, column);
	read_leads(set, po_exec_rows(&lock_free_leads_by_id, NULL, column));
	found = po_exec_rows(&find_leads_by_id, NULL, column);
	*held = palloc(Max(found, 1) * sizeof(PoLeadKey));
	for (uint64 i = 0; i < found; i++)
	{
		PoLeadKey  *lead = &(*held)[nheld];

		lead->tenant_id = po_column_text(i, 1);
		lead->lead_id = po_column_text(i, 2);
		lead->phone = po_column_text(i, 3);
		nheld += po_find_lead(set, lead->tenant_id, lead->lead_id) == NULL;
	}
	return nheld;
}

/*
 * po_lock_to_suppress locks leads of an opted-out phone that are not suppressed,
 * PO_MAX_SUPPRESSED at most, and returns whether it has left some: locked ones,
 * where it does not wait, or too many.
 */
bool
po_lock_to_suppress(PoChangeSet *set, const char *tenant_id, const char *phone, bool wait)
{
	Datum		args[3] = {
		CStringGetTextDatum(tenant_id), CStringGetTextDatum(phone), Int32GetDatum(PO_MAX_SUPPRESSED)
	};

	Assert(set->nleads == 0);
	read_leads(set, po_exec(wait ? &lock_to_suppress : &lock_free_to_suppress, args, NULL));
	args[2] = Int32GetDatum(set->nleads + 1);
	(void) po_exec(&count_to_suppress, args, NULL);
	return po_column_int64(0, 1) > set->nleads;
}

/*
 * po_lock_free_leads does the same, without their phones, for those that nobody
 * else holds: it never waits.
 */
void
po_lock_free_leads(PoChangeSet *set, const PoLeadKey *key, int n)
{
	PoArray		column[2];

	Assert(set->nleads == 0);
	po_rows_init(&lock_free_leads, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_text(&column[1], key[i].lead_id);
	}
	read_leads(set, po_exec_rows(&lock_free_leads, NULL, column));
}

/*
 * po_require_lead locks one lead by its id; an error when there is none.
 */
PoLead *
po_require_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(lead_id)};

	Assert(set->nleads == 0);
	read_leads(set, po_exec(&lock_lead, args, NULL));
	if (set->nleads == 0)
		ereport(ERROR,
				(errcode(PO_ERRCODE_UNKNOWN_LEAD),
				 errmsg("tenant \"%s\" has no lead \"%s\"", tenant_id, lead_id),
				 errhint("Make it with outreach.create_lead().")));
	return &set->lead[0];
}

static void
update_recorded(const Datum *now, const PoArray *column)
{
	po_begin_recorded_changes();
	PG_TRY();
	{
		(void) po_exec_rows(&update_leads, now, column);
	}
	PG_FINALLY();
	{
		po_end_recorded_changes();
	}
	PG_END_TRY();
}

static void
write_leads(PoChangeSet *set)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		column[2][11];	/* of known leads, of created ones */

	po_rows_init(&update_leads, column[false], set->nleads);
	po_rows_init(&insert_leads, column[true], 1);
	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];
		PoArray    *c = column[lead->created];

		if (!lead->changed)
			continue;
		po_array_add_text(&c[0], lead->tenant_id);
		po_array_add_text(&c[1], lead->lead_id);
		po_array_add_text(&c[2], po_state_name(lead->state));
		po_array_add(&c[3], Int32GetDatum(lead->version));
		po_array_add_text(&c[4], lead->email);
		po_array_add(&c[5], BoolGetDatum(lead->replied));
		po_array_add_text(&c[6], lead->agent);
		po_array_add(&c[7], BoolGetDatum(lead->has_timers));
		po_array_add_text(&c[8], lead->business_phone);
		po_array_add_text(&c[9], lead->phone);
		if (lead->created)
			po_array_add_text(&c[10], lead->source);
		else
			po_array_add(&c[10], BoolGetDatum(lead->written_to));
	}
	(void) po_exec_rows(&insert_leads, &now, column[true]);
	update_recorded(&now, column[false]);
}

static void
write_consents(PoChangeSet *set)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		column[9];

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
 * po_write_changes writes all that was decided: leads, events, phones, timers.
 */
void
po_write_changes(PoChangeSet *set)
{
	write_leads(set);
	po_events_append(set->events.event, set->events.n);
	write_consents(set);
	write_suppress_later(set);
	(void) po_cancel_timers(set->cancel, set->ncancels);
	po_set_timers(set->timer, set->ntimers);
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
	write_consents(set);
	write_suppress_later(set);
}
