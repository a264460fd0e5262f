/*
 * opt_out.c
 *	  An opt-out is recorded, whatever else fails.
 *
 * What counts are the rows of the address and of its contact: every claim asks them.
 * Their history, its events, the leads' state and their timers come with it as far as
 * they can be written: a check or trigger that somebody has added, a lead that another
 * transaction holds do not keep it back.  So each try leaves out more than the one
 * before.
 *
 * Leads that are left are suppressed later, by whoever calls process_payloads():
 * contacts.suppress_at says when to look.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "core/lock_wait.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "core/subtransaction.h"
#include "core/wakeup.h"
#include "lead/change.h"
#include "lead/opt_out.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* People whose leads are looked at in one call. */
#define PEOPLE_AT_ONCE	20

/* Where leads are locked, and where they cannot be written. */
#define LOCKED_PAUSE	(1 * USECS_PER_SEC)
#define FAILED_PAUSE	(60 * USECS_PER_SEC)

/* How long for a row that another session is just making. */
#define NEW_ROW_WAIT_MS	5

/* What is written, in the order of the tries. */
typedef enum Extent
{
	WITH_ALL,
	WITHOUT_TIMERS,
	WITHOUT_LEADS,
	WITHOUT_EVENT,
	ADDRESS_ALONE,
	NEXTENTS
} Extent;

/* A trigger of somebody's may raise what looks like the server's own fault. */
static const bool foreign = true;

typedef struct Try
{
	PoOptOut   *opt_out;
	PoUnit	   *unit;
	Extent		extent;
	bool		left;			/* some of the leads */
} Try;

/* What an opt-out writes of an address, if nothing else. */
typedef struct OptedOut
{
	const char *tenant_id;
	const char *address;
	PoCause		cause;
	TimestampTz consent_at;
} OptedOut;

