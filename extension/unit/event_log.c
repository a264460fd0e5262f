/*
 * event_log.c
 *	  The append-only log of what happened.
 *
 * Events are written in lists, one statement a list.  The order of a lead's
 * events is their lead_version, which the writer takes under the lead's row
 * lock; it never depends on a clock.
 *
 * They go into the partition of their month, or, where nobody has made it, into
 * outreach.events_default, which is no partition (outreach.upkeep() moves them).
 * Which months there are is remembered.
 *
 * Nothing of a person is in outreach.events, which nobody can change.  Texts, names and
 * addresses go into outreach.event_details, by one statement more for the events that
 * have any.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ids.h"
#include "core/statement.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "unit/event_log.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

struct PoObject
{
	PoJsonbState state;
	PoJsonbState details;
	bool		has_details;
};

static const PoField event_field[] = {
	PO_FIELD(PoEvent, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoEvent, event_id, UUID, PO_TAKE),
	PO_FIELD(PoEvent, event_type, TEXT, PO_TAKE),
	PO_FIELD(PoEvent, source, TEXT, PO_TAKE),
	PO_FIELD(PoEvent, lead_id, TEXT, PO_TAKE),
	PO_FIELD(PoEvent, lead_version, NUMBER, PO_TAKE),
	PO_STATE_FIELD(PoEvent, previous_state, PO_TAKE),
	PO_STATE_FIELD(PoEvent, new_state, PO_TAKE),
	PO_FIELD(PoEvent, receipt_id, UUIDP, PO_TAKE),
	PO_FIELD(PoEvent, correlation_id, UUIDP, PO_TAKE),
	PO_FIELD(PoEvent, dedupe_key, TEXT, PO_TAKE),
	PO_FIELD(PoEvent, payload, JSONB, PO_TAKE)
};

static const PoField detail_field[] = {
	PO_FIELD(PoEvent, tenant_id, TEXT, PO_TAKE),
	PO_FIELD(PoEvent, event_id, UUID, PO_TAKE),
	PO_FIELD(PoEvent, details, JSONB, PO_TAKE)
};

#define INSERT_INTO(table) \
	.expect = SPI_OK_INSERT, \
	.sql = "INSERT INTO " table " ({columns}, occurred_at) SELECT {u.*}, $1 FROM {rows}", \
	.takes = PO_FIELDS(event_field, PO_TAKE), \
	PO_FIXED(TIMESTAMPTZOID)

static PoStatement insert_events = {.name = "events.insert", INSERT_INTO("outreach.events")};
static PoStatement insert_unplaced = {.name = "events.unplaced", INSERT_INTO("outreach.events_default")};

static PoStatement insert_details = {
	.name = "events.details",
	.expect = SPI_OK_INSERT,
	.sql = "INSERT INTO outreach.event_details ({columns}) SELECT {u.*} FROM {rows}",
	.takes = PO_FIELDS(detail_field, PO_TAKE)
};

/* What was found out last: whether there is a partition from then until then. */
static Oid	events_relid = InvalidOid;	/* InvalidOid: nothing is known */
static TimestampTz known_from;
static TimestampTz known_until;
static bool known_place;

/*
 * po_event_list_add appends a zeroed event with its names set; the pointer is
 * good until the next call.  Start from a zeroed list.
 */
PoEvent *
po_event_list_add(PoEventList *list, const char *tenant_id, const char *event_type,
				  const char *source)
{
	PoEvent    *event;

	if (list->n == list->size)
	{
		list->size = Max(list->size * 2, 16);
		list->event = list->event == NULL
			? palloc(list->size * sizeof(PoEvent))
			: repalloc(list->event, list->size * sizeof(PoEvent));
	}
	event = &list->event[list->n++];
	memset(event, 0, sizeof(PoEvent));
	event->tenant_id = tenant_id;
	event->event_type = event_type;
	event->source = source;
	return event;
}

static PoPlan select_event_type = {
	.name = "events.type",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT by_engine FROM outreach.event_types WHERE event_type = $1",
	PO_ARGS(TEXTOID)
};

