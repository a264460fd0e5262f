/*
 * shape.c
 *	  JSON that comes from outside and has to be an object, and what its errors say.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/shape.h"

/*
 * po_json_type returns what a JSON value is, for an error.
 */
const char *
po_json_type(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a JSON string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? "an object" : "an array";
		default:
			return "an array";
	}
}

/*
 * po_not_an_object raises the error of a JSON value that should be an object; the
 * path names it.  A string is what a client sends that encodes its object twice.
 */
void
po_not_an_object(const char *path, const JsonbValue *value)
{
	bool		is_string = value->type == jbvString;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be a JSON object", path),
			 errdetail("It is %s.", po_json_type(value)),
			 is_string ? errhint("Pass the object itself, without JSON.stringify() or ::text: "
								 "it is encoded twice.") : 0));
}

/*
 * po_require_object raises that error for a document that is none.
 */
void
po_require_object(const char *path, JsonbContainer *container)
{
	JsonbValue	value = {.type = jbvArray};

	if (JsonContainerIsObject(container))
		return;
	if (JsonContainerIsScalar(container))
		(void) JsonbExtractScalar(container, &value);
	po_not_an_object(path, &value);
}
