/*
 * lead_rows.c
 *	  The statements behind the leads of a unit: locked, and written.
 *
 * Their locks come after those of contacts and addresses.  An address that has no lead
 * yet is locked before one is made for it, so that two first messages make one lead; and
 * an opt-out has the contact before it looks for the leads that it has to suppress.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "lib/qunique.h"
#include "unit/unit.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* What a lead's insertion takes, and what another address or contact. */
#define INSERTED	PO_USE
#define OF_ADDRESS	(PO_USE << 1)

static const PoField lead_field[] = {
	PO_FIELD(PoLead, tenant_id, TEXT, PO_GIVE | PO_TAKE | INSERTED | OF_ADDRESS),
	PO_FIELD(PoLead, lead_id, TEXT, PO_GIVE | PO_TAKE | INSERTED | OF_ADDRESS),
	PO_FIELD_AS(PoLead, tid, "ctid", TID, PO_GIVE | PO_TAKE),
	PO_FIELD(PoLead, contact_id, UUID, PO_GIVE | INSERTED | OF_ADDRESS),
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
	PO_FIELD(PoLead, lost_email, BOOL, OF_ADDRESS),
	PO_FIELD(PoLead, last_inbound_at, SINCE, INSERTED),
	PO_FIELD(PoLead, source, TEXT, INSERTED)
};

const PoField po_lead_key_field[] = {
	PO_FIELD(PoLeadKey, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoLeadKey, lead_id, TEXT, PO_TAKE)
};

/* What leads are found by: each alone, or with those of a phone or of a contact. */
typedef struct Key
{
	const char *tenant_id;
	const char *lead_id;
	const char *phone;
	pg_uuid_t	contact_id;		/* all zero: none */
	ItemPointerData tid;
	int			member;
} Key;

#define AT	PO_USE

static const PoField key_field[] = {
	PO_FIELD(Key, tenant_id, TEXT, PO_GIVE | PO_TAKE | AT),
	PO_FIELD(Key, lead_id, TEXT, PO_GIVE | PO_TAKE | AT),
	PO_FIELD(Key, phone, TEXT, PO_GIVE | PO_TAKE),
	PO_FIELD(Key, contact_id, UUID, PO_GIVE | PO_TAKE),
	PO_FIELD_AS(Key, tid, "ctid", TID, AT)
};

#define MOST CppAsString2(PO_MAX_OF_ADDRESS)