/*
 * po_require_event_type raises an error for a name that is not in
 * outreach.event_types, or is the engine's: what reads the log takes an event of
 * such a type for something that happened here.  Needs SPI.
 */
void
po_require_event_type(const char *event_type)
{
	Datum		args[1] = {CStringGetTextDatum(event_type)};

	if (po_exec(&select_event_type, args, NULL) == 0)
		ereport(ERROR,
				(errcode(PO_ERRCODE_UNKNOWN_EVENT_TYPE),
				 errmsg("\"%s\" is not an event type", event_type),
				 errhint("An administrator can add it to outreach.event_types.")));
	if (po_column_bool(0, 1))
		ereport(ERROR,
				(errcode(PO_ERRCODE_ENGINE_EVENT),
				 errmsg("events of type \"%s\" are written by the engine alone", event_type),
				 errhint("Record it under a type of your own; an administrator can add one to outreach.event_types.")));
}

static void
events_changed(Datum arg, Oid relid)
{
	if (relid == events_relid || relid == InvalidOid)
		events_relid = InvalidOid;
}

static void
find_place(Relation events, TimestampTz time)
{
	PartitionBoundInfo bounds = RelationGetPartitionDesc(events, true)->boundinfo;

	known_from = DT_NOBEGIN;
	known_until = DT_NOEND;
	known_place = false;
	for (int i = 0; bounds != NULL && i < bounds->ndatums; i++)
	{
		TimestampTz bound = bounds->kind[i][0] == PARTITION_RANGE_DATUM_VALUE
			? DatumGetTimestampTz(bounds->datums[i][0])
			: bounds->kind[i][0] == PARTITION_RANGE_DATUM_MINVALUE ? DT_NOBEGIN : DT_NOEND;

		if (time < bound)
		{
			/* of the partition that ends there */
			known_until = bound;
			known_place = bounds->indexes[i] >= 0;
			break;
		}
		known_from = bound;
	}
}

/*
 * Whether there is a partition for the time.  The lock, which the insertion takes
 * anyway, keeps it from going away meanwhile; one that comes is no harm.
 */
static bool
has_place(TimestampTz time)
{
	static bool registered = false;
	Relation	events;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(events_changed, (Datum) 0);
		registered = true;
	}
	/* The lock tells of changes before. */
	if (OidIsValid(events_relid))
		LockRelationOid(events_relid, RowExclusiveLock);
	if (OidIsValid(events_relid) && time >= known_from && time < known_until)
		return known_place;
	events = table_open(get_relname_relid("events", get_namespace_oid("outreach", false)), RowExclusiveLock);
	events_relid = RelationGetRelid(events);
	find_place(events, time);
	table_close(events, NoLock);
	return known_place;
}

/*
 * po_events_append writes the events and fills in their ids.  Needs SPI, the
 * engine's owner as user, and for events of a lead the lead's row lock.
 */
void
po_events_append(PoEvent *events, int n)
{
	Datum		now = TimestampTzGetDatum(po_now());
	PoRows		rows = po_rows(n > 0 && !has_place(po_now()) ? &insert_unplaced : &insert_events, n);
	int			ndetailed = 0;
	PoRows		detailed;

	for (int i = 0; i < n; i++)
	{
		PoEvent		event;

		if (events[i].event_id.data[6] == 0)	/* no version: not made yet */
			po_uuid_v7(&events[i].event_id);
		event = events[i];
		if (event.lead_version == 0 || event.previous_state == event.new_state)
			event.previous_state = event.new_state = PO_STATE_NONE;
		po_rows_add(&rows, &event);
		ndetailed += event.details != NULL;
	}
	(void) po_rows_exec(&rows, &now);
	if (ndetailed == 0)
		return;
	detailed = po_rows(&insert_details, ndetailed);
	for (int i = 0; i < n; i++)
		if (events[i].details != NULL)
			po_rows_add(&detailed, &events[i]);
	(void) po_rows_exec(&detailed, NULL);
}

