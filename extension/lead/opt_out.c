/*
 * opt_out.c
 *	  An opt-out is recorded, whatever else fails.
 *
 * What counts is the row of the phone: every claim asks it.  Its history, its
 * event, its leads' state and their timers come with it as far as they can be
 * written: a check or trigger that somebody has added, a lead that another
 * transaction holds do not keep it back.  So each try leaves out more than the one
 * before.
 *
 * Leads that are left are suppressed later, by whoever calls process_payloads():
 * phones.suppress_at says when to look.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/lock_wait.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "core/subtransaction.h"
#include "core/wakeup.h"
#include "lead/opt_out.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Phones whose leads are looked at in one call. */
#define PHONES_AT_ONCE	20

/* Where leads are locked, and where they cannot be written. */
#define LOCKED_PAUSE	(1 * USECS_PER_SEC)
#define FAILED_PAUSE	(60 * USECS_PER_SEC)

/* How long for a phone's row that another session is just making. */
#define NEW_ROW_WAIT_MS	5

/* What is written, in the order of the tries. */
typedef enum Extent
{
	WITH_ALL,
	WITHOUT_TIMERS,
	WITHOUT_LEADS,
	WITHOUT_EVENT,
	PHONE_ALONE,
	NEXTENTS
} Extent;

/* A trigger of somebody's may raise what looks like the server's own fault. */
static const bool foreign = true;

typedef struct Try
{
	PoOptOut   *opt_out;
	PoChangeSet *set;
	Extent		extent;
	bool		left;			/* some of the leads */
} Try;

/* What an opt-out writes of a phone, if nothing else. */
typedef struct OptedOut
{
	const char *tenant_id;
	const char *phone;
	PoCause		cause;
	TimestampTz consent_at;
} OptedOut;

