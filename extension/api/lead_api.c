/*
 * lead_api.c
 *	  The SQL functions about leads, consent and events.
 *
 * Each is one statement for its caller and runs as the engine's owner, once
 * core/api.c has found that the caller may act for the tenant.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/address.h"
#include "core/api.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ids.h"
#include "core/statement.h"
#include "fmgr.h"
#include "lead/address_args.h"
#include "lead/change.h"
#include "lead/person.h"
#include "lead/rules.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* A lead as it is given; NULL: what it was, or none. */
typedef struct GivenLead
{
	const char *tenant_id;
	const char *lead_id;
	pg_uuid_t	contact_id;		/* all zero: what it was */
	const char *phone;
	const char *first_name;
	const char *last_name;
	const char *email;
	const char *company;
	const char *source;
	Jsonb	   *attributes;		/* never NULL */
} GivenLead;

static const PoField given_field[] = {
	PO_FIELD(GivenLead, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, lead_id, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, contact_id, UUID, PO_TAKE),
	PO_FIELD(GivenLead, phone, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, first_name, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, last_name, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, email, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, company, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, source, TEXT, PO_TAKE),
	PO_FIELD(GivenLead, attributes, JSONB, PO_TAKE)
};

static PoStatement insert_lead = {
	.name = "lead_api.insert",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.leads ({columns}, last_activity_at, created_at, updated_at)"
	" SELECT {u.*}, $1, $1, $1 FROM {rows} ON CONFLICT (tenant_id, lead_id) DO NOTHING",
	.takes = PO_FIELDS(given_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

/* Only what is given is set; attributes are merged key by key. */
static PoStatement update_lead = {
	.name = "lead_api.update",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.leads l SET phone = coalesce(u.phone, l.phone),"
	" contact_id = coalesce(u.contact_id, l.contact_id),"
	" first_name = coalesce(u.first_name, l.first_name), last_name = coalesce(u.last_name, l.last_name),"
	" email = coalesce(u.email, l.email), company = coalesce(u.company, l.company),"
	" attributes = l.attributes || u.attributes, version = l.version + 1, updated_at = $1 FROM {rows}"
	" WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id"
	" AND (l.phone, l.first_name, l.last_name, l.email, l.company, l.attributes) IS DISTINCT FROM"
	" (coalesce(u.phone, l.phone), coalesce(u.first_name, l.first_name), coalesce(u.last_name, l.last_name),"
	" coalesce(u.email, l.email), coalesce(u.company, l.company), l.attributes || u.attributes)",
	.takes = PO_FIELDS(given_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID)
};

static PoPlan select_state = {
	.name = "lead_api.state",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT state::text FROM outreach.leads WHERE tenant_id = $1 AND lead_id = $2",
	PO_ARGS(TEXTOID, TEXTOID)
};

static PoPlan insert_event_key = {
	.name = "lead_api.event_key",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.event_keys (tenant_id, dedupe_key, event_id)"
	" VALUES ($1, $2, $3) ON CONFLICT (tenant_id, dedupe_key) DO NOTHING",
	PO_ARGS(TEXTOID, TEXTOID, UUIDOID)
};

static PoPlan select_event_key = {
	.name = "lead_api.first_event",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT event_id FROM outreach.event_keys WHERE tenant_id = $1 AND dedupe_key = $2",
	PO_ARGS(TEXTOID, TEXTOID)
};

PG_FUNCTION_INFO_V1(po_api_create_lead);
PG_FUNCTION_INFO_V1(po_api_transition_lead);
PG_FUNCTION_INFO_V1(po_api_record_event);
PG_FUNCTION_INFO_V1(po_write_lead_event);
PG_FUNCTION_INFO_V1(po_api_allowed_states);
PG_FUNCTION_INFO_V1(po_fold_address);
PG_FUNCTION_INFO_V1(po_folded_email);
PG_FUNCTION_INFO_V1(po_api_classify_message);
PG_FUNCTION_INFO_V1(po_api_normalize_phone);

/*
 * create_lead(tenant_id, lead_id, phone, first_name, last_name, email, company,
 * source, attributes): inserts, or sets what is given.
 */
Datum
po_api_create_lead(PG_FUNCTION_ARGS)
{
	GivenLead	given = {
		.tenant_id = po_arg_id(fcinfo, 0, "tenant_id"),
		.lead_id = po_arg_id(fcinfo, 1, "lead_id"),
		.phone = po_arg_phone(fcinfo, 2, "phone"),
		.first_name = po_arg_text(fcinfo, 3, "first_name"),
		.last_name = po_arg_text(fcinfo, 4, "last_name"),
		.email = po_arg_email(fcinfo, 5, "email"),
		.company = po_arg_text(fcinfo, 6, "company"),
		.source = PG_ARGISNULL(7) ? "api" : po_arg_text(fcinfo, 7, "source"),
		.attributes = PG_ARGISNULL(8) ? po_object_end(po_object_begin()) : po_arg_jsonb(fcinfo, 8)
	};
	PoNewAddresses addresses = {
		.tenant_id = given.tenant_id, .lead_id = given.lead_id, .phone = given.phone, .email = given.email,
		.sets_phone = given.phone != NULL, .sets_email = given.email != NULL
	};
	Datum		now = TimestampTzGetDatum(po_now());
	PoCause		cause = {.source = "sql"};
	PoUnit		unit = {0};
	PoUnit		again = {0};
	PoLead		inserted = {0};
	PoLead	   *lead;
	bool		created;

	po_spi_connect();
	lead = po_begin_addresses(&unit, &addresses);
	given.contact_id = po_assign_contact(&unit, lead, &addresses);
	created = lead == NULL && po_exec_row(&insert_lead, &now, &given) > 0;
	if (created)
	{
		PoEvent    *event;

		inserted.tenant_id = given.tenant_id;
		inserted.lead_id = given.lead_id;
		lead = &inserted;
		event = po_lead_event(&unit, lead, "lead.created", &cause);
		event->previous_state = PO_STATE_NONE;
		event->new_state = PO_STATE_NEW;
	}
	else
	{
		/* Somebody has made it since the look. */
		if (lead == NULL)
			lead = po_require_lead(&again, given.tenant_id, given.lead_id);
		if (po_exec_row(&update_lead, &now, &given) > 0)
			(void) po_lead_event(&unit, lead, "lead.updated", &cause);
	}
	/* The statements have written the lead. */
	lead->changed = false;
	po_unit_write(&unit);
	SPI_finish();

	PO_RETURN_ROW(CStringGetTextDatum(given.lead_id), CStringGetTextDatum(po_state_name(lead->state)),
				  BoolGetDatum(created));
}

/*
 * transition_lead(tenant_id, lead_id, to_state, reason)
 */
Datum
po_api_transition_lead(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *lead_id = po_arg_id(fcinfo, 1, "lead_id");
	PoState		to = po_state_require(po_arg_id(fcinfo, 2, "to_state"));
	PoCause		cause = {.source = "sql", .reason = po_arg_text(fcinfo, 3, "reason")};
	PoUnit		unit = {0};
	PoLead	   *lead;
	PoState		from;

	po_spi_connect();
	lead = po_require_lead(&unit, tenant_id, lead_id);
	from = lead->state;
	if (from != to && po_change_state(&unit, lead, to, &cause) == 0)
		po_illegal_transition(po_transitions(tenant_id), from, to);
	po_unit_write(&unit);
	SPI_finish();

	PO_RETURN_ROW(CStringGetTextDatum(lead_id), CStringGetTextDatum(po_state_name(from)),
				  CStringGetTextDatum(po_state_name(to)), BoolGetDatum(from != to), Int32GetDatum(lead->version));
}

/*
 * record_event(tenant_id, lead_id, event_type, payload, dedupe_key)
 */
Datum
po_api_record_event(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *lead_id = PG_ARGISNULL(1) ? NULL : po_arg_id(fcinfo, 1, "lead_id");
	char	   *event_type = po_arg_id(fcinfo, 2, "event_type");
	char	   *dedupe_key = PG_ARGISNULL(4) ? NULL : po_arg_required(fcinfo, 4, "dedupe_key");
	Jsonb	   *payload = po_arg_jsonb(fcinfo, 3);
	PoCause		cause = {.source = "sql"};
	PoUnit		unit = {0};
	PoEvent    *event;
	pg_uuid_t  *event_id = palloc(sizeof(pg_uuid_t));
	Datum		args[3];
	bool		duplicate = false;

	po_uuid_v7(event_id);
	po_spi_connect();
	po_require_event_type(event_type);
	if (dedupe_key != NULL)
	{
		args[0] = CStringGetTextDatum(tenant_id);
		args[1] = CStringGetTextDatum(dedupe_key);
		args[2] = UUIDPGetDatum(event_id);
		duplicate = po_exec(&insert_event_key, args, NULL) == 0;
		if (duplicate && po_exec(&select_event_key, args, NULL) > 0)
			(void) po_column_uuid(0, 1, event_id);
	}
	if (!duplicate)
	{
		if (lead_id != NULL)
			event = po_lead_event(&unit, po_require_lead(&unit, tenant_id, lead_id), event_type, &cause);
		else
			event = po_event_list_add(&unit.events, tenant_id, event_type, cause.source);
		event->event_id = *event_id;
		event->dedupe_key = dedupe_key;
		event->details = payload;
		po_unit_write(&unit);
	}
	SPI_finish();

	PO_RETURN_ROW(UUIDPGetDatum(event_id), BoolGetDatum(duplicate));
}

/*
 * allowed_states(tenant_id, lead_id): where transition_lead would take the lead.
 */
Datum
po_api_allowed_states(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *lead_id = po_arg_id(fcinfo, 1, "lead_id");
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(lead_id)};
	const char *name[PO_NSTATES];
	PoState		path[2];
	PoState		from;
	int			n = 0;

	po_spi_connect();
	if (po_exec(&select_state, args, NULL) == 0)
		po_unknown_lead(tenant_id, lead_id);
	from = po_state_require(po_column_text(0, 1));
	SPI_finish();
	for (PoState to = 0; to < PO_NSTATES; to++)
		if (to != from && po_transition_path(po_transitions(tenant_id), from, to, path) > 0)
			name[n++] = po_state_name(to);
	return po_result_texts(name, n);
}

/*
 * fold_address(address): a phone in E.164, or an e-mail address in lower case.
 */
Datum
po_fold_address(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, po_arg_address(fcinfo, 0, "address"));
}

