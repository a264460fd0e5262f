/*
 * provider_map.c
 *	  Endpoints and how their payloads are read, remembered in the backend.
 *
 * An endpoint is read at its first request, with its secrets opened, and its
 * provider's rows are compiled once: names become indexes, so that a payload is
 * read in one pass.  Paths that lead nowhere are not remembered; anybody can
 * make them up.  All of it is dropped when a configuration table changes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/authenticate.h"
#include "core/args.h"
#include "core/cache.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/secrets.h"
#include "core/statement.h"
#include "fmgr.h"
#include "inbound/provider_map.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_PATH_LEN	255
#define MAP_KEY_SIZE	(PO_MAX_ID_BYTES + 65)

typedef struct EndpointEntry
{
	char		path[MAX_PATH_LEN + 1];
	PoEndpoint	endpoint;
} EndpointEntry;

typedef struct MapEntry
{
	char		key[MAP_KEY_SIZE];
	PoProviderMap map;
} MapEntry;

static PoCache map_cache = {
	.name = "outreach provider maps",
	.tables = PO_OF_PROVIDERS | PO_OF_PAYLOAD_MAPS | PO_OF_WEBHOOK_KINDS | PO_OF_ANSWER_POLICIES
};

/* Endpoints lead to maps, and go with those. */
static PoCache endpoint_cache = {
	.name = "outreach endpoints",
	.tables = PO_OF_ENDPOINTS | PO_OF_PROVIDERS | PO_OF_SECRETS
};
static HTAB *endpoint_by_path;
static HTAB *map_by_owner;

static const char *const engine_field[PO_NFIELDS] = {
	[PO_FIELD_FROM] = "from", [PO_FIELD_TO] = "to", [PO_FIELD_BODY] = "body",
	[PO_FIELD_OPT_OUT_TYPE] = "opt_out_type", [PO_FIELD_MESSAGE_ID] = "message_id",
	[PO_FIELD_ERROR_CODE] = "error_code", [PO_FIELD_PHONE] = "phone", [PO_FIELD_SAID] = "said",
	[PO_FIELD_SAID_AT] = "said_at", [PO_FIELD_EMAIL] = "email", [PO_FIELD_REFERENCE] = "reference"
};

typedef struct EndpointRow
{
	PoEndpoint	endpoint;
	const char *scheme;
	const char *url;
	const char *header_name;
	bool		own_map;
} EndpointRow;

static const PoField endpoint_row_field[] = {
	PO_FIELD_AS(EndpointRow, endpoint.tenant_id, "tenant_id", TEXT, PO_GIVE),
	PO_FIELD_AS(EndpointRow, endpoint.provider, "provider", TEXT, PO_GIVE),
	PO_FIELD_AS(EndpointRow, endpoint.allow_get, "allow_get", BOOL, PO_GIVE),
	PO_VALUE(EndpointRow, endpoint.deferred, "e.mode = 'deferred'", BOOL),
	PO_VALUE(EndpointRow, endpoint.form_encoded, "p.form_encoded", BOOL),
	PO_VALUE(EndpointRow, endpoint.key_per_endpoint, "p.key_per_endpoint", BOOL),
	PO_VALUE(EndpointRow, endpoint.stale_at, "(SELECT min(s.expires_at) FROM outreach.secrets s"
			 " WHERE s.tenant_id = e.tenant_id AND s.purpose = 'endpoint' AND s.name = e.path"
			 " AND s.expires_at > $2)", UNTIL),
	PO_FIELD(EndpointRow, scheme, TEXT, PO_GIVE),
	PO_FIELD_AS(EndpointRow, url, "public_url", TEXT, PO_GIVE),
	PO_FIELD_AS(EndpointRow, header_name, "signature_header", TEXT, PO_GIVE),
	PO_VALUE(EndpointRow, own_map, "EXISTS (SELECT FROM outreach.payload_maps m WHERE m.tenant_id = e.tenant_id)"
			 " OR EXISTS (SELECT FROM outreach.webhook_kinds k WHERE k.tenant_id = e.tenant_id)"
			 " OR EXISTS (SELECT FROM outreach.answer_policies a WHERE a.tenant_id = e.tenant_id)", BOOL)
};

