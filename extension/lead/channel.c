/*
 * channel.c
 *	  The channels that messages leave in, and what each of them is.
 *
 * Whoever wants to know something of a channel asks this table; constraints of
 * columns ask it for the names.
 */
#include "postgres.h"

#include "core/args.h"
#include "core/compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lead/channel.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#define MOST_PARTS 3

/* Where a message of a channel goes. */
typedef enum GoesTo
{
	TO_PHONE,					/* from one of the tenant's numbers */
	TO_EMAIL,
	TO_LEAD						/* to no address */
} GoesTo;

static const char *const goes_to_name[] = {"phone", "email", "lead"};

typedef struct Channel
{
	const char *name;
	GoesTo		goes_to;
	bool		segments;		/* its texts are sent and paid in parts */
	const char *part[MOST_PARTS];	/* what it has beside its text, as placeholders */
	const char *description;
} Channel;

static const Channel channel[] = {
	{PO_CHANNEL_SMS, TO_PHONE, true, {"media_urls"},
	"Text messages, and with media MMS."},
	{"call", TO_PHONE, false, {NULL},
	"Calls: the provider says the text, or hands it to whoever calls."},
	{PO_CHANNEL_EMAIL, TO_EMAIL, false, {"html", "bcc"},
	"Mail."},
	{"webhook", TO_LEAD, false, {"html", "bcc", "media_urls"},
	"Requests to a program of the tenant's own, which knows the lead by its id."}
};

PG_FUNCTION_INFO_V1(po_channels);
PG_FUNCTION_INFO_V1(po_is_channel);
PG_FUNCTION_INFO_V1(po_require_channel);

static bool
is_any(const Channel *c)
{
	return true;
}

static bool
is_of_phones(const Channel *c)
{
	return c->goes_to == TO_PHONE;
}

static bool
is_of_addresses(const Channel *c)
{
	return c->goes_to != TO_LEAD;
}

/*
 * po_phone_channel_name returns the i-th of those that go to phones, NULL behind the
 * last.
 */
const char *
po_phone_channel_name(int i)
{
	for (int c = 0; c < lengthof(channel); c++)
		if (is_of_phones(&channel[c]) && i-- == 0)
			return channel[c].name;
	return NULL;
}

static const Channel *
find(const char *name)
{
	for (int i = 0; i < lengthof(channel); i++)
		if (strcmp(channel[i].name, name) == 0)
			return &channel[i];
	return NULL;
}

/* Why a name is none of the channels that are wanted, or NULL. */
static const char *
problem_of(const char *path, const char *name, bool (*is_wanted) (const Channel *c))
{
	const Channel *found = find(name);
	const char *last = NULL;
	StringInfoData wanted;

	if (found != NULL && is_wanted(found))
		return NULL;
	initStringInfo(&wanted);
	for (int i = 0; i < lengthof(channel); i++)
	{
		if (!is_wanted(&channel[i]))
			continue;
		if (last != NULL)
			appendStringInfo(&wanted, "%s%s", wanted.len > 0 ? ", " : "", last);
		last = channel[i].name;
	}
	return psprintf("%s must be %s or %s", path, wanted.data, last);
}

static void
require(const char *problem)
{
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", problem)));
}

/*
 * po_channel_problem returns what is wrong with a name that is no channel, palloc'd, or
 * NULL; the path is for it.
 */
const char *
po_channel_problem(const char *path, const char *name)
{
	return problem_of(path, name, is_any);
}

/*
 * po_channel_require raises an error for what is no channel.
 */
void
po_channel_require(const char *path, const char *name)
{
	require(problem_of(path, name, is_any));
}

/*
 * po_address_channel_require does so, too, for one that goes to no address.
 */
void
po_address_channel_require(const char *path, const char *name)
{
	require(problem_of(path, name, is_of_addresses));
}

/*
 * po_goes_to_phone tells whether what leaves in a channel goes to a phone, and from
 * one of the tenant's numbers.
 */
bool
po_goes_to_phone(const char *name)
{
	const Channel *c = find(name);

	return c != NULL && is_of_phones(c);
}

/*
 * po_goes_to_email tells whether it goes to an e-mail address.
 */
bool
po_goes_to_email(const char *name)
{
	const Channel *c = find(name);

	return c != NULL && c->goes_to == TO_EMAIL;
}

/*
 * po_goes_to_address tells whether it goes to a person's address, whose consent and
 * lock count: the registry has a row of it.
 */
bool
po_goes_to_address(const char *name)
{
	const Channel *c = find(name);

	return c != NULL && is_of_addresses(c);
}

/*
 * po_has_segments tells whether its texts are sent and paid in parts.
 */
bool
po_has_segments(const char *name)
{
	const Channel *c = find(name);

	return c != NULL && c->segments;
}

static bool
has_part(const Channel *c, const char *placeholder)
{
	for (int i = 0; i < MOST_PARTS && c->part[i] != NULL; i++)
		if (strcmp(c->part[i], placeholder) == 0)
			return true;
	return false;
}

/*
 * po_channel_has tells whether messages of a channel have what the placeholder
 * stands for.
 */
bool
po_channel_has(const char *name, const char *placeholder)
{
	const Channel *c = find(name);

	return c != NULL && has_part(c, placeholder);
}

/*
 * po_channels_with returns the channels that have it, palloc'd: "email and webhook".
 */
const char *
po_channels_with(const char *placeholder)
{
	StringInfoData with;

	initStringInfo(&with);
	for (int i = 0; i < lengthof(channel); i++)
		if (has_part(&channel[i], placeholder))
			appendStringInfo(&with, "%s%s", with.len > 0 ? " and " : "", channel[i].name);
	return with.data;
}

/*
 * channels(): a row for each.
 */
Datum
po_channels(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(channel); i++)
	{
		const Channel *c = &channel[i];
		bool		isnull[5] = {false};
		Datum		values[5] = {
			CStringGetTextDatum(c->name),
			CStringGetTextDatum(goes_to_name[c->goes_to]),
			BoolGetDatum(c->segments)
		};
		int			n = 0;

		while (n < MOST_PARTS && c->part[n] != NULL)
			n++;
		values[3] = po_result_texts(c->part, n);
		values[4] = CStringGetTextDatum(c->description);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	return (Datum) 0;
}

/*
 * is_channel(name): whether there is one.
 */
Datum
po_is_channel(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(find(text_to_cstring(PG_GETARG_TEXT_PP(0))) != NULL);
}

/*
 * require_channel(channel): an error for what is none, and for null.
 */
Datum
po_require_channel(PG_FUNCTION_ARGS)
{
	po_channel_require("channel", PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}
