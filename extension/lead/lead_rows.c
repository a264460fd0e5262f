/*
 * lead_rows.c
 *	  The statements behind the leads of a change set: reading under lock, and
 *	  writing; of its phones, see phone_rows.c.
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
#include "lead/change_set.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* What a lead's insertion takes, and what its addresses. */
#define INSERTED	PO_USE
#define OF_ADDRESS	(PO_USE << 1)

static const PoField lead_field[] = {
	PO_FIELD(PoLead, tenant_id, TEXT, PO_GIVE | PO_TAKE | INSERTED | OF_ADDRESS),
	PO_FIELD(PoLead, lead_id, TEXT, PO_GIVE | PO_TAKE | INSERTED | OF_ADDRESS),
	PO_FIELD(PoLead, phone, TEXT, PO_GIVE | INSERTED | OF_ADDRESS),
	PO_FIELD(PoLead, email, TEXT, INSERTED | OF_ADDRESS),
	PO_VALUE(PoLead, has_email, "l.email IS NOT NULL", BOOL),
	PO_STATE_FIELD(PoLead, state, PO_GIVE | PO_SET | INSERTED),
	PO_FIELD(PoLead, version, INT, PO_GIVE | PO_SET | INSERTED),
	PO_FIELD(PoLead, last_activity_at, SINCE, PO_GIVE),
	PO_FIELD(PoLead, created_at, SINCE, PO_GIVE),
	PO_FIELD(PoLead, has_timers, BOOL, PO_GIVE | PO_SET | INSERTED),
	PO_FIELD_AS(PoLead, agent, "assigned_agent", TEXT, PO_GIVE | PO_SET | INSERTED),
	PO_FIELD(PoLead, business_phone, TEXT, PO_GIVE | PO_SET | INSERTED),
	PO_FIELD(PoLead, replied, BOOL, PO_TAKE),
	PO_FIELD(PoLead, written_to, BOOL, PO_TAKE),
	PO_FIELD(PoLead, last_inbound_at, SINCE, INSERTED),
	PO_FIELD(PoLead, source, TEXT, INSERTED)
};

/* What a lead is found by, with those of its phone. */
const PoField po_lead_key_field[] = {
	PO_FIELD(PoLeadKey, tenant_id, TEXT, PO_GIVE | PO_TAKE | PO_LEAD_ALONE),
	PO_FIELD(PoLeadKey, lead_id, TEXT, PO_GIVE | PO_TAKE | PO_LEAD_ALONE),
	PO_FIELD(PoLeadKey, phone, TEXT, PO_GIVE | PO_TAKE)
};

