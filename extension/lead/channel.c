/*
 * channel.c
 *	  The channels that messages leave in, and what each of them is.
 *
 * Whoever wants to know something of a channel asks this table; constraints of
 * columns ask it for the names.
 */
#include "postgres.h"

#include "core/compat.h"
#include "lead/channel.h"
#include "lib/stringinfo.h"

static const PoChannel channel[] = {
	{PO_CHANNEL_SMS, PO_TO_PHONE, true, {"media_urls"},
	 "Text messages, and with media MMS."},
	{"call", PO_TO_PHONE, false, {NULL},
	 "Calls: the provider says the text, or hands it to whoever calls."},
	{PO_CHANNEL_EMAIL, PO_TO_EMAIL, false, {"html", "bcc"},
	 "Mail."},
	{"webhook", PO_TO_LEAD, false, {"html", "bcc", "media_urls"},
	 "Requests to a program of the tenant's own, which knows the lead by its id."}
};

static bool
is_any(const PoChannel *c)
{
	return true;
}

static bool
is_of_phones(const PoChannel *c)
{
	return c->goes_to == PO_TO_PHONE;
}

static bool
is_of_addresses(const PoChannel *c)
{
	return c->goes_to != PO_TO_LEAD;
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

/*
 * po_channel returns the i-th of all channels, NULL behind the last.
 */
const PoChannel *
po_channel(int i)
{
	return i < lengthof(channel) ? &channel[i] : NULL;
}

/*
 * po_find_channel returns the one of that name, or NULL.
 */
const PoChannel *
po_find_channel(const char *name)
{
	for (int i = 0; i < lengthof(channel); i++)
		if (strcmp(channel[i].name, name) == 0)
			return &channel[i];
	return NULL;
}

/* Why a name is none of the channels that are wanted, or NULL. */
static const char *
problem_of(const char *path, const char *name, bool (*is_wanted) (const PoChannel *c))
{
	const PoChannel *found = po_find_channel(name);
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
	const PoChannel *c = po_find_channel(name);

	return c != NULL && is_of_phones(c);
}

/*
 * po_goes_to_email tells whether it goes to an e-mail address.
 */
bool
po_goes_to_email(const char *name)
{
	const PoChannel *c = po_find_channel(name);

	return c != NULL && c->goes_to == PO_TO_EMAIL;
}

/*
 * po_goes_to_address tells whether it goes to a person's address, whose consent and
 * lock count: the registry has a row of it.
 */
bool
po_goes_to_address(const char *name)
{
	const PoChannel *c = po_find_channel(name);

	return c != NULL && is_of_addresses(c);
}

/*
 * po_has_segments tells whether its texts are sent and paid in parts.
 */
bool
po_has_segments(const char *name)
{
	const PoChannel *c = po_find_channel(name);

	return c != NULL && c->segments;
}

static bool
has_part(const PoChannel *c, const char *placeholder)
{
	for (int i = 0; i < PO_MOST_PARTS && c->part[i] != NULL; i++)
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
	const PoChannel *c = po_find_channel(name);

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
