/*
 * person_api.c
 *	  The SQL functions about whose an address is.
 *
 * A lead has the addresses of its person; its phone and its e-mail address are the ones
 * that are preferred of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/statement.h"
#include "fmgr.h"
#include "lead/address_args.h"
#include "lead/change.h"
#include "utils/builtins.h"

typedef struct Id
{
	const char *lead_id;
} Id;

static const PoField id_field[] = {
	PO_FIELD(Id, lead_id, TEXT, PO_GIVE)
};

static PoStatement select_leads_with = {
	.name = "person.leads_with",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*} FROM outreach.leads l WHERE l.tenant_id = $1 AND lower(l.email) = $2",
	.gives = PO_FIELDS(id_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

PG_FUNCTION_INFO_V1(po_api_add_address);
PG_FUNCTION_INFO_V1(po_api_move_address);
PG_FUNCTION_INFO_V1(po_api_remove_address);

/* Locks an address, its leads, and where it is given a lead with its person. */
static PoAddress *
lock(PoUnit *unit, const char *tenant_id, const char *address, const char *lead_id)
{
	PoWants		wants = {0};

	(void) po_want(&wants, PO_WANT_ADDRESS, 0, tenant_id, address);
	(void) po_want(&wants, PO_WANT_LEADS_OF, 0, tenant_id, address);
	if (lead_id != NULL)
	{
		(void) po_want(&wants, PO_WANT_CONTACT, 0, tenant_id, lead_id);
		(void) po_want(&wants, PO_WANT_LEAD, 0, tenant_id, lead_id);
	}
	po_unit_lock(unit, &wants, PO_LOCK_WAITS, NULL);
	return po_find_address(unit, tenant_id, address);
}

/* The lead, whose person is locked. */
static const PoLead *
require_lead(PoUnit *unit, const char *tenant_id, const char *lead_id)
{
	const PoLead *lead = po_find_lead(unit, tenant_id, lead_id);

	if (lead == NULL)
		po_unknown_lead(tenant_id, lead_id);
	if (po_find_contact(unit, tenant_id, &lead->contact_id) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent change of the lead's person"),
				 errhint("Try the transaction again.")));
	return lead;
}

static bool
is_of(const PoAddress *address, const PoLead *lead)
{
	return memcmp(&address->contact_id, &lead->contact_id, UUID_LEN) == 0;
}

/* Whether nobody is known whose address it is: it has no lead, and its contact no other address. */
static bool
is_nobodys(PoUnit *unit, const PoAddress *address)
{
	for (int i = 0; i < unit->naddresses; i++)
		if (&unit->address[i] != address &&
			memcmp(&unit->address[i].contact_id, &address->contact_id, UUID_LEN) == 0)
			return false;
	for (int i = 0; i < unit->nleads; i++)
		if (memcmp(&unit->lead[i].contact_id, &address->contact_id, UUID_LEN) == 0)
			return false;
	return true;
}

/* The leads of the unit that are written to at an e-mail address. */
static PoLead **
leads_with_email(PoUnit *unit, const PoAddress *address, int *n)
{
	Datum		args[2] = {CStringGetTextDatum(address->tenant_id), CStringGetTextDatum(address->address)};
	uint64		found = po_exec_fixed(&select_leads_with, args);
	Id		   *id = palloc(Max(found, 1) * sizeof(Id));
	PoLead	  **lead = palloc(Max(found, 1) * sizeof(PoLead *));

	po_read_rows(&select_leads_with, found, id);
	*n = 0;
	for (uint64 i = 0; i < found; i++)
		if ((lead[*n] = po_find_lead(unit, address->tenant_id, id[i].lead_id)) != NULL)
			(*n)++;
	return lead;
}

static void
move_lead(PoLead *lead, const PoAddress *address)
{
	if (memcmp(&address->contact_id, &lead->contact_id, UUID_LEN) == 0)
		return;
	lead->contact_id = address->contact_id;
	lead->readdressed = lead->changed = true;
}

