/*
 * request.c
 *	  The HTTP request that hands a message to its provider, or asks for it: made
 *	  of the profile's templates, the account and the message.
 *
 * The same message gives the same bytes again, which is what an idempotency key
 * needs.  Everything is palloc'd in the current context; nothing is sent.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "core/args.h"
#include "core/compat.h"
#include "lib/stringinfo.h"
#include "outbound/needs.h"
#include "outbound/origin.h"
#include "outbound/request.h"
#include "outbound/template.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#define MAX_DEPTH PO_REQUEST_MAX_DEPTH
#define MAX_HEADERS 32

typedef struct Values
{
	const PoRequestInput *input;
	const char *callback_url;	/* NULL: none */
	bool		in_url;			/* values are percent-encoded */
	const char *problem;		/* of the profile, or NULL */
	const char **header;		/* of the call */
} Values;

/* Percent-encoded but for what is unreserved in a URL. */
static char *
url_encode(const char *value)
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

/* The message, and what proves that we named it; NULL: nothing can. */
static const char *
reference(const PoRequestInput *input)
{
	char		mac[PO_MAC_HEX + 1];

	if (!po_callback_mac(input->account, &input->message_id, mac))
		return NULL;
	return psprintf("%s.%s", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&input->message_id))), mac);
}

static bool
find_value(void *arg, const char *name, int name_len, const char **value, int *value_len)
{
	const Values *values = arg;
	const PoRequestInput *input = values->input;
	char	   *key = pnstrdup(name, name_len);

	if (strcmp(key, "body") == 0)
		*value = input->body;
	else if (strcmp(key, "subject") == 0)
		*value = input->subject;
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
		*value = reference(input);
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
		*value = url_encode(*value);
	*value_len = strlen(*value);
	return true;
}

static bool
has_value(Values *values, const char *name)
{
	const char *value;
	int			len;

	return find_value(values, name, strlen(name), &value, &len) && !po_template_is_blank(value, len);
}

/* Fills in a text; false: a value is missing, or the text is wrong. */
static bool
fill_in(Values *values, const char *text, int len, StringInfo out)
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

/* Where a JSON body or a form is written to. */
typedef struct BodyWriter
{
	Values	   *values;
	bool		form;
	StringInfoData out;
	int			depth;
	bool		empty[MAX_DEPTH];	/* nothing written at this depth yet */
	char	   *key[MAX_DEPTH]; /* a member's name that is not written yet */
} BodyWriter;

/* Comma and, in an object, the member's name. */
static void
begin_value(BodyWriter *writer)
{
	int			d = writer->depth;

	if (!writer->empty[d])
		appendStringInfoChar(&writer->out, writer->form ? '&' : ',');
	writer->empty[d] = false;
	if (writer->key[d] != NULL && writer->form)
		appendStringInfo(&writer->out, "%s=", url_encode(writer->key[d]));
	else if (writer->key[d] != NULL)
	{
		escape_json(&writer->out, writer->key[d]);
		appendStringInfoChar(&writer->out, ':');
	}
}

static bool
nest(BodyWriter *writer, char bracket)
{
	if (writer->depth + 1 == MAX_DEPTH)
	{
		writer->values->problem = "the body is nested too deeply";
		return false;
	}
	if (writer->form)
	{
		/* An array of a form repeats its key. */
		writer->key[writer->depth + 1] = writer->key[writer->depth];
		writer->empty[writer->depth + 1] = writer->empty[writer->depth];
	}
	else
	{
		if (writer->depth > 0)
			begin_value(writer);
		appendStringInfoChar(&writer->out, bracket);
		writer->key[writer->depth + 1] = NULL;
		writer->empty[writer->depth + 1] = true;
	}
	writer->depth++;
	return true;
}

