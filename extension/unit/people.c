/*
 * people.c
 *	  The people of a unit, locked: contacts and their addresses, which are made where
 *	  there are none.
 *
 * What is locked is the contact; its addresses belong to it as long as it is.  An
 * address's contact is read without a lock, the contact is locked, and the address is
 * read again.  One that has got another contact meanwhile is looked for again, a few
 * times: then somebody moves it back and forth, and it is held.
 *
 * An address that is not known is made, with a contact or as one more of a contact,
 * after the contacts are locked that are known.  What has made rows waits no more for
 * contacts, for others may wait for these rows; neither does it for one that is before
 * another in the order of locks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/address.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/key_probe.h"
#include "lib/qunique.h"
#include "unit/people.h"
#include "utils/timestamp.h"

#define MAX_ROUNDS 3

/* An address that a member wants; several may want the same one. */
typedef struct Sought
{
	const char *tenant_id;
	const char *address;		/* null: the lead's contact is wanted */
	const char *lead_id;
	int			member;
	int			first;			/* which of those that want the address comes first */
	bool		alone;			/* nobody's that is known */
	bool		known;
	bool		shared;
	pg_uuid_t	contact_id;		/* once it is known, or is to be made */
	pg_uuid_t	of_lead;		/* the lead's contact; all zero: it has none */
	bool		makes_contact;
	PoAddressKind kind;
} Sought;

static const char *const kind_names[PO_NKINDS] = {[PO_PHONE] = "phone", [PO_EMAIL] = "email"};

static const PoField sought_field[] = {
	PO_FIELD(Sought, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Sought, address, TEXT, PO_TAKE),
	PO_FIELD(Sought, lead_id, TEXT, PO_TAKE),
	PO_VALUE(Sought, known, "a.address IS NOT NULL", BOOL),
	PO_VALUE(Sought, shared, "coalesce(a.shared, false)", BOOL),
	PO_VALUE(Sought, contact_id, "a.contact_id", UUID),
	PO_VALUE(Sought, of_lead, "l.contact_id AS of_lead", UUID)
};

static PoStatement find_addresses = {
	.name = "people.find",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {a.*}, u.n FROM {rows} LEFT JOIN outreach.addresses a ON a.tenant_id = u.tenant_id"
	" AND a.address = u.address"
	" LEFT JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.takes = PO_FIELDS(sought_field, PO_TAKE),
	.gives = PO_FIELDS(sought_field, PO_GIVE),
	.numbered = true
};

#define N_OF_SOUGHT 5

