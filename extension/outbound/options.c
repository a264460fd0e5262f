/*
 * options.c
 *	  What a caller asks of a message beside its text: reading it, and refusing what
 *	  the message's channel or profile would lose.
 *
 * Errors name where in the document it is, never what it is.
 */
#include "postgres.h"

#include "common/address.h"
#include "common/origin.h"
#include "core/compat.h"
#include "core/limits.h"
#include "core/shape.h"
#include "lead/channel.h"
#include "outbound/options.h"
#include "utils/builtins.h"

#define MAX_ELEMENTS 10			/* of a list in a document */
#define MAX_URL_BYTES 2048

/* Reads an element of a list, palloc'd, or raises an error. */
typedef char *(*ReadElement) (const char *path, const char *text, int len);

static char *
read_address(const char *path, const char *text, int len)
{
	char		folded[PO_ADDRESS_SIZE];

	if (!po_email_fold(text, len, folded))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is not an e-mail address", path),
				 errhint("Give the address alone, without a name.")));
	return pstrdup(folded);
}

/* A provider fetches it: what is in it has to be there as it is sent. */
static char *
read_url(const char *path, const char *text, int len)
{
	char	   *url = pnstrdup(text, len);
	char		origin[PO_ORIGIN_SIZE];
	bool		good = strncmp(url, "https://", 8) == 0 && po_url_origin(url, origin);

	if (len > MAX_URL_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is longer than %d bytes", path, MAX_URL_BYTES),
				 errdetail("It has %d bytes.", len)));
	for (const char *c = url; *c != '\0' && good; c++)
		good = *c > ' ' && *c < 0x7F && strchr("\"<>\\^`{|}", *c) == NULL;
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is not an absolute https URL", path),
				 errdetail("It needs https:// and a host, behind that the end or a slash, no user or password, and "
						   "other characters than those of URLs percent-encoded.")));
	return url;
}

/*
 * po_add_address adds another to n addresses, unless it is among them, and returns
 * how many there are then.
 */
int
po_add_address(const char **address, int n, const char *another)
{
	for (int i = 0; i < n; i++)
		if (strcmp(address[i], another) == 0)
			return n;
	address[n] = another;
	return n + 1;
}

/* A string or an array of strings; each is in the list once. */
static int
read_list(const char *path, const JsonbValue *value, ReadElement read, const char ***list)
{
	JsonbContainer *array = value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data)
		? value->val.binary.data : NULL;
	int			n = array != NULL ? JsonContainerSize(array) : 1;
	int			kept = 0;

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be an empty array", path),
				 errhint("Leave it out.")));
	if (n > MAX_ELEMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s has more than %d elements", path, MAX_ELEMENTS),
				 errdetail("It has %d elements.", n)));
	*list = palloc(n * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		const JsonbValue *element = array != NULL ? getIthJsonbValueFromContainer(array, i) : value;
		const char *at = array != NULL ? psprintf("%s[%d]", path, i) : path;

		if (element->type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg(array != NULL ? "%s must be a string" : "%s must be a string or an array of strings", at),
					 errdetail("It is %s.", po_json_type(element))));
		kept = po_add_address(*list, kept, read(at, element->val.string.val, element->val.string.len));
	}
	return kept;
}

/*
 * po_read_addresses reads one e-mail address or several out of a document, folded,
 * palloc'd, each once, and returns how many; the path names the value in errors.
 */
int
po_read_addresses(const char *path, const JsonbValue *value, const char ***address)
{
	return read_list(path, value, read_address, address);
}

static void
require_known(const char *key)
{
	static const char *const known[] = {
		"account", "bcc", "cancelOnReply", "html", "mediaUrls", "subject", "variables"
	};

	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(key, known[i]) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("options.%s is not known", key),
			 errhint("Known are account, bcc, cancelOnReply, html, mediaUrls, subject and variables.")));
}

/* One member, which is there and not null. */
static void
read_option(PoSendRequest *request, const char *key, const JsonbValue *value)
{
	if (strcmp(key, "variables") == 0)
	{
		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			po_not_an_object("options.variables", value);
	}
	else if (strcmp(key, "bcc") == 0)
		request->nbcc = po_read_addresses("options.bcc", value, &request->bcc);
	else if (strcmp(key, "mediaUrls") == 0)
		request->nmedia = read_list("options.mediaUrls", value, read_url, &request->media_url);
	else if (strcmp(key, "cancelOnReply") == 0)
		return;
	else if (value->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options.%s must be a string", key)));
	else if (strcmp(key, "html") == 0)
		request->html = pnstrdup(value->val.string.val, value->val.string.len);
}

/* The option cancelOnReply, or what holds without it. */
static bool
cancels_on_reply(const PoSendRequest *request)
{
	JsonbValue	value;

	if (request->options == NULL ||
		getKeyJsonValueFromContainer(&request->options->root, "cancelOnReply", 13, &value) == NULL)
		return request->priority == PO_PRIORITY_CAMPAIGN;
	if (value.type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options.cancelOnReply must be true or false"),
				 errhint("Leave it out for what its priority has: true for campaign, else false.")));
	return value.val.boolean;
}

/*
 * po_read_options reads the options of a request, whose priority is set: a member
 * that nobody reads, or that is not what is read, is a mistake of the caller.
 */
void
po_read_options(PoSendRequest *request)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	iterator = request->options != NULL ? JsonbIteratorInit(&request->options->root) : NULL;
	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			key = po_json_key(&value);
			require_known(key);
		}
		if (token == WJB_VALUE && value.type != jbvNull)
			read_option(request, key, &value);
	}
	request->cancel_on_reply = cancels_on_reply(request);
}

/*
 * po_has_no_place tells that a message of the profile would lose what the placeholder
 * stands for, and sets a hint; NULL where it would not.  The path is where that comes from.
 */
const char *
po_has_no_place(const PoProfile *profile, const char *placeholder, const char *path, const char **hint)
{
	if (!po_channel_has(profile->channel, placeholder))
	{
		*hint = psprintf("It is for %s.", po_channels_with(placeholder));
		return psprintf("%s cannot be sent in channel \"%s\"", path, profile->channel);
	}
	*hint = "Send through an account, named in options.account, whose profile has it, "
		"or add it to the body of a profile of the tenant's own.";
	return po_has_place(profile->needs, placeholder) ? NULL
		: psprintf("%s cannot be sent: profile \"%s\" has no placeholder \"%s\"", path, profile->profile, placeholder);
}