/* For one phone: nearly every webhook comes alone. */
static PoStatement lock_leads_of_phone = {
	.name = "leads.lock_of_phone",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM outreach.leads l WHERE l.tenant_id = $1 AND l.phone = $2"
	" ORDER BY l.lead_id LIMIT " MOST " FOR NO KEY UPDATE",
	.gives = PO_FIELDS(lead_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

/* For phones alone: nearly every batch is messages from known leads. */
static PoStatement lock_leads_of_phones = {
	.name = "leads.lock_of_phones",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM (SELECT DISTINCT u.tenant_id, u.address FROM {rows}) u CROSS JOIN LATERAL"
	" (SELECT o.lead_id FROM outreach.leads o WHERE o.tenant_id = u.tenant_id AND o.phone = u.address"
	" ORDER BY o.lead_id LIMIT " MOST ") d"
	" JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.lead_id = d.lead_id AND l.phone = u.address"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.takes = PO_FIELDS(po_address_key_field, PO_TAKE),
	.gives = PO_FIELDS(lead_field, PO_GIVE)
};

#define LEADS(what, given, how) \
	{ \
		.name = "leads." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {l.*} FROM (SELECT DISTINCT s.tenant_id, s.lead_id FROM {rows}" \
		" CROSS JOIN LATERAL (SELECT u.tenant_id, u.lead_id UNION ALL" \
		" (SELECT o.tenant_id, o.lead_id FROM outreach.leads o" \
		" WHERE o.tenant_id = u.tenant_id AND o.phone = u.phone ORDER BY o.lead_id LIMIT " MOST ") UNION ALL" \
		" (SELECT o.tenant_id, o.lead_id FROM outreach.leads o" \
		" WHERE o.tenant_id = u.tenant_id AND o.contact_id = u.contact_id ORDER BY o.lead_id LIMIT " MOST ")) s) d" \
		" JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id" \
		" ORDER BY l.tenant_id, l.lead_id" how, \
		.takes = PO_FIELDS(key_field, PO_TAKE), \
		.gives = PO_FIELDS(given, PO_GIVE) \
	}

static PoStatement lock_leads = LEADS("lock", lead_field, " FOR NO KEY UPDATE OF l");
static PoStatement lock_free_leads = LEADS("lock_free", lead_field, " FOR NO KEY UPDATE OF l SKIP LOCKED");
static PoStatement find_leads = LEADS("find", key_field, "");

/* By their ids alone. */
static PoStatement lock_free_leads_by_id = {
	.name = "leads.lock_free_by_id",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM (SELECT DISTINCT u.tenant_id, u.lead_id FROM {rows}) d"
	" JOIN outreach.leads l ON l.tenant_id = d.tenant_id AND l.lead_id = d.lead_id"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l SKIP LOCKED",
	.takes = PO_FIELDS(po_lead_key_field, PO_TAKE),
	.gives = PO_FIELDS(lead_field, PO_GIVE)
};

/* Where they were seen. */
static PoStatement lock_free_leads_at = {
	.name = "leads.lock_free_at",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM {rows} JOIN outreach.leads l ON " PO_AT_TID("l", "lead_id")
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l SKIP LOCKED",
	.takes = PO_FIELDS(key_field, AT),
	.gives = PO_FIELDS(lead_field, PO_GIVE)
};

static PoStatement lock_lead = {
	.name = "leads.lock_one",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM outreach.leads l WHERE l.tenant_id = $1 AND l.lead_id = $2 FOR NO KEY UPDATE",
	.gives = PO_FIELDS(lead_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

/* Leads of a person, and those that have one of these phones, which are not suppressed. */
#define LEFT_OF \
	"FROM outreach.leads l WHERE l.tenant_id = $1 AND l.state <> 'suppressed'" \
	" AND (l.contact_id = $2 OR l.phone = ANY ($3))"
#define LOCK_LEFT(what, how) \
	{ \
		.name = "leads." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {l.*} " LEFT_OF " ORDER BY l.lead_id LIMIT " CppAsString2(PO_MAX_SUPPRESSED) "" \
		" FOR NO KEY UPDATE" how, \
		.gives = PO_FIELDS(lead_field, PO_GIVE), \
		PO_FIXED(TEXTOID, UUIDOID, TEXTARRAYOID) \
	}

static PoStatement lock_left = LOCK_LEFT("lock_left", "");
static PoStatement lock_free_left = LOCK_LEFT("lock_free_left", " SKIP LOCKED");

static PoPlan count_left = {
	.name = "leads.left",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT count(*) FROM (SELECT " LEFT_OF " LIMIT $4) l",
	PO_ARGS(TEXTOID, UUIDOID, TEXTARRAYOID, INT4OID)
};

static PoPlan count_of_contact = {
	.name = "leads.of_contact",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT count(*) FROM (SELECT FROM outreach.leads l WHERE l.tenant_id = $1 AND l.contact_id = $2"
	" LIMIT $3) l",
	PO_ARGS(TEXTOID, UUIDOID, INT4OID)
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
	" updated_at = $1 FROM {rows} WHERE " PO_AT_TID("l", "lead_id"),
	.takes = PO_FIELDS(lead_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoStatement update_addresses = {
	.name = "leads.addresses",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.leads l SET email = CASE WHEN NOT u.lost_email THEN coalesce(l.email, u.email) END, phone"
	" = u.phone, contact_id = u.contact_id"
	" FROM {rows} WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.takes = PO_FIELDS(lead_field, OF_ADDRESS)
};

/* Takes over the n leads that the last statement locked. */
static void
read_leads(PoUnit *unit, uint64 n)
{
	unit->max_leads = Max(n, 1);
	unit->lead = palloc0(unit->max_leads * sizeof(PoLead));
	unit->nleads = unit->nlocked = n;
	for (uint64 i = 0; i < n; i++)
	{
		po_read_row(&lock_lead, i, &unit->lead[i]);
		po_lead_set_phone(&unit->lead[i], unit->lead[i].phone);
	}
}

/* Whether all of these, which are named by their ids, are locked. */
static bool
has_all(PoUnit *unit, const Key *key, int n)
{
	for (int i = 0; i < n; i++)
		if (key[i].lead_id == NULL || po_find_lead(unit, key[i].tenant_id, key[i].lead_id) == NULL)
			return false;
	return true;
}

static Datum
phones_of(const char *const *phone, int n)
{
	PoArray		array;

	po_array_init(&array, TEXTOID, Max(n, 1));
	for (int i = 0; i < n; i++)
		po_array_add_text(&array, phone[i]);
	return po_array_datum(&array);
}

/*
 * po_leads_left counts leads of a person, and of phones, that are not suppressed, up to
 * so many.
 */
int
po_leads_left(const char *tenant_id, const pg_uuid_t *contact_id, const char *const *phone, int nphones, int most)
{
	Datum		args[4] = {
		CStringGetTextDatum(tenant_id), UUIDPGetDatum(contact_id), phones_of(phone, nphones), Int32GetDatum(most)
	};

	(void) po_exec(&count_left, args, NULL);
	return po_column_int64(0, 1);
}

/*
 * po_is_shared tells whether a contact has so many leads that they are hardly one
 * person's.
 */
bool
po_is_shared(const char *tenant_id, const pg_uuid_t *contact_id)
{
	Datum		args[3] = {
		CStringGetTextDatum(tenant_id), UUIDPGetDatum(contact_id), Int32GetDatum(PO_SHARED_BY)
	};

	(void) po_exec(&count_of_contact, args, NULL);
	return po_column_int64(0, 1) >= PO_SHARED_BY;
}

/*
 * po_lock_left locks leads of a person, and of phones, that are not suppressed, as many
 * as an opt-out suppresses at once, in a unit that has no leads; the person and the
 * phones are locked.
 */
void
po_lock_left(PoUnit *unit, const char *tenant_id, const pg_uuid_t *contact_id,
			 const char *const *phone, int nphones, bool wait)
{
	Datum		args[3] = {
		CStringGetTextDatum(tenant_id), UUIDPGetDatum(contact_id), phones_of(phone, nphones)
	};

	Assert(unit->nleads == 0);
	read_leads(unit, po_exec_fixed(wait ? &lock_left : &lock_free_left, args));
}

/* Marks the members that want one of the leads that are there and not locked. */
static void
mark_held(PoUnit *unit, const Key *key, int n, bool *held)
{
	uint64		found;

	if (has_all(unit, key, n))
		return;
	found = po_exec_rows(&find_leads, NULL, key, n);
	for (uint64 r = 0; r < found; r++)
	{
		Key			lead;

		po_read_row(&find_leads, r, &lead);
		if (po_find_lead(unit, lead.tenant_id, lead.lead_id) != NULL)
			continue;
		for (int i = 0; i < n; i++)
			held[key[i].member] |= strcmp(key[i].tenant_id, lead.tenant_id) == 0 &&
				((key[i].lead_id != NULL && strcmp(key[i].lead_id, lead.lead_id) == 0) ||
				 (key[i].phone != NULL && lead.phone != NULL && strcmp(key[i].phone, lead.phone) == 0) ||
				 memcmp(&key[i].contact_id, &lead.contact_id, UUID_LEN) == 0);
	}
}

/* What leads are wanted, as keys; *phones and *ids: whether they are only such. */
static int
collect(PoUnit *unit, const PoWants *wants, Key *key, bool *phones, bool *ids)
{
	int			n = 0;

	*phones = *ids = true;
	for (int i = 0; i < wants->n; i++)
	{
		const PoWant *want = &wants->want[i];
		const PoAddress *address;

		if (want->kind != PO_WANT_LEAD && want->kind != PO_WANT_LEADS_OF)
			continue;
		key[n] = (Key) {.tenant_id = want->tenant_id, .member = want->member, .tid = want->tid};
		if (want->kind == PO_WANT_LEAD)
		{
			key[n++].lead_id = want->name;
			*phones = false;
			continue;
		}
		*ids = false;
		key[n].phone = want->name;
		address = po_find_address(unit, want->tenant_id, want->name);
		if (address != NULL && !address->shared)
		{
			key[n].contact_id = address->contact_id;
			*phones = false;
		}
		n++;
	}
	return n;
}

static int
lock_of_phones(const Key *key, int n)
{
	PoRows		rows = po_rows(&lock_leads_of_phones, n);

	if (n == 1)
	{
		Datum		args[2] = {CStringGetTextDatum(key->tenant_id), CStringGetTextDatum(key->phone)};

		return po_exec_fixed(&lock_leads_of_phone, args);
	}
	for (int i = 0; i < n; i++)
		po_rows_add(&rows, &(PoAddressKey) {key[i].tenant_id, key[i].phone});
	return po_rows_exec(&rows, NULL);
}

static int
lock_free_by_id(const Key *key, int n)
{
	PoRows		rows = po_rows(&lock_free_leads_by_id, n);

	for (int i = 0; i < n; i++)
		po_rows_add(&rows, &(PoLeadKey) {key[i].tenant_id, key[i].lead_id});
	return po_rows_exec(&rows, NULL);
}

static int
compare_leads(const void *a, const void *b)
{
	const PoLead *x = a;
	const PoLead *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : strcmp(x->lead_id, y->lead_id);
}

/* Locks them where they were seen, or none: some are elsewhere by now, or that is not known. */
static bool
lock_free_at(PoUnit *unit, const Key *key, int n)
{
	PoRows		rows = po_rows(&lock_free_leads_at, n);

	for (int i = 0; i < n; i++)
	{
		if (!ItemPointerIsValid(&key[i].tid))
			return false;
		po_rows_add(&rows, &key[i]);
	}
	read_leads(unit, po_rows_exec(&rows, NULL));
	/* One that two members want comes twice. */
	unit->nleads = unit->nlocked = qunique(unit->lead, unit->nleads, sizeof(PoLead), compare_leads);
	return has_all(unit, key, n);
}

/*
 * po_lock_leads locks the leads that are wanted and reads them as they are once locked;
 * contacts and addresses are locked.
 */
void
po_lock_leads(PoUnit *unit, const PoWants *wants, int how, bool *held)
{
	Key		   *key = palloc(Max(wants->n, 1) * sizeof(Key));
	bool		waits = how & PO_LOCK_WAITS;
	bool		phones;
	bool		ids;
	int			n = collect(unit, wants, key, &phones, &ids);

	if (n == 0 || (ids && !waits && lock_free_at(unit, key, n)))
		return;
	if (n == 1 && ids && waits)
	{
		Datum		args[2] = {CStringGetTextDatum(key->tenant_id), CStringGetTextDatum(key->lead_id)};

		read_leads(unit, po_exec_fixed(&lock_lead, args));
	}
	else if (phones && waits)
		read_leads(unit, lock_of_phones(key, n));
	else if (ids && !waits)
		read_leads(unit, lock_free_by_id(key, n));
	else
		read_leads(unit, po_exec_rows(waits ? &lock_leads : &lock_free_leads, NULL, key, n));
	if (!waits)
		mark_held(unit, key, n, held);
}

static void
update_recorded(const Datum *now, PoRows *known)
{
	po_begin_recorded_changes();
	PG_TRY();
	{
		po_rows_write(known, now);
	}
	PG_FINALLY();
	{
		po_end_recorded_changes();
	}
	PG_END_TRY();
}

/*
 * po_write_leads writes those that are new or have changed.
 */
void
po_write_leads(PoUnit *unit)
{
	TimestampTz time = po_now();
	Datum		now = TimestampTzGetDatum(time);
	PoRows		known = po_rows(&update_leads, unit->nleads);
	PoRows		created = po_rows(&insert_leads, 1);
	PoRows		address = po_rows(&update_addresses, 1);

	for (int i = 0; i < unit->nleads; i++)
	{
		PoLead	   *lead = &unit->lead[i];

		if (!lead->changed)
			continue;
		lead->last_inbound_at = lead->replied ? time : DT_NOBEGIN;
		po_rows_add(lead->created ? &created : &known, lead);
		if (!lead->created && (lead->email != NULL || lead->lost_email || lead->readdressed))
			po_rows_add(&address, lead);
	}
	(void) po_rows_exec(&created, &now);
	update_recorded(&now, &known);
	(void) po_rows_exec(&address, NULL);
}
