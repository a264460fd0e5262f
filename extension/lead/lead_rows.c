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
#include "core/spi_plan.h"
#include "lead/change_set.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* What a statement that locks leads has to select from outreach.leads l. */
#define LEAD_COLUMNS \
	"l.tenant_id, l.lead_id, l.phone, l.state::text, l.version, l.last_activity_at," \
	" l.email IS NOT NULL, l.has_timers, l.assigned_agent, l.business_phone"

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

static PoRowsPlan lock_leads = {
	.name = "leads.lock",
	.expect = SPI_OK_SELECT,
	.before = "SELECT " LEAD_COLUMNS " FROM",
	.columns = "tenant_id, phone",
	.after = "JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.phone = u.phone"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

static PoRowsPlan lock_leads_by_id = {
	.name = "leads.lock_by_id",
	.expect = SPI_OK_SELECT,
	.before = "SELECT " LEAD_COLUMNS " FROM (SELECT DISTINCT s.tenant_id, s.lead_id FROM",
	.columns = "tenant_id, lead_id, phone",
	.after = "CROSS JOIN LATERAL (SELECT u.tenant_id, u.lead_id UNION ALL"
	" SELECT o.tenant_id, o.lead_id FROM outreach.leads o"
	" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone) s) d"
	" JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.ncolumns = 3,
	.element = {TEXTOID, TEXTOID, TEXTOID}
};

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

/* The first columns of insert_leads, and one more. */
static PoRowsPlan update_leads = {
	.name = "leads.update",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.leads l SET state = u.state::outreach.lead_state,"
	" version = u.version, email = coalesce(l.email, u.email),"
	" last_inbound_at = CASE WHEN u.replied THEN $1 ELSE l.last_inbound_at END,"
	" last_activity_at = CASE WHEN u.replied OR u.written_to THEN $1 ELSE l.last_activity_at END,"
	" assigned_agent = u.agent, has_timers = u.has_timers,"
	" business_phone = u.business_phone, updated_at = $1 FROM",
	.columns = "tenant_id, lead_id, state, version, email, replied, agent, has_timers,"
	" business_phone, written_to",
	.after = "WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 10,
	.element = {TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, BOOLOID, TEXTOID, BOOLOID, TEXTOID,
	BOOLOID}
};

/* The registry takes the last of a phone's changes, the history all of them. */
static PoRowsPlan write_consent = {
	.name = "consent.write",
	.expect = SPI_OK_INSERT,
	.before = "WITH change AS (SELECT * FROM",
	.columns = "tenant_id, phone, event_id, consent, source, reason",
	.after = "), registry AS (UPDATE outreach.phones p"
	" SET consent = c.consent::outreach.consent_status, consent_source = c.source,"
	" consent_reason = c.reason, consent_at = $1"
	" FROM (SELECT DISTINCT ON (tenant_id, phone) * FROM change ORDER BY tenant_id, phone, n DESC) c"
	" WHERE p.tenant_id = c.tenant_id AND p.phone = c.phone)"
	" INSERT INTO outreach.consent_history (tenant_id, phone, event_id, changed_at, consent,"
	" source, reason) SELECT tenant_id, phone, event_id, $1, consent::outreach.consent_status,"
	" source, reason FROM change",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 6,
	.element = {TEXTOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID},
	.numbered = true
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
		set->phone[i].tenant_id = po_column_text(i, 1);
		set->phone[i].phone = po_column_text(i, 2);
		set->phone[i].consent = po_consent_from_name(po_column_text(i, 3));
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

/*
 * po_lock_leads locks leads by their ids; those that are gone are not in the set.
 */
void
po_lock_leads(PoChangeSet *set, const PoLeadKey *key, int n)
{
	PoArray		column[3];

	Assert(set->nleads == 0);
	po_rows_init(&lock_leads_by_id, column, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&column[0], key[i].tenant_id);
		po_array_add_text(&column[1], key[i].lead_id);
		po_array_add_text(&column[2], key[i].phone);
	}
	read_leads(set, po_exec_rows(&lock_leads_by_id, NULL, column));
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
		if (!lead->created)
		{
			po_array_add(&c[9], BoolGetDatum(lead->written_to));
			continue;
		}
		po_array_add_text(&c[9], lead->phone);
		po_array_add_text(&c[10], lead->source);
	}
	(void) po_exec_rows(&insert_leads, &now, column[true]);
	update_recorded(&now, column[false]);
}

static void
write_consents(PoChangeSet *set)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoArray		column[6];

	po_rows_init(&write_consent, column, set->nconsents);
	for (int i = 0; i < set->nconsents; i++)
	{
		PoConsentChange *change = &set->consent[i];

		po_array_add_text(&column[0], set->phone[change->phone].tenant_id);
		po_array_add_text(&column[1], set->phone[change->phone].phone);
		po_array_add_uuid(&column[2], &set->events.event[change->event].event_id);
		po_array_add_text(&column[3], po_consent_name(change->consent));
		po_array_add_text(&column[4], change->source);
		po_array_add_text(&column[5], change->reason);
	}
	(void) po_exec_rows(&write_consent, &now, column);
}

/*
 * po_write_changes writes all that was decided: leads, events, phones.
 */
void
po_write_changes(PoChangeSet *set)
{
	write_leads(set);
	po_events_append(set->events.event, set->events.n);
	write_consents(set);
	(void) po_cancel_timers(set->cancel, set->ncancels);
	po_set_timers(set->timer, set->ntimers);
}
