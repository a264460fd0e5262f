/*
 * normalize.c
 *	  From the bytes of a request to named fields, a kind and a key, and what they say.
 *
 * Which key of which payload carries which field, what makes a payload a kind,
 * and what its idempotency key is made of are rows (provider_map.c); this file
 * only follows them; what the fields say the handlers read (kinds.h).  No locks, no
 * statements but those that fill a cache, nothing raises but lack of memory.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "common/document.h"
#include "common/signature.h"
#include "core/compat.h"
#include "inbound/kinds.h"
#include "utils/timestamp.h"

#define MAX_KEY_LEN 255
#define MAX_INNER 4

/* A payload in the text of another. */
typedef struct Inner
{
	int			at;				/* the node that has the text */
	PoDocument	document;
} Inner;

/* A body that is being read. */
typedef struct Body
{
	PoDocument	document;
	bool		has_inner;		/* a text of it may be JSON */
	Inner		inner[MAX_INNER];	/* those that were read */
	int			ninner;
} Body;

/* Whether the text of a node may be JSON itself. */
static bool
may_be_inner(const PoNode *node)
{
	return node->type == PO_NODE_STRING && node->text_len > 1 &&
		(node->text[0] == '{' || node->text[0] == '[');
}

static void
read_body(Body *body, const PoWebhookRequest *request)
{
	if (request->form_encoded)
		(void) po_document_parse_form(&body->document, request->body.data, request->body.len, &po_document_limits);
	else
		(void) po_document_parse_json(&body->document, request->body.data, request->body.len, &po_document_limits);
	for (int i = 0; i < body->document.nnodes && !body->has_inner; i++)
		body->has_inner = may_be_inner(&body->document.node[i]);
}

/* The document in the text of a node; one without nodes where it cannot be read. */
static const PoDocument *
inner_document(Body *body, int at)
{
	const PoNode *node = &body->document.node[at];
	Inner	   *inner;

	for (int i = 0; i < body->ninner; i++)
		if (body->inner[i].at == at)
			return &body->inner[i].document;
	if (body->ninner == MAX_INNER)
		return NULL;
	inner = &body->inner[body->ninner++];
	inner->at = at;
	(void) po_document_parse_json(&inner->document, node->text, node->text_len, &po_document_limits);
	return &inner->document;
}

/* Where the path leads through a text that is JSON: a payload inside of a payload. */
static bool
read_inner(Body *body, const PoPath *path, PoBytes *value)
{
	for (int n = path->nkeys - 1; n > 0; n--)
	{
		int			at = po_document_path(&body->document, path->key, n);
		const PoDocument *inner;

		if (at < 0 || !may_be_inner(&body->document.node[at]))
			continue;
		inner = inner_document(body, at);
		return inner != NULL &&
			po_document_scalar(inner, po_document_path(inner, path->key + n, path->nkeys - n),
							   &value->data, &value->len);
	}
	return false;
}

static bool
read_value(Body *body, const PoPath *path, PoBytes *value)
{
	const PoDocument *document = &body->document;
	bool		found = po_document_scalar(document, po_document_path(document, path->key, path->nkeys),
										   &value->data, &value->len) ||
		(body->has_inner && read_inner(body, path, value));

	for (int i = 0; found && i < path->nends; i++)
	{
		const char *end = memmem(value->data, value->len, path->end[i], strlen(path->end[i]));

		if (end != NULL)
			value->len = end - value->data;
		found = value->len > 0;
	}
	if (!found)
		value->data = NULL;
	return found;
}

/*
 * po_value_is tells whether a field has a value, in whatever case.
 */
bool
po_value_is(const PoBytes *value, const char *wanted)
{
	return value->data != NULL && value->len == strlen(wanted) &&
		pg_strncasecmp(value->data, wanted, value->len) == 0;
}

/* A prefix is compared byte for byte: what follows it is the provider's own. */
static bool
field_matches(const PoBytes *value, const char *wanted)
{
	int			len = strlen(wanted);

	if (value->data == NULL)
		return false;
	if (len > 0 && wanted[len - 1] == '*')
		return value->len >= len - 1 && memcmp(value->data, wanted, len - 1) == 0;
	return po_value_is(value, wanted);
}

/*
 * po_condition_value returns the first of the condition's values that the field has;
 * NULL: none.
 */
const char *
po_condition_value(const PoCondition *condition, const PoBytes *value)
{
	for (int v = 0; v < condition->nvalues; v++)
		if (field_matches(&value[condition->field], condition->value[v]))
			return condition->value[v];
	return NULL;
}

static bool
kind_matches(const PoKind *kind, const PoBytes *value)
{
	for (int c = 0; c < kind->nconditions; c++)
		if (po_condition_value(&kind->condition[c], value) == NULL)
			return false;
	return true;
}

/*
 * Providers spell the name of an event in more than one case.  From here on it is
 * spelt as in the row: a key that is made of it is the same for all.
 */