static PoStatement lock_leads = {
	.name = "leads.lock",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM {rows} CROSS JOIN LATERAL (SELECT o.lead_id FROM outreach.leads o"
	" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone ORDER BY o.lead_id"
	" LIMIT " CppAsString2(PO_MAX_OF_PHONE) ") d"
	" JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.lead_id = d.lead_id AND l.phone = u.phone"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.takes = PO_FIELDS(po_phone_key_field, PO_TAKE),
	.gives = PO_FIELDS(lead_field, PO_GIVE)
};

/* The same for one phone: nearly every webhook comes alone. */
static PoStatement lock_leads_of_phone = {
	.name = "leads.lock_of_phone",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM outreach.leads l WHERE l.tenant_id = $1 AND l.phone = $2"
	" ORDER BY l.lead_id LIMIT " CppAsString2(PO_MAX_OF_PHONE) " FOR NO KEY UPDATE",
	.gives = PO_FIELDS(lead_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

/* Leads by their ids, and those that have a phone. */
#define LEADS_BY_ID(what, given, how) \
	{ \
		.name = "leads." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {l.*} FROM (SELECT DISTINCT s.tenant_id, s.lead_id FROM {rows}" \
		" CROSS JOIN LATERAL (SELECT u.tenant_id, u.lead_id UNION ALL" \
		" (SELECT o.tenant_id, o.lead_id FROM outreach.leads o" \
		" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone ORDER BY o.lead_id" \
		" LIMIT " CppAsString2(PO_MAX_OF_PHONE) ")) s) d" \
		" JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id" \
		" ORDER BY l.tenant_id, l.lead_id" how, \
		.takes = PO_FIELDS(po_lead_key_field, PO_TAKE), \
		.gives = PO_FIELDS(given, PO_GIVE) \
	}

static PoStatement lock_leads_by_id = LEADS_BY_ID("lock_by_id", lead_field, " FOR NO KEY UPDATE OF l");
static PoStatement lock_free_leads_by_id = LEADS_BY_ID("lock_free_by_id", lead_field,
													   " FOR NO KEY UPDATE OF l SKIP LOCKED");
static PoStatement find_leads_by_id = LEADS_BY_ID("find_by_id", po_lead_key_field, "");

static PoStatement lock_free_leads = {
	.name = "leads.lock_free",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM (SELECT DISTINCT {u.*} FROM {rows}) d"
	" JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l SKIP LOCKED",
	.takes = PO_FIELDS(po_lead_key_field, PO_LEAD_ALONE),
	.gives = PO_FIELDS(lead_field, PO_GIVE)
};

#define LEADS_TO_SUPPRESS(what, how) \
	{ \
		.name = "leads." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {l.*} FROM outreach.leads l WHERE l.tenant_id = $1" \
		" AND l.phone = $2 AND l.state <> 'suppressed' ORDER BY l.lead_id LIMIT $3" \
		" FOR NO KEY UPDATE" how, \
		.gives = PO_FIELDS(lead_field, PO_GIVE), \
		PO_FIXED(TEXTOID, TEXTOID, INT4OID) \
	}

static PoStatement lock_to_suppress = LEADS_TO_SUPPRESS("lock_to_suppress", "");
static PoStatement lock_free_to_suppress = LEADS_TO_SUPPRESS("lock_free_to_suppress", " SKIP LOCKED");

static PoPlan count_to_suppress = {
	.name = "leads.to_suppress",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT count(*) FROM (SELECT FROM outreach.leads l WHERE l.tenant_id = $1"
	" AND l.phone = $2 AND l.state <> 'suppressed' LIMIT $3) l",
	PO_ARGS(TEXTOID, TEXTOID, INT4OID)
};

static PoStatement lock_lead = {
	.name = "leads.lock_one",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM outreach.leads l WHERE l.tenant_id = $1 AND l.lead_id = $2 FOR NO KEY UPDATE",
	.gives = PO_FIELDS(lead_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

static PoStatement insert_leads = {
	.name = "leads.insert",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.leads ({columns}, last_activity_at, created_at, updated_at)"
	" SELECT {u.*}, $1, $1, $1 FROM {rows}",
	.takes = PO_FIELDS(lead_field, INSERTED),
	PO_FIXED(TIMESTAMPTZOID)
};

/* Addresses have a statement of their own: with a trigger on them it costs more. */
static PoStatement update_leads = {
	.name = "leads.update",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.leads l SET {set},"
	" last_inbound_at = CASE WHEN u.replied THEN $1 ELSE l.last_inbound_at END,"
	" last_activity_at = CASE WHEN u.replied OR u.written_to THEN $1 ELSE l.last_activity_at END,"
	" updated_at = $1 FROM {rows} WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.takes = PO_FIELDS(lead_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoStatement update_addresses = {
	.name = "leads.addresses",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.leads l SET email = coalesce(l.email, u.email), phone = u.phone"
	" FROM {rows} WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.takes = PO_FIELDS(lead_field, OF_ADDRESS)
};

/* Takes over the n leads that the last statement locked. */
static void
read_leads(PoChangeSet *set, uint64 n)
{
	set->max_leads = Max(n, 1);
	set->lead = palloc0(set->max_leads * sizeof(PoLead));
	set->nleads = set->nlocked = n;
	for (uint64 i = 0; i < n; i++)
	{
		po_read_row(&lock_lead, i, &set->lead[i]);
		po_lead_set_phone(&set->lead[i], set->lead[i].phone);
	}
}

/*
 * po_lock_leads_of_phones locks all leads that have one of the phones and reads
 * them as they are once locked.
 */
void
po_lock_leads_of_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	Assert(set->nleads == 0);
	if (n == 1)
	{
		Datum		args[2] = {CStringGetTextDatum(key->tenant_id), CStringGetTextDatum(key->phone)};

		read_leads(set, po_exec_fixed(&lock_leads_of_phone, args));
		return;
	}
	read_leads(set, po_exec_rows(&lock_leads, NULL, key, n));
}

/*
 * po_lock_leads locks leads by their ids, and those of their keys' phones; those
 * that are gone are not in the set.
 */
void
po_lock_leads(PoChangeSet *set, const PoLeadKey *key, int n)
{
	Assert(set->nleads == 0);
	read_leads(set, po_exec_rows(&lock_leads_by_id, NULL, key, n));
}

/*
 * po_lock_leads_but_held does the same for those that nobody else holds, and
 * returns how many others there are, with their ids and phones: it never waits.
 */
int
po_lock_leads_but_held(PoChangeSet *set, const PoLeadKey *key, int n, PoLeadKey **held)
{
	uint64		found;
	int			nheld = 0;

	Assert(set->nleads == 0);
	read_leads(set, po_exec_rows(&lock_free_leads_by_id, NULL, key, n));
	found = po_exec_rows(&find_leads_by_id, NULL, key, n);
	*held = palloc(Max(found, 1) * sizeof(PoLeadKey));
	for (uint64 i = 0; i < found; i++)
	{
		PoLeadKey  *lead = &(*held)[nheld];

		po_read_row(&find_leads_by_id, i, lead);
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
	read_leads(set, po_exec_fixed(wait ? &lock_to_suppress : &lock_free_to_suppress, args));
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
	Assert(set->nleads == 0);
	read_leads(set, po_exec_rows(&lock_free_leads, NULL, key, n));
}

/*
 * po_unknown_lead raises the error of a lead that is not there.
 */
void
po_unknown_lead(const char *tenant_id, const char *lead_id)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_UNKNOWN_LEAD),
			 errmsg("tenant \"%s\" has no lead \"%s\"", tenant_id, lead_id),
			 errhint("Make it with outreach.create_lead().")));
}

/*
 * po_require_lead locks one lead by its id; an error when there is none.
 */
PoLead *
po_require_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(lead_id)};

	Assert(set->nleads == 0);
	read_leads(set, po_exec_fixed(&lock_lead, args));
	if (set->nleads == 0)
		po_unknown_lead(tenant_id, lead_id);
	return &set->lead[0];
}

static void
update_recorded(const Datum *now, PoRows *known)
{
	po_begin_recorded_changes();
	PG_TRY();
	{
		(void) po_rows_exec(known, now);
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
	TimestampTz time = po_now();
	Datum		now = TimestampTzGetDatum(time);
	PoRows		known = po_rows(&update_leads, set->nleads);
	PoRows		created = po_rows(&insert_leads, 1);
	PoRows		address = po_rows(&update_addresses, 1);

	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (!lead->changed)
			continue;
		lead->last_inbound_at = lead->replied ? time : DT_NOBEGIN;
		po_rows_add(lead->created ? &created : &known, lead);
		if (!lead->created && (lead->email != NULL || lead->lost_phone))
			po_rows_add(&address, lead);
	}
	(void) po_rows_exec(&created, &now);
	update_recorded(&now, &known);
	(void) po_rows_exec(&address, NULL);
}

/*
 * po_write_changes writes all that was decided: leads, events, phones, timers.
 */
void
po_write_changes(PoChangeSet *set)
{
	write_leads(set);
	po_events_append(set->events.event, set->events.n);
	po_write_phones(set);
	(void) po_cancel_timers(set->cancel, set->ncancels);
	po_set_timers(set->timer, set->ntimers);
}
