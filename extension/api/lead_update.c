/*
 * lead_update.c
 *	  update_lead, which sets and clears fields of a lead, and assign_lead.
 *
 * Errors name where in the document it is, never what it is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/shape.h"
#include "core/statement.h"
#include "fmgr.h"
#include "lead/address_args.h"
#include "lead/change.h"
#include "lead/person.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

enum
{
	F_PHONE, F_EMAIL, F_FIRST_NAME, F_LAST_NAME, F_COMPANY, F_ATTRIBUTES, NFIELDS
};

/* The column, and its name in documents of applications. */
static const struct
{
	const char *column;
	const char *name;
}			field[NFIELDS] = {
	[F_PHONE] = {"phone", "phone"},
	[F_EMAIL] = {"email", "email"},
	[F_FIRST_NAME] = {"first_name", "firstName"},
	[F_LAST_NAME] = {"last_name", "lastName"},
	[F_COMPANY] = {"company", "company"},
	[F_ATTRIBUTES] = {"attributes", "attributes"}
};

/* What a document changes; a field that is given and null is cleared. */
typedef struct Changes
{
	const char *tenant_id;
	const char *lead_id;
	pg_uuid_t	contact_id;
	bool		given[NFIELDS];
	const char *text[NFIELDS];
	Jsonb	   *attributes;
	const char **without;		/* attributes that go */
	int			nwithout;
} Changes;

static const PoField change_field[] = {
	PO_FIELD(Changes, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(Changes, lead_id, TEXT, PO_TAKE),
	PO_FIELD(Changes, contact_id, UUID, PO_TAKE),
	PO_FIELD_AS(Changes, text[F_PHONE], "phone", TEXT, PO_TAKE),
	PO_FIELD_AS(Changes, text[F_EMAIL], "email", TEXT, PO_TAKE),
	PO_FIELD_AS(Changes, text[F_FIRST_NAME], "first_name", TEXT, PO_TAKE),
	PO_FIELD_AS(Changes, text[F_LAST_NAME], "last_name", TEXT, PO_TAKE),
	PO_FIELD_AS(Changes, text[F_COMPANY], "company", TEXT, PO_TAKE),
	PO_FIELD(Changes, attributes, JSONB, PO_TAKE)
};

#define SET_TO(column) "CASE WHEN '" column "' = ANY ($2) THEN u." column " ELSE l." column " END"
#define FIELDS_SET \
	SET_TO("phone") ", " SET_TO("email") ", " SET_TO("first_name") ", " SET_TO("last_name") ", " \
	SET_TO("company") ", CASE WHEN 'attributes' <> ALL ($2) THEN l.attributes" \
	" WHEN u.attributes IS NULL THEN '{}' ELSE (l.attributes || u.attributes) - $3 END"

/* Attributes are merged key by key; a key that is set to null goes. */
static PoStatement update_lead = {
	.name = "lead_update.update",
	.expect = SPI_OK_UPDATE,
	.sql = "UPDATE outreach.leads l"
	" SET (phone, email, first_name, last_name, company, attributes) = ROW(" FIELDS_SET "),"
	" contact_id = u.contact_id, version = l.version + 1, updated_at = $1 FROM {rows}"
	" WHERE l.tenant_id = u.tenant_id AND l.lead_id = u.lead_id"
	" AND (l.phone, l.email, l.first_name, l.last_name, l.company, l.attributes) IS DISTINCT FROM"
	" (" FIELDS_SET ")",
	.takes = PO_FIELDS(change_field, PO_TAKE),
	PO_FIXED(TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID)
};

PG_FUNCTION_INFO_V1(po_api_update_lead);
PG_FUNCTION_INFO_V1(po_api_assign_lead);

static int
find_field(const JsonbValue *key)
{
	const char *name = pnstrdup(key->val.string.val, key->val.string.len);

	for (int f = 0; f < NFIELDS; f++)
		if (strcmp(name, field[f].name) == 0 || strcmp(name, field[f].column) == 0)
			return f;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("changes.%s is not known", po_json_key(key)),
			 errhint("Known are phone, email, firstName, lastName, company and attributes.")));
}

