/*
 * change_set.c
 *	  Changes of leads and of consent, decided in memory and written together.
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
#include "core/ids.h"
#include "core/spi_plan.h"
#include "lead/change_set.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char *const consent_name[] = {"unknown", "opted_in", "held", "opted_out"};

static PoPlan select_known_phones = {
	.name = "leads.known_phones",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n::int FROM unnest($1, $2) WITH ORDINALITY AS u(tenant_id, phone, n)"
	" WHERE EXISTS (SELECT FROM outreach.leads l"
	" WHERE l.tenant_id = u.tenant_id AND l.phone = u.phone)",
	.nargs = 2,
	.argtype = {TEXTARRAYOID, TEXTARRAYOID}
};

static PoPlan lock_phones = {
	.name = "phones.lock",
	.expect = SPI_OK_INSERT_RETURNING,
	.sql = "INSERT INTO outreach.phones AS p (tenant_id, phone)"
	" SELECT u.tenant_id, u.phone FROM unnest($1, $2) AS u(tenant_id, phone)"
	" ON CONFLICT (tenant_id, phone) DO UPDATE SET phone = EXCLUDED.phone"
	" RETURNING p.tenant_id, p.phone, p.consent::text",
	.nargs = 2,
	.argtype = {TEXTARRAYOID, TEXTARRAYOID}
};

#define LEAD_COLUMNS \
	"l.tenant_id, l.lead_id, l.phone, l.state::text, l.version, l.last_activity_at," \
	" l.email IS NOT NULL"

static PoPlan lock_leads = {
	.name = "leads.lock",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " LEAD_COLUMNS " FROM unnest($1, $2) AS u(tenant_id, phone)"
	" JOIN outreach.leads l ON l.tenant_id = u.tenant_id AND l.phone = u.phone"
	" ORDER BY l.tenant_id, l.lead_id FOR NO KEY UPDATE OF l",
	.nargs = 2,
	.argtype = {TEXTARRAYOID, TEXTARRAYOID}
};

static PoPlan lock_lead = {
	.name = "leads.lock_one",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT " LEAD_COLUMNS " FROM outreach.leads l"
	" WHERE l.tenant_id = $1 AND l.lead_id = $2 FOR NO KEY UPDATE",
	.nargs = 2,
	.argtype = {TEXTOID, TEXTOID}
};

static PoPlan insert_leads = {
	.name = "leads.insert",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.leads (tenant_id, lead_id, phone, state, version, email, source,"
	" last_inbound_at, last_activity_at, created_at, updated_at)"
	" SELECT u.tenant_id, u.lead_id, u.phone, u.state::outreach.lead_state, u.version, u.email,"
	" u.source, CASE WHEN u.replied THEN $1 END, $1, $1, $1"
	" FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)"
	" AS u(tenant_id, lead_id, phone, state, version, email, source, replied)",
	.nargs = 9,
	.argtype = {TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID}
};

static PoPlan update_leads = {
	.name = "leads.update",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.leads l SET state = u.state::outreach.lead_state, version = u.version,"
	" email = coalesce(l.email, u.email),"
	" last_inbound_at = CASE WHEN u.replied THEN $1 ELSE l.last_inbound_at END,"
	" last_activity_at = CASE WHEN u.replied THEN $1 ELSE l.last_activity_at END, updated_at = $1"
	" FROM unnest($2, $3, $4, $5, $6, $7)"
	" AS u(tenant_id, lead_id, state, version, email, replied)"
	" WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id",
	.nargs = 7,
	.argtype = {TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
	TEXTARRAYOID, BOOLARRAYOID}
};

/* The registry takes the last of a phone's changes, the history all of them. */
static PoPlan write_consent = {
	.name = "consent.write",
	.expect = SPI_OK_INSERT,
	.sql = "WITH change AS (SELECT * FROM unnest($2, $3, $4, $5, $6, $7) WITH ORDINALITY"
	" AS u(tenant_id, phone, event_id, consent, source, reason, n)),"
	" registry AS (UPDATE outreach.phones p SET consent = u.consent::outreach.consent_status,"
	" consent_source = u.source, consent_reason = u.reason, consent_at = $1"
	" FROM (SELECT DISTINCT ON (tenant_id, phone) * FROM change ORDER BY tenant_id, phone, n DESC) u"
	" WHERE p.tenant_id = u.tenant_id AND p.phone = u.phone)"
	" INSERT INTO outreach.consent_history (tenant_id, phone, event_id, changed_at, consent,"
	" source, reason) SELECT tenant_id, phone, event_id, $1, consent::outreach.consent_status,"
	" source, reason FROM change",
	.nargs = 7,
	.argtype = {TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID}
};

