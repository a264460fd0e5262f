/*
 * person.c
 *	  Whose lead a lead is, when it is made or gets an address.
 *
 * A lead is the person's whose phone it has; without one the person's whose e-mail
 * address it has.  A phone that is another person's makes the lead that one's.  An e-mail
 * address that is known as another person's stays that one's, though the lead is written
 * to there: then a claim asks both.  What so many leads have that they are hardly one
 * person's makes nobody one.  An address in whose place a lead gets one that was not its
 * person's was a wrong one, and so was one that is taken away: where no other lead has it,
 * it leaves the person, with what was said from it.
 *
 * Functions need SPI and the engine's owner as user.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/address.h"
#include "core/compat.h"
#include "core/statement.h"
#include "lead/person.h"
#include "utils/builtins.h"

/* As the registry has it; NULL for what is none. */
static const char *
fold(const char *email)
{
	char		folded[PO_ADDRESS_SIZE];

	return email != NULL && po_email_fold(email, strlen(email), folded) ? pstrdup(folded) : NULL;
}

typedef struct Former
{
	const char *address;
} Former;

static const PoField former_field[] = {
	PO_FIELD(Former, address, TEXT, PO_GIVE)
};

/* Addresses of a lead whose phone ($3) or e-mail address ($4) is another now, which no other lead has. */
static PoStatement select_former = {
	.name = "person.former",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {a.*} FROM outreach.leads l JOIN outreach.addresses a ON a.tenant_id = l.tenant_id"
	" AND a.contact_id = l.contact_id"
	" WHERE l.tenant_id = $1 AND l.lead_id = $2 AND (($3 AND a.address = l.phone)"
	" OR ($4 AND a.address = lower(l.email)))"
	" AND a.address <> ALL ($5) AND NOT EXISTS (SELECT FROM outreach.leads o WHERE o.tenant_id = l.tenant_id"
	" AND o.lead_id <> l.lead_id AND (o.phone = a.address OR lower(o.email) = a.address))",
	.gives = PO_FIELDS(former_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID, BOOLOID, BOOLOID, TEXTARRAYOID)
};

/*
 * po_begin_addresses locks the addresses that a lead gets, and the lead, waiting; returns
 * the lead, or NULL where there is none.  Addresses that are not known become its person's.
 */
PoLead *
po_begin_addresses(PoUnit *unit, const PoNewAddresses *given)
{
	PoWants		wants = {0};
	const char *email = fold(given->email);
	bool		touches = given->phone != NULL || email != NULL || given->sets_phone || given->sets_email;
	PoLead	   *lead;

	/* Who changes no address leaves the person free for a STOP. */
	if (touches)
		(void) po_want(&wants, PO_WANT_CONTACT, 0, given->tenant_id, given->lead_id);
	if (given->phone != NULL)
		(void) po_want(&wants, PO_WANT_ADDRESS, 0, given->tenant_id, given->phone);
	if (email != NULL)
		(void) po_want(&wants, PO_WANT_ADDRESS, 0, given->tenant_id, email);
	(void) po_want(&wants, PO_WANT_LEAD, 0, given->tenant_id, given->lead_id);
	po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
	lead = po_find_lead(unit, given->tenant_id, given->lead_id);
	if (touches && lead != NULL && po_find_contact(unit, lead->tenant_id, &lead->contact_id) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent change of the lead's person"),
				 errhint("Try the transaction again.")));
	return lead;
}

/* Whether it was the lead's person's before: then the lead only prefers it. */
static bool
was_theirs(PoUnit *unit, const PoLead *lead, const char *address)
{
	const PoAddress *known = address != NULL ? po_find_address(unit, lead->tenant_id, address) : NULL;

	return known != NULL && !known->made && memcmp(&known->contact_id, &lead->contact_id, UUID_LEN) == 0;
}

/* What the lead has no more leaves its person. */
static void
leave(PoUnit *unit, const PoLead *lead, const PoNewAddresses *given)
{
	const char *const now[2] = {given->phone, fold(given->email)};
	PoArray		array;
	Datum		args[5] = {
		CStringGetTextDatum(lead->tenant_id), CStringGetTextDatum(lead->lead_id),
		BoolGetDatum(given->sets_phone && !was_theirs(unit, lead, now[0])),
		BoolGetDatum(given->sets_email && !was_theirs(unit, lead, now[1]))
	};
	uint64		n;
	Former	   *former;

	po_array_init(&array, TEXTOID, lengthof(now));
	for (int i = 0; i < lengthof(now); i++)
		if (now[i] != NULL)
			po_array_add_text(&array, now[i]);
	args[4] = po_array_datum(&array);
	n = po_exec_fixed(&select_former, args);
	former = palloc(Max(n, 1) * sizeof(Former));
	po_read_rows(&select_former, n, former);
	for (uint64 i = 0; i < n; i++)
	{
		PoAddress  *address = po_find_address(unit, lead->tenant_id, former[i].address);

		if (address != NULL && !address->shared)
			po_move_to_new_contact(unit, address);
	}
}

static bool
is_same_person(const PoAddress *address, const PoAddress *other)
{
	return other != NULL && memcmp(&address->contact_id, &other->contact_id, UUID_LEN) == 0;
}

/*
 * po_assign_contact returns the contact of a lead that gets these addresses, which are
 * locked; lead NULL: it is being made.  The row of the lead is as it was.
 */
pg_uuid_t
po_assign_contact(PoUnit *unit, const PoLead *lead, const PoNewAddresses *given)
{
	const char *email = fold(given->email);
	PoAddress  *address = given->phone != NULL ? po_find_address(unit, given->tenant_id, given->phone) : NULL;

	if (lead == NULL)
	{
		PoAddress  *of_mail = email != NULL ? po_find_address(unit, given->tenant_id, email) : NULL;
		pg_uuid_t	person;

		if (address == NULL || (address->made && is_same_person(address, of_mail)))
		{
			/* A phone that is new has joined whom the e-mail address belongs to. */
			if (of_mail == NULL)
				return address != NULL ? po_join(unit, address) : po_new_contact(unit, given->tenant_id);
			person = po_join(unit, of_mail);
			if (address != NULL && memcmp(&person, &address->contact_id, UUID_LEN) != 0)
				po_move_to_contact(unit, address, &person);
			return person;
		}
		return po_join(unit, address);
	}
	if (address != NULL && !address->shared && memcmp(&address->contact_id, &lead->contact_id, UUID_LEN) != 0)
		return po_join(unit, address);
	leave(unit, lead, given);
	return lead->contact_id;
}
