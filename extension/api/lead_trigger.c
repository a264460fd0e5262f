/*
 * lead_trigger.c
 *	  The triggers on leads: what somebody writes is like what the engine does itself, a
 *	  change of state with its event, an address with its person.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/trigger.h"
#include "fmgr.h"
#include "lead/change.h"
#include "lead/person.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(po_lead_state_changed);
PG_FUNCTION_INFO_V1(po_lead_person);

/*
 * lead_state_changed(): BEFORE UPDATE trigger of outreach.leads, for rows whose
 * state changes.  NOT NULL has not been checked yet.
 */
Datum
po_lead_state_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_trigger(fcinfo, "lead_state_changed", PO_TRIGGER_BEFORE_ROW, "leads");
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	HeapTuple	row;
	const PoTransitions *transitions;
	PoState		from;
	PoState		to;
	PoUnit		unit = {0};
	PoEvent    *event;
	PoLead		lead = {0};
	int			column[2];
	Datum		value[2];
	bool		isnull[2] = {false, false};

	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		po_trigger_misused("lead_state_changed");
	if (po_changes_are_recorded())
		return PointerGetDatum(trigger->tg_newtuple);

	row = trigger->tg_newtuple;
	lead.tenant_id = po_trigger_text(trigger, row, "tenant_id");
	lead.lead_id = po_trigger_text(trigger, row, "lead_id");
	lead.version = atoi(po_trigger_text(trigger, trigger->tg_trigtuple, "version"));
	from = po_state_require(po_trigger_text(trigger, trigger->tg_trigtuple, "state"));
	to = po_state_require(po_trigger_text(trigger, row, "state"));
	column[0] = po_trigger_column(trigger, "version", INT4OID);
	column[1] = po_trigger_column(trigger, "has_timers", BOOLOID);
	/* What the row says may be written by the same statement. */
	lead.has_timers = po_state_ends_timers(to) || po_trigger_text(trigger, row, "has_timers")[0] == 't';
	transitions = po_transitions(lead.tenant_id);
	if (!po_transition_step(transitions, from, to))
		po_illegal_transition(transitions, from, to);

	/* It is a change like the engine's own, also for the timers. */
	lead.state = to;
	event = po_lead_event(&unit, &lead, "lead.state.changed", &(PoCause) {.source = "sql"});
	event->previous_state = from;
	event->new_state = to;
	po_timers_of_state(&unit, &lead, from, to);
	po_spi_connect();
	po_unit_write(&unit);
	SPI_finish();

	value[1] = BoolGetDatum(lead.has_timers);
	value[0] = Int32GetDatum(lead.version);
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 2, column, value, isnull));
}

/* The text of a column; NULL: it is null. */
static const char *
column_or_null(TriggerData *trigger, HeapTuple row, const char *name, Oid type)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	return heap_attisnull(row, po_trigger_column(trigger, name, type), desc) ? NULL
		: po_trigger_text(trigger, row, name);
}

/*
 * lead_person(): BEFORE INSERT OR UPDATE trigger of outreach.leads, for rows that the
 * engine does not write: what they name as phone and e-mail address becomes the person's,
 * and the lead that one's.
 */
Datum
po_lead_person(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_trigger(fcinfo, "lead_person", PO_TRIGGER_BEFORE_ROW, "leads");
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		updates = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	HeapTuple	row = updates ? trigger->tg_newtuple : trigger->tg_trigtuple;
	int			column = po_trigger_column(trigger, "contact_id", UUIDOID);
	PoNewAddresses given = {.sets_phone = true, .sets_email = true};
	PoUnit		unit = {0};
	pg_uuid_t	contact_id;
	PoLead	   *lead;
	Datum		value;
	bool		isnull = false;

	if (!updates && !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		po_trigger_misused("lead_person");
	given.tenant_id = column_or_null(trigger, row, "tenant_id", TEXTOID);
	given.lead_id = column_or_null(trigger, row, "lead_id", TEXTOID);
	/* A restore, which has row security off, brings what there was; and what cannot be a row is refused elsewhere. */
	if (!row_security || given.tenant_id == NULL || given.lead_id == NULL)
		return PointerGetDatum(row);
	given.phone = column_or_null(trigger, row, "phone", TEXTOID);
	given.email = column_or_null(trigger, row, "email", TEXTOID);
	po_spi_connect();
	lead = po_begin_addresses(&unit, &given);
	contact_id = po_assign_contact(&unit, updates ? lead : NULL, &given);
	po_unit_write(&unit);
	SPI_finish();
	value = UUIDPGetDatum(&contact_id);
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column, &value, &isnull));
}
