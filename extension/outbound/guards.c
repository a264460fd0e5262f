/*
 * guards.c
 *	  The row of guards that each message passes, twice: when it is asked for,
 *	  and when it is about to leave.
 *
 * A guard looks at its input and at nothing else.  The first that does not allow
 * decides.  A guard fails closed: what it cannot tell it does not allow.
 */
#include "postgres.h"

#include "core/compat.h"
#include "lead/channel.h"
#include "outbound/guards.h"

static const char *const verdict_name[] = {"allow", "defer", "review", "block"};

static PoGuardVerdict
judge_destination(const PoGuardInput *input, const char **reason)
{
	*reason = "the lead has no address for this channel";
	if (input->address != NULL)
		return PO_GUARD_ALLOW;
	/* It was asked for while there was one, and waits for the next. */
	return input->moment == PO_AT_CLAIM ? PO_GUARD_DEFER : PO_GUARD_BLOCK;
}

static PoGuardVerdict
judge_consent(const PoGuardInput *input, const char **reason)
{
	bool		is_email = po_goes_to_email(input->channel);

	if (input->consent == PO_CONSENT_OPTED_OUT)
		*reason = is_email ? "the e-mail address has opted out" : "the phone has opted out";
	else if (input->consent == PO_CONSENT_HELD)
		*reason = is_email ? "the e-mail address is held until a person decides"
			: "the phone is held until a person decides what its message meant";
	else if (input->copy_blocked)
		*reason = "an address that gets a copy has opted out, or is held";
	else
		return PO_GUARD_ALLOW;
	return PO_GUARD_BLOCK;
}

static PoGuardVerdict
judge_suppression(const PoGuardInput *input, const char **reason)
{
	*reason = "the lead is suppressed";
	return input->lead_state != PO_STATE_SUPPRESSED ? PO_GUARD_ALLOW : PO_GUARD_BLOCK;
}

static PoGuardVerdict
judge_reachability(const PoGuardInput *input, const char **reason)
{
	*reason = input->unreachable;
	return input->unreachable == NULL ? PO_GUARD_ALLOW : PO_GUARD_BLOCK;
}

static PoGuardVerdict
judge_content(const PoGuardInput *input, const char **reason)
{
	if (input->missing != NULL)
		*reason = psprintf("the variable \"%s\" has no value", input->missing);
	else if (input->malformed)
		*reason = "the text cannot be filled in";
	else if (input->body_len == 0 && !input->may_be_empty)
		*reason = "the text is empty";
	else if (input->lacks != NULL)
		*reason = psprintf("%s is missing: the account's profile needs it", input->lacks);
	else if (input->segments > input->max_segments)
		*reason = psprintf("the text has %d segments, %d are allowed", input->segments,
						   input->max_segments);
	else
		return PO_GUARD_ALLOW;
	return PO_GUARD_BLOCK;
}

static PoGuardVerdict
judge_stop(const PoGuardInput *input, const char **reason)
{
	if (input->stop == NULL)
		return PO_GUARD_ALLOW;
	*reason = psprintf("sending is stopped: %s", input->stop);
	return PO_GUARD_DEFER;
}

static const PoGuard guard[] = {
	{"content", PO_AT_REQUEST, judge_content,
	 "Every variable has a value; the text is within the profile's segments, and not empty without media; what the "
	 "profile needs is there."},
	{"destination", PO_AT_REQUEST | PO_AT_CLAIM, judge_destination,
	 "The lead has a valid phone, or what the channel needs; one that loses it meanwhile is deferred until the lead "
	 "has another."},
	{"consent", PO_AT_REQUEST | PO_AT_CLAIM, judge_consent,
	 "The phone or e-mail address, and those of copies, have not opted out and are not held."},
	{"suppression", PO_AT_REQUEST | PO_AT_CLAIM, judge_suppression,
	 "The lead is not suppressed."},
	{"reachability", PO_AT_REQUEST | PO_AT_CLAIM, judge_reachability,
	 "No provider has said that the phone or e-mail address cannot be reached in the channel."},
	{"stop", PO_AT_CLAIM, judge_stop,
	 "No kill switch: everything, tenant, account, number."}
};

/*
 * po_judge returns the first verdict that is not allow, or allow.
 */
PoGuardResult
po_judge(const PoGuardInput *input)
{
	PoGuardResult result = {PO_GUARD_ALLOW, NULL, NULL};

	for (int i = 0; i < lengthof(guard) && result.verdict == PO_GUARD_ALLOW; i++)
	{
		if ((guard[i].moments & input->moment) == 0)
			continue;
		result.guard = guard[i].name;
		result.verdict = guard[i].judge(input, &result.reason);
	}
	return result;
}

/*
 * po_verdict_list returns a list with one verdict, of n members that are names and
 * texts; one without a text is left out.  The list is empty when n is 0.
 */
Jsonb *
po_verdict_list(const char *const member[][2], int n)
{
	PoJsonbState state = {0};

	po_push_jsonb(&state, WJB_BEGIN_ARRAY, NULL);
	if (n > 0)
		po_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < 2 && member[i][1] != NULL; j++)
		{
			JsonbValue	value = {.type = jbvString};

			value.val.string.val = unconstify(char *, member[i][j]);
			value.val.string.len = strlen(member[i][j]);
			po_push_jsonb(&state, j == 0 ? WJB_KEY : WJB_VALUE, &value);
		}
	if (n > 0)
		po_push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(po_close_jsonb(&state, WJB_END_ARRAY));
}

/*
 * po_guard_verdicts returns the list that is kept with a message: empty, or the
 * guard that decided.
 */
Jsonb *
po_guard_verdicts(const PoGuardResult *result)
{
	const char *const member[3][2] = {
		{"guard", result->guard},
		{"verdict", verdict_name[result->verdict]},
		{"reason", result->reason}
	};

	return po_verdict_list(member, result->verdict != PO_GUARD_ALLOW ? lengthof(member) : 0);
}

/*
 * po_guard returns the i-th guard, in the order they are asked, NULL behind the last.
 */
const PoGuard *
po_guard(int i)
{
	return i < lengthof(guard) ? &guard[i] : NULL;
}
