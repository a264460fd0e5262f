/*
 * request_body.c
 *	  The body of a request: a profile's document, filled in, as JSON or as a form.
 *
 * What is optional stands where leaving it out leaves a sound document: a member of
 * an object that is one placeholder; an element of an array that is an object with
 * such a member; and the single element of an array, which is repeated for each value
 * of a list, or left out with its array.
 *
 * Everything is palloc'd in the current context.  The document's depth is bounded, and
 * so is what comes out of it: lists within lists multiply, and a worker that makes one
 * tenant's request serves no other meanwhile.
 */
#include "postgres.h"

#include "common/template.h"
#include "core/compat.h"
#include "fmgr.h"
#include "sender/request_body.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#define MAX_BYTES (1024 * 1024)
#define MAX_VALUES 10000

typedef struct BodyWriter
{
	PoRequestValues *values;
	bool		form;
	StringInfo	out;
	int			depth;
	int			nvalues;		/* that have been looked at */
} BodyWriter;

/* What has become of a part of the document. */
typedef enum Written
{
	WRITTEN,
	LEFT_OUT,					/* it has no value, and nothing of it is there */
	IMPOSSIBLE					/* there is no body without it */
} Written;

static Written write_value(BodyWriter *writer, const char *key, const JsonbValue *value, bool element);

/* ---- where lists stand ---- */

/* What has been seen of an element of an array, or of what is in none. */
typedef struct Place
{
	bool		single;			/* of its array */
	PoList		list;			/* that it is repeated for */
	const char *problem;		/* the first, or NULL */
	bool		shallow;		/* what stands in arrays of it is not asked */
	bool		alone;			/* the text that is being looked at is one placeholder */
} Place;

static void
look_at_placeholder(void *arg, const char *name, int name_len, bool optional)
{
	Place	   *place = arg;
	PoList		list = po_list_from_name(name, name_len);

	if (list == PO_NO_LIST || place->problem != NULL)
		return;
	if (!place->alone)
		place->problem = "a list stands beside other text";
	else if (optional)
		place->problem = "a list has no default";
	else if (!place->single)
		place->problem = "a list stands outside of the single element of an array";
	else if (place->list != PO_NO_LIST && place->list != list)
		place->problem = "two lists stand in one element";
	place->list = list;
}

/* Which list a part names, and what is wrong with where one stands in it. */
static void
look_at(const JsonbValue *value, Place *place, int depth)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	part;

	if (value->type == jbvString)
	{
		place->alone = po_template_is_placeholder(value->val.string.val, value->val.string.len);
		po_template_each(PO_TEMPLATE_OF_PROFILE, value->val.string.val, value->val.string.len,
						 look_at_placeholder, place);
	}
	if (value->type != jbvBinary)
		return;
	if (depth == PO_REQUEST_MAX_DEPTH)
		place->problem = "it is nested too deeply";
	iterator = JsonbIteratorInit(value->val.binary.data);
	while (place->problem == NULL && (token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE)
			look_at(&part, place, depth + 1);
		else if (token == WJB_ELEM && !place->shallow)
		{
			Place		of_element = {
				.single = JsonContainerSize(value->val.binary.data) == 1, .list = PO_NO_LIST
			};

			look_at(&part, &of_element, depth + 1);
			place->problem = of_element.problem;
		}
	}
}

/* ---- writing ---- */

/* What stands before a value: a comma, and in an object the member's name. */
static void
begin_value(BodyWriter *writer, const char *key)
{
	StringInfo	out = writer->out;

	if (writer->form)
	{
		appendStringInfo(out, "%s%s=", out->len > 0 ? "&" : "", po_url_encode(key));
		return;
	}
	if (out->len > 0 && strchr("{[", out->data[out->len - 1]) == NULL)
		appendStringInfoChar(out, ',');
	if (key != NULL)
	{
		escape_json(out, key);
		appendStringInfoChar(out, ':');
	}
}

static Written
write_string(BodyWriter *writer, const char *key, const JsonbValue *value)
{
	const char *template = value->val.string.val;
	int			len = value->val.string.len;
	StringInfoData text;

	initStringInfo(&text);
	if (!po_fill_in(writer->values, template, len, &text))
		return po_template_is_placeholder(template, len) ? LEFT_OUT : IMPOSSIBLE;
	begin_value(writer, key);
	if (writer->form)
		appendStringInfoString(writer->out, po_url_encode(text.data));
	else
		escape_json(writer->out, text.data);
	return WRITTEN;
}

/* Of an array an element that is left out leaves no trace. */
static Written
write_element(BodyWriter *writer, const char *key, const JsonbValue *element)
{
	int			len = writer->out->len;
	Written		written = write_value(writer, writer->form ? key : NULL, element, true);

	if (written == LEFT_OUT)
	{
		writer->out->len = len;
		writer->out->data[len] = '\0';
	}
	return written;
}