static PoStatement select_endpoint = {
	.name = "endpoint.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {e.*} FROM outreach.endpoints e JOIN outreach.providers p ON p.provider = e.provider"
	" WHERE e.path = $1",
	.gives = PO_FIELDS(endpoint_row_field, PO_GIVE),
	PO_FIXED(TEXTOID, TIMESTAMPTZOID)
};

static PoPlan select_fields = {
	.name = "map.fields",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT field, path, ends_at FROM outreach.payload_maps"
	" WHERE (tenant_id = '*' OR tenant_id = $1) AND provider = $2"
	" ORDER BY field, (tenant_id = '*'), position",
	PO_ARGS(TEXTOID, TEXTOID)
};

static const char *const effect_name[] = {
	[PO_KIND_EFFECT_LOG] = "log", [PO_KIND_EFFECT_MESSAGE] = "message", [PO_KIND_EFFECT_OPT_OUT] = "opt_out",
	[PO_KIND_EFFECT_HELP] = "help", [PO_KIND_EFFECT_STATUS] = "status"
};

/*
 * po_kind_effect_name returns the i-th effect that a kind of webhook may have, NULL
 * behind the last.
 */
const char *
po_kind_effect_name(int i)
{
	return i < lengthof(effect_name) ? effect_name[i] : NULL;
}

typedef struct KindRow
{
	const char *event_type;
	PoKindEffect effect;
	PoMessageStatus to_status;
	Jsonb	   *conditions;
	Jsonb	   *forms;
	Jsonb	   *revoked_by;
	Jsonb	   *unreachable_by;
	Jsonb	   *email_revoked_by;
} KindRow;

static const PoField kind_field[] = {
	PO_FIELD(KindRow, event_type, TEXT, PO_GIVE),
	PO_NAME(KindRow, effect, PoKindEffect, effect_name, "text", PO_GIVE),
	PO_MESSAGE_STATUS(KindRow, to_status, PO_GIVE),
	PO_FIELD(KindRow, conditions, JSONB, PO_GIVE),
	PO_FIELD(KindRow, forms, JSONB, PO_GIVE),
	PO_FIELD(KindRow, revoked_by, JSONB, PO_GIVE),
	PO_FIELD(KindRow, unreachable_by, JSONB, PO_GIVE),
	PO_FIELD(KindRow, email_revoked_by, JSONB, PO_GIVE)
};