/* False: the value is missing and may not be left out. */
static bool
write_value(BodyWriter *writer, const JsonbValue *value)
{
	StringInfoData text;

	initStringInfo(&text);
	switch (value->type)
	{
		case jbvString:
			if (!fill_in(writer->values, value->val.string.val, value->val.string.len, &text))
				return po_template_is_placeholder(value->val.string.val, value->val.string.len);
			begin_value(writer);
			if (writer->form)
				appendStringInfoString(&writer->out, url_encode(text.data));
			else
				escape_json(&writer->out, text.data);
			return true;
		case jbvNumeric:
			begin_value(writer);
			appendStringInfoString(&writer->out,
								   DatumGetCString(DirectFunctionCall1(numeric_out,
																	   NumericGetDatum(value->val.numeric))));
			return true;
		case jbvBool:
			begin_value(writer);
			appendStringInfoString(&writer->out, value->val.boolean ? "true" : "false");
			return true;
		default:
			begin_value(writer);
			appendStringInfoString(&writer->out, "null");
			return true;
	}
}

static bool
write_body(BodyWriter *writer, Jsonb *body)
{
	JsonbIterator *iterator = JsonbIteratorInit(&body->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	initStringInfo(&writer->out);
	writer->empty[0] = writer->empty[1] = true;
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		switch (token)
		{
			case WJB_BEGIN_OBJECT:
			case WJB_BEGIN_ARRAY:
				if (!nest(writer, token == WJB_BEGIN_OBJECT ? '{' : '['))
					return false;
				break;
			case WJB_END_OBJECT:
			case WJB_END_ARRAY:
				if (!writer->form)
					appendStringInfoChar(&writer->out, token == WJB_END_OBJECT ? '}' : ']');
				else
					writer->empty[writer->depth - 1] = writer->empty[writer->depth];
				writer->depth--;
				break;
			case WJB_KEY:
				writer->key[writer->depth] = pnstrdup(value.val.string.val, value.val.string.len);
				break;
			default:
				if (!write_value(writer, &value))
					return false;
		}
	}
	return true;
}

/*
 * Whether a header may be sent under a name: a colon would begin its value, and
 * Host is a part of where the request goes.
 */
static bool
is_header_name(const char *name)
{
	return name[0] != '\0' && pg_strcasecmp(name, "Host") != 0 &&
		name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] == '\0';
}

static void
add_header(Values *values, PoHttpCall *call, const char *name, const char *value)
{
	if (call->nheaders == MAX_HEADERS || !is_header_name(name) || strpbrk(value, "\r\n") != NULL)
		values->problem = "a header cannot be sent";
	else
		values->header[call->nheaders++] = psprintf("%s: %s", name, value);
}

/* The secret, where the account's requests go and nowhere else. */
static void
add_authentication(Values *values, PoHttpCall *call)
{
	const PoAccount *account = values->input->account;
	const char *how = account->profile->authentication;
	const char *secret = account->secret;

	if (strcmp(how, "none") == 0)
		return;
	if (secret == NULL)
	{
		values->problem = "its secret is missing";
		return;
	}
	call->secret = pstrdup(secret);
	if (strcmp(how, "bearer") == 0)
		add_header(values, call, "Authorization", psprintf("Bearer %s", secret));
	else if (strcmp(how, "header") == 0)
		add_header(values, call, account->profile->auth_header, secret);
	else if (strcmp(how, "basic") == 0)
	{
		char	   *plain = psprintf("%s:%s", account->username != NULL ? account->username : "", secret);
		int			len = strlen(plain);
		char	   *encoded = palloc(4 * ((len + 2) / 3) + 1);

		EVP_EncodeBlock((unsigned char *) encoded, (unsigned char *) plain, len);
		add_header(values, call, "Authorization", psprintf("Basic %s", encoded));
	}
}

static void
add_headers(Values *values, PoHttpCall *call)
{
	JsonbIterator *iterator = JsonbIteratorInit(&values->input->account->profile->headers->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		StringInfoData text;

		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE || value.type != jbvString)
			continue;
		initStringInfo(&text);
		if (fill_in(values, value.val.string.val, value.val.string.len, &text))
			add_header(values, call, name, text.data);
	}
}

/*
 * The URL, its scheme and host replaced by the account's own where it has them.
 * A secret goes with it only to where it was given for.
 */