/*
 * folded_email(email): as the registry has it; null for what is no e-mail address.
 */
Datum
po_folded_email(PG_FUNCTION_ARGS)
{
	text	   *email = PG_GETARG_TEXT_PP(0);
	char		folded[PO_ADDRESS_SIZE];

	return po_result_text(fcinfo, po_email_fold(VARDATA_ANY(email), VARSIZE_ANY_EXHDR(email), folded) ? folded : NULL);
}

/*
 * write_lead_event(tenant_id, lead_id, event_type, details): an event of the engine's own,
 * for bodies in SQL.
 */
Datum
po_write_lead_event(PG_FUNCTION_ARGS)
{
	PoCause		cause = {.source = "sql"};
	PoUnit		unit = {0};
	PoLead	   *lead;

	po_spi_connect();
	lead = po_require_lead(&unit, po_arg_id(fcinfo, 0, "tenant_id"), po_arg_id(fcinfo, 1, "lead_id"));
	po_lead_event(&unit, lead, po_arg_required(fcinfo, 2, "event_type"), &cause)->details = po_arg_jsonb(fcinfo, 3);
	po_unit_write(&unit);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * classify_message(tenant_id, body): what a message would be taken for.
 */
Datum
po_api_classify_message(PG_FUNCTION_ARGS)
{
	static const char *const action_name[] = {
		[PO_CONSENT_NONE] = NULL, [PO_CONSENT_OPT_OUT] = "opt_out",
		[PO_CONSENT_OPT_IN] = "opt_in", [PO_CONSENT_HOLD] = "hold",
		[PO_CONSENT_HELP] = "help", [PO_CONSENT_COURTESY] = NULL
	};
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *body = po_arg_text(fcinfo, 1, "body");
	const PoTenantRules *rules;
	const PoRule *rule;
	const char *action;
	const char *sounds = NULL;
	PoConsentReading reading;
	PoRuling	ruling;
	PoText		text;
	Datum		values[9] = {0};
	bool		isnull[9] = {false};

	rules = po_tenant_rules(tenant_id);
	po_text_read(&text, body ? body : "", body ? strlen(body) : 0);
	reading = po_read_consent(&rules->words, &text);
	action = action_name[reading.action];
	po_classify(&rules->rules, &text, &reading, po_text_phone(&text, NULL, NULL), &ruling);
	rule = ruling.rule;
	if (action != NULL && reading.by_sound)
		sounds = po_revocation_words(&text);

	po_set_text(values, isnull, 0, action);
	po_set_text(values, isnull, 1, reading.word);
	po_set_text(values, isnull, 2, sounds);
	isnull[3] = !reading.by_sound;
	if (reading.by_sound)
		values[3] = Float4GetDatum(rint(100 * po_revocation_probability(reading.heard.sound)) / 100);
	po_set_text(values, isnull, 4, rule != NULL ? rule->rule : NULL);
	po_set_text(values, isnull, 5, rule != NULL ? rule->to_state : NULL);
	po_set_text(values, isnull, 6, ruling.email);
	po_set_text(values, isnull, 7, ruling.phone);
	values[8] = po_result_texts(ruling.label, ruling.nlabels);
	return po_result_row(fcinfo, values, isnull);
}

/*
 * normalize_phone(phone): null for what is not surely a phone number.
 */
Datum
po_api_normalize_phone(PG_FUNCTION_ARGS)
{
	char	   *phone = po_arg_text(fcinfo, 0, "phone");
	char		e164[PO_E164_SIZE];

	return po_result_text(fcinfo, po_phone_e164(phone, strlen(phone), e164) ? e164 : NULL);
}
