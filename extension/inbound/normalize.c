/*
 * normalize.c
 *	  From the bytes of a request to named fields, a kind and a key.
 *
 * Which key of which payload carries which field, what makes a payload a kind,
 * and what its idempotency key is made of are rows (provider_map.c); this file
 * only follows them.  No locks, no statements but those that fill a cache, nothing
 * raises but lack of memory.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "common/meaning.h"
#include "common/signature.h"
#include "core/clock.h"
#include "core/compat.h"
#include "inbound/webhook.h"
#include "utils/timestamp.h"

#define MAX_KEY_LEN 255
#define MAX_INNER 4

static const char *
header_value(const PoWebhook *webhook, const char *name, int *len)
{
	int			name_len = strlen(name);

	for (int i = 0; i < webhook->nheaders; i++)
	{
		if (webhook->header[i].name.len == name_len &&
			memcmp(webhook->header[i].name.data, name, name_len) == 0)
		{
			*len = webhook->header[i].value.len;
			return webhook->header[i].value.data;
		}
	}
	return NULL;
}

/*
 * Senders declare JSON and send forms, and the reverse: the first byte decides,
 * and the declaration, or else the provider's habit, only where it cannot.
 */
static bool
looks_form_encoded(const PoWebhook *webhook)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type;
	int			len;
	int			i = po_byte_order_mark(webhook->body.data, webhook->body.len);

	if (webhook->is_get)
		return true;
	while (i < webhook->body.len && po_is_json_space(webhook->body.data[i]))
		i++;
	if (i < webhook->body.len && (webhook->body.data[i] == '{' || webhook->body.data[i] == '['))
		return false;
	type = header_value(webhook, "content-type", &len);
	if (type == NULL)
		return webhook->endpoint->form_encoded;
	return webhook->endpoint->form_encoded ||
		(len >= sizeof(form) - 1 && pg_strncasecmp(type, form, sizeof(form) - 1) == 0);
}

/* Whether the text of a node may be JSON itself. */
static bool
may_be_inner(const PoNode *node)
{
	return node->type == PO_NODE_STRING && node->text_len > 1 &&
		(node->text[0] == '{' || node->text[0] == '[');
}

/* Parse the body once. */
static void
read_document(PoWebhook *webhook)
{
	if (webhook->document_read)
		return;
	webhook->form_encoded = webhook->stored ? webhook->form_encoded : looks_form_encoded(webhook);
	if (webhook->form_encoded)
		(void) po_document_parse_form(&webhook->document, webhook->body.data,
									  webhook->body.len, &po_document_limits);
	else
		(void) po_document_parse_json(&webhook->document, webhook->body.data,
									  webhook->body.len, &po_document_limits);
	webhook->document_read = true;
	for (int i = 0; i < webhook->document.nnodes && !webhook->has_inner; i++)
		webhook->has_inner = may_be_inner(&webhook->document.node[i]);
}

/* The document in the text of a node; one without nodes where it cannot be read. */
static const PoDocument *
inner_document(PoWebhook *webhook, int at)
{
	const PoNode *node = &webhook->document.node[at];
	PoInner    *inner;

	for (int i = 0; i < webhook->ninner; i++)
		if (webhook->inner[i].at == at)
			return &webhook->inner[i].document;
	if (webhook->inner == NULL)
		webhook->inner = palloc(MAX_INNER * sizeof(PoInner));
	if (webhook->ninner == MAX_INNER)
		return NULL;
	inner = &webhook->inner[webhook->ninner++];
	inner->at = at;
	(void) po_document_parse_json(&inner->document, node->text, node->text_len, &po_document_limits);
	return &inner->document;
}

/* Where the path leads through a text that is JSON: a payload inside of a payload. */
static bool
read_inner(PoWebhook *webhook, const PoPath *path, PoBytes *value)
{
	for (int n = path->nkeys - 1; n > 0; n--)
	{
		int			at = po_document_path(&webhook->document, path->key, n);
		const PoDocument *inner;

		if (at < 0 || !may_be_inner(&webhook->document.node[at]))
			continue;
		inner = inner_document(webhook, at);
		return inner != NULL &&
			po_document_scalar(inner, po_document_path(inner, path->key + n, path->nkeys - n),
							   &value->data, &value->len);
	}
	return false;
}

