/*
 * config_value.c
 *	  Reading and writing the value of one setting, by type.
 *
 * Error texts name the setting and its range, never the value: it may hold a
 * password, or be a line of another file given by mistake.
 */
#include "postgres_fe.h"

#include <limits.h>

#include "lib/stringinfo.h"
#include "libpq-fe.h"

#include "config.h"
#include "log.h"

typedef struct Unit
{
	const char *name;
	int64		factor;
} Unit;

/* Largest first, so that formatting takes the largest that divides. */
static const Unit ms_units[] = {{"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const Unit byte_units[] = {{"GB", 1073741824}, {"MB", 1048576}, {"kB", 1024}, {"B", 1}, {NULL, 0}};
static const Unit no_units[] = {{NULL, 0}};

static const char *const level_words[] = {"error", "warning", "info", "debug"};

static const Unit *
units_of(PoConfigType type)
{
	return type == PO_CONFIG_MS ? ms_units : type == PO_CONFIG_BYTES ? byte_units : no_units;
}

static bool
parse_number(const PoConfigItem *item, const char *text, int *value)
{
	const Unit *unit;
	char	   *end;
	int64		factor = 1;
	long long	number;

	errno = 0;
	number = strtoll(text, &end, item->type == PO_CONFIG_OCTAL ? 8 : 10);
	if (errno != 0 || end == text || number > INT_MAX || number < INT_MIN)
		return false;
	while (*end == ' ')
		end++;
	if (*end != '\0')
	{
		for (unit = units_of(item->type); unit->name != NULL; unit++)
		{
			if (strcmp(end, unit->name) == 0)
				break;
		}
		if (unit->name == NULL)
			return false;
		factor = unit->factor;
	}
	number *= factor;
	if (number < item->min || number > item->max)
		return false;
	*value = (int) number;
	return true;
}

static bool
parse_bool(const char *text, bool *value)
{
	static const char *const yes[] = {"on", "true", "yes", "1"};
	static const char *const no[] = {"off", "false", "no", "0"};

	for (size_t i = 0; i < lengthof(yes); i++)
	{
		if (pg_strcasecmp(text, yes[i]) == 0 || pg_strcasecmp(text, no[i]) == 0)
		{
			*value = pg_strcasecmp(text, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool
parse_level(const char *text, int *value)
{
	for (size_t i = 0; i < lengthof(level_words); i++)
	{
		if (strcmp(text, level_words[i]) == 0)
		{
			*value = (int) i;
			return true;
		}
	}
	return false;
}

static bool
conninfo_is_valid(const char *text)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);

	if (options == NULL)
		return false;
	PQconninfoFree(options);
	return true;
}

/*
 * Read a value into *target (a string replaces, and frees, the one there).
 * On failure says in error[] what is expected and leaves *target alone.
 */
bool
po_config_parse_value(const PoConfigItem *item, const char *text, void *target,
					  char *error, size_t error_size)
{
	char	  **string = target;

	switch (item->type)
	{
		case PO_CONFIG_BOOL:
			if (parse_bool(text, target))
				return true;
			snprintf(error, error_size, "%s must be on or off", item->name);
			return false;
		case PO_CONFIG_LOG_LEVEL:
			if (parse_level(text, target))
				return true;
			snprintf(error, error_size, "%s must be error, warning, info or debug", item->name);
			return false;
		case PO_CONFIG_CONNINFO:
			if (!conninfo_is_valid(text))
			{
				snprintf(error, error_size, "%s is not a valid connection string", item->name);
				return false;
			}
			/* FALLTHROUGH */
		case PO_CONFIG_STRING:
			free(*string);
			*string = pg_strdup(text);
			return true;
		default:
			break;
	}
	if (parse_number(item, text, target))
		return true;
	if (item->type == PO_CONFIG_OCTAL)
		snprintf(error, error_size, "%s must be an octal number from %o to %o",
				 item->name, item->min, item->max);
	else
		snprintf(error, error_size, "%s must be a number from %d to %d%s", item->name,
				 item->min, item->max,
				 item->type == PO_CONFIG_MS ? " ms; units: ms, s, min, h" :
				 item->type == PO_CONFIG_BYTES ? " bytes; units: B, kB, MB, GB" : "");
	return false;
}

/* The connection string without its passwords. */
static char *
format_conninfo(const char *text)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);
	StringInfoData out;

	initStringInfo(&out);
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
	{
		if (o->val == NULL || o->val[0] == '\0')
			continue;
		appendStringInfo(&out, "%s%s=", out.len > 0 ? " " : "", o->keyword);
		/* '*' marks what libpq itself calls a password field. */
		appendStringInfo(&out, "%s", strchr(o->dispchar, '*') != NULL ? "********" : o->val);
	}
	PQconninfoFree(options);
	return out.data;
}

/* The value as text that parses again (but for passwords); the caller frees it. */
char *
po_config_format_value(const PoConfigItem *item, const void *value)
{
	const char *const *string = value;
	const Unit *unit;
	int			number;

	switch (item->type)
	{
		case PO_CONFIG_BOOL:
			return pg_strdup(*(const bool *) value ? "on" : "off");
		case PO_CONFIG_LOG_LEVEL:
			return pg_strdup(level_words[*(const int *) value]);
		case PO_CONFIG_STRING:
			return pg_strdup(*string);
		case PO_CONFIG_CONNINFO:
			return format_conninfo(*string);
		default:
			break;
	}
	number = *(const int *) value;
	if (item->type == PO_CONFIG_OCTAL)
		return psprintf("%04o", number);
	for (unit = units_of(item->type); unit->name != NULL; unit++)
	{
		if (number != 0 && number % unit->factor == 0)
			return psprintf("%d%s", (int) (number / unit->factor), unit->name);
	}
	return psprintf("%d", number);
}
