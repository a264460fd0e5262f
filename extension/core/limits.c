/*
 * limits.c
 *	  How long texts, documents and arrays may be that come from outside.
 *
 * One table of names.  An argument of the API and a column of a table have the
 * limit of their name, or of "function.argument" and "table.column" where that
 * is in the table.  Arguments are checked before anything of them is read: a
 * value that is compressed or kept apart is not unpacked to learn its size.
 * Columns are checked by a trigger rather than by CHECK: a CHECK is parsed anew
 * in each statement that writes, which costs more than a webhook's writes do.
 *
 * An argument or column without a limit is an error of the engine, so that none
 * is added without one.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/limits.h"
#include "core/shape.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define KB 1024
#define MB (1024 * 1024)

/* In the order of their names, which outreach.limits() keeps. */
static const PoLimit limit[] = {
	{"about", 4 * KB},
	{"accepted_path", 4 * KB, false, 32},
	{"account", PO_MAX_ID, true},
	{"act", PO_MAX_ID, true},
	{"action", 1 * KB},
	{"action_payload", 64 * KB},
	{"actor", 256},
	{"address", 320},
	{"addresses", 32 * MB, false, 100000},
	{"agent", 256},
	{"answer", 2 * KB},
	{"answer_policies.body", 16 * KB},
	{"assigned_agent", 256},
	{"attributes", 64 * KB},
	{"auth_header", 128},
	{"authentication", PO_MAX_ID, true},
	{"base_url", 1 * KB},
	{"bcc", 8 * KB, false, 20},
	{"body", 64 * KB},
	{"business_phone", 64},
	{"by", 256},
	{"callback_path", 255},
	{"cancel_reason", 1 * KB},
	{"carrier", 256},
	{"changes", 64 * KB},
	{"channel", PO_MAX_ID, true},
	{"check_template.body", 256 * KB},
	{"classify_message.body", 256 * KB},
	{"client", PO_MAX_ID, true},
	{"code", 256},
	{"code_path", 4 * KB, false, 32},
	{"company", 256},
	{"conditions", 16 * KB},
	{"consent_history.phone", 320},
	{"consent_reason", 1 * KB},
	{"consent_source", 256},
	{"content_type", 256},
	{"count_segments.body", 256 * KB},
	{"dedupe_key", 512},
	{"description", 1 * KB},
	{"details", 64 * KB},
	{"effect", PO_MAX_ID, true},
	{"email", 320},
	{"email_revoked_by", 16 * KB},
	{"envelope", 16 * MB},
	{"envelopes", 64 * MB, false, 1000},
	{"error", 1 * KB},
	{"error_code", 256},
	{"error_path", 4 * KB, false, 32},
	{"event_type", PO_MAX_ID, true},
	{"except_terms", 64 * KB, false, 1000},
	{"extract", PO_MAX_ID, true},
	{"field", PO_MAX_ID, true},
	{"filter", 64 * KB},
	{"first_name", 256},
	{"former_tenant_id", PO_MAX_ID, true},
	{"forms", 16 * KB},
	{"from_phone", 320},
	{"from_state", PO_MAX_ID, true},
	{"function", 1 * KB},
	{"given_for", 2 * KB},
	{"headers", 16 * KB},
	{"held_by", 512},
	{"html", 64 * KB},
	{"http_status", PO_MAX_ID, true},
	{"id", 256},
	{"id_header", 128},
	{"id_path", 4 * KB, false, 32},
	{"idempotency_header", 128},
	{"idempotency_key", 255},
	{"inbound_payloads.body", 1024 * KB},
	{"key", 1 * KB},
	{"keys", 4 * KB, false, 32},
	{"kind", PO_MAX_ID, true},
	{"labels", 8 * KB, false, 16},
	{"last_error", 1 * KB},
	{"last_error_code", 256},
	{"last_name", 256},
	{"lead_id", PO_MAX_ID, true},
	{"lead_ids", 16 * MB, false, 100000},
	{"lead_transitions.source", 1 * KB},
	{"line_type", 256},
	{"lookup", 16 * KB},
	{"match", PO_MAX_ID, true},
	{"meaning", 1 * KB},
	{"media_urls", 24 * KB, false, 10},
	{"mode", PO_MAX_ID, true},
	{"name", 256},
	{"opt_out_reaches", PO_MAX_ID, true},
	{"opt_out_words.source", 1 * KB},
	{"options", 64 * KB},
	{"origin", 2 * KB},
	{"outbound_messages.phone", 1 * KB},
	{"outcome", PO_MAX_ID, true},
	{"path", 255},
	{"payload", 64 * KB},
	{"payload_maps.ends_at", 4 * KB, false, 32},
	{"payload_maps.path", 4 * KB, false, 32},
	{"per_lead", 32 * MB},
	{"phone", 64},
	{"priority", PO_MAX_ID, true},
	{"profile", PO_MAX_ID, true},
	{"proof", 512},
	{"provider", PO_MAX_ID, true},
	{"provider_message_id", 255},
	{"provider_profiles.source", 1 * KB},
	{"public_url", 2 * KB},
	{"purpose", PO_MAX_ID, true},
	{"reading", 64 * KB},
	{"reason", 1 * KB},
	{"reference", 255},
	{"required", 4 * KB, false, 32},
	{"revoked_by", 16 * KB},
	{"right_role", 64},
	{"role_name", 64},
	{"rule", PO_MAX_ID, true},
	{"scheme", PO_MAX_ID, true},
	{"scope", PO_MAX_ID, true},
	{"sealed", 2 * KB},
	{"secret", 1 * KB},
	{"send_key", 512},
	{"send_keys", 16 * MB, false, 100000},
	{"settings", 16 * KB},
	{"signature_header", 128},
	{"signed_query", 4 * KB},
	{"source", 256},
	{"subject", 1 * KB},
	{"template", PO_MAX_ID, true},
	{"tenant_id", PO_MAX_ID, true},
	{"terms", 64 * KB, false, 1000},
	{"time_zone", 64},
	{"time_zones", 1 * KB, false, 32},
	{"timer_type", PO_MAX_ID, true},
	{"to_state", PO_MAX_ID, true},
	{"unreachable", 4 * KB},
	{"unreachable_by", 16 * KB},
	{"url", 2 * KB},
	{"username", 256},
	{"verdicts", 64 * KB},
	{"version", 128},
	{"word", 256}
};