static bool
read_value(PoWebhook *webhook, const PoPath *path, PoBytes *value)
{
	const PoDocument *document = &webhook->document;
	bool		found = po_document_scalar(document, po_document_path(document, path->key, path->nkeys),
										   &value->data, &value->len) ||
		(webhook->has_inner && read_inner(webhook, path, value));

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
 * po_authenticate_webhook decides whether the request is its endpoint's; sets
 * the outcome where it is not.  What is signed is what was sent: where the scheme
 * signs the fields of a form, they are decoded for that alone.
 */
void
po_authenticate_webhook(PoWebhook *webhook)
{
	PoSignedRequest request = {0};
	PoFormPair *pairs;

	request.is_get = webhook->is_get;
	request.body = webhook->body;
	request.query = webhook->query;
	request.header = webhook->header;
	request.nheaders = webhook->nheaders;
	request.now_ms = (po_now() + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
	if (webhook->endpoint->credential.scheme == PO_SCHEME_TWILIO && looks_form_encoded(webhook))
	{
		request.nform = po_form_pairs(webhook->body, &pairs);
		request.form = pairs;
	}
	if (!po_authenticate(&webhook->endpoint->credential, &request))
		webhook->outcome = PO_OUTCOME_REJECTED;
}

static bool
value_is(const PoBytes *value, const char *wanted)
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
	return value_is(value, wanted);
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

		if (value_is(&value[kind->condition[c].field], wanted))
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
could_be_divided_anew(const PoWebhook *webhook)
{
	const PoProviderMap *map = webhook->endpoint->map;
	const PoKind *kind = webhook->kind;
	PoFormPair *pair;
	int			npairs = po_form_pairs(webhook->body, &pair);

	/* More have not been looked at; a POST of so many is not even taken. */
	if (npairs > PO_MAX_SIGNED_PAIRS || (!webhook->is_get && webhook->query.len > PO_SIGNED_QUERY_MAX))
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
				if (!webhook->is_get && contains(webhook->query.data, webhook->query.len, name))
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
	const PoKind *kind = webhook->kind;
	bool		divided = webhook->endpoint->credential.scheme != PO_SCHEME_TWILIO ||
		!webhook->form_encoded;

	if (kind == NULL)
		return "no row tells what kind it is of";
	if (kind->effect == PO_EFFECT_LOG && kind->nrevoked_by == 0 && kind->nemail_revoked_by == 0 &&
		kind->nunreachable_by == 0)
		return NULL;
	for (int i = 0; i < kind->nforms; i++)
		if ((!divided || is_in_key(kind, kind->forms[i].field)) &&
			!has_one_form(&webhook->value[kind->forms[i].field], &kind->forms[i]))
			return "a field is missing, or has not the form that the provider gives it";
	if (divided)
		return NULL;
	if (webhook->key == NULL)
		return "it has no id, and its signature does not hold its fields apart";
	if (could_be_divided_anew(webhook))
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

static void
read_fields_kind_and_key(PoWebhook *webhook)
{
	const PoProviderMap *map = webhook->endpoint->map;
	uint8		digest[PO_SHA256_LEN];

	if (!po_sha256(webhook->body, digest))
		elog(ERROR, "could not compute a digest");
	webhook->body_hash = body_hash(digest);
	webhook->event_type = "unknown";
	read_document(webhook);
	webhook->value = palloc0(Max(map->nfields, 1) * sizeof(PoBytes));
	if (webhook->document.error != NULL)
	{
		webhook->problem = webhook->document.error;
		webhook->key = digest_key(digest);
		return;
	}
	for (int f = 0; f < map->nfields; f++)
		for (int p = 0; p < map->field[f].npaths; p++)
			if (read_value(webhook, &map->field[f].path[p], &webhook->value[f]))
				break;
	for (int k = 0; k < map->nkinds && webhook->kind == NULL; k++)
		if (kind_matches(&map->kind[k], webhook->value))
			webhook->kind = &map->kind[k];
	if (webhook->kind != NULL)
	{
		spell_as_kind(webhook->kind, webhook->value);
		webhook->event_type = webhook->kind->event_type;
		for (int k = 0; k < webhook->kind->nkeys && webhook->key == NULL; k++)
			webhook->key = make_key(&webhook->kind->key[k], webhook->value);
	}
	webhook->flaw = find_flaw(webhook);
	webhook->unresolved = webhook->kind == NULL;
	if (webhook->key == NULL || webhook->flaw != NULL)
	{
		po_document_digest(&webhook->document, digest);
		webhook->key = digest_key(digest);
		/* Under such a key two bodies say the same, in whatever bytes. */
		webhook->body_hash = body_hash(digest);
	}
}

/*
 * Fill in fields, kind and key.  A body that cannot be parsed is of unknown kind, its
 * key the digest of its bytes, its problem the parser's.  One that may not have its
 * kind's effect has the digest, too: it must not take the place of the one that may.
 */
static void
normalize(PoWebhook *webhook)
{
	read_fields_kind_and_key(webhook);
	if (webhook->endpoint->key_per_endpoint)
		webhook->key = short_key(psprintf("%s:%s", webhook->endpoint->path, webhook->key));
}

/* Consent, as the provider itself says, or else as the text does. */
static PoConsentReading
read_consent(const PoWebhook *webhook, const PoTenantRules *rules)
{
	const PoBytes *said = &webhook->value[PO_FIELD_OPT_OUT_TYPE];
	PoConsentReading reading = {PO_CONSENT_NONE};

	if (webhook->kind->effect == PO_EFFECT_OPT_OUT || value_is(said, "STOP"))
		reading.action = PO_CONSENT_OPT_OUT;
	else if (value_is(said, "START"))
		reading.action = PO_CONSENT_OPT_IN;
	if (reading.action != PO_CONSENT_NONE)
		reading.word = webhook->event_type;
	else if (webhook->kind->effect == PO_EFFECT_HELP || value_is(said, "HELP"))
		reading.action = PO_CONSENT_HELP;
	else
		reading = po_read_consent(&rules->words, &webhook->text);
	return reading;
}

/* Whether it is a message, and whose. */
static void
read_sender(PoWebhook *webhook)
{
	const PoBytes *from = &webhook->value[PO_FIELD_FROM];
	const PoBytes *to = &webhook->value[PO_FIELD_TO];

	if (webhook->kind == NULL || webhook->kind->effect == PO_EFFECT_LOG ||
		webhook->kind->effect == PO_EFFECT_STATUS)
		return;
	if (webhook->flaw != NULL || from->data == NULL || !po_phone_e164(from->data, from->len, webhook->phone))
	{
		webhook->unresolved = true;
		return;
	}
	webhook->is_message = true;
	if (to->data == NULL || !po_phone_e164(to->data, to->len, webhook->business_phone))
		webhook->business_phone[0] = '\0';
}

/*
 * po_hear_message reads what the tenant's words and rules make of the text of a message,
 * once.  What the provider itself says of consent counts for more than the text.  Apart
 * from po_read_webhook, for it is most of the work of reading, and nothing that a
 * duplicate needs.  It leaves its memory in the current context.
 */
void
po_hear_message(PoWebhook *webhook)
{
	const PoBytes *body = &webhook->value[PO_FIELD_BODY];
	const PoTenantRules *rules;
	PoConsentReading reading;

	if (!webhook->is_message || webhook->heard)
		return;
	rules = po_tenant_rules(webhook->endpoint->tenant_id);
	po_text_read(&webhook->text, body->data ? body->data : "", body->len);
	reading = read_consent(webhook, rules);
	webhook->consent = reading.action;
	webhook->word = reading.word;
	webhook->sound = reading.heard.sound;
	if (reading.action != PO_CONSENT_NONE && reading.by_sound)
		webhook->sounds = po_revocation_words(&webhook->text);
	po_classify(&rules->rules, &webhook->text, &reading,
				po_text_phone(&webhook->text, webhook->phone, webhook->business_phone),
				&webhook->ruling);
	webhook->yes = webhook->consent == PO_CONSENT_NONE && rules->yes_opts_in &&
		webhook->text.len == 3 && memcmp(webhook->text.folded, "yes", 3) == 0;
	webhook->heard = true;
}

/*
 * po_read_webhook reads what the body of a webhook says, the text of a message apart: the
 * one way from bytes to what is decided by, at the door and whenever it is taken up again.
 */
void
po_read_webhook(PoWebhook *webhook)
{
	normalize(webhook);
	if (webhook->problem != NULL)
		return;
	read_sender(webhook);
	po_read_status(webhook);
	po_read_contact(webhook);
}