static int
phone_key_compare(const void *a, const void *b)
{
	const PoPhoneKey *x = a;
	const PoPhoneKey *y = b;
	int			c = strcmp(x->tenant_id, y->tenant_id);

	return c != 0 ? c : strcmp(x->phone, y->phone);
}

/*
 * po_phone_keys_sort sorts the pairs, drops repetitions and returns how many
 * are left.
 */
int
po_phone_keys_sort(PoPhoneKey *key, int n)
{
	int			kept = 0;

	qsort(key, n, sizeof(PoPhoneKey), phone_key_compare);
	for (int i = 0; i < n; i++)
		if (kept == 0 || phone_key_compare(&key[kept - 1], &key[i]) != 0)
			key[kept++] = key[i];
	return kept;
}

static void
phone_key_args(const PoPhoneKey *key, int n, Datum args[2])
{
	PoArray		tenant_id;
	PoArray		phone;

	po_array_init(&tenant_id, TEXTOID, n);
	po_array_init(&phone, TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		po_array_add_text(&tenant_id, key[i].tenant_id);
		po_array_add_text(&phone, key[i].phone);
	}
	args[0] = po_array_datum(&tenant_id);
	args[1] = po_array_datum(&phone);
}

/*
 * po_find_phones_with_leads tells for each pair whether a lead has the phone,
 * without a lock.
 */
void
po_find_phones_with_leads(const PoPhoneKey *key, int n, bool *found)
{
	Datum		args[2];
	uint64		rows;

	memset(found, 0, n * sizeof(bool));
	if (n == 0)
		return;
	phone_key_args(key, n, args);
	rows = po_exec(&select_known_phones, args, NULL);
	for (uint64 i = 0; i < rows; i++)
		found[po_column_int(i, 1) - 1] = true;
}

/*
 * po_lock_phones locks the rows of the phones, making those that are missing.
 * To be called at most once a set, before any lead is locked, with sorted keys.
 */
void
po_lock_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	Datum		args[2];

	Assert(set->nphones == 0 && set->nleads == 0);
	if (n == 0)
		return;
	phone_key_args(key, n, args);
	set->nphones = po_exec(&lock_phones, args, NULL);
	set->phone = palloc0(n * sizeof(PoPhone));
	/* Rows come back in the order they went in. */
	for (int i = 0; i < set->nphones; i++)
	{
		char	   *consent = po_column_text(i, 3);

		set->phone[i].tenant_id = po_column_text(i, 1);
		set->phone[i].phone = po_column_text(i, 2);
		for (int c = 0; c < lengthof(consent_name); c++)
			if (strcmp(consent, consent_name[c]) == 0)
				set->phone[i].consent = c;
	}
}

static void
read_leads(PoChangeSet *set, uint64 n)
{
	set->max_leads = Max(n, 1);
	set->lead = palloc0(set->max_leads * sizeof(PoLead));
	set->nleads = n;
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
	}
}

/*
 * po_lock_leads_of_phones locks all leads that have one of the phones and reads
 * them as they are once locked.
 */
void
po_lock_leads_of_phones(PoChangeSet *set, const PoPhoneKey *key, int n)
{
	Datum		args[2];

	Assert(set->nleads == 0);
	phone_key_args(key, n, args);
	read_leads(set, po_exec(&lock_leads, args, NULL));
}

/*
 * po_lock_lead locks one lead by its id; NULL when there is none.
 */
PoLead *
po_lock_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(lead_id)};

	Assert(set->nleads == 0);
	read_leads(set, po_exec(&lock_lead, args, NULL));
	return set->nleads > 0 ? &set->lead[0] : NULL;
}

/*
 * po_find_phone returns the locked phone, or NULL.
 */