/* What is limited of a function's arguments or a table's columns. */
typedef struct Checked
{
	Oid			oid;			/* the key */
	int			n;
	struct
	{
		int			at;			/* from 0 */
		const PoLimit *limit;
		const char *name;
		bool		object;		/* a JSON document that has to be one */
	}		   *item;
} Checked;

static HTAB *functions;
static HTAB *tables;
static MemoryContext functions_context;
static MemoryContext tables_context;
static bool functions_stale = true;
static bool tables_stale = true;

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	functions_stale = true;
}

static void
table_changed(Datum arg, Oid relid)
{
	tables_stale = true;
}

static HTAB *
fresh_table(HTAB *table, MemoryContext *context, bool *stale, const char *name)
{
	static bool registered = false;
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Checked)};

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
		registered = true;
	}
	if (!*stale)
		return table;
	if (*context == NULL)
		*context = AllocSetContextCreateInternal(TopMemoryContext, name, ALLOCSET_SMALL_SIZES);
	MemoryContextReset(*context);
	control.hcxt = *context;
	table = hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	*stale = false;
	return table;
}

static const PoLimit *
find_limit(const char *name)
{
	int			low = 0;
	int			high = lengthof(limit) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			c = strcmp(name, limit[middle].name);

		if (c == 0)
			return &limit[middle];
		if (c < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * po_limit_of returns how many bytes or characters a name of the table allows.
 */
int
po_limit_of(const char *name)
{
	const PoLimit *found = find_limit(name);

	Assert(found != NULL);
	return found->most;
}

static const PoLimit *
require_limit(const char *owner, const char *name)
{
	const PoLimit *found = find_limit(psprintf("%s.%s", owner, name));

	if (found == NULL)
		found = find_limit(name);
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("\"%s\" of \"%s\" has no limit", name, owner)));
	return found;
}