static const PoField opted_out_field[] = {
	PO_FIELD(OptedOut, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(OptedOut, address, TEXT, PO_TAKE),
	PO_FIELD_AS(OptedOut, cause.source, "consent_source", TEXT, PO_SET),
	PO_FIELD_AS(OptedOut, cause.reason, "consent_reason", TEXT, PO_SET),
	PO_FIELD(OptedOut, consent_at, SINCE, PO_SET)
};

static PoStatement set_addresses = {
	.name = "opt_out.addresses",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.addresses a SET consent = 'opted_out', {set} FROM {rows}"
	" WHERE a.tenant_id = u.tenant_id AND a.address = u.address",
	.takes = PO_FIELDS(opted_out_field, PO_TAKE)
};

/* A person of whom leads are left, with the phones that have opted out and why. */
typedef struct Left
{
	const char *tenant_id;
	pg_uuid_t	contact_id;
	bool		person;			/* all leads are meant */
	PoTexts		phones;
	PoCause		cause;
} Left;

static const PoField left_field[] = {
	PO_FIELD(Left, tenant_id, TEXT, PO_GIVE),
	PO_FIELD(Left, contact_id, UUID, PO_GIVE),
	PO_VALUE(Left, person, "c.phones_opted_out_at IS NOT NULL", BOOL),
	PO_VALUE(Left, phones, "ARRAY(SELECT a.address FROM outreach.addresses a WHERE a.tenant_id = c.tenant_id"
	" AND a.contact_id = c.contact_id AND a.consent = 'opted_out' ORDER BY a.address)", TEXTS),
	PO_VALUE(Left, cause.source, "(SELECT a.consent_source FROM outreach.addresses a WHERE a.tenant_id = c.tenant_id"
	" AND a.contact_id = c.contact_id AND a.consent = 'opted_out' ORDER BY a.consent_at DESC LIMIT 1)", TEXT),
	PO_VALUE(Left, cause.reason, "(SELECT a.consent_reason FROM outreach.addresses a WHERE a.tenant_id = c.tenant_id"
	" AND a.contact_id = c.contact_id AND a.consent = 'opted_out' ORDER BY a.consent_at DESC LIMIT 1)", TEXT)
};

static PoStatement select_left = {
	.name = "opt_out.left",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {c.*} FROM outreach.contacts c"
	" WHERE c.suppress_at <= $1 ORDER BY c.suppress_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
	.gives = PO_FIELDS(left_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, INT4OID)
};

static PoPlan look_later = {
	.name = "opt_out.look_later",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.contacts SET suppress_at = $3 WHERE tenant_id = $1 AND contact_id = $2",
	PO_ARGS(TEXTOID, UUIDOID, TIMESTAMPTZOID)
};

static void
lock_address(void *arg)
{
	Try		   *try = arg;
	PoWants		wants = {0};
	bool		held = false;

	po_want(&wants, PO_WANT_ADDRESS, 0, try->opt_out->tenant_id, try->opt_out->address);
	po_unit_lock(try->unit, &wants, 0, &held);
	if (held)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the row of the address is locked by another transaction")));
}

/* Of the person, or of the address alone; whether some are left is known then. */
static void
lock_leads(void *arg)
{
	static const pg_uuid_t nobody = {{0}};
	Try		   *try = arg;
	const PoAddress *address = po_find_address(try->unit, try->opt_out->tenant_id, try->opt_out->address);
	const pg_uuid_t *person = po_person_opted_out(try->unit, address);

	if (person == NULL)
		person = &nobody;
	po_lock_left(try->unit, address->tenant_id, person, &address->address, 1,
				 try->opt_out->waits && try->extent == WITH_ALL);
	try->left = po_leads_left(address->tenant_id, person, &address->address, 1, try->unit->nleads + 1) >
		try->unit->nleads;
}

/* The addresses and the contact, without history and events. */
static void
write_addresses_alone(PoUnit *unit)
{
	PoRows		rows = po_rows(&set_addresses, unit->nacts);

	for (int i = 0; i < unit->nacts; i++)
	{
		const PoConsentAct *act = &unit->act[i];

		po_rows_add(&rows, &(OptedOut) {
			.tenant_id = unit->address[act->address].tenant_id, .address = unit->address[act->address].address,
			.cause = act->cause, .consent_at = act->said_at
		});
	}
	(void) po_rows_exec(&rows, NULL);
	unit->nacts = 0;
	po_write_people(unit);
}

/* One try; the contact is locked by it, or was before. */
static void
record(void *arg)
{
	Try		   *try = arg;
	PoOptOut   *opt_out = try->opt_out;
	PoUnit		unit = {0};
	PoAddress  *address;
	PoContact  *contact;

	try->unit = &unit;
	try->left = true;
	opt_out->suppressed = 0;
	opt_out->owes_event = false;
	po_wait_each_at_most(lock_address, try, NEW_ROW_WAIT_MS);
	address = po_find_address(&unit, opt_out->tenant_id, opt_out->address);
	if (opt_out->unless_agreed_since != NULL &&
		po_has_agreed_since(address, *opt_out->unless_agreed_since))
	{
		opt_out->changed = false;
		return;
	}
	if (opt_out->waits && try->extent == WITH_ALL)
		po_wait_at_most(lock_leads, try, po_setting_lock_wait);
	else if (try->extent < WITHOUT_LEADS)
		lock_leads(try);
	opt_out->changed = po_change_consent(&unit, address, PO_CONSENT_OPTED_OUT, opt_out->cause);
	for (int i = 0; i < unit.nleads; i++)
		opt_out->suppressed += unit.lead[i].changed;
	if (try->left)
	{
		contact = po_find_contact(&unit, address->tenant_id, &address->contact_id);
		contact->suppress_at = po_now();
		contact->changed = true;
	}
	if (try->extent == WITHOUT_TIMERS)
		unit.ncancels = 0;
	if (try->extent < WITHOUT_EVENT)
		po_unit_write(&unit);
	else if (try->extent == WITHOUT_EVENT)
	{
		for (int i = 0; i < unit.events.n; i++)
			po_uuid_v7(&unit.events.event[i].event_id);
		po_write_people(&unit);
		opt_out->owes_event = opt_out->changed;
		if (opt_out->changed)
			opt_out->event_owed = unit.events.event[unit.act[0].event].event_id;
	}
	else
		write_addresses_alone(&unit);
}

/*
 * po_record_opt_out opts an address out, and its person as the tenant wants it, and
 * suppresses leads, as much of it as can be written, and returns 0; or the SQLSTATE of
 * the last try, when not even the row of the address could be: ERRCODE_LOCK_NOT_AVAILABLE
 * where another transaction holds its contact.  A caller that would rather wait for that
 * locks it before.  Needs SPI and the engine's owner as user; locks the contact, then
 * leads.  What is
 * nobody's but the server's fault is raised, and under a snapshot of the whole
 * transaction a conflict, too.
 */
int
po_record_opt_out(PoOptOut *opt_out)
{
	int			sqlstate = 0;

	for (Extent extent = WITH_ALL; extent < NEXTENTS; extent++)
	{
		Try			try = {.opt_out = opt_out, .extent = extent};

		sqlstate = po_try(record, &try, IsolationUsesXactSnapshot() ? NULL : &foreign);
		if (sqlstate == 0)
			break;
	}
	return sqlstate;
}

typedef struct Suppression
{
	const Left *of;
	Extent		extent;
	int			suppressed;
	bool		left;
} Suppression;

/* The contact is locked, and what it says of opt-outs stands. */
static void
suppress(void *arg)
{
	static const pg_uuid_t nobody = {{0}};
	Suppression *s = arg;
	const Left *of = s->of;
	const pg_uuid_t *person = of->person ? &of->contact_id : &nobody;
	PoUnit		unit = {0};

	po_lock_left(&unit, of->tenant_id, person, of->phones.text, of->phones.n, false);
	s->left = po_leads_left(of->tenant_id, person, of->phones.text, of->phones.n, unit.nleads + 1) > unit.nleads;
	for (int i = 0; i < unit.nlocked; i++)
		(void) po_change_state(&unit, &unit.lead[i], PO_STATE_SUPPRESSED, &of->cause);
	if (s->extent == WITHOUT_TIMERS)
		unit.ncancels = 0;
	po_unit_write(&unit);
	s->suppressed = unit.nlocked;
}

/*
 * po_suppress_left suppresses leads that opt-outs have left before a time, of a
 * few people; it waits for nobody.  Needs SPI and the engine's owner as user.
 */
void
po_suppress_left(TimestampTz until)
{
	Datum		args[3] = {TimestampTzGetDatum(until), Int32GetDatum(PEOPLE_AT_ONCE)};
	uint64		n = po_exec_fixed(&select_left, args);
	Left	   *left = palloc0(Max(n, 1) * sizeof(Left));

	po_read_rows(&select_left, n, left);
	for (uint64 i = 0; i < n; i++)
	{
		Suppression s = {.of = &left[i]};
		TimestampTz again = DT_NOEND;
		int			sqlstate = 0;

		if (left[i].cause.source == NULL)
			left[i].cause.source = "sql";
		/* Opted in again since: what it had left then is no longer to be done. */
		for (; left[i].phones.n > 0 && s.extent < WITHOUT_LEADS; s.extent++)
		{
			sqlstate = po_try(suppress, &s, &foreign);
			if (sqlstate == 0)
				break;
		}
		if (sqlstate != 0)
			again = po_now() + FAILED_PAUSE;
		else if (s.left)
			again = po_now() + (s.suppressed > 0 ? 0 : LOCKED_PAUSE);
		args[0] = CStringGetTextDatum(left[i].tenant_id);
		args[1] = UUIDPGetDatum(&left[i].contact_id);
		args[2] = TimestampTzGetDatum(again);
		(void) po_exec(&look_later, args, again == DT_NOEND ? "  n" : NULL);
		if (again != DT_NOEND)
			po_wake_at(again);
	}
}