PoPhone *
po_find_phone(PoChangeSet *set, const char *tenant_id, const char *phone)
{
	PoPhoneKey	key = {tenant_id, phone};
	int			low = 0;
	int			high = set->nphones;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		PoPhoneKey	here = {set->phone[middle].tenant_id, set->phone[middle].phone};
		int			c = phone_key_compare(&key, &here);

		if (c == 0)
			return &set->phone[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_find_subject returns the lead a message from the phone belongs to: of
 * several, the one touched last; NULL when there is none.
 */
PoLead *
po_find_subject(PoChangeSet *set, const char *tenant_id, const char *phone)
{
	PoLead	   *subject = NULL;

	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (lead->phone != NULL && strcmp(lead->phone, phone) == 0 &&
			strcmp(lead->tenant_id, tenant_id) == 0 &&
			(subject == NULL || lead->last_activity_at > subject->last_activity_at))
			subject = lead;
	}
	return subject;
}

/*
 * po_create_lead adds a lead with its first event.  Pointers to other leads of
 * the set are no longer good afterwards.  lead_id NULL makes one.
 */
PoLead *
po_create_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id,
			   const char *phone, const PoCause *cause)
{
	PoLead	   *lead;
	PoEvent    *event;

	if (set->nleads == set->max_leads || set->lead == NULL)
	{
		set->max_leads = Max(set->max_leads * 2, 4);
		set->lead = set->lead == NULL ? palloc(set->max_leads * sizeof(PoLead))
			: repalloc(set->lead, set->max_leads * sizeof(PoLead));
	}
	lead = &set->lead[set->nleads++];
	memset(lead, 0, sizeof(PoLead));
	lead->tenant_id = tenant_id;
	lead->lead_id = lead_id != NULL ? lead_id : po_ulid("lead_");
	lead->phone = phone;
	lead->state = PO_STATE_NEW;
	lead->last_activity_at = po_now();
	lead->created = true;
	lead->source = cause->source;
	event = po_lead_event(set, lead, "lead.created", cause);
	event->previous_state = PO_STATE_NONE;
	event->new_state = PO_STATE_NEW;
	return lead;
}

/*
 * po_lead_event adds an event of the lead, with the next of its versions.
 */
PoEvent *
po_lead_event(PoChangeSet *set, PoLead *lead, const char *event_type, const PoCause *cause)
{
	PoEvent    *event = po_event_list_add(&set->events, lead->tenant_id, event_type,
										  cause->source);

	event->lead_id = lead->lead_id;
	event->lead_version = ++lead->version;
	event->receipt_id = cause->receipt_id;
	event->correlation_id = cause->correlation_id;
	lead->changed = true;
	return event;
}

static Jsonb *
reason_payload(const PoCause *cause, const char *phone)
{
	PoObject   *object = po_object_begin();

	po_object_string(object, "phone", phone);
	po_object_string(object, "reason", cause->reason);
	return po_object_end(object);
}

/*
 * po_change_state takes the lead to a state by the legal steps, each with its
 * event, and returns how many; 0 when it is there already or there is no way.
 */
int
po_change_state(PoChangeSet *set, PoLead *lead, PoState to, const PoCause *cause)
{
	PoState		path[2];
	int			steps = lead->state == to ? 0
		: po_transition_path(po_transitions(lead->tenant_id), lead->state, to, path);

	for (int i = 0; i < steps; i++)
	{
		PoEvent    *event = po_lead_event(set, lead, "lead.state.changed", cause);

		event->previous_state = lead->state;
		event->new_state = lead->state = path[i];
		event->payload = reason_payload(cause, NULL);
	}
	return steps;
}

static void
note_consent(PoChangeSet *set, const PoPhone *phone, const PoCause *cause)
{
	PoConsentChange *change;

	if (set->nconsents == set->max_consents)
	{
		set->max_consents = Max(set->max_consents * 2, 4);
		set->consent = set->consent == NULL
			? palloc(set->max_consents * sizeof(PoConsentChange))
			: repalloc(set->consent, set->max_consents * sizeof(PoConsentChange));
	}
	change = &set->consent[set->nconsents++];
	change->phone = phone - set->phone;
	change->event = set->events.n - 1;
	change->consent = phone->consent;
	change->source = cause->source;
	change->reason = cause->reason;
}

/*
 * po_change_consent sets the consent of a locked phone, with its event; an
 * opt-out suppresses every lead of the set that has the phone.  Returns whether
 * the consent changed.
 */
bool
po_change_consent(PoChangeSet *set, PoPhone *phone, PoConsent consent, const PoCause *cause)
{
	static const char *const event_type[] = {
		NULL, "consent.opted_in", "consent.held", "consent.opted_out"
	};
	bool		changed = phone->consent != consent;

	/* What was said clearly is not taken back by what sounds like it. */
	if (consent == PO_CONSENT_HELD && phone->consent == PO_CONSENT_OPTED_OUT)
		return false;
	if (changed)
	{
		PoEvent    *event = po_event_list_add(&set->events, phone->tenant_id,
											  event_type[consent], cause->source);

		event->receipt_id = cause->receipt_id;
		event->correlation_id = cause->correlation_id;
		event->payload = reason_payload(cause, phone->phone);
		phone->consent = consent;
		phone->changed = true;
		note_consent(set, phone, cause);
	}
	for (int i = 0; i < set->nleads && consent == PO_CONSENT_OPTED_OUT; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (lead->phone != NULL && strcmp(lead->phone, phone->phone) == 0 &&
			strcmp(lead->tenant_id, phone->tenant_id) == 0)
			(void) po_change_state(set, lead, PO_STATE_SUPPRESSED, cause);
	}
	return changed;
}