static bool
is_limited(Oid type)
{
	return type == TEXTOID || type == JSONBOID || type == BYTEAOID ||
		type == TEXTARRAYOID || type == JSONBARRAYOID;
}

/* What is appended to the message of an error about a column. */
static int
of_table(Relation relation, int at)
{
	return relation != NULL ? errtablecol(relation, at + 1) : 0;
}

/* The value itself is never part of a message. */
static void
check(const PoLimit *l, const char *name, Datum value, Relation relation, int at)
{
	Size		size = toast_raw_datum_size(value) - VARHDRSZ;
	bool		too_long = size > l->most;

	if (too_long && l->characters && size <= (Size) l->most * MAX_MULTIBYTE_CHAR_LEN)
	{
		text	   *string = DatumGetTextPP(value);

		too_long = pg_mbstrlen_with_len(VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)) > l->most;
	}
	if (too_long)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is longer than %d %s", name, l->most, l->characters ? "characters" : "bytes"),
				 errdetail("It has %zu bytes.", size),
				 errhint("outreach.limits() has all limits."),
				 of_table(relation, at)));
	if (l->elements > 0)
	{
		ArrayType  *array = DatumGetArrayTypeP(value);
		int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

		if (n > l->elements)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%s has more than %d elements", name, l->elements),
					 errdetail("It has %d elements.", n),
					 errhint("outreach.limits() has all limits."),
					 of_table(relation, at)));
	}
}

static void
add_item(Checked *checked, MemoryContext context, int at, const char *owner, const char *name)
{
	checked->item[checked->n].at = at;
	checked->item[checked->n].limit = require_limit(owner, name);
	checked->item[checked->n++].name = MemoryContextStrdup(context, name);
}

static Checked *
find_function(Oid function)
{
	Checked    *entry;
	Checked		read = {.oid = function};
	HeapTuple	tuple;
	Oid		   *type;
	char	  **name;
	char	   *mode;
	int			n;
	int			argument = 0;

	functions = fresh_table(functions, &functions_context, &functions_stale, "outreach limits of functions");
	entry = hash_search(functions, &function, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	n = get_func_arg_info(tuple, &type, &name, &mode);
	read.item = MemoryContextAllocZero(functions_context, Max(n, 1) * sizeof(*read.item));
	for (int i = 0; i < n; i++)
	{
		if (mode != NULL && mode[i] != PROARGMODE_IN && mode[i] != PROARGMODE_INOUT)
			continue;
		if (is_limited(type[i]))
		{
			add_item(&read, functions_context, argument,
					 NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname), name != NULL ? name[i] : "");
			/* What is wrong with an envelope is an outcome. */
			read.item[read.n - 1].object = type[i] == JSONBOID && strcmp(name[i], "envelope") != 0;
		}
		argument++;
	}
	ReleaseSysCache(tuple);
	entry = hash_search(functions, &function, HASH_ENTER, NULL);
	*entry = read;
	return entry;
}

static void
limit_arguments(FunctionCallInfo fcinfo, int first, int last)
{
	const Checked *checked;

	if (fcinfo->flinfo == NULL)
		return;
	checked = find_function(fcinfo->flinfo->fn_oid);
	for (int i = 0; i < checked->n; i++)
	{
		int			at = checked->item[i].at;

		if (at >= first && at <= last && !PG_ARGISNULL(at))
			check(checked->item[i].limit, checked->item[i].name, PG_GETARG_DATUM(at), NULL, 0);
	}
}

