/*
 * per_lead.c
 *	  What differs from lead to lead in a request for many messages: a JSON object with a
 *	  member for a lead, or an address, as the request names it.
 *
 * Texts of errors do not name the member: the result says which lead it is about, and an
 * address stays out of errors.
 */
#include "postgres.h"

#include "common/template.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/limits.h"
#include "core/shape.h"
#include "fmgr.h"
#include "outbound/draft.h"
#include "outbound/reject.h"
#include "unit/event_log.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/*
 * po_check_per_lead raises an error for a member of per_lead that the request does not name.
 */
void
po_check_per_lead(const PoSendRequest *request)
{
	const char **given = request->address != NULL ? request->address : request->lead_id;
	const char **name = palloc(Max(request->n, 1) * sizeof(char *));
	int			n = 0;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (request->per_lead == NULL)
		return;
	for (int i = 0; i < request->n; i++)
		if (given[i] != NULL)
			name[n++] = given[i];
	qsort(name, n, sizeof(char *), compare_texts);
	iterator = JsonbIteratorInit(&request->per_lead->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		if (bsearch(&key, name, n, sizeof(char *), compare_texts) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 request->address != NULL ? errmsg("per_lead has a member that is not in addresses")
					 : errmsg("per_lead.%s is not in lead_ids", po_json_key(&value)),
					 errhint("Its members are named as the elements of the array are.")));
		pfree(key);
	}
	pfree(name);
}

static void
reject(const PoSending *sending, PoDraft *draft, const char *message, const char *detail)
{
	po_reject(sending->request, draft->outcome, ERRCODE_INVALID_PARAMETER_VALUE, message, detail,
			  "Members of per_lead.* are body, a string, and variables, an object.");
}

static void
read_body(const PoSending *sending, PoDraft *draft, const JsonbValue *value)
{
	const PoSendRequest *request = sending->request;
	int			most = po_limit_of("body");
	PoTemplateProblem problem;

	if (value->type != jbvString)
		reject(sending, draft, "per_lead.*.body must be a string", psprintf("It is %s.", po_json_type(value)));
	else if (request->template != NULL)
		po_reject(request, draft->outcome, ERRCODE_INVALID_PARAMETER_VALUE,
				  "per_lead.*.body cannot be given beside template", NULL, "Give the template's variables.");
	else if (value->val.string.len > most)
		po_reject(request, draft->outcome, ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
				  psprintf("per_lead.*.body is longer than %d bytes", most),
				  psprintf("It has %d bytes.", value->val.string.len), NULL);
	else if (po_template_check(PO_TEMPLATE_OF_MESSAGE, value->val.string.val, value->val.string.len,
							   &problem) != PO_TEMPLATE_OK)
		po_reject(request, draft->outcome, PO_ERRCODE_INVALID_TEMPLATE,
				  psprintf("per_lead.*.body has a placeholder that cannot be read, at byte %d", problem.position + 1),
				  problem.reason, NULL);
	else
		draft->text = pnstrdup(value->val.string.val, value->val.string.len);
}

/* The lead's own come before those of all; with them they are the message's options. */
static void
add_variables(const PoSending *sending, PoDraft *draft, Jsonb *variables)
{
	int			most = po_limit_of("options");
	PoObject   *object = po_object_begin();

	if (draft->variables != NULL)
		variables = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(draft->variables),
													   JsonbPGetDatum(variables)));
	draft->variables = variables;
	po_object_jsonb(object, "variables", variables);
	draft->options = po_object_end(object);
	if (sending->request->options != NULL)
		draft->options = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(sending->request->options),
															JsonbPGetDatum(draft->options)));
	if (VARSIZE(draft->options) - VARHDRSZ > most)
		po_reject(sending->request, draft->outcome, ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
				  psprintf("options and per_lead.*.variables together are longer than %d bytes", most), NULL, NULL);
}

static void
read_variables(const PoSending *sending, PoDraft *draft, JsonbValue *value)
{
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		add_variables(sending, draft, JsonbValueToJsonb(value));
	else
		reject(sending, draft, "per_lead.*.variables must be a JSON object",
			   psprintf("It is %s.", po_json_type(value)));
}

/*
 * po_read_content sets text, options and variables of a draft, or rejects it.
 */
void
po_read_content(const PoSending *sending, PoDraft *draft)
{
	const PoSendRequest *request = sending->request;
	const char *given = (request->address != NULL ? request->address : request->lead_id)[draft->item];
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	draft->text = sending->body;
	draft->options = request->options;
	draft->variables = sending->variables;
	if (request->per_lead != NULL &&
		getKeyJsonValueFromContainer(&request->per_lead->root, given, strlen(given), &value) != NULL &&
		value.type != jbvNull)
	{
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		{
			reject(sending, draft, "per_lead.* must be a JSON object", psprintf("It is %s.", po_json_type(&value)));
			return;
		}
		iterator = JsonbIteratorInit(value.val.binary.data);
		while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE && !draft->outcome->rejected)
		{
			if (token == WJB_KEY)
				key = po_json_key(&value);
			if (token != WJB_VALUE || value.type == jbvNull)
				continue;
			if (strcmp(key, "body") == 0)
				read_body(sending, draft, &value);
			else if (strcmp(key, "variables") == 0)
				read_variables(sending, draft, &value);
			else
				reject(sending, draft, psprintf("per_lead.*.%s is not known", key), NULL);
		}
	}
	if (draft->text == NULL && !draft->outcome->rejected)
		po_reject(request, draft->outcome, ERRCODE_INVALID_PARAMETER_VALUE, "the message has no text",
				  "Neither body nor template nor per_lead.*.body is given.", NULL);
}
