/*
 * states.c
 *	  The states of a lead, and which change is legal.
 *
 * The rows of outreach.lead_transitions, remembered in the backend.  The engine
 * itself decides with them before it writes; the trigger on outreach.leads holds
 * everybody else to the same rows, and leaves the event that a direct UPDATE
 * would otherwise not leave.
 */
#include "postgres.h"

#include "core/cache.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/statement.h"
#include "lib/stringinfo.h"
#include "unit/states.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* What lead_transitions says of a pair. */
#define NOT_ALLOWED		(-2)
#define ONE_STEP		(-1)
/* otherwise: the state it passes through */

struct PoTransitions
{
	const char *tenant_id;
	int			change[PO_NSTATES][PO_NSTATES];
};

const char *const po_state_names[PO_NSTATES] = {
	"new", "touched", "retargeting", "responded", "soft_interest", "email_captured",
	"content_nurture", "high_intent", "appointment_booked", "in_call_queue", "closed",
	"suppressed"
};

static PoCache transition_cache = {
	.name = "outreach lead transitions",
	.tables = PO_OF_LEAD_TRANSITIONS
};
static PoTransitions *transitions_of;	/* [0] is the default */
static int	ntransitions;

/* Set while the engine writes changes that it has checked and recorded. */
static bool changes_recorded = false;

typedef struct Transition
{
	const char *tenant_id;
	PoState		from_state;
	PoState		to_state;
	PoState		through;
	bool		allowed;
} Transition;

static const PoField transition_field[] = {
	PO_FIELD(Transition, tenant_id, TEXT, PO_GIVE),
	PO_STATE_FIELD(Transition, from_state, PO_GIVE),
	PO_STATE_FIELD(Transition, to_state, PO_GIVE),
	PO_STATE_FIELD(Transition, through, PO_GIVE),
	PO_FIELD(Transition, allowed, BOOL, PO_GIVE)
};

static PoStatement select_transitions = {
	.name = "states.transitions",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {t.*} FROM outreach.lead_transitions t ORDER BY (t.tenant_id <> '*'), t.tenant_id",
	.gives = PO_FIELDS(transition_field, PO_GIVE)
};

/*
 * po_state_name returns the name of a state.
 */
const char *
po_state_name(PoState state)
{
	Assert(state >= 0 && state < PO_NSTATES);
	return po_state_names[state];
}

/*
 * po_state_from_name returns PO_STATE_NONE for NULL or an unknown name.
 */
PoState
po_state_from_name(const char *name)
{
	for (int i = 0; name != NULL && i < PO_NSTATES; i++)
		if (strcmp(name, po_state_names[i]) == 0)
			return i;
	return PO_STATE_NONE;
}

/*
 * po_state_require raises an error for an unknown name.
 */
PoState
po_state_require(const char *name)
{
	PoState		state = po_state_from_name(name);

	if (state == PO_STATE_NONE)
		ereport(ERROR,
				(errcode(PO_ERRCODE_UNKNOWN_STATE),
				 errmsg("\"%s\" is not a lead state", name),
				 errhint("The states are the values of the type outreach.lead_state.")));
	return state;
}

static void
load_transitions(void)
{
	MemoryContext context = po_cache_reset(&transition_cache);
	PoTransitions *current = NULL;
	uint64		n;

	po_spi_connect();
	n = po_exec_fixed(&select_transitions, NULL);
	/* At most one tenant a row, and the default. */
	transitions_of = MemoryContextAlloc(context, (n + 1) * sizeof(PoTransitions));
	current = &transitions_of[0];
	current->tenant_id = "*";
	for (int from = 0; from < PO_NSTATES; from++)
		for (int to = 0; to < PO_NSTATES; to++)
			current->change[from][to] = NOT_ALLOWED;
	ntransitions = 1;
	for (uint64 i = 0; i < n; i++)
	{
		Transition	t;

		po_read_row(&select_transitions, i, &t);
		if (strcmp(t.tenant_id, current->tenant_id) != 0)
		{
			current = &transitions_of[ntransitions++];
			*current = transitions_of[0];
			current->tenant_id = MemoryContextStrdup(context, t.tenant_id);
		}
		current->change[t.from_state][t.to_state] = !t.allowed ? NOT_ALLOWED
			: t.through == PO_STATE_NONE ? ONE_STEP : (int) t.through;
	}
	SPI_finish();
	po_cache_filled(&transition_cache);
}

/*
 * po_transitions returns a tenant's transitions: its own rows over the default.
 * Runs as the engine's owner; the first call after a change reads the table.
 */
const PoTransitions *
po_transitions(const char *tenant_id)
{
	if (!po_cache_fresh(&transition_cache))
		load_transitions();
	for (int i = 1; i < ntransitions; i++)
		if (strcmp(transitions_of[i].tenant_id, tenant_id) == 0)
			return &transitions_of[i];
	return &transitions_of[0];
}

/*
 * po_transition_step tells whether a change is legal as one step.
 */
bool
po_transition_step(const PoTransitions *transitions, PoState from, PoState to)
{
	return transitions->change[from][to] == ONE_STEP;
}

/*
 * po_transition_path fills in the steps that lead from one state to another and
 * returns how many there are: 1, 2, or 0 when there is no legal way.
 */
int
po_transition_path(const PoTransitions *transitions, PoState from, PoState to,
				   PoState path[2])
{
	int			change = transitions->change[from][to];

	if (change == NOT_ALLOWED)
		return 0;
	if (change == ONE_STEP)
	{
		path[0] = to;
		return 1;
	}
	if (!po_transition_step(transitions, from, change) ||
		!po_transition_step(transitions, change, to))
		return 0;
	path[0] = change;
	path[1] = to;
	return 2;
}

/*
 * po_illegal_transition raises the error that names from, to and what is allowed.
 */
void
po_illegal_transition(const PoTransitions *transitions, PoState from, PoState to)
{
	StringInfoData allowed;

	initStringInfo(&allowed);
	for (int state = 0; state < PO_NSTATES; state++)
		if (po_transition_step(transitions, from, state))
			appendStringInfo(&allowed, "%s%s", allowed.len > 0 ? ", " : "", po_state_names[state]);
	ereport(ERROR,
			(errcode(PO_ERRCODE_ILLEGAL_TRANSITION),
			 errmsg("a lead cannot go from \"%s\" to \"%s\"", po_state_names[from], po_state_names[to]),
			 allowed.len > 0 ? errdetail("From \"%s\" it can go to: %s.", po_state_names[from], allowed.data)
			 : errdetail("From \"%s\" it can go nowhere.", po_state_names[from]),
			 transitions->change[from][to] >= 0
			 ? errhint("outreach.transition_lead() records the step through \"%s\".",
					   po_state_names[transitions->change[from][to]])
			 : errhint("The legal changes are in outreach.lead_transitions.")));
}

/*
 * po_begin_recorded_changes makes the trigger let changes of state pass: the
 * caller has checked each step and writes its events itself.  The caller must
 * reach po_end_recorded_changes also when an error is raised.
 */
void
po_begin_recorded_changes(void)
{
	changes_recorded = true;
}

/*
 * po_end_recorded_changes ends that.
 */
void
po_end_recorded_changes(void)
{
	changes_recorded = false;
}

/*
 * po_changes_are_recorded tells the trigger whether it is so.
 */
bool
po_changes_are_recorded(void)
{
	return changes_recorded;
}