static bool
make_url(Values *values, const PoHttpCall *call, const char *template, StringInfo url)
{
	const char *base = values->input->account->base_url;
	char		origin[PO_ORIGIN_SIZE];
	bool		filled;

	initStringInfo(url);
	if (base != NULL)
	{
		const char *host = strstr(template, "://");
		const char *path = host != NULL ? strchr(host + 3, '/') : NULL;
		int			len = strlen(base);

		while (len > 0 && base[len - 1] == '/')
			len--;
		appendBinaryStringInfo(url, base, len);
		template = path != NULL ? path : "";
	}
	values->in_url = true;
	filled = fill_in(values, template, strlen(template), url);
	values->in_url = false;
	if (filled && call->secret != NULL &&
		(!po_url_origin(url->data, origin) || strcmp(origin, values->input->account->origin) != 0))
	{
		values->problem = "the URL is of another host than the secret was given for";
		return false;
	}
	return filled;
}

/* The reference belongs to the query, which ends where a fragment begins. */
static const char *
callback_url(const PoRequestInput *input)
{
	const char *url = input->account->callback_url;
	const char *message = url != NULL ? reference(input) : NULL;
	const char *query;
	int			len;

	if (message == NULL)
		return NULL;
	len = strcspn(url, "#");
	query = memchr(url, '?', len);
	return psprintf("%.*s%smessage=%s%s", len, url,
					query == NULL ? "?" : strchr("?&", url[len - 1]) != NULL ? "" : "&",
					message, url + len);
}

static void
begin_call(Values *values, PoHttpCall *call)
{
	const PoProfile *profile = values->input->account->profile;

	memset(call, 0, sizeof(*call));
	call->connect_timeout_ms = profile->connect_timeout_ms;
	call->timeout_ms = profile->timeout_ms;
	values->header = palloc(MAX_HEADERS * sizeof(char *));
	call->header = values->header;
	add_authentication(values, call);
}

/*
 * po_send_request makes the request that sends the message; returns NULL, or a
 * phrase that says why there is none.
 */
const char *
po_send_request(const PoRequestInput *input, PoHttpCall *call)
{
	const PoProfile *profile = input->account->profile;
	const PoNeeds *needs = profile->needs;
	Values		values = {.input = input, .callback_url = callback_url(input)};
	BodyWriter	writer = {
		.values = &values, .form = strcmp(profile->content_type, "application/json") != 0
	};
	StringInfoData url;

	begin_call(&values, call);
	for (int i = 0; i < needs->n; i++)
		if (needs->need[i].needed && strcmp(needs->need[i].name, "base_url") != 0 &&
			!has_value(&values, needs->need[i].name))
			return psprintf("\"%s\" has no value, and its profile needs it", needs->need[i].name);
	call->method = "POST";
	if (!make_url(&values, call, profile->url, &url))
		return values.problem != NULL ? values.problem : "a placeholder of the profile's URL has no value";
	call->url = url.data;
	add_header(&values, call, "Content-Type", profile->content_type);
	add_headers(&values, call);
	if (profile->idempotency_header != NULL)
		add_header(&values, call, profile->idempotency_header,
				   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&input->message_id))));
	call->answer_header = profile->id_header;
	if (!write_body(&writer, profile->body))
		return values.problem != NULL ? values.problem : "a placeholder of the profile's body has no value";
	call->body = writer.out.data;
	call->body_len = writer.out.len;
	return values.problem;
}

/*
 * po_lookup_request makes the request that asks whether the message was
 * accepted, for a profile that has one; returns as po_send_request does.
 */
const char *
po_lookup_request(const PoRequestInput *input, PoHttpCall *call)
{
	Values		values = {.input = input};
	StringInfoData url;

	begin_call(&values, call);
	call->method = "GET";
	if (!make_url(&values, call, input->account->profile->lookup_url, &url))
		return values.problem != NULL ? values.problem : "a placeholder of the look-up's URL has no value";
	call->url = url.data;
	return values.problem;
}