/*
 * po_limit_argument raises an error that names the argument when it is longer
 * than it may be: 22001, or 54000 for too many elements.  Knows the argument's
 * name from the catalogue.  Nothing of the value is unpacked where it is too long.
 */
void
po_limit_argument(FunctionCallInfo fcinfo, int n)
{
	limit_arguments(fcinfo, n, n);
}

/*
 * po_limit_arguments does the same for all arguments of a function.
 */
void
po_limit_arguments(FunctionCallInfo fcinfo)
{
	limit_arguments(fcinfo, 0, fcinfo->nargs - 1);
}

/*
 * po_require_objects raises an error for a JSON argument of a call that is no
 * object, and makes JSON's null a null: a client that encodes its parameters sends
 * that for one that is not there.
 */
void
po_require_objects(FunctionCallInfo call)
{
	const Checked *checked = find_function(call->flinfo->fn_oid);

	for (int i = 0; i < checked->n; i++)
	{
		NullableDatum *argument = &call->args[checked->item[i].at];
		Jsonb	   *document;
		JsonbValue	value;

		if (!checked->item[i].object || argument->isnull)
			continue;
		document = DatumGetJsonbP(argument->value);
		if (JB_ROOT_IS_SCALAR(document) && JsonbExtractScalar(&document->root, &value) &&
			value.type == jbvNull)
			argument->isnull = true;
		else
			po_require_object(checked->item[i].name, &document->root);
	}
}

/* A partition's limits are those of the table that people know. */
static const char *
name_of(Relation relation)
{
	List	   *ancestors = relation->rd_rel->relispartition
		? get_partition_ancestors(RelationGetRelid(relation)) : NIL;

	return ancestors != NIL ? get_rel_name(llast_oid(ancestors)) : RelationGetRelationName(relation);
}

static Checked *
find_table(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	TupleDesc	desc = RelationGetDescr(relation);
	Checked    *entry;
	const char *name;
	Checked		read = {.oid = relid};

	tables = fresh_table(tables, &tables_context, &tables_stale, "outreach limits of tables");
	entry = hash_search(tables, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	name = name_of(relation);
	read.item = MemoryContextAllocZero(tables_context, desc->natts * sizeof(*read.item));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && is_limited(column->atttypid))
			add_item(&read, tables_context, i, name, NameStr(column->attname));
	}
	entry = hash_search(tables, &relid, HASH_ENTER, NULL);
	*entry = read;
	return entry;
}

/*
 * po_fits_batch tells whether a batch that has taken so many bytes may take a
 * value too, which is not unpacked, and counts it.  A first one always fits.
 */
bool
po_fits_batch(Size *taken, Datum value)
{
	Size		size = toast_raw_datum_size(value);

	if (*taken > 0 && *taken + size > PO_MAX_BATCH_BYTES)
		return false;
	*taken += size;
	return true;
}

/*
 * po_limit_row raises an error that names the column where one of a row, which is about
 * to be written, is longer than it may be.
 */
void
po_limit_row(Relation table, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(table);
	const Checked *checked = find_table(table);
	Datum	   *value = palloc(desc->natts * sizeof(Datum));
	bool	   *isnull = palloc(desc->natts * sizeof(bool));

	heap_deform_tuple(row, desc, value, isnull);
	for (int i = 0; i < checked->n; i++)
	{
		int			at = checked->item[i].at;

		if (!isnull[at])
			check(checked->item[i].limit, checked->item[i].name, value[at], table, at);
	}
	pfree(value);
	pfree(isnull);
}

/*
 * po_limit returns the i-th limit, in the order of their names, NULL behind the last.
 */
const PoLimit *
po_limit(int i)
{
	return i < lengthof(limit) ? &limit[i] : NULL;
}

/*
 * po_json_key returns the name of a member for an error, cut where it is long.
 */
char *
po_json_key(const JsonbValue *key)
{
	return pnstrdup(key->val.string.val, pg_mbcliplen(key->val.string.val, key->val.string.len, PO_MAX_ID));
}