#define LOCK_CONTACTS(how_named, where, how) \
	{ \
		.name = "people.lock" how_named, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {c.*} FROM {rows} JOIN outreach.contacts c ON c.tenant_id = u.tenant_id" \
		" AND c.contact_id = u.contact_id" where " ORDER BY c.tenant_id, c.contact_id" how, \
		.takes = PO_FIELDS(contact_key_field, PO_TAKE), \
		.gives = PO_FIELDS(po_contact_field, PO_GIVE) \
	}

static const PoField contact_key_field[] = {
	PO_FIELD(PoContact, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoContact, contact_id, UUID, PO_TAKE)
};

static PoStatement lock_contacts = LOCK_CONTACTS("", "", " FOR NO KEY UPDATE OF c");
static PoStatement lock_free_contacts = LOCK_CONTACTS("_free", "", " FOR NO KEY UPDATE OF c SKIP LOCKED");
static PoStatement share_contacts = LOCK_CONTACTS("_share", " WHERE NOT outreach_impl.is_awaited(c.tableoid, c.ctid)",
												  " FOR SHARE OF c SKIP LOCKED");

/* All addresses of the contacts; who has locked the contact has locked them, nearly always. */
#define LOCK_ADDRESSES(what, how) \
	{ \
		.name = "people." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {a.*} FROM {rows} CROSS JOIN LATERAL (SELECT o.address FROM outreach.addresses o" \
		" WHERE o.tenant_id = u.tenant_id AND o.contact_id = u.contact_id" \
		" ORDER BY o.address LIMIT " CppAsString2(PO_MAX_ADDRESSES) ") d" \
		" JOIN outreach.addresses a ON a.tenant_id = u.tenant_id AND a.address = d.address" \
		" AND a.contact_id = u.contact_id" \
		" ORDER BY a.tenant_id, a.address FOR NO KEY UPDATE OF a" how, \
		.takes = PO_FIELDS(contact_key_field, PO_TAKE), \
		.gives = PO_FIELDS(po_address_field, PO_GIVE) \
	}

static PoStatement lock_addresses = LOCK_ADDRESSES("addresses", "");
static PoStatement lock_free_addresses = LOCK_ADDRESSES("addresses_free", " SKIP LOCKED");

/* Those that are wanted by name. */
#define NAMED_ADDRESSES(what, how) \
	{ \
		.name = "people." what, \
		.expect = SPI_OK_SELECT, \
		.sql = "SELECT {a.*} FROM {rows} JOIN outreach.addresses a ON a.tenant_id = u.tenant_id" \
		" AND a.address = u.address" \
		" ORDER BY a.tenant_id, a.address" how, \
		.takes = PO_FIELDS(po_address_key_field, PO_TAKE), \
		.gives = PO_FIELDS(po_address_field, PO_GIVE) \
	}

/* Where the contact is shared: whoever changes one locks that. */
static PoStatement read_addresses = NAMED_ADDRESSES("read", "");
static PoStatement lock_named_addresses = NAMED_ADDRESSES("named", " FOR NO KEY UPDATE OF a");
static PoStatement lock_named_free_addresses = NAMED_ADDRESSES("named_free", " FOR NO KEY UPDATE OF a SKIP LOCKED");

static const PoField new_field[] = {
	PO_FIELD(Sought, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Sought, address, TEXT, PO_TAKE),
	PO_NAME(Sought, kind, PoAddressKind, kind_names, "text", PO_TAKE),
	PO_FIELD(Sought, contact_id, UUID, PO_TAKE)
};

static PoStatement make_addresses = {
	.name = "people.make",
	.expect = SPI_OK_SELECT,
	.sql = "WITH made AS (INSERT INTO outreach.addresses AS a (tenant_id, address, kind, contact_id, created_at)"
	" SELECT u.tenant_id, u.address, u.kind, u.contact_id::uuid, $1 FROM {rows} ORDER BY u.tenant_id, u.address"
	" ON CONFLICT (tenant_id, address) DO NOTHING RETURNING a.*),"
	" people AS (INSERT INTO outreach.contacts (tenant_id, contact_id, created_at)"
	" SELECT DISTINCT m.tenant_id, m.contact_id, $1"
	" FROM made m ON CONFLICT (tenant_id, contact_id) DO NOTHING)"
	" SELECT {m.*} FROM made m ORDER BY m.tenant_id, m.address",
	.takes = PO_FIELDS(new_field, PO_TAKE),
	.gives = PO_FIELDS(po_address_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID)
};

static const pg_uuid_t nobody = {{0}};

static bool
is_somebody(const pg_uuid_t *contact_id)
{
	return memcmp(contact_id, &nobody, UUID_LEN) != 0;
}

static int
by_member(const void *a, const void *b)
{
	const Sought *x = a;
	const Sought *y = b;

	return x->member != y->member ? x->member - y->member : x->alone - y->alone;
}

static int
by_address(const void *a, const void *b)
{
	const Sought *x = *(const Sought *const *) a;
	const Sought *y = *(const Sought *const *) b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	if (c == 0)
		c = strcmp(x->address, y->address);
	return c != 0 ? c : (x > y) - (x < y);
}

static void
find_firsts(Sought *sought, int n)
{
	Sought	  **named = palloc(Max(n, 1) * sizeof(Sought *));
	int			nnamed = 0;

	for (int i = 0; i < n; i++)
	{
		sought[i].first = i;
		if (sought[i].address != NULL)
			named[nnamed++] = &sought[i];
	}
	qsort(named, nnamed, sizeof(Sought *), by_address);
	for (int i = 1; i < nnamed; i++)
		if (strcmp(named[i - 1]->address, named[i]->address) == 0 &&
			strcmp(named[i - 1]->tenant_id, named[i]->tenant_id) == 0)
			named[i]->first = named[i - 1]->first;
	pfree(named);
}

/* What is wanted, member after member. */
static int
collect(const PoWants *wants, Sought *sought)
{
	int			n = 0;

	for (int i = 0; i < wants->n; i++)
	{
		const PoWant *want = &wants->want[i];

		if (want->kind == PO_WANT_CONTACT && want->name != NULL)
			sought[n++] = (Sought) {.tenant_id = want->tenant_id, .lead_id = want->name, .member = want->member};
		else if (want->kind == PO_WANT_ADDRESS)
			sought[n++] = (Sought) {
				.tenant_id = want->tenant_id, .address = want->name, .lead_id = want->lead_id,
				.member = want->member, .alone = want->alone, .kind = po_kind_of(want->name)
			};
	}
	qsort(sought, n, sizeof(Sought), by_member);
	find_firsts(sought, n);
	return n;
}

static void
find(Sought *sought, int n)
{
	uint64		rows = po_exec_rows(&find_addresses, NULL, sought, n);

	for (uint64 r = 0; r < rows; r++)
	{
		Sought	   *s = &sought[po_column_int(r, N_OF_SOUGHT) - 1];

		po_read_row(&find_addresses, r, s);
		s->makes_contact = false;
	}
}

/*
 * Gives what one member wants its contacts, where it is not known.  That is the person
 * of its other addresses, or a new one.
 */
static void
assign_person(Sought *sought, Sought *wanted, int n)
{
	pg_uuid_t	person = nobody;
	bool		makes = true;

	for (int i = 0; i < n; i++)
	{
		Sought	   *s = &wanted[i];
		bool		decides;

		/* An earlier member may have given it one. */
		s->contact_id = sought[s->first].contact_id;
		s->makes_contact = sought[s->first].makes_contact;
		if (s->alone)
			continue;
		decides = is_somebody(&s->contact_id) && !s->shared;
		if (decides && (s->kind == PO_PHONE || !is_somebody(&person)))
		{
			person = s->contact_id;
			makes = s->makes_contact;
		}
		if (!(decides && s->kind == PO_PHONE) && is_somebody(&s->of_lead) && !is_somebody(&person))
		{
			person = s->of_lead;
			makes = false;
		}
	}
	for (int i = 0; i < n; i++)
	{
		Sought	   *first = &sought[wanted[i].first];

		if (wanted[i].address == NULL)
			continue;
		if (!is_somebody(&first->contact_id))
		{
			if (wanted[i].alone || !is_somebody(&person))
				po_uuid_v7(&first->contact_id);
			else
				first->contact_id = person;
			first->makes_contact = wanted[i].alone || makes;
			if (!wanted[i].alone)
				person = first->contact_id;
		}
		wanted[i].contact_id = first->contact_id;
		wanted[i].makes_contact = first->makes_contact;
	}
}

/* Member after member, as if each came alone. */
static void
assign_people(Sought *sought, int n)
{
	for (int from = 0, until; from < n; from = until)
	{
		for (until = from; until < n && sought[until].member == sought[from].member;)
			until++;
		assign_person(sought, &sought[from], until - from);
	}
}

/* Takes over what a statement has given, beside what there is. */
static void
add_contacts(PoUnit *unit, const PoStatement *statement, int n)
{
	if (n == 0)
		return;
	unit->contact = unit->contact == NULL ? palloc(n * sizeof(PoContact))
		: repalloc(unit->contact, (unit->ncontacts + n) * sizeof(PoContact));
	memset(unit->contact + unit->ncontacts, 0, n * sizeof(PoContact));
	po_read_rows(statement, n, unit->contact + unit->ncontacts);
	unit->ncontacts += n;
}

static void
add_addresses(PoUnit *unit, const PoStatement *statement, int n)
{
	if (n == 0)
		return;
	unit->address = unit->address == NULL ? palloc(n * sizeof(PoAddress))
		: repalloc(unit->address, (unit->naddresses + n) * sizeof(PoAddress));
	memset(unit->address + unit->naddresses, 0, n * sizeof(PoAddress));
	po_read_rows(statement, n, unit->address + unit->naddresses);
	unit->naddresses += n;
}

/* Those that are wanted of a contact that has more than are locked with it. */
static void
read_others(PoUnit *unit, const Sought *sought, int n, int how)
{
	PoStatement *statement = how & PO_LOCK_WAITS ? &lock_named_addresses : &lock_named_free_addresses;
	PoRows		rows = po_rows(statement, n);

	for (int i = 0; i < n; i++)
		if (sought[i].address != NULL && sought[i].known &&
			po_find_contact(unit, sought[i].tenant_id, &sought[i].contact_id) != NULL &&
			po_find_address(unit, sought[i].tenant_id, sought[i].address) == NULL)
			po_rows_add(&rows, &(PoAddressKey) {sought[i].tenant_id, sought[i].address});
	add_addresses(unit, statement, po_rows_exec(&rows, NULL));
}

/*
 * Locks contacts, and reads their addresses, but for those that are locked already.
 * It waits only for what comes behind all that is.
 */
static void
lock_contacts_of(PoUnit *unit, PoContact *key, int n, int how, const Sought *sought, int nsought, bool made)
{
	const PoContact *last = unit->ncontacts > 0 ? &unit->contact[unit->ncontacts - 1] : NULL;
	PoContact  *locked;
	PoStatement *statement;
	int			kept = 0;
	int			nlocked;
	int			before = unit->ncontacts;

	qsort(key, n, sizeof(PoContact), po_contact_compare);
	n = qunique(key, n, sizeof(PoContact), po_contact_compare);
	for (int i = 0; i < n; i++)
		if (po_find_contact(unit, key[i].tenant_id, &key[i].contact_id) == NULL)
			key[kept++] = key[i];
	if (kept == 0)
		return;
	if (how & PO_LOCK_SHARES)
		statement = &share_contacts;
	else if ((how & PO_LOCK_WAITS) && !made && (last == NULL || po_contact_compare(last, &key[0]) < 0))
		statement = &lock_contacts;
	else
		statement = &lock_free_contacts;
	nlocked = po_exec_rows(statement, NULL, key, kept);
	add_contacts(unit, statement, nlocked);
	if (nlocked == 0)
		return;
	locked = unit->contact + before;
	if (how & PO_LOCK_SHARES)
	{
		PoRows		rows = po_rows(&read_addresses, nsought);

		for (int i = 0; i < nsought; i++)
			if (sought[i].address != NULL)
				po_rows_add(&rows, &(PoAddressKey) {sought[i].tenant_id, sought[i].address});
		add_addresses(unit, &read_addresses, po_rows_exec(&rows, NULL));
	}
	else
	{
		statement = how & PO_LOCK_WAITS ? &lock_addresses : &lock_free_addresses;
		add_addresses(unit, statement, po_exec_rows(statement, NULL, locked, nlocked));
		po_sort_people(unit);
		read_others(unit, sought, nsought, how);
	}
	po_sort_people(unit);
}

/* Whether its address, under the lock of its contact, is in the unit. */
static bool
is_there(PoUnit *unit, const Sought *sought)
{
	const PoAddress *address;

	/* A lead that is not there has no person. */
	if (sought->address == NULL)
		return !is_somebody(&sought->of_lead) || po_find_contact(unit, sought->tenant_id, &sought->of_lead) != NULL;
	address = po_find_address(unit, sought->tenant_id, sought->address);
	return address != NULL &&
		po_find_contact(unit, address->tenant_id, &address->contact_id) != NULL;
}

/* Whether what is known of a member is locked: then it is sure whose its other addresses are. */
static bool
is_ready(PoUnit *unit, const Sought *sought, int n, int member)
{
	for (int i = 0; i < n; i++)
		if (sought[i].member == member && (sought[i].known || sought[i].address == NULL) && !is_there(unit, &sought[i]))
			return false;
	return true;
}

/* Makes the addresses that are not known, but for those that somebody else is making. */
static bool
make(PoUnit *unit, const Sought *sought, int n, int how)
{
	TimestampTz time = po_now();
	Datum		now = TimestampTzGetDatum(time);
	PoRows		rows = po_rows(&make_addresses, n);
	int			before = unit->naddresses;

	for (int i = 0; i < n; i++)
	{
		const char *const key[2] = {sought[i].tenant_id, sought[i].address};

		if (sought[i].known || sought[i].address == NULL || !is_ready(unit, sought, n, sought[i].member) ||
			(!sought[i].makes_contact && po_find_contact(unit, key[0], &sought[i].contact_id) == NULL) ||
			((how & PO_LOCK_WAITS) == 0 && po_probe_key("addresses_pkey", key, 2) != PO_KEY_FREE))
			continue;
		po_rows_add(&rows, &sought[i]);
	}
	if (rows.n == 0)
		return false;
	add_addresses(unit, &make_addresses, po_rows_exec(&rows, &now));
	for (int i = before; i < unit->naddresses; i++)
	{
		PoAddress  *a = &unit->address[i];
		bool		known = false;

		a->made = true;
		for (int c = 0; c < unit->ncontacts && !known; c++)
			known = memcmp(&unit->contact[c].contact_id, &a->contact_id, UUID_LEN) == 0 &&
				strcmp(unit->contact[c].tenant_id, a->tenant_id) == 0;
		if (known)
			continue;
		(void) po_append_contact(unit, a->tenant_id, a->contact_id);
	}
	po_sort_people(unit);
	return unit->naddresses > before;
}

/* What joins a person that has opted out has opted out: now, or when its member is decided. */
static void
inherit_all(PoUnit *unit, const Sought *sought, int n, int how)
{
	for (int i = 0; i < n; i++)
	{
		PoAddress  *address = sought[i].address == NULL || sought[i].first != i ? NULL
			: po_find_address(unit, sought[i].tenant_id, sought[i].address);

		if (address == NULL || !address->made || !is_there(unit, &sought[i]))
			continue;
		if (how & PO_LOCK_IN_ORDER)
			address->joins_with = sought[i].member + 1;
		else
			po_inherit(unit, address);
	}
}

/*
 * po_join_with tells that a member of a unit locked with PO_LOCK_IN_ORDER is decided next
 * (-1: that all were): the addresses that it is the first to name join their persons, as
 * these are then.
 */
void
po_join_with(PoUnit *unit, int member)
{
	for (int i = 0; i < unit->naddresses; i++)
	{
		PoAddress  *address = &unit->address[i];

		if (address->joins_with > 0 && (member < 0 || address->joins_with == member + 1))
		{
			address->joins_with = 0;
			po_inherit(unit, address);
		}
	}
}

/*
 * po_lock_people locks the contacts that are wanted, and those of the addresses that
 * are; these are read with the contact's other addresses.
 */
void
po_lock_people(PoUnit *unit, const PoWants *wants, int how, bool *held)
{
	Sought	   *sought = palloc0(Max(wants->n, 1) * sizeof(Sought));
	int			n = collect(wants, sought);
	PoContact  *key = palloc0(Max(wants->n + 2 * n, 1) * sizeof(PoContact));
	bool		complete = false;
	bool		made = false;
	bool		any = n > 0;

	for (int i = 0; i < wants->n; i++)
		any |= wants->want[i].kind == PO_WANT_CONTACT;
	for (int round = 0; any && !complete && round < (how & PO_LOCK_SHARES ? 1 : MAX_ROUNDS); round++)
	{
		int			nkeys = 0;

		find(sought, n);
		assign_people(sought, n);
		for (int i = 0; i < wants->n; i++)
			if (wants->want[i].kind == PO_WANT_CONTACT && wants->want[i].name == NULL)
				key[nkeys++] = (PoContact) {.tenant_id = wants->want[i].tenant_id, .contact_id = wants->want[i].id};
		for (int i = 0; i < n; i++)
			if (!is_there(unit, &sought[i]) && !sought[i].makes_contact)
				key[nkeys++] = (PoContact) {
					.tenant_id = sought[i].tenant_id,
					.contact_id = sought[i].address != NULL ? sought[i].contact_id : sought[i].of_lead
				};
		lock_contacts_of(unit, key, nkeys, how, sought, n, made);
		made |= make(unit, sought, n, how);
		complete = true;
		for (int i = 0; i < n; i++)
			complete &= is_there(unit, &sought[i]);
	}
	inherit_all(unit, sought, n, how);
	for (int i = 0; i < wants->n; i++)
	{
		const PoWant *want = &wants->want[i];

		if (want->kind == PO_WANT_CONTACT && want->name != NULL)
			continue;
		if (want->kind == PO_WANT_CONTACT
			? po_find_contact(unit, want->tenant_id, &want->id) != NULL
			: want->kind != PO_WANT_ADDRESS ||
			is_there(unit, &(Sought) {.tenant_id = want->tenant_id, .address = want->name}))
			continue;
		if (how & PO_LOCK_WAITS)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("the address of a person is being changed by other transactions"),
					 errhint("Try the transaction again.")));
		held[want->member] = true;
	}
}