static void
spell_as_kind(const PoKind *kind, PoBytes *value)
{
	for (int c = 0; c < kind->nconditions; c++)
	{
		const char *wanted = po_condition_value(&kind->condition[c], value);

		if (po_value_is(&value[kind->condition[c].field], wanted))
			value[kind->condition[c].field].data = wanted;
	}
}

static char *
digest_key(const uint8 digest[PO_SHA256_LEN])
{
	char	   *key = palloc(7 + 2 * PO_SHA256_LEN + 1);

	memcpy(key, "sha256:", 7);
	for (int i = 0; i < PO_SHA256_LEN; i++)
		snprintf(key + 7 + 2 * i, 3, "%02x", digest[i]);
	return key;
}

/* The key, or its digest: an index cannot hold a key of any length. */
static char *
short_key(char *key)
{
	uint8		digest[PO_SHA256_LEN];
	PoBytes		bytes = {key, strlen(key)};

	if (bytes.len <= MAX_KEY_LEN)
		return key;
	if (!po_sha256(bytes, digest))
		elog(ERROR, "could not compute a digest");
	return digest_key(digest);
}

static char *
make_key(const PoKeyForm *form, const PoBytes *value)
{
	int			len = 0;
	char	   *key;
	char	   *end;

	for (int i = 0; i < form->nfields; i++)
	{
		const PoBytes *v = &value[form->field[i]];

		if (v->data == NULL && !form->optional[i])
			return NULL;
		len += v->data != NULL ? v->len + 1 : 0;
	}
	if (len == 0)
		return NULL;
	key = end = palloc(len);
	for (int i = 0; i < form->nfields; i++)
	{
		const PoBytes *v = &value[form->field[i]];

		if (v->data == NULL)
			continue;
		if (end > key)
			*end++ = ':';
		memcpy(end, v->data, v->len);
		end += v->len;
	}
	*end = '\0';
	return short_key(key);
}

static bool
has_form(const PoBytes *value, const PoForm *form)
{
	int			rest = value->data != NULL ? value->len - form->prefix_len : -form->prefix_len;

	if (rest < form->min || rest > form->max ||
		(form->prefix_len > 0 && memcmp(value->data, form->prefix, form->prefix_len) != 0))
		return false;
	/* A field that may be absent has the empty form. */
	if (value->data == NULL)
		return form->class == '\0';
	for (int i = form->prefix_len; i < value->len; i++)
	{
		char		c = value->data[i];
		bool		digit = c >= '0' && c <= '9';

		if ((form->class == 'd' && !digit) || (form->class == 'h' && !digit && (c < 'a' || c > 'f')))
			return false;
	}
	return true;
}

static bool
has_one_form(const PoBytes *value, const PoFieldForms *forms)
{
	for (int f = 0; f < forms->nforms; f++)
		if (has_form(value, &forms->form[f]))
			return true;
	return false;
}

static bool
contains(const char *text, int len, const char *name)
{
	return len > 0 && memmem(text, len, name, strlen(name)) != NULL;
}

/* A name as Twilio gives its parameters, and nothing that has swallowed values. */
static bool
is_plain_name(const char *key, int len)
{
	if (len > 64)
		return false;
	for (int i = 0; i < len; i++)
		if (!isalnum((unsigned char) key[i]) && (key[i] == '\0' || strchr("_.-", key[i]) == NULL))
			return false;
	return true;
}

/*
 * Whether a form that is signed without separators could have been another one:
 * the name of a field that its key is made of stands inside of a value, of another
 * name, or of the query (of a GET the form itself).  In what the provider signed it
 * stands where the field begins, unless somebody has put it into a text.
 */
static bool
could_be_divided_anew(const PoWebhookRequest *request, const PoProviderMap *map, const PoKind *kind)
{
	PoFormPair *pair;
	int			npairs = po_form_pairs(request->body, &pair);

	/* More have not been looked at; a POST of so many is not even taken. */
	if (npairs > PO_MAX_SIGNED_PAIRS || (!request->is_get && request->query.len > PO_SIGNED_QUERY_MAX))
		return true;
	for (int p = 0; p < npairs; p++)
		if (!is_plain_name(pair[p].key.data, pair[p].key.len))
			return true;
	for (int k = 0; k < kind->nkeys; k++)
	{
		for (int f = 0; f < kind->key[k].nfields; f++)
		{
			const PoFieldMap *field = &map->field[kind->key[k].field[f]];

			for (int i = 0; i < field->npaths; i++)
			{
				const char *name = field->path[i].key[0];

				for (int p = 0; p < npairs; p++)
					if (contains(pair[p].value.data, pair[p].value.len, name))
						return true;
				if (!request->is_get && contains(request->query.data, request->query.len, name))
					return true;
			}
		}
	}
	return false;
}

