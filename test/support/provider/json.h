/*
 * json.h
 *		Reads JSON (RFC 8259) into a tree.
 *
 * The tree owns its strings and is freed as a whole.  A string that holds
 * U+0000 is refused, for everything here is a C string.
 */
#ifndef PROVIDER_JSON_H
#define PROVIDER_JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef enum JsonType
{
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
} JsonType;

typedef struct Json
{
	JsonType	type;
	char	   *name;			/* of a member of an object */
	char	   *text;			/* of a string, or of a number as it was written */
	struct Json *first;
	struct Json *next;
} Json;

extern Json *json_read(const char *bytes, size_t len);
extern void json_free(Json *json);
extern Json *json_member(const Json *json, const char *name);
extern const char *json_text(const Json *json, const char *name);
extern bool json_bool(const Json *json, const char *name, bool otherwise);
extern double json_number(const Json *json, const char *name, double otherwise);

#endif
