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

#include "common/origin.h"
#include "core/compat.h"
#include "lib/stringinfo.h"
#include "sender/request.h"
#include "sender/request_body.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#define MAX_HEADERS 32

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
add_header(PoRequestValues *values, PoHttpCall *call, const char *name, const char *value)
{
	if (call->nheaders == MAX_HEADERS || !is_header_name(name) || strpbrk(value, "\r\n") != NULL)
		values->problem = "a header cannot be sent";
	else
		values->header[call->nheaders++] = psprintf("%s: %s", name, value);
}

/* The secret, where the account's requests go and nowhere else. */
static void
add_authentication(PoRequestValues *values, PoHttpCall *call)
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
add_headers(PoRequestValues *values, PoHttpCall *call)
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
		if (po_fill_in(values, value.val.string.val, value.val.string.len, &text))
			add_header(values, call, name, text.data);
	}
}

/*
 * The URL, its scheme and host replaced by the account's own where it has them.
 * A secret goes with it only to where it was given for.
 */
static bool
make_url(PoRequestValues *values, const PoHttpCall *call, const char *template, StringInfo url)
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
	filled = po_fill_in(values, template, strlen(template), url);
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
	const char *message = url != NULL ? po_reference(input) : NULL;
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
begin_call(PoRequestValues *values, PoHttpCall *call)
{
	const PoProfile *profile = values->input->account->profile;

	memset(call, 0, sizeof(*call));
	call->connect_timeout_ms = profile->connect_timeout_ms;
	call->timeout_ms = profile->timeout_ms;
	values->header = palloc(MAX_HEADERS * sizeof(char *));
	call->header = values->header;
	add_authentication(values, call);
}

/* What the message has and would lose, or NULL. */
static const char *
without_place(const PoRequestInput *input)
{
	const PoNeeds *needs = input->account->profile->needs;

	if (input->content.html != NULL && !po_has_place(needs, "html"))
		return "html";
	if (input->content.nbcc > 0 && !po_has_place(needs, "bcc"))
		return "bcc";
	return input->content.nmedia > 0 && !po_has_place(needs, "media_urls") ? "media_urls" : NULL;
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
	PoRequestValues values = {
		.input = input, .callback_url = callback_url(input), .list = PO_NO_LIST
	};
	bool		form = strcmp(profile->content_type, "application/json") != 0;
	StringInfoData url;
	StringInfoData body;

	begin_call(&values, call);
	if (without_place(input) != NULL)
		return psprintf("its profile has no place for \"%s\"", without_place(input));
	for (int i = 0; i < needs->n; i++)
		if (needs->need[i].needed && strcmp(needs->need[i].name, "base_url") != 0 &&
			!po_has_value(&values, needs->need[i].name))
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
	initStringInfo(&body);
	if (!po_write_body(&values, form, profile->body, &body))
		return values.problem != NULL ? values.problem : "a placeholder of the profile's body has no value";
	call->body = body.data;
	call->body_len = body.len;
	return values.problem;
}

/*
 * po_lookup_request makes the request that asks whether the message was
 * accepted, for a profile that has one; returns as po_send_request does.
 */
const char *
po_lookup_request(const PoRequestInput *input, PoHttpCall *call)
{
	PoRequestValues values = {.input = input, .list = PO_NO_LIST};
	StringInfoData url;

	begin_call(&values, call);
	call->method = "GET";
	if (!make_url(&values, call, input->account->profile->lookup_url, &url))
		return values.problem != NULL ? values.problem : "a placeholder of the look-up's URL has no value";
	call->url = url.data;
	return values.problem;
}