/* Leads that have the phone, or no phone and the e-mail address, are the person's from now on. */
static void
move(PoUnit *unit, PoAddress *address, const PoLead *to, const PoCause *cause)
{
	PoObject   *object = po_object_begin();
	PoEvent    *event;
	PoLead	  **mailed = NULL;
	int			nmailed = 0;

	po_move_to_contact(unit, address, &to->contact_id);
	for (int i = 0; i < unit->nleads; i++)
		if (unit->lead[i].phone != NULL && strcmp(unit->lead[i].phone, address->address) == 0)
			move_lead(&unit->lead[i], address);
	if (po_kind_of(address->address) == PO_EMAIL)
		mailed = leads_with_email(unit, address, &nmailed);
	for (int i = 0; i < nmailed; i++)
		if (mailed[i]->phone == NULL)
			move_lead(mailed[i], address);
	po_object_address(object, address->address, NULL);
	po_object_cause(object, cause, "by");
	event = po_lead_event(unit, po_find_lead(unit, to->tenant_id, to->lead_id), "lead.address_added", cause);
	po_event_tells(event, object);
}

static Datum
result(FunctionCallInfo fcinfo, const PoAddress *address, bool changed)
{
	PO_RETURN_ROW(CStringGetTextDatum(address->address), UUIDPGetDatum(&address->contact_id),
				  CStringGetTextDatum(po_consent_name(address->consent)), BoolGetDatum(changed));
}

/* add_address and move_address: the address becomes the lead's person's. */
static Datum
give(FunctionCallInfo fcinfo, bool takes, const PoCause *cause)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *lead_id = po_arg_id(fcinfo, 1, "lead_id");
	char	   *given = po_arg_address(fcinfo, 2, "address");
	PoUnit		unit = {0};
	PoAddress  *address;
	const PoLead *lead;
	bool		changed;

	po_spi_connect();
	address = lock(&unit, tenant_id, given, lead_id);
	lead = require_lead(&unit, tenant_id, lead_id);
	changed = address->made || !is_of(address, lead);
	if (!takes && !is_of(address, lead) && !is_nobodys(&unit, address))
		ereport(ERROR,
				(errcode(PO_ERRCODE_OTHERS_ADDRESS),
				 errmsg("the address is another person's"),
				 errdetail("Their contact is %s.",
						   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&address->contact_id)))),
				 errhint("Take it from them with outreach.move_address().")));
	if (changed)
		move(&unit, address, lead, cause);
	po_unit_write(&unit);
	SPI_finish();
	return result(fcinfo, address, changed);
}

/*
 * add_address(tenant_id, lead_id, address, source)
 */
Datum
po_api_add_address(PG_FUNCTION_ARGS)
{
	return give(fcinfo, false, &(PoCause) {.source = po_arg_required(fcinfo, 3, "source")});
}

/*
 * move_address(tenant_id, lead_id, address, by, reason)
 */
Datum
po_api_move_address(PG_FUNCTION_ARGS)
{
	return give(fcinfo, true, &(PoCause) {
		.source = "sql", .actor = po_arg_required(fcinfo, 3, "by"), .reason = po_arg_text(fcinfo, 4, "reason")
	});
}

/* Leads lose the e-mail address; those with the phone do by po_take_address(). */
static void
take_email(PoUnit *unit, PoAddress *address, const PoCause *cause)
{
	int			n;
	PoLead	  **lead = leads_with_email(unit, address, &n);

	/* Those of other persons are written to there all the same. */
	for (int i = 0; i < n; i++)
	{
		PoObject   *object = po_object_begin();

		po_object_address(object, address->address, NULL);
		po_object_cause(object, cause, "by");
		po_event_tells(po_lead_event(unit, lead[i], "lead.address_removed", cause), object);
		lead[i]->lost_email = true;
	}
	if (!address->shared)
		po_move_to_new_contact(unit, address);
}

/*
 * remove_address(tenant_id, address, by, reason): it is nobody knows whose from now on.
 */
Datum
po_api_remove_address(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *given = po_arg_address(fcinfo, 1, "address");
	PoCause		cause = {
		.source = "sql", .actor = po_arg_required(fcinfo, 2, "by"), .reason = po_arg_text(fcinfo, 3, "reason")
	};
	PoUnit		unit = {0};
	PoAddress  *address;
	bool		changed;

	po_spi_connect();
	address = lock(&unit, tenant_id, given, NULL);
	changed = !address->made && !is_nobodys(&unit, address);
	if (changed && po_kind_of(given) == PO_PHONE)
		po_take_address(&unit, address, DT_NOEND, &cause);
	else if (changed)
		take_email(&unit, address, &cause);
	po_unit_write(&unit);
	SPI_finish();
	return result(fcinfo, address, changed);
}