static PoStatement select_kinds = {
	.name = "map.kinds",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {k.*}, k.keys FROM outreach.webhook_kinds k"
	" WHERE (k.tenant_id = '*' OR k.tenant_id = $1) AND k.provider = $2"
	" ORDER BY (k.tenant_id = '*'), k.position",
	.gives = PO_FIELDS(kind_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

static const PoField answer_field[] = {
	PO_FIELD(PoAnswer, event_type, TEXT, PO_GIVE),
	PO_FIELD(PoAnswer, outcome, TEXT, PO_GIVE),
	PO_VALUE(PoAnswer, score,
			 "CASE WHEN a.tenant_id = '*' THEN 0 ELSE 8 END + CASE WHEN a.provider = '*' THEN 0 ELSE 4 END", INT),
	PO_FIELD(PoAnswer, http_status, INT, PO_GIVE),
	PO_FIELD(PoAnswer, content_type, TEXT, PO_GIVE),
	PO_FIELD(PoAnswer, body, TEXT, PO_GIVE)
};

static PoStatement select_answers = {
	.name = "map.answers",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {a.*} FROM outreach.answer_policies a"
	" WHERE (a.tenant_id = '*' OR a.tenant_id = $1) AND (a.provider = '*' OR a.provider = $2)",
	.gives = PO_FIELDS(answer_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

static const char **
text_array(Datum array, int *n)
{
	Datum	   *element;
	const char **strings;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &element, NULL, n);
	strings = palloc(Max(*n, 1) * sizeof(char *));
	for (int i = 0; i < *n; i++)
		strings[i] = TextDatumGetCString(element[i]);
	return strings;
}

/* Index of a field, added without a path where the map does not have it. */
static int
field_index(PoProviderMap *map, const char *name, int len)
{
	for (int i = 0; i < map->nfields; i++)
		if (strncmp(map->field[i].name, name, len) == 0 && map->field[i].name[len] == '\0')
			return i;
	map->field = repalloc(map->field, (map->nfields + 1) * sizeof(PoFieldMap));
	memset(&map->field[map->nfields], 0, sizeof(PoFieldMap));
	map->field[map->nfields].name = pnstrdup(name, len);
	return map->nfields++;
}

static void
read_fields(PoProviderMap *map, Datum *args)
{
	uint64		n = po_exec(&select_fields, args, NULL);

	map->field = palloc0(PO_NFIELDS * sizeof(PoFieldMap));
	map->nfields = PO_NFIELDS;
	for (int i = 0; i < PO_NFIELDS; i++)
		map->field[i].name = engine_field[i];
	for (uint64 i = 0; i < n; i++)
	{
		char	   *name = po_column_text(i, 1);
		int			index = field_index(map, name, strlen(name));
		PoFieldMap *field = &map->field[index];
		bool		isnull;
		PoPath		path;

		path.key = text_array(po_column(i, 2, &isnull), &path.nkeys);
		path.end = text_array(po_column(i, 3, &isnull), &path.nends);
		field->path = field->path == NULL ? palloc(sizeof(PoPath))
			: repalloc(field->path, (field->npaths + 1) * sizeof(PoPath));
		field->path[field->npaths++] = path;
	}
}

/* Reads an object of field: list of strings. */
static PoCondition *
read_lists(PoProviderMap *map, Jsonb *object, int *n)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	PoCondition *list = NULL;
	JsonbValue	value;
	JsonbIteratorToken token;

	*n = 0;
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		PoCondition *last;

		if (token == WJB_KEY)
		{
			list = list == NULL ? palloc(sizeof(PoCondition))
				: repalloc(list, (*n + 1) * sizeof(PoCondition));
			memset(&list[*n], 0, sizeof(PoCondition));
			list[(*n)++].field = field_index(map, value.val.string.val, value.val.string.len);
			continue;
		}
		if ((token != WJB_ELEM && token != WJB_VALUE) || *n == 0 || value.type != jbvString)
			continue;
		last = &list[*n - 1];
		last->value = last->value == NULL ? palloc(sizeof(char *))
			: repalloc(last->value, (last->nvalues + 1) * sizeof(char *));
		last->value[last->nvalues++] = pnstrdup(value.val.string.val, value.val.string.len);
	}
	return list;
}

/* prefix, or prefix:class:count, or prefix:class:least-most; checked by the table. */
static PoForm
read_form(const char *text)
{
	PoForm		form = {.prefix = text, .prefix_len = strcspn(text, ":")};
	const char *count;

	if (text[form.prefix_len] == '\0')
		return form;
	form.class = text[form.prefix_len + 1];
	count = strchr(text + form.prefix_len + 1, ':');
	if (count == NULL)
		elog(ERROR, "malformed form of a field");
	form.min = form.max = atoi(count + 1);
	if (strchr(count, '-') != NULL)
		form.max = atoi(strchr(count, '-') + 1);
	return form;
}

static void
read_forms(PoProviderMap *map, PoKind *kind, Jsonb *forms)
{
	PoCondition *list = read_lists(map, forms, &kind->nforms);

	kind->forms = palloc(Max(kind->nforms, 1) * sizeof(PoFieldForms));
	for (int i = 0; i < kind->nforms; i++)
	{
		PoFieldForms *field = &kind->forms[i];

		field->field = list[i].field;
		field->nforms = list[i].nvalues;
		field->form = palloc(Max(field->nforms, 1) * sizeof(PoForm));
		for (int f = 0; f < field->nforms; f++)
			field->form[f] = read_form(list[i].value[f]);
	}
}

static void
read_key_form(PoProviderMap *map, PoKeyForm *form, const char *text)
{
	int			size = 1;

	for (const char *c = text; *c != '\0'; c++)
		size += (*c == ':');
	form->field = palloc(size * sizeof(int));
	form->optional = palloc(size * sizeof(bool));
	form->nfields = 0;
	while (*text != '\0')
	{
		int			len = strcspn(text, ":");
		bool		optional = len > 0 && text[len - 1] == '?';

		form->field[form->nfields] = field_index(map, text, len - optional);
		form->optional[form->nfields++] = optional;
		text += len + (text[len] == ':');
	}
}

static void
read_kinds(PoProviderMap *map, Datum *args)
{
	uint64		n = po_exec_fixed(&select_kinds, args);

	map->kind = palloc0(Max(n, 1) * sizeof(PoKind));
	map->nkinds = n;
	for (uint64 i = 0; i < n; i++)
	{
		PoKind	   *kind = &map->kind[i];
		KindRow		row;
		bool		isnull;
		const char **key;

		po_read_row(&select_kinds, i, &row);
		kind->event_type = row.event_type;
		kind->condition = read_lists(map, row.conditions, &kind->nconditions);
		key = text_array(po_column(i, lengthof(kind_field) + 1, &isnull), &kind->nkeys);
		kind->key = palloc(Max(kind->nkeys, 1) * sizeof(PoKeyForm));
		for (int k = 0; k < kind->nkeys; k++)
			read_key_form(map, &kind->key[k], key[k]);
		kind->effect = row.effect;
		if (kind->effect == PO_KIND_EFFECT_STATUS)
			kind->to_status = row.to_status;
		read_forms(map, kind, row.forms);
		kind->revoked_by = read_lists(map, row.revoked_by, &kind->nrevoked_by);
		kind->unreachable_by = read_lists(map, row.unreachable_by, &kind->nunreachable_by);
		kind->email_revoked_by = read_lists(map, row.email_revoked_by, &kind->nemail_revoked_by);
	}
}

static void
read_answers(PoProviderMap *map, Datum *args)
{
	uint64		n = po_exec_fixed(&select_answers, args);

	map->answer = palloc(Max(n, 1) * sizeof(PoAnswer));
	map->nanswers = n;
	po_read_rows(&select_answers, n, map->answer);
}

/* Needs SPI; what it makes lives as long as the cache. */
static const PoProviderMap *
find_map(const char *tenant_id, const char *provider)
{
	char		key[MAP_KEY_SIZE] = {0};
	MapEntry   *entry;
	PoProviderMap map = {0};
	MemoryContext old;
	Datum		args[2];

	snprintf(key, sizeof(key), "%s/%s", provider, tenant_id);
	entry = hash_search(map_by_owner, key, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->map;

	old = MemoryContextSwitchTo(map_cache.context);
	args[0] = CStringGetTextDatum(tenant_id);
	args[1] = CStringGetTextDatum(provider);
	read_fields(&map, args);
	read_kinds(&map, args);
	read_answers(&map, args);
	MemoryContextSwitchTo(old);
	entry = hash_search(map_by_owner, key, HASH_ENTER, NULL);
	entry->map = map;
	return &entry->map;
}

static PoBytes
keep_bytes(const char *data, int len)
{
	PoBytes		bytes = {NULL, len};

	if (data != NULL)
	{
		bytes.data = MemoryContextAlloc(endpoint_cache.context, len + 1);
		memcpy(unconstify(char *, bytes.data), data, len + 1);
	}
	return bytes;
}

static PoBytes
keep_string(const char *string)
{
	return keep_bytes(string, string != NULL ? strlen(string) : 0);
}

/*
 * An endpoint whose secrets cannot be opened is not remembered: the key may be
 * there at the next request.
 */
static const PoEndpoint *
load_endpoint(const char *path)
{
	Datum		args[2] = {CStringGetTextDatum(path), TimestampTzGetDatum(po_now())};
	EndpointRow *row = palloc0(sizeof(EndpointRow));
	PoEndpoint *endpoint = &row->endpoint;
	PoCredential *credential = &endpoint->credential;
	PoSecret   *secret;
	EndpointEntry *entry;

	po_spi_connect();
	if (po_exec_fixed(&select_endpoint, args) == 0)
	{
		SPI_finish();
		return NULL;
	}
	po_read_row(&select_endpoint, 0, row);
	if (!po_scheme_from_name(row->scheme, &credential->scheme))
		elog(ERROR, "endpoint has an unknown scheme");

	secret = po_secrets_open(endpoint->tenant_id, "endpoint", path, row->scheme, &credential->nsecrets,
							 &endpoint->problem);
	endpoint->map = find_map(row->own_map ? endpoint->tenant_id : "*", endpoint->provider);
	SPI_finish();
	endpoint->path = path;
	if (endpoint->problem != NULL)
		return endpoint;

	endpoint->tenant_id = keep_string(endpoint->tenant_id).data;
	endpoint->path = keep_string(path).data;
	endpoint->provider = keep_string(endpoint->provider).data;
	credential->url = keep_string(row->url);
	credential->header_name = keep_string(row->header_name);
	for (int i = 0; i < credential->nsecrets; i++)
	{
		credential->secret[i] = keep_bytes(secret[i].data, secret[i].len);
		po_secret_wipe(&secret[i]);
	}
	entry = hash_search(endpoint_by_path, path, HASH_ENTER, NULL);
	entry->endpoint = *endpoint;
	return &entry->endpoint;
}

/*
 * po_endpoints_begin makes sure that what is remembered is fresh; to be called
 * once at the start of a call, as the engine's owner.
 */
void
po_endpoints_begin(void)
{
	HASHCTL		control = {0};

	if (!po_cache_fresh(&map_cache))
	{
		po_cache_discard(&endpoint_cache);
		control.hcxt = po_cache_reset(&map_cache);
		control.keysize = MAP_KEY_SIZE;
		control.entrysize = sizeof(MapEntry);
		map_by_owner = hash_create("outreach provider maps", 16, &control,
								   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
		po_cache_filled(&map_cache);
	}
	if (!po_cache_fresh(&endpoint_cache))
	{
		control.hcxt = po_cache_reset(&endpoint_cache);
		control.keysize = MAX_PATH_LEN + 1;
		control.entrysize = sizeof(EndpointEntry);
		endpoint_by_path = hash_create("outreach endpoints", 16, &control,
									   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
		po_cache_filled(&endpoint_cache);
	}
}

/*
 * po_find_endpoint returns the endpoint of a path, NULL when there is none;
 * valid until the transaction ends.
 */
const PoEndpoint *
po_find_endpoint(const char *path, int len)
{
	char		key[MAX_PATH_LEN + 1] = {0};
	EndpointEntry *entry;

	if (len > MAX_PATH_LEN)
		return NULL;
	memcpy(key, path, len);
	entry = hash_search(endpoint_by_path, key, HASH_FIND, NULL);
	if (entry != NULL && entry->endpoint.stale_at > po_now())
		return &entry->endpoint;
	return load_endpoint(pstrdup(key));
}

/*
 * po_look_for_endpoint does for a path what it costs to find that it is nobody's,
 * and tells nothing.
 */
void
po_look_for_endpoint(const char *path, int len)
{
	Datum		args[2] = {
		PointerGetDatum(cstring_to_text_with_len(path, Min(len, MAX_PATH_LEN))),
		TimestampTzGetDatum(po_now())
	};

	po_spi_connect();
	(void) po_exec_fixed(&select_endpoint, args);
	SPI_finish();
}

/*
 * po_shipped_map returns a map for answers to requests that have no endpoint.
 */
const PoProviderMap *
po_shipped_map(void)
{
	const PoProviderMap *map;

	po_spi_connect();
	map = find_map("*", "*");
	SPI_finish();
	return map;
}

/*
 * po_find_answer returns the most exact answer: tenant, then provider, then
 * event type, then outcome.  There always is one, because '*' ships.  What has not
 * been received is answered by rows of its own outcome alone.
 */
const PoAnswer *
po_find_answer(const PoProviderMap *map, const char *event_type, PoIngestOutcome outcome)
{
	const PoAnswer *best = NULL;
	int			best_score = -1;

	for (int i = 0; i < map->nanswers; i++)
	{
		const PoAnswer *answer = &map->answer[i];
		int			score = answer->score;

		if (strcmp(answer->event_type, event_type) == 0)
			score += 2;
		else if (strcmp(answer->event_type, "*") != 0)
			continue;
		if (strcmp(answer->outcome, po_ingest_outcome_name[outcome]) == 0)
			score += 1;
		else if (strcmp(answer->outcome, "*") != 0 || outcome == PO_INGEST_BUSY ||
				 outcome == PO_INGEST_REJECTED)
			continue;
		if (score > best_score)
		{
			best = answer;
			best_score = score;
		}
	}
	if (best == NULL)
		elog(ERROR, "no row of outreach.answer_policies applies");
	return best;
}
