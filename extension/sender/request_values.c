/*
 * request_values.c
 *	  The values of a request's placeholders: of the message, the account and its
 *	  settings.
 *
 * A list has one value at a time, while the part of the body that stands for it is
 * being written, and elsewhere none.  Everything is palloc'd in the current context.
 */
#include "postgres.h"

#include "common/template.h"
#include "core/args.h"
#include "core/compat.h"
#include "sender/request_values.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* In the order of PoList. */
static const char *const list_name[] = {"bcc", "media_urls"};

/*
 * po_url_encode percent-encodes a value but for what is unreserved in a URL.
 */
char *
po_url_encode(const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	StringInfoData out;

	initStringInfo(&out);
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			*c == '-' || *c == '.' || *c == '_' || *c == '~')
			appendStringInfoChar(&out, *c);
		else
		{
			appendStringInfoChar(&out, '%');
			appendStringInfoChar(&out, hex[*c >> 4]);
			appendStringInfoChar(&out, hex[*c & 15]);
		}
	}
	return out.data;
}

static char *
digits(const char *value)
{
	char	   *copy = value != NULL ? pstrdup(value) : NULL;
	char	   *end = copy;

	for (const char *c = copy; c != NULL && *c != '\0'; c++)
		if (*c >= '0' && *c <= '9')
			*end++ = *c;
	if (copy != NULL)
		*end = '\0';
	return copy;
}

static char *
utc_day(TimestampTz time)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		return NULL;
	return psprintf("%04d-%02d-%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/*
 * po_reference returns what names the message and proves that we named it; NULL:
 * nothing can.
 */
const char *
po_reference(const PoRequestInput *input)
{
	char		mac[PO_MAC_HEX + 1];

	if (!po_callback_mac(input->account, &input->message_id, mac))
		return NULL;
	return psprintf("%s.%s", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&input->message_id))), mac);
}

/*
 * po_list_from_name returns the list that a placeholder's name means.
 */
PoList
po_list_from_name(const char *name, int len)
{
	for (int i = 0; i < lengthof(list_name); i++)
		if (strlen(list_name[i]) == len && memcmp(list_name[i], name, len) == 0)
			return i;
	return PO_NO_LIST;
}

/*
 * po_list_values returns how many values a list has, and which.
 */
int
po_list_values(const PoRequestInput *input, PoList list, const char *const **value)
{
	*value = list == PO_LIST_BCC ? input->content.bcc : input->content.media_url;
	return list == PO_LIST_BCC ? input->content.nbcc : input->content.nmedia;
}

static bool
find_value(void *arg, const char *name, int name_len, const char **value, int *value_len)
{
	const PoRequestValues *values = arg;
	const PoRequestInput *input = values->input;
	PoList		list = po_list_from_name(name, name_len);
	char	   *key = pnstrdup(name, name_len);

	if (list != PO_NO_LIST)
		*value = list == values->list ? values->item : NULL;
	else if (strcmp(key, "body") == 0)
		*value = input->content.body;
	else if (strcmp(key, "html") == 0)
		*value = input->content.html;
	else if (strcmp(key, "subject") == 0)
		*value = input->content.subject;
	else if (strcmp(key, "to") == 0)
		*value = input->to;
	else if (strcmp(key, "to_digits") == 0)
		*value = digits(input->to);
	else if (strcmp(key, "from") == 0)
		*value = input->from;
	else if (strcmp(key, "from_digits") == 0)
		*value = digits(input->from);
	else if (strcmp(key, "username") == 0)
		*value = input->account->username;
	else if (strcmp(key, "message_id") == 0)
		*value = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&input->message_id)));
	else if (strcmp(key, "reference") == 0)
		*value = po_reference(input);
	else if (strcmp(key, "callback_url") == 0)
		*value = values->callback_url;
	else if (strcmp(key, "sent_date") == 0)
		*value = utc_day(input->started_at);
	else if (strcmp(key, "sent_date_next") == 0)
		*value = utc_day(input->started_at + USECS_PER_DAY);
	else
		*value = po_jsonb_text(input->account->settings, name, name_len);
	if (*value == NULL || **value == '\0')
		return false;
	if (values->in_url)
		*value = po_url_encode(*value);
	*value_len = strlen(*value);
	return true;
}

/*
 * po_has_value tells whether a placeholder has a value, a list at least one.
 */
bool
po_has_value(PoRequestValues *values, const char *name)
{
	PoList		list = po_list_from_name(name, strlen(name));
	const char *const *item;
	const char *value;
	int			len;

	if (list != PO_NO_LIST)
		return po_list_values(values->input, list, &item) > 0;
	return find_value(values, name, strlen(name), &value, &len) && !po_template_is_blank(value, len);
}

/*
 * po_fill_in fills in a text of the profile; false: a value is missing, or the text
 * is wrong, which is the problem then.
 */
bool
po_fill_in(PoRequestValues *values, const char *text, int len, StringInfo out)
{
	PoTemplateProblem problem;

	switch (po_template_render(PO_TEMPLATE_OF_PROFILE, text, len, find_value, values, out, &problem))
	{
		case PO_TEMPLATE_OK:
			return true;
		case PO_TEMPLATE_MISSING:
			return false;
		default:
			values->problem = problem.reason;
			return false;
	}
}
