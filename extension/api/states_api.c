/*
 * states_api.c
 *	  The SQL functions about the states of leads and the statuses of messages: which
 *	  there are, and which change is legal.
 */
#include "postgres.h"

#include "core/args.h"
#include "core/compat.h"
#include "funcapi.h"
#include "unit/message_states.h"
#include "unit/states.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_is_valid_transition);
PG_FUNCTION_INFO_V1(po_lead_states);
PG_FUNCTION_INFO_V1(po_message_transitions);
PG_FUNCTION_INFO_V1(po_message_after);
PG_FUNCTION_INFO_V1(po_report_rank);

/*
 * is_valid_transition(from_state, to_state, tenant_id): one step, by the
 * tenant's rows, or the default where none is given.
 */
Datum
po_is_valid_transition(PG_FUNCTION_ARGS)
{
	PoState		from = po_state_require(po_arg_id(fcinfo, 0, "from_state"));
	PoState		to = po_state_require(po_arg_id(fcinfo, 1, "to_state"));
	char	   *tenant_id = PG_ARGISNULL(2) ? "*" : po_arg_id(fcinfo, 2, "tenant_id");

	PG_RETURN_BOOL(po_transition_step(po_transitions(tenant_id), from, to));
}

/*
 * lead_states(): the names the C code knows, for the test that compares them
 * with the type.
 */
Datum
po_lead_states(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(po_result_texts(po_state_names, PO_NSTATES));
}

/*
 * message_transitions(): a row for each step, status that it is legal from, and status
 * that it leads to.
 */
Datum
po_message_transitions(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int step = 0; po_message_step_name(step) != NULL; step++)
		for (int from = 0; from < PO_NMESSAGE_STATUSES; from++)
			for (int in_doubt = 0; in_doubt <= 1; in_doubt++)
			{
				PoMessageStatus to_surely;
				PoMessageStatus to;

				if (!po_message_leads(step, from, false, &to_surely))
					continue;
				(void) po_message_leads(step, from, in_doubt, &to);
				/* Only what may be in doubt has two ways, and only where they differ. */
				if (in_doubt && (to == to_surely || (po_message_columns(from) & PO_HAS_DOUBT) == 0))
					continue;
				PO_ADD_ROW(CStringGetTextDatum(po_message_step_name(step)),
						   CStringGetTextDatum(po_message_status_names[from]),
						   CStringGetTextDatum(po_message_status_names[to]), BoolGetDatum(in_doubt));
			}
	return (Datum) 0;
}

/*
 * message_after(step, status, in_doubt): the name of the status that a step leads to;
 * an error where it is not legal.
 */
Datum
po_message_after(PG_FUNCTION_ARGS)
{
	char	   *step = text_to_cstring(PG_GETARG_TEXT_PP(0));
	PoMessageStatus from = po_message_status_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	for (int s = 0; po_message_step_name(s) != NULL; s++)
		if (strcmp(po_message_step_name(s), step) == 0)
			return po_result_text(fcinfo, po_message_status_names[po_message_require(s, from, PG_GETARG_BOOL(2))]);
	elog(ERROR, "unknown step \"%s\"", step);
}

/*
 * report_rank(status): the higher, the more a report of it says; 0 for what no
 * provider reports.
 */
Datum
po_report_rank(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(po_message_report_rank(po_message_status_from_name(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}
