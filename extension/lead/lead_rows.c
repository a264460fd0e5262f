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
#include "core/spi_plan.h"
#include "lead/change_set.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* What a statement that locks leads has to select from outreach.leads l. */
#define LEAD_COLUMNS \
	"l.tenant_id, l.lead_id, l.phone, l.state::text, l.version, l.last_activity_at," \
	" l.email IS NOT NULL, l.has_timers, l.assigned_agent, l.business_phone," \
	" l.created_at"

static PoRowsPlan lock_leads = {
	.name = "leads.lock",
	.expect = SPI_OK_SELECT,
	.before = "SELECT " LEAD_COLUMNS " FROM",
	.columns = "tenant_id, phone",
	.after = "CROSS JOIN LATERAL (SELECT o.lead_id FROM outreach.leads o"
	" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone ORDER BY o.lead_id"
	" LIMIT " CppAsString2(PO_MAX_OF_PHONE) ") d"
	" JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.lead_id = d.lead_id AND l.phone = u.phone"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.ncolumns = 2,
	.element = {TEXTOID, TEXTOID}
};

/* The same for one phone: nearly every webhook comes alone. */
static PoPlan lock_leads_of_phone = {
	.name = "leads.lock_of_phone",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " LEAD_COLUMNS " FROM outreach.leads l WHERE l.tenant_id = $1 AND l.phone = $2"
	" ORDER BY l.lead_id LIMIT " CppAsString2(PO_MAX_OF_PHONE) " FOR NO KEY UPDATE",
	PO_ARGS(TEXTOID, TEXTOID)
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
		" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone ORDER BY o.lead_id" \
		" LIMIT " CppAsString2(PO_MAX_OF_PHONE) ")) s) d" \
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
		PO_ARGS(TEXTOID, TEXTOID, INT4OID) \
	}

static PoPlan lock_to_suppress = LEADS_TO_SUPPRESS("lock_to_suppress", "");
static PoPlan lock_free_to_suppress = LEADS_TO_SUPPRESS("lock_free_to_suppress", " SKIP LOCKED");

static PoPlan count_to_suppress = {
	.name = "leads.to_suppress",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT count(*) FROM (SELECT FROM outreach.leads l WHERE l.tenant_id = $1"
	" AND l.phone = $2 AND l.state <> 'suppressed' LIMIT $3) l",
	PO_ARGS(TEXTOID, TEXTOID, INT4OID)
};

static PoPlan lock_lead = {
	.name = "leads.lock_one",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " LEAD_COLUMNS " FROM outreach.leads l"
	" WHERE l.tenant_id = $1 AND l.lead_id = $2 FOR NO KEY UPDATE",
	PO_ARGS(TEXTOID, TEXTOID)
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

/* Addresses have a statement of their own: with a trigger on them it costs more. */
static PoRowsPlan update_leads = {
	.name = "leads.update",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.leads l SET state = u.state::outreach.lead_state,"
	" version = u.version,"
	" last_inbound_at = CASE WHEN u.replied THEN $1 ELSE l.last_inbound_at END,"
	" last_activity_at = CASE WHEN u.replied OR u.written_to THEN $1 ELSE l.last_activity_at END,"
	" assigned_agent = u.agent, has_timers = u.has_timers,"
	" business_phone = u.business_phone, updated_at = $1 FROM",
	.columns = "tenant_id, lead_id, state, version, replied, agent, has_timers, business_phone, written_to",
	.after = "WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.nfixed = 1,
	.fixed = {TIMESTAMPTZOID},
	.ncolumns = 9,
	.element = {TEXTOID, TEXTOID, TEXTOID, INT4OID, BOOLOID, TEXTOID, BOOLOID, TEXTOID, BOOLOID}
};

static PoRowsPlan update_addresses = {
	.name = "leads.addresses",
	.expect = SPI_OK_UPDATE,
	.before = "UPDATE outreach.leads l SET email = coalesce(l.email, u.email), phone = u.phone FROM",
	.columns = "tenant_id, lead_id, email, phone",
	.after = "WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.ncolumns = 4,
	.element = {TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

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
		po_lead_set_phone(lead, po_column_text(i, 3));
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
	if (n == 1)
	{
		Datum		args[2] = {CStringGetTextDatum(key->tenant_id), CStringGetTextDatum(key->phone)};

		read_leads(set, po_exec(&lock_leads_of_phone, args, NULL));
		return;
	}
	po_phone_key_rows(&lock_leads, key, n, column);
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
	read_leads(set, po_exec(&lock_lead, args, NULL));
	if (set->nleads == 0)
		po_unknown_lead(tenant_id, lead_id);
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
	PoArray		known[9];
	PoArray		created[11];
	PoArray		address[4];

	po_rows_init(&update_leads, known, set->nleads);
	po_rows_init(&insert_leads, created, 1);
	po_rows_init(&update_addresses, address, 1);
	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];
		PoArray    *c = lead->created ? created : known;
		int			n = 0;

		if (!lead->changed)
			continue;
		po_array_add_text(&c[n++], lead->tenant_id);
		po_array_add_text(&c[n++], lead->lead_id);
		po_array_add_text(&c[n++], po_state_name(lead->state));
		po_array_add(&c[n++], Int32GetDatum(lead->version));
		if (lead->created)
			po_array_add_text(&c[n++], lead->email);
		po_array_add(&c[n++], BoolGetDatum(lead->replied));
		po_array_add_text(&c[n++], lead->agent);
		po_array_add(&c[n++], BoolGetDatum(lead->has_timers));
		po_array_add_text(&c[n++], lead->business_phone);
		if (lead->created)
		{
			po_array_add_text(&c[n++], lead->phone);
			po_array_add_text(&c[n++], lead->source);
			continue;
		}
		po_array_add(&c[n++], BoolGetDatum(lead->written_to));
		if (lead->email == NULL && !lead->lost_phone)
			continue;
		po_array_add_text(&address[0], lead->tenant_id);
		po_array_add_text(&address[1], lead->lead_id);
		po_array_add_text(&address[2], lead->email);
		po_array_add_text(&address[3], lead->phone);
	}
	(void) po_exec_rows(&insert_leads, &now, created);
	update_recorded(&now, known);
	(void) po_exec_rows(&update_addresses, NULL, address);
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