static void
exec_recorded(PoPlan *plan, Datum *args)
{
	po_begin_recorded_changes();
	PG_TRY();
	{
		po_exec(plan, args, NULL);
	}
	PG_FINALLY();
	{
		po_end_recorded_changes();
	}
	PG_END_TRY();
}

static void
write_leads(PoChangeSet *set, bool created)
{
	PoArray		tenant_id,
				lead_id,
				phone,
				state,
				version,
				email,
				source,
				replied;
	Datum		args[9];

	po_array_init(&tenant_id, TEXTOID, set->nleads);
	po_array_init(&lead_id, TEXTOID, set->nleads);
	po_array_init(&phone, TEXTOID, set->nleads);
	po_array_init(&state, TEXTOID, set->nleads);
	po_array_init(&version, INT4OID, set->nleads);
	po_array_init(&email, TEXTOID, set->nleads);
	po_array_init(&source, TEXTOID, set->nleads);
	po_array_init(&replied, BOOLOID, set->nleads);
	for (int i = 0; i < set->nleads; i++)
	{
		PoLead	   *lead = &set->lead[i];

		if (!lead->changed || lead->created != created)
			continue;
		po_array_add_text(&tenant_id, lead->tenant_id);
		po_array_add_text(&lead_id, lead->lead_id);
		po_array_add_text(&phone, lead->phone);
		po_array_add_text(&state, po_state_name(lead->state));
		po_array_add(&version, Int32GetDatum(lead->version));
		po_array_add_text(&email, lead->email);
		po_array_add_text(&source, lead->source);
		po_array_add(&replied, BoolGetDatum(lead->replied));
	}
	if (tenant_id.n == 0)
		return;
	args[0] = TimestampTzGetDatum(po_now());
	args[1] = po_array_datum(&tenant_id);
	args[2] = po_array_datum(&lead_id);
	if (created)
	{
		args[3] = po_array_datum(&phone);
		args[4] = po_array_datum(&state);
		args[5] = po_array_datum(&version);
		args[6] = po_array_datum(&email);
		args[7] = po_array_datum(&source);
		args[8] = po_array_datum(&replied);
		po_exec(&insert_leads, args, NULL);
	}
	else
	{
		args[3] = po_array_datum(&state);
		args[4] = po_array_datum(&version);
		args[5] = po_array_datum(&email);
		args[6] = po_array_datum(&replied);
		exec_recorded(&update_leads, args);
	}
}

static void
write_consents(PoChangeSet *set)
{
	PoArray		tenant_id,
				phone,
				event_id,
				consent,
				source,
				reason;
	Datum		args[7];

	if (set->nconsents == 0)
		return;
	po_array_init(&tenant_id, TEXTOID, set->nconsents);
	po_array_init(&phone, TEXTOID, set->nconsents);
	po_array_init(&event_id, UUIDOID, set->nconsents);
	po_array_init(&consent, TEXTOID, set->nconsents);
	po_array_init(&source, TEXTOID, set->nconsents);
	po_array_init(&reason, TEXTOID, set->nconsents);
	for (int i = 0; i < set->nconsents; i++)
	{
		PoConsentChange *change = &set->consent[i];

		po_array_add_text(&tenant_id, set->phone[change->phone].tenant_id);
		po_array_add_text(&phone, set->phone[change->phone].phone);
		po_array_add_uuid(&event_id, &set->events.event[change->event].event_id);
		po_array_add_text(&consent, consent_name[change->consent]);
		po_array_add_text(&source, change->source);
		po_array_add_text(&reason, change->reason);
	}
	args[0] = TimestampTzGetDatum(po_now());
	args[1] = po_array_datum(&tenant_id);
	args[2] = po_array_datum(&phone);
	args[3] = po_array_datum(&event_id);
	args[4] = po_array_datum(&consent);
	args[5] = po_array_datum(&source);
	args[6] = po_array_datum(&reason);
	po_exec(&write_consent, args, NULL);
}

/*
 * po_write_changes writes all that was decided: leads, events, phones.
 */
void
po_write_changes(PoChangeSet *set)
{
	write_leads(set, true);
	write_leads(set, false);
	po_events_append(set->events.event, set->events.n);
	write_consents(set);
}

/*
 * po_consent_name returns the name of a consent.
 */
const char *
po_consent_name(PoConsent consent)
{
	return consent_name[consent];
}
