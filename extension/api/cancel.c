/*
 * cancel.c
 *	  cancel_messages: takes back what waits and matches a filter.
 *
 * By parts, each with its leads locked before its messages, in the order of the leads'
 * ids.  What is under way when its turn comes is left.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/shape.h"
#include "core/spi_plan.h"
#include "fmgr.h"
#include "lead/channel.h"
#include "miscadmin.h"
#include "outbound/message.h"
#include "outbound/priority.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#define PART 1000

/* Parameters of select_waiting. */
enum
{
	P_TENANT, P_AFTER_LEAD, P_AFTER_MESSAGE, P_LEADS, P_CHANNEL, P_TEMPLATE, P_PREFIX, P_PRIORITY, NPARAMETERS
};

static PoPlan select_waiting = {
	.name = "cancel.waiting",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT m.lead_id, m.message_id FROM outreach.outbound_queue m"
	" WHERE m.tenant_id = $1 AND " PO_UNSENT("m") " AND (m.lead_id, m.message_id) > ($2, $3)"
	" AND ($4 IS NULL OR m.lead_id = ANY ($4)) AND ($5 IS NULL OR m.channel = $5)"
	" AND ($6 IS NULL OR m.template = $6) AND ($7 IS NULL OR starts_with(m.send_key, $7))"
	" AND ($8 IS NULL OR m.priority = $8) ORDER BY m.lead_id, m.message_id LIMIT " CppAsString2(PART),
	PO_ARGS(TEXTOID, TEXTOID, UUIDOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, INT2OID)
};

PG_FUNCTION_INFO_V1(po_api_cancel_messages);

typedef struct Filter
{
	Datum		args[NPARAMETERS];
	char		nulls[NPARAMETERS + 1];
	bool		any;			/* it has a member */
} Filter;

static void
set_argument(Filter *filter, int parameter, Datum value)
{
	filter->args[parameter] = value;
	filter->nulls[parameter] = ' ';
}

static char *
require_string(const char *path, const JsonbValue *value)
{
	if (value->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a string", path),
				 errdetail("It is %s.", po_json_type(value))));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static Datum
read_leads(const JsonbValue *value)
{
	JsonbContainer *array = value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data)
		? value->val.binary.data : NULL;
	int			n = array != NULL ? JsonContainerSize(array) : 0;
	const char **lead_id = palloc(Max(n, 1) * sizeof(char *));

	if (array == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("filter.leadIds must be an array of strings"),
				 errdetail("It is %s.", po_json_type(value))));
	for (int i = 0; i < n; i++)
		lead_id[i] = require_string(psprintf("filter.leadIds[%d]", i), getIthJsonbValueFromContainer(array, i));
	return po_result_texts(lead_id, n);
}

static void
read_member(Filter *filter, const char *key, const JsonbValue *value)
{
	const char *path = psprintf("filter.%s", key);

	filter->any = true;
	if (strcmp(key, "leadIds") == 0)
		set_argument(filter, P_LEADS, read_leads(value));
	else if (strcmp(key, "channel") == 0)
	{
		po_channel_require(path, require_string(path, value));
		set_argument(filter, P_CHANNEL, CStringGetTextDatum(require_string(path, value)));
	}
	else if (strcmp(key, "template") == 0)
		set_argument(filter, P_TEMPLATE, CStringGetTextDatum(require_string(path, value)));
	else if (strcmp(key, "sendKeyPrefix") == 0)
		set_argument(filter, P_PREFIX, CStringGetTextDatum(require_string(path, value)));
	else if (strcmp(key, "priority") == 0)
		set_argument(filter, P_PRIORITY, Int16GetDatum(po_priority_require(path, require_string(path, value))));
	else if (strcmp(key, "all") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is not known", path),
				 errhint("Known are leadIds, channel, template, sendKeyPrefix, priority and all.")));
	else if (value->type != jbvBool || !value->val.boolean)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("filter.all must be true"),
				 errhint("Leave it out where another member says what is meant.")));
}

static void
read_filter(Filter *filter, Jsonb *document)
{
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	const char *key = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = po_json_key(&value);
		else if (token == WJB_VALUE)
			read_member(filter, key, &value);
	}
	if (!filter->any)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("filter is empty"),
				 errhint("For everything that waits, give {\"all\": true}.")));
}

/* Cancels the next part; false when there is none. */
static bool
cancel_part(Filter *filter, const char *tenant_id, const PoCause *cause, MemoryContext keep, int counts[2])
{
	int			n = po_exec(&select_waiting, filter->args, filter->nulls);
	PoWants		wants = {0};
	PoUnit		unit = {0};
	const char *lead_id = NULL;
	pg_uuid_t	message_id;
	MemoryContext part;

	if (n == 0)
		return false;
	for (int i = 0; i < n; i++)
	{
		lead_id = po_column_text(i, 1);
		(void) po_column_uuid(i, 2, &message_id);
		po_want(&wants, PO_WANT_LEAD, 0, tenant_id, lead_id);
		po_want_message(&wants, 0, tenant_id, &message_id);
	}
	part = MemoryContextSwitchTo(keep);
	filter->args[P_AFTER_LEAD] = CStringGetTextDatum(lead_id);
	filter->args[P_AFTER_MESSAGE] = PointerGetDatum(memcpy(palloc(UUID_LEN), &message_id, UUID_LEN));
	MemoryContextSwitchTo(part);
	po_unit_lock(&unit, &wants, PO_LOCK_WAITS, NULL);
	for (int i = 0; i < unit.nmessages; i++)
		if (po_message_waits(unit.message[i].status))
			counts[po_message_cancel(&unit, &unit.message[i], cause)]++;
	po_unit_write(&unit);
	return true;
}

/*
 * cancel_messages(tenant_id, filter, by, reason)
 */
Datum
po_api_cancel_messages(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	PoCause		cause = {
		.source = "sql", .actor = po_arg_required(fcinfo, 2, "by"), .reason = po_arg_text(fcinfo, 3, "reason")
	};
	Jsonb	   *document = po_arg_object(fcinfo, 1, "filter");
	MemoryContext keep = CurrentMemoryContext;
	MemoryContext part = AllocSetContextCreate(keep, "outreach cancelled messages", ALLOCSET_DEFAULT_SIZES);
	pg_uuid_t	first = {{0}};
	Filter		filter;
	int			counts[2] = {0};	/* of those that may have left, of those taken back */
	bool		more = true;

	memset(&filter, 0, sizeof(filter));
	memset(filter.nulls, 'n', NPARAMETERS);
	set_argument(&filter, P_TENANT, CStringGetTextDatum(tenant_id));
	set_argument(&filter, P_AFTER_LEAD, CStringGetTextDatum(""));
	set_argument(&filter, P_AFTER_MESSAGE, UUIDPGetDatum(&first));
	read_filter(&filter, document);
	po_spi_connect();
	while (more)
	{
		MemoryContextSwitchTo(part);
		more = cancel_part(&filter, tenant_id, &cause, keep, counts);
		MemoryContextSwitchTo(keep);
		MemoryContextReset(part);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	PO_RETURN_ROW(Int32GetDatum(counts[true]), Int32GetDatum(counts[false]));
}
