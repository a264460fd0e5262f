/*
 * event_log.h
 *	  The append-only log of what happened.
 */
#ifndef PO_UNIT_EVENT_LOG_H
#define PO_UNIT_EVENT_LOG_H

#include "datatype/timestamp.h"
#include "unit/states.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* A zeroed struct is an event without lead, states and references. */
typedef struct PoEvent
{
	const char *tenant_id;
	const char *event_type;
	const char *source;
	const char *lead_id;		/* NULL, or with lead_version */
	int			lead_version;
	PoState		previous_state; /* used only when lead_version > 0 and they differ */
	PoState		new_state;
	const pg_uuid_t *receipt_id;
	const pg_uuid_t *correlation_id;
	const char *dedupe_key;
	Jsonb	   *payload;		/* ids and classes: what no erasure has to find */
	Jsonb	   *details;		/* texts, names and addresses, in a row that can be erased; NULL: none */
	pg_uuid_t	event_id;		/* filled in by po_events_append */
} PoEvent;

/* A growing list of events, to be appended by one statement. */
typedef struct PoEventList
{
	PoEvent    *event;
	int			n;
	int			size;
} PoEventList;

extern PoEvent *po_event_list_add(PoEventList *list, const char *tenant_id,
								  const char *event_type, const char *source);
extern void po_require_event_type(const char *event_type);
extern void po_events_append(PoEvent *events, int n);

/*
 * A jsonb object under construction.  One that tells of an event has two halves: what is
 * added by po_object_detail goes into the event's details, the rest into its payload.
 */
typedef struct PoObject PoObject;
extern PoObject *po_object_begin(void);
extern void po_object_text(PoObject *object, const char *key, const char *value, int len);
extern void po_object_string(PoObject *object, const char *key, const char *value);
extern void po_object_strings(PoObject *object, const char *key, const char *const *text, int n);
extern void po_object_jsonb(PoObject *object, const char *key, const Jsonb *value);
extern void po_object_bool(PoObject *object, const char *key, bool value);
extern void po_object_number(PoObject *object, const char *key, double number, int digits);
extern void po_object_detail(PoObject *object, const char *key, const char *value);
extern Jsonb *po_object_end(PoObject *object);
extern void po_event_tells(PoEvent *event, PoObject *object);

#endif