static void
read_attributes(Changes *changes, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	member;
	const char *key = NULL;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		po_not_an_object("changes.attributes", value);
	changes->attributes = JsonbValueToJsonb(unconstify(JsonbValue *, value));
	changes->without = palloc(Max(JsonContainerSize(value->val.binary.data), 1) * sizeof(char *));
	iterator = JsonbIteratorInit(&changes->attributes->root);
	while ((token = JsonbIteratorNext(&iterator, &member, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(member.val.string.val, member.val.string.len);
		else if (token == WJB_VALUE && member.type == jbvNull)
			changes->without[changes->nwithout++] = key;
	}
}

static void
read_field(Changes *changes, int f, const JsonbValue *value)
{
	const char *path = psprintf("changes.%s", field[f].name);
	char	   *text;

	if (changes->given[f])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is given twice", path),
				 errdetail("Once as %s, once as %s.", field[f].name, field[f].column)));
	changes->given[f] = true;
	if (value->type == jbvNull)
		return;
	if (f == F_ATTRIBUTES)
	{
		read_attributes(changes, value);
		return;
	}
	if (value->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a string or null", path),
				 errdetail("It is %s.", po_json_type(value))));
	text = pnstrdup(value->val.string.val, value->val.string.len);
	changes->text[f] = f == F_PHONE ? po_read_phone(path, text)
		: f == F_EMAIL ? po_read_email(path, text) : text;
}

static void
read_changes(Changes *changes, Jsonb *document)
{
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			f = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			f = find_field(&value);
		else if (token == WJB_VALUE)
			read_field(changes, f, &value);
	}
}

/* Writes what differs; whether anything did. */
static bool
write_changes(const Changes *changes, const char **names, int nnames)
{
	Datum		fixed[3] = {
		TimestampTzGetDatum(po_now()),
		po_result_texts(names, nnames),
		po_result_texts(changes->without, changes->nwithout)
	};

	return po_exec_row(&update_lead, fixed, changes) > 0;
}

/*
 * update_lead(tenant_id, lead_id, changes): the event names the fields, not what was
 * in them.
 */
Datum
po_api_update_lead(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *lead_id = po_arg_id(fcinfo, 1, "lead_id");
	Jsonb	   *document = po_arg_object(fcinfo, 2, "changes");
	PoCause		cause = {.source = "sql"};
	PoUnit		unit = {0};
	Changes		changes = {.tenant_id = tenant_id, .lead_id = lead_id};
	PoNewAddresses addresses;
	const char *names[NFIELDS];
	int			nnames = 0;
	PoLead	   *lead;
	bool		changed;

	read_changes(&changes, document);
	for (int f = 0; f < NFIELDS; f++)
		if (changes.given[f])
			names[nnames++] = field[f].column;
	po_spi_connect();
	addresses = (PoNewAddresses) {
		.tenant_id = tenant_id, .lead_id = lead_id,
		.sets_phone = changes.given[F_PHONE], .phone = changes.text[F_PHONE],
		.sets_email = changes.given[F_EMAIL], .email = changes.text[F_EMAIL]
	};
	lead = po_begin_addresses(&unit, &addresses);
	if (lead == NULL)
		po_unknown_lead(tenant_id, lead_id);
	changes.contact_id = po_assign_contact(&unit, lead, &addresses);
	changed = write_changes(&changes, names, nnames);
	if (changed)
	{
		PoObject   *object = po_object_begin();

		po_object_strings(object, "fields", names, nnames);
		po_event_tells(po_lead_event(&unit, lead, "lead.updated", &cause), object);
		/* The statement has written the lead. */
		lead->changed = false;
	}
	po_unit_write(&unit);
	SPI_finish();

	PO_RETURN_ROW(CStringGetTextDatum(lead_id), CStringGetTextDatum(po_state_name(lead->state)),
				  BoolGetDatum(changed), Int32GetDatum(lead->version));
}

/*
 * assign_lead(tenant_id, lead_id, agent, by): agent null takes the lead from its agent.
 */
Datum
po_api_assign_lead(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *lead_id = po_arg_id(fcinfo, 1, "lead_id");
	char	   *agent = PG_ARGISNULL(2) ? NULL : po_arg_required(fcinfo, 2, "agent");
	PoCause		cause = {.source = "sql", .actor = po_arg_required(fcinfo, 3, "by")};
	PoUnit		unit = {0};
	PoLead	   *lead;
	Datum		values[4];
	bool		isnull[4] = {false};

	po_spi_connect();
	lead = po_require_lead(&unit, tenant_id, lead_id);
	po_assign_agent(&unit, lead, agent, &cause);
	po_unit_write(&unit);
	SPI_finish();

	values[0] = CStringGetTextDatum(lead_id);
	po_set_text(values, isnull, 1, agent);
	values[2] = BoolGetDatum(lead->changed);
	values[3] = Int32GetDatum(lead->version);
	return po_result_row(fcinfo, values, isnull);
}
