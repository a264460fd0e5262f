/*
 * people_rows.c
 *	  The contacts and addresses of a unit: added to, and written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/wakeup.h"
#include "lib/qunique.h"
#include "unit/people.h"
#include "utils/timestamp.h"

const PoField po_contact_field[5] = {
	PO_FIELD(PoContact, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoContact, contact_id, UUID, PO_TAKE | PO_GIVE),
	PO_FIELD_AS(PoContact, opted_out_at[PO_PHONE], "phones_opted_out_at", SINCE, PO_SET | PO_GIVE),
	PO_FIELD_AS(PoContact, opted_out_at[PO_EMAIL], "emails_opted_out_at", SINCE, PO_SET | PO_GIVE),
	PO_FIELD(PoContact, suppress_at, UNTIL, PO_SET | PO_GIVE)
};

const PoField po_address_key_field[] = {
	PO_FIELD(PoAddressKey, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoAddressKey, address, TEXT, PO_TAKE)
};

const PoField po_address_field[7] = {
	PO_FIELD(PoAddress, tenant_id, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoAddress, address, TEXT, PO_TAKE | PO_GIVE),
	PO_FIELD(PoAddress, contact_id, UUID, PO_SET | PO_GIVE),
	PO_FIELD(PoAddress, shared, BOOL, PO_SET | PO_GIVE),
	PO_CONSENT_FIELD(PoAddress, consent, PO_GIVE),
	PO_FIELD(PoAddress, consent_at, SINCE, PO_GIVE),
	PO_FIELD(PoAddress, unreachable, JSONB, PO_GIVE)
};

/* An act of consent, as it is written. */
typedef struct Act
{
	const char *tenant_id;
	const char *address;
	const pg_uuid_t *event_id;
	const char *act;
	PoConsent	consent;
	PoCause		cause;
	TimestampTz said_at;
} Act;

static const PoField act_field[] = {
	PO_FIELD(Act, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Act, address, TEXT, PO_TAKE),
	PO_FIELD(Act, event_id, UUIDP, PO_TAKE),
	PO_FIELD(Act, act, TEXT, PO_TAKE),
	PO_CONSENT_FIELD(Act, consent, PO_TAKE),
	PO_FIELD_AS(Act, cause.source, "source", TEXT, PO_TAKE),
	PO_FIELD_AS(Act, cause.reason, "reason", TEXT, PO_TAKE),
	PO_FIELD_AS(Act, cause.actor, "actor", TEXT, PO_TAKE),
	PO_FIELD_AS(Act, cause.version, "version", TEXT, PO_TAKE),
	PO_FIELD(Act, said_at, SINCE, PO_TAKE)
};

/* The registry takes the last of an address's acts, the history all of them. */
static PoStatement write_acts = {
	.name = "people.consent",
	.expect = SPI_OK_INSERT,
	.sql = "WITH change AS (SELECT * FROM {rows}), registry AS (UPDATE outreach.addresses a"
	" SET consent = c.consent::outreach.consent_status, consent_source = c.source,"
	" consent_reason = c.reason, consent_at = c.said_at"
	" FROM (SELECT DISTINCT ON (tenant_id, address) * FROM change ORDER BY tenant_id, address, n DESC) c"
	" WHERE a.tenant_id = c.tenant_id AND a.address = c.address)"
	" INSERT INTO outreach.consent_history (tenant_id, address, event_id, changed_at, act, consent,"
	" source, reason, actor, version) SELECT tenant_id, address, event_id, $1, act,"
	" consent::outreach.consent_status, source, reason, actor, version FROM change",
	.takes = PO_FIELDS(act_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID),
	.numbered = true
};

static PoStatement write_contacts = {
	.name = "people.write",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.contacts c SET {set} FROM {rows}"
	" WHERE c.tenant_id = u.tenant_id AND c.contact_id = u.contact_id",
	.takes = PO_FIELDS(po_contact_field, PO_TAKE)
};