/*
 * po_object_begin starts a jsonb object, palloc'd.
 */
PoObject *
po_object_begin(void)
{
	PoObject   *object = palloc0(sizeof(PoObject));

	po_push_jsonb(&object->state, WJB_BEGIN_OBJECT, NULL);
	return object;
}

/* A key, a member's value, or an array's element. */
static void
push_string(PoJsonbState *state, JsonbIteratorToken as, const char *text, int len)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = len;
	po_push_jsonb(state, as, &value);
}

static void
push_key(PoObject *object, const char *key)
{
	push_string(&object->state, WJB_KEY, key, strlen(key));
}

/*
 * po_object_text adds a counted string; what it points to must outlive the
 * object.  NULL adds nothing.
 */
void
po_object_text(PoObject *object, const char *key, const char *text, int len)
{
	if (text == NULL)
		return;
	push_key(object, key);
	push_string(&object->state, WJB_VALUE, text, len);
}

/*
 * po_object_string is the same for a C string.
 */
void
po_object_string(PoObject *object, const char *key, const char *text)
{
	if (text != NULL)
		po_object_text(object, key, text, strlen(text));
}

/*
 * po_object_strings adds an array of n C strings.
 */
void
po_object_strings(PoObject *object, const char *key, const char *const *text, int n)
{
	push_key(object, key);
	po_push_jsonb(&object->state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
		push_string(&object->state, WJB_ELEM, text[i], strlen(text[i]));
	po_push_jsonb(&object->state, WJB_END_ARRAY, NULL);
}

/*
 * po_object_jsonb adds an object or an array, which must stay as it is until the end.
 */
void
po_object_jsonb(PoObject *object, const char *key, const Jsonb *document)
{
	JsonbValue	value;

	push_key(object, key);
	value.type = jbvBinary;
	value.val.binary.data = unconstify(JsonbContainer *, &document->root);
	value.val.binary.len = VARSIZE(document) - VARHDRSZ;
	po_push_jsonb(&object->state, WJB_VALUE, &value);
}

/*
 * po_object_bool adds a boolean.
 */
void
po_object_bool(PoObject *object, const char *key, bool boolean)
{
	JsonbValue	value;

	push_key(object, key);
	value.type = jbvBool;
	value.val.boolean = boolean;
	po_push_jsonb(&object->state, WJB_VALUE, &value);
}

/*
 * po_object_number adds a number, to so many digits behind the point.
 */
void
po_object_number(PoObject *object, const char *key, double number, int digits)
{
	JsonbValue	value;
	char	   *text = psprintf("%.*f", digits, number);

	push_key(object, key);
	value.type = jbvNumeric;
	value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
															ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	po_push_jsonb(&object->state, WJB_VALUE, &value);
}

/*
 * po_object_detail adds to the details of an event what somebody wrote, or an address;
 * it must stay as it is until the end.  NULL adds nothing.
 */
void
po_object_detail(PoObject *object, const char *key, const char *text)
{
	if (text == NULL)
		return;
	if (!object->has_details)
		po_push_jsonb(&object->details, WJB_BEGIN_OBJECT, NULL);
	object->has_details = true;
	push_string(&object->details, WJB_KEY, key, strlen(key));
	push_string(&object->details, WJB_VALUE, text, strlen(text));
}

/*
 * po_object_end returns the finished object, palloc'd, of one that has no details.
 */
Jsonb *
po_object_end(PoObject *object)
{
	Assert(!object->has_details);
	return JsonbValueToJsonb(po_close_jsonb(&object->state, WJB_END_OBJECT));
}

/*
 * po_event_tells ends the object and gives its halves to the event.
 */
void
po_event_tells(PoEvent *event, PoObject *object)
{
	event->payload = JsonbValueToJsonb(po_close_jsonb(&object->state, WJB_END_OBJECT));
	if (object->has_details)
		event->details = JsonbValueToJsonb(po_close_jsonb(&object->details, WJB_END_OBJECT));
}
