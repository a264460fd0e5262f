/*
 * envelope.c
 *	  A request as the shim, or anybody else, packs it into one JSON object.
 *
 * Nothing here is trusted, and nothing raises: an envelope that cannot be used
 * is a refused webhook, and its neighbours in the batch do not notice.
 */
#include "postgres.h"

#include "common/base64.h"
#include "core/compat.h"
#include "core/ids.h"
#include "inbound/webhook.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#define MAX_BODY		1048576 /* SendGrid fills up to 768 kB with events */
#define MAX_QUERY		262144	/* which is what a GET has instead */
#define MAX_HEADERS		128
#define SOME_HEADERS	16		/* more are rare */

static bool
get_string(JsonbContainer *container, const char *key, PoBytes *bytes)
{
	JsonbValue	value;

	if (!JsonContainerIsObject(container) ||
		getKeyJsonValueFromContainer(container, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
		return false;
	bytes->data = value.val.string.val;
	bytes->len = value.val.string.len;
	return true;
}

static void
add_header(PoWebhookRequest *request, PoBytes name, const JsonbValue *value)
{
	PoHeader   *header;
	char	   *lower;

	if (value->type != jbvString || request->nheaders == MAX_HEADERS)
		return;
	if (request->nheaders == 0)
		request->header = palloc(SOME_HEADERS * sizeof(PoHeader));
	else if (request->nheaders == SOME_HEADERS)
		request->header = repalloc(request->header, MAX_HEADERS * sizeof(PoHeader));
	header = &request->header[request->nheaders++];
	lower = palloc(Max(name.len, 1));
	for (int i = 0; i < name.len; i++)
		lower[i] = pg_ascii_tolower((unsigned char) name.data[i]);
	header->name.data = lower;
	header->name.len = name.len;
	header->value.data = value->val.string.val;
	header->value.len = value->val.string.len;
}

static void
read_headers(PoWebhookRequest *request, JsonbContainer *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	PoBytes		name = {0};
	int			depth = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
			depth++;
		else if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_KEY && depth == 1)
		{
			name.data = value.val.string.val;
			name.len = value.val.string.len;
		}
		else if ((token == WJB_VALUE && depth == 1) || (token == WJB_ELEM && depth == 2))
			add_header(request, name, &value);
	}
}

static bool
read_uuid(PoBytes text, pg_uuid_t *uuid)
{
	char		digits[UUID_LEN * 2];
	int			n = 0;

	for (int i = 0; i < text.len; i++)
	{
		if (text.data[i] == '-')
			continue;
		if (n == sizeof(digits))
			return false;
		digits[n++] = text.data[i];
	}
	return n == sizeof(digits) && po_hex_decode(digits, n, uuid->data, UUID_LEN);
}

static bool
is_method(PoBytes text, const char *method)
{
	return text.len == strlen(method) && pg_strncasecmp(text.data, method, text.len) == 0;
}

static void
refuse(PoWebhook *webhook, int http_status, const char *problem)
{
	po_refuse(webhook, PO_INGEST_REJECTED, http_status, problem);
}

/*
 * po_read_envelope fills in the request of a zeroed webhook, which points into
 * the envelope from then on; refuses it when it cannot.
 */
void
po_read_envelope(PoWebhook *webhook, Jsonb *envelope)
{
	PoWebhookRequest *request = &webhook->request;
	JsonbContainer *root;
	JsonbValue	headers;
	PoBytes		text;

	po_uuid_v7(&request->correlation_id);
	if (envelope == NULL || !JB_ROOT_IS_OBJECT(envelope))
	{
		JsonbValue	value = {0};
		bool		twice = envelope != NULL && JB_ROOT_IS_SCALAR(envelope) &&
			JsonbExtractScalar(&envelope->root, &value) && value.type == jbvString;

		refuse(webhook, 400, twice
			   ? "the envelope is a JSON string: pass the object itself, without JSON.stringify() or ::text"
			   : "the envelope is not an object");
		return;
	}
	root = &envelope->root;
	if (get_string(root, "correlation_id", &text) || get_string(root, "correlationId", &text))
		(void) read_uuid(text, &request->correlation_id);
	if (!get_string(root, "path", &request->path) || request->path.len == 0)
	{
		refuse(webhook, 400, "the envelope has no path");
		return;
	}
	if (get_string(root, "method", &text) && !is_method(text, "POST"))
	{
		request->is_get = is_method(text, "GET");
		if (!request->is_get)
		{
			refuse(webhook, 405, PO_NOT_POST);
			return;
		}
	}
	(void) get_string(root, "query", &request->query);
	if (getKeyJsonValueFromContainer(root, "headers", 7, &headers) != NULL &&
		headers.type == jbvBinary && JsonContainerIsObject(headers.val.binary.data))
		read_headers(request, headers.val.binary.data);

	if (get_string(root, "body_base64", &text) || get_string(root, "bodyBase64", &text))
	{
		int			size = text.len / 4 * 3;
		uint8	   *bytes = palloc(Max(size, 1));
		int			len = size <= MAX_BODY + 3 ? po_base64_decode(text.data, text.len, bytes, size) : 0;

		if (len < 0)
		{
			refuse(webhook, 400, "body_base64 is not base64");
			return;
		}
		request->body.data = (char *) bytes;
		request->body.len = size <= MAX_BODY + 3 ? len : size;
	}
	else if (!get_string(root, "body", &request->body))
	{
		request->body.data = "";
		request->body.len = 0;
	}
	if (request->body.len > MAX_BODY)
		refuse(webhook, 413, "the body is longer than 1048576 bytes");
	else if (request->is_get && request->body.len > 0)
		refuse(webhook, 400, "a GET has no body");
	else if (request->is_get && request->query.len > MAX_QUERY)
		refuse(webhook, 414, "the query is longer than 262144 bytes");
}