static const PoField opted_out_field[] = {
	PO_FIELD(OptedOut, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(OptedOut, phone, TEXT, PO_TAKE),
	PO_FIELD_AS(OptedOut, cause.source, "consent_source", TEXT, PO_SET),
	PO_FIELD_AS(OptedOut, cause.reason, "consent_reason", TEXT, PO_SET),
	PO_FIELD(OptedOut, consent_at, SINCE, PO_SET)
};

static PoStatement set_phone = {
	.name = "opt_out.phone",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.phones p SET consent = 'opted_out', {set}, suppress_at = $1 FROM {rows}"
	" WHERE p.tenant_id = u.tenant_id AND p.phone = u.phone",
	.takes = PO_FIELDS(opted_out_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* The columns behind those of the phone: 6 and 7. */
static PoStatement select_left = {
	.name = "opt_out.left",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {p.*}, p.consent_source, p.consent_reason FROM outreach.phones p"
	" WHERE p.suppress_at <= $1 ORDER BY p.suppress_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
	.gives = PO_FIELDS(po_phone_field, PO_GIVE),
	PO_FIXED(TIMESTAMPTZOID, INT4OID)
};

static PoPlan look_later = {
	.name = "opt_out.look_later",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.phones SET suppress_at = $3 WHERE tenant_id = $1 AND phone = $2",
	PO_ARGS(TEXTOID, TEXTOID, TIMESTAMPTZOID)
};

static void
lock_phone(void *arg)
{
	Try		   *try = arg;
	PoPhoneKey	key = {try->opt_out->tenant_id, try->opt_out->phone};

	po_lock_free_phones(try->set, &key, 1);
}

static void
lock_leads(void *arg)
{
	Try		   *try = arg;

	try->left = po_lock_to_suppress(try->set, try->opt_out->tenant_id, try->opt_out->phone,
									try->opt_out->waits && try->extent == WITH_ALL);
}

static void
write_phone_alone(const PoOptOut *opt_out)
{
	const TimestampTz *said_at = opt_out->cause->said_at;
	TimestampTz time = po_now();
	Datum		now = TimestampTzGetDatum(time);
	OptedOut	row = {
		.tenant_id = opt_out->tenant_id, .phone = opt_out->phone,
		.cause = *opt_out->cause, .consent_at = said_at != NULL ? *said_at : time
	};

	(void) po_exec_row(&set_phone, &now, &row);
}

/* One try; the phone's row is locked by it, or was before. */
static void
record(void *arg)
{
	Try		   *try = arg;
	PoOptOut   *opt_out = try->opt_out;
	PoChangeSet set = {0};
	PoPhone    *phone;

	try->set = &set;
	try->left = true;
	opt_out->suppressed = 0;
	opt_out->owes_event = false;
	po_wait_each_at_most(lock_phone, try, NEW_ROW_WAIT_MS);
	if (set.nphones == 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the row of the phone is locked by another transaction")));
	phone = &set.phone[0];
	if (opt_out->unless_agreed_since != NULL &&
		po_has_agreed_since(phone, *opt_out->unless_agreed_since))
	{
		opt_out->changed = false;
		return;
	}
	if (opt_out->waits && try->extent == WITH_ALL)
		po_wait_at_most(lock_leads, try, po_setting_lock_wait);
	else if (try->extent < WITHOUT_LEADS)
		lock_leads(try);
	opt_out->changed = po_change_consent(&set, phone, PO_CONSENT_OPTED_OUT, opt_out->cause);
	for (int i = 0; i < set.nleads; i++)
		opt_out->suppressed += set.lead[i].changed;
	if (try->left)
	{
		phone->sets_suppress_at = true;
		phone->suppress_at = po_now();
	}
	if (try->extent == WITHOUT_TIMERS)
		set.ncancels = 0;
	if (try->extent < WITHOUT_EVENT)
		po_write_changes(&set);
	else if (try->extent == WITHOUT_EVENT)
	{
		po_write_consent_alone(&set);
		opt_out->owes_event = opt_out->changed;
		if (opt_out->changed)
			opt_out->event_owed = set.events.event[set.consent[0].event].event_id;
	}
	else if (opt_out->changed)
		write_phone_alone(opt_out);
}

/*
 * po_record_opt_out opts a phone out and suppresses its leads, as much of it as
 * can be written, and returns 0; or the SQLSTATE of the last try, when not even
 * the row of the phone could be: ERRCODE_LOCK_NOT_AVAILABLE where another
 * transaction holds it.  A caller that would rather wait for that locks it before.
 * Needs SPI and the engine's owner as user; locks the phone, then leads.  What is
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

static void
suppress(void *arg)
{
	Try		   *try = arg;

	/* The phone is locked; it is opted out already. */
	try->set = &(PoChangeSet) {0};
	lock_leads(try);
	for (int i = 0; i < try->set->nlocked; i++)
		(void) po_change_state(try->set, &try->set->lead[i], PO_STATE_SUPPRESSED,
							   try->opt_out->cause);
	if (try->extent == WITHOUT_TIMERS)
		try->set->ncancels = 0;
	po_write_changes(try->set);
	try->opt_out->suppressed = try->set->nlocked;
}

/*
 * po_suppress_left suppresses leads that opt-outs have left before a time, of a
 * few phones; it waits for nobody.  Needs SPI and the engine's owner as user.
 */
void
po_suppress_left(TimestampTz until)
{
	Datum		args[3] = {TimestampTzGetDatum(until), Int32GetDatum(PHONES_AT_ONCE)};
	PoChangeSet set = {0};
	PoCause    *cause;
	uint64		n = po_exec_fixed(&select_left, args);

	if (n == 0)
		return;
	po_read_phones(&set, n);
	cause = palloc0(n * sizeof(PoCause));
	for (uint64 i = 0; i < n; i++)
	{
		cause[i].source = po_column_text(i, 6);
		cause[i].reason = po_column_text(i, 7);
		if (cause[i].source == NULL)
			cause[i].source = "sql";
	}
	for (uint64 i = 0; i < n; i++)
	{
		PoOptOut	opt_out = {set.phone[i].tenant_id, set.phone[i].phone, &cause[i]};
		Try			try = {.opt_out = &opt_out};
		TimestampTz again = DT_NOEND;
		int			sqlstate = 0;

		/* Opted in again since: what it had left then is no longer to be done. */
		for (; set.phone[i].consent == PO_CONSENT_OPTED_OUT && try.extent < WITHOUT_LEADS; try.extent++)
		{
			sqlstate = po_try(suppress, &try, &foreign);
			if (sqlstate == 0)
				break;
		}
		if (sqlstate != 0)
			again = po_now() + FAILED_PAUSE;
		else if (try.left)
			again = po_now() + (opt_out.suppressed > 0 ? 0 : LOCKED_PAUSE);
		args[0] = CStringGetTextDatum(opt_out.tenant_id);
		args[1] = CStringGetTextDatum(opt_out.phone);
		args[2] = TimestampTzGetDatum(again);
		(void) po_exec(&look_later, args, again == DT_NOEND ? "  n" : NULL);
		if (again != DT_NOEND)
			po_wake_at(again);
	}
}