/* The element for each value of its list; none of them may get lost. */
static Written
write_list(BodyWriter *writer, const char *key, const JsonbValue *element, PoList list)
{
	PoRequestValues *values = writer->values;
	PoList		outer_list = values->list;
	const char *outer_item = values->item;
	const char *const *value;
	int			n = po_list_values(values->input, list, &value);

	values->list = list;
	for (int i = 0; i < n; i++)
	{
		Written		written;

		values->item = value[i];
		written = write_element(writer, key, element);
		if (written == LEFT_OUT)
			values->problem = "a value of a list cannot be written";
		if (written != WRITTEN)
			return IMPOSSIBLE;
	}
	values->list = outer_list;
	values->item = outer_item;
	return WRITTEN;
}

static Written
write_array(BodyWriter *writer, const char *key, JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	element;
	Place		place = {
		.single = JsonContainerSize(array) == 1, .list = PO_NO_LIST, .shallow = true
	};

	if (place.single)
	{
		const char *const *value;

		look_at(getIthJsonbValueFromContainer(array, 0), &place, writer->depth);
		if (place.list != PO_NO_LIST && po_list_values(writer->values->input, place.list, &value) == 0)
			return LEFT_OUT;
	}
	if (!writer->form)
	{
		begin_value(writer, key);
		appendStringInfoChar(writer->out, '[');
	}
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM &&
			(place.list == PO_NO_LIST ? write_element(writer, key, &element)
			 : write_list(writer, key, &element, place.list)) == IMPOSSIBLE)
			return IMPOSSIBLE;
	if (!writer->form)
		appendStringInfoChar(writer->out, ']');
	return WRITTEN;
}

/* As an element of an array it is there as a whole or not at all. */
static Written
write_object(BodyWriter *writer, const char *key, JsonbContainer *object, bool element)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	if (!writer->form)
	{
		begin_value(writer, key);
		appendStringInfoChar(writer->out, '{');
	}
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		Written		written;

		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		written = write_value(writer, name, &value, false);
		if (written == IMPOSSIBLE || (written == LEFT_OUT && element && value.type == jbvString))
			return written;
	}
	if (!writer->form)
		appendStringInfoChar(writer->out, '}');
	return WRITTEN;
}

static Written
write_container(BodyWriter *writer, const char *key, JsonbContainer *container, bool element)
{
	Written		written;

	if (++writer->depth == PO_REQUEST_MAX_DEPTH)
	{
		writer->values->problem = "the body is nested too deeply";
		return IMPOSSIBLE;
	}
	written = JsonContainerIsArray(container) ? write_array(writer, key, container)
		: write_object(writer, key, container, element);
	writer->depth--;
	return written;
}

static Written
write_part(BodyWriter *writer, const char *key, const JsonbValue *value, bool element)
{
	if (value->type == jbvString)
		return write_string(writer, key, value);
	if (value->type == jbvBinary)
		return write_container(writer, key, value->val.binary.data, element);
	begin_value(writer, key);
	if (value->type == jbvNumeric)
		appendStringInfoString(writer->out,
							   DatumGetCString(DirectFunctionCall1(numeric_out,
																   NumericGetDatum(value->val.numeric))));
	else
		appendStringInfoString(writer->out, value->type != jbvBool ? "null" : value->val.boolean ? "true" : "false");
	return WRITTEN;
}

static Written
write_value(BodyWriter *writer, const char *key, const JsonbValue *value, bool element)
{
	Written		written = ++writer->nvalues > MAX_VALUES ? IMPOSSIBLE
		: write_part(writer, key, value, element);

	if (writer->nvalues > MAX_VALUES)
		writer->values->problem = "the body has too many values";
	else if (writer->out->len > MAX_BYTES)
		writer->values->problem = "the body is too long";
	else
		return written;
	return IMPOSSIBLE;
}

/*
 * po_write_body appends the body of a request; false: it has none, for the values'
 * problem, or where that is not set for want of a value.
 */
bool
po_write_body(PoRequestValues *values, bool form, Jsonb *body, StringInfo out)
{
	BodyWriter	writer = {.values = values, .form = form, .out = out};

	return write_container(&writer, NULL, &body->root, false) == WRITTEN;
}

/*
 * po_list_problem returns what is wrong with where lists stand in the body of a profile,
 * or that one stands in a document elsewhere, a fixed phrase; NULL when nothing is.
 */
const char *
po_list_problem(Jsonb *document, Jsonb *elsewhere)
{
	Place		place = {.list = PO_NO_LIST};
	JsonbValue	body = {.type = jbvBinary};
	JsonbIterator *iterator = JsonbIteratorInit(&elsewhere->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	body.val.binary.data = &document->root;
	look_at(&body, &place, 0);
	while (place.problem == NULL && (token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString)
			look_at(&value, &place, 0);
	return place.problem;
}