static PoStatement create_contacts = {
	.name = "people.create",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.contacts ({columns}, created_at) SELECT {u.*}, $1 FROM {rows}",
	.takes = PO_FIELDS(po_contact_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoStatement write_addresses = {
	.name = "people.moved",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.addresses a SET {set} FROM {rows}"
	" WHERE a.tenant_id = u.tenant_id AND a.address = u.address",
	.takes = PO_FIELDS(po_address_field, PO_TAKE)
};

/*
 * po_contact_compare is the order of contacts, and of their locks.
 */
int
po_contact_compare(const void *a, const void *b)
{
	const PoContact *x = a;
	const PoContact *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : memcmp(&x->contact_id, &y->contact_id, UUID_LEN);
}

static int
address_compare(const void *a, const void *b)
{
	const PoAddress *x = a;
	const PoAddress *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : strcmp(x->address, y->address);
}

/*
 * po_sort_people brings what was added into its order.
 */
void
po_sort_people(PoUnit *unit)
{
	if (unit->ncontacts > 1)
		qsort(unit->contact, unit->ncontacts, sizeof(PoContact), po_contact_compare);
	if (unit->naddresses > 1)
	{
		qsort(unit->address, unit->naddresses, sizeof(PoAddress), address_compare);
		unit->naddresses = qunique(unit->address, unit->naddresses, sizeof(PoAddress), address_compare);
	}
}

/*
 * po_append_contact adds a contact of whom nothing is known, at the end.
 */
PoContact *
po_append_contact(PoUnit *unit, const char *tenant_id, pg_uuid_t contact_id)
{
	PoContact  *contact;

	unit->contact = unit->contact == NULL ? palloc(sizeof(PoContact))
		: repalloc(unit->contact, (unit->ncontacts + 1) * sizeof(PoContact));
	contact = &unit->contact[unit->ncontacts++];
	*contact = (PoContact) {
		.tenant_id = tenant_id, .contact_id = contact_id,
		.opted_out_at = {DT_NOBEGIN, DT_NOBEGIN}, .suppress_at = DT_NOEND
	};
	return contact;
}

/*
 * po_new_contact adds a person of whom nothing is known.  Pointers to contacts of the
 * unit are no longer good afterwards.
 */
pg_uuid_t
po_new_contact(PoUnit *unit, const char *tenant_id)
{
	PoContact  *contact;
	pg_uuid_t	contact_id;

	po_uuid_v7(&contact_id);
	contact = po_append_contact(unit, tenant_id, contact_id);
	contact->created = contact->changed = true;
	po_sort_people(unit);
	return contact_id;
}

/*
 * po_join returns the person that a new lead with a locked address is: the address's,
 * unless that has so many leads that they are hardly one person's.
 */
pg_uuid_t
po_join(PoUnit *unit, PoAddress *address)
{
	if (!address->shared && !address->made && po_is_shared(address->tenant_id, &address->contact_id))
		address->shared = address->changed = true;
	return address->shared ? po_new_contact(unit, address->tenant_id) : address->contact_id;
}

/*
 * po_inherit notes that an address whose person has opted out, of all its kind, has opted
 * out as well, unless it has agreed since.
 */
void
po_inherit(PoUnit *unit, PoAddress *address)
{
	const PoContact *contact = po_find_contact(unit, address->tenant_id, &address->contact_id);
	const TimestampTz *opted_out_at = &contact->opted_out_at[po_kind_of(address->address)];

	if (*opted_out_at == DT_NOBEGIN || address->consent == PO_CONSENT_OPTED_OUT ||
		(address->consent == PO_CONSENT_OPTED_IN && address->consent_at > *opted_out_at))
		return;
	po_note_consent(unit, address, PO_CONSENT_OPTED_OUT, PO_CONSENT_OPTED_OUT, &(PoCause) {
		.source = "contact", .reason = "the person has opted out", .reason_is_class = true, .said_at = opted_out_at
	});
}

/*
 * po_move_to_contact makes a locked address a locked person's.
 */
void
po_move_to_contact(PoUnit *unit, PoAddress *address, const pg_uuid_t *contact_id)
{
	address->contact_id = *contact_id;
	address->changed = true;
	po_inherit(unit, address);
}

/*
 * po_move_to_new_contact makes a locked address a person's of its own; what that one has
 * said of it stays said.  Pointers to contacts of the unit are no longer good afterwards.
 */
void
po_move_to_new_contact(PoUnit *unit, PoAddress *address)
{
	PoAddressKind kind = po_kind_of(address->address);
	TimestampTz opted_out_at = po_find_contact(unit, address->tenant_id, &address->contact_id)->opted_out_at[kind];

	address->contact_id = po_new_contact(unit, address->tenant_id);
	address->changed = true;
	po_find_contact(unit, address->tenant_id, &address->contact_id)->opted_out_at[kind] = opted_out_at;
}

static void
write_consents(PoUnit *unit)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		rows = po_rows(&write_acts, unit->nacts);

	for (int i = 0; i < unit->nacts; i++)
	{
		const PoConsentAct *act = &unit->act[i];
		const PoAddress *address = &unit->address[act->address];

		po_rows_add(&rows, &(Act) {
			.tenant_id = address->tenant_id, .address = address->address,
			.event_id = &unit->events.event[act->event].event_id,
			.act = act->act, .consent = act->consent, .cause = act->cause,
			.said_at = act->said_at
		});
	}
	(void) po_rows_exec(&rows, &now);
}

/*
 * po_write_people writes what was decided of contacts and addresses; their events have
 * ids.
 */
void
po_write_people(PoUnit *unit)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		contacts = po_rows(&write_contacts, 1);
	PoRows		created = po_rows(&create_contacts, 1);
	PoRows		addresses = po_rows(&write_addresses, 1);

	if (unit->ncontacts == 0)
		return;
	write_consents(unit);
	for (int i = 0; i < unit->ncontacts; i++)
	{
		if (!unit->contact[i].changed)
			continue;
		po_rows_add(unit->contact[i].created ? &created : &contacts, &unit->contact[i]);
		if (unit->contact[i].suppress_at != DT_NOEND)
			po_wake_at(unit->contact[i].suppress_at);
	}
	(void) po_rows_exec(&created, &now);
	(void) po_rows_exec(&contacts, NULL);
	for (int i = 0; i < unit->naddresses; i++)
		if (unit->address[i].changed)
			po_rows_add(&addresses, &unit->address[i]);
	(void) po_rows_exec(&addresses, NULL);
}