static bool
is_in_key(const PoKind *kind, int field)
{
	for (int k = 0; k < kind->nkeys; k++)
		for (int f = 0; f < kind->key[k].nfields; f++)
			if (kind->key[k].field[f] == field)
				return true;
	return false;
}

/*
 * Why a payload may not have its kind's effect, as a fixed phrase, or NULL.  What
 * its key is made of must have its form always, the other fields where the proof
 * does not hold them apart.
 */
static const char *
find_flaw(const PoWebhook *webhook)
{
	const PoWebhookReading *reading = &webhook->reading;
	const PoKind *kind = reading->kind;
	bool		divided = webhook->endpoint->credential.scheme != PO_SCHEME_TWILIO ||
		!webhook->request.form_encoded;

	if (kind == NULL)
		return "no row tells what kind it is of";
	if (kind->effect == PO_KIND_EFFECT_LOG && kind->nrevoked_by == 0 && kind->nemail_revoked_by == 0 &&
		kind->nunreachable_by == 0)
		return NULL;
	for (int i = 0; i < kind->nforms; i++)
		if ((!divided || is_in_key(kind, kind->forms[i].field)) &&
			!has_one_form(&reading->value[kind->forms[i].field], &kind->forms[i]))
			return "a field is missing, or has not the form that the provider gives it";
	if (divided)
		return NULL;
	if (reading->key == NULL)
		return "it has no id, and its signature does not hold its fields apart";
	if (could_be_divided_anew(&webhook->request, webhook->endpoint->map, kind))
		return "its signature would fit other fields";
	return NULL;
}

/* As many bits as fit into a double: clients read whole numbers as such. */
static int64
body_hash(const uint8 digest[PO_SHA256_LEN])
{
	int64		hash;

	memcpy(&hash, digest, sizeof(hash));
	return hash & INT64CONST(0x1fffffffffffff);
}

/*
 * A body that cannot be parsed is of unknown kind, its key the digest of its bytes, its
 * problem the parser's.  One that may not have its kind's effect has the digest, too: it
 * must not take the place of the one that may.
 */
static void
read_fields_kind_and_key(PoWebhook *webhook)
{
	const PoProviderMap *map = webhook->endpoint->map;
	PoWebhookReading *reading = &webhook->reading;
	Body		body = {.ninner = 0};
	uint8		digest[PO_SHA256_LEN];

	if (!po_sha256(webhook->request.body, digest))
		elog(ERROR, "could not compute a digest");
	reading->body_hash = body_hash(digest);
	reading->event_type = "unknown";
	reading->value = palloc0(Max(map->nfields, 1) * sizeof(PoBytes));
	read_body(&body, &webhook->request);
	if (body.document.error != NULL)
	{
		reading->problem = body.document.error;
		reading->key = digest_key(digest);
		return;
	}
	for (int f = 0; f < map->nfields; f++)
		for (int p = 0; p < map->field[f].npaths; p++)
			if (read_value(&body, &map->field[f].path[p], &reading->value[f]))
				break;
	for (int k = 0; k < map->nkinds && reading->kind == NULL; k++)
		if (kind_matches(&map->kind[k], reading->value))
			reading->kind = &map->kind[k];
	if (reading->kind != NULL)
	{
		spell_as_kind(reading->kind, reading->value);
		reading->event_type = reading->kind->event_type;
		for (int k = 0; k < reading->kind->nkeys && reading->key == NULL; k++)
			reading->key = make_key(&reading->kind->key[k], reading->value);
	}
	reading->flaw = find_flaw(webhook);
	if (reading->key == NULL || reading->flaw != NULL)
	{
		po_document_digest(&body.document, digest);
		reading->key = digest_key(digest);
		/* Under such a key two bodies say the same, in whatever bytes. */
		reading->body_hash = body_hash(digest);
	}
}

/*
 * po_read_webhook reads what a request says: the one way from bytes to what is decided by,
 * when it comes and whenever it is taken up again.  Request and endpoint are known, and the
 * request is the endpoint's.  What it reads lives as long as the current context.
 */
void
po_read_webhook(PoWebhook *webhook)
{
	const PoWebhookRequest *request = &webhook->request;
	PoWebhookReading *reading = &webhook->reading;

	webhook->memory = CurrentMemoryContext;
	reading->said_at = request->stored ? request->received_at : DT_NOEND;
	read_fields_kind_and_key(webhook);
	if (webhook->endpoint->key_per_endpoint)
		reading->key = short_key(psprintf("%s:%s", webhook->endpoint->path, reading->key));
	if (reading->problem != NULL)
		return;
	if (reading->flaw != NULL)
	{
		reading->unresolved = reading->kind == NULL || reading->kind->effect != PO_KIND_EFFECT_LOG;
		return;
	}
	for (int h = 0; h < PO_NHANDLERS; h++)
		if ((po_handler[h]->effects & 1 << reading->kind->effect) && po_handler[h]->read(webhook, reading))
			reading->is |= po_handler[h]->is;
}
