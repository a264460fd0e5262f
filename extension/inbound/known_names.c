/*
 * known_names.c
 *	  The names that the code knows, by what they are names of.
 *
 * For the CHECK constraints of columns that say one of them: each list is read from
 * the table that the code itself goes by, so that a row says nothing that nobody
 * understands.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/authenticate.h"
#include "common/classify.h"
#include "common/meaning.h"
#include "common/phone.h"
#include "core/compat.h"
#include "core/counters.h"
#include "fmgr.h"
#include "inbound/webhook.h"
#include "lead/channel.h"
#include "lead/timer.h"
#include "outbound/profile.h"
#include "unit/message_states.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define MAX_NAMES 32

PG_FUNCTION_INFO_V1(po_names);

static const char *
outcome_name(int i)
{
	return i < PO_NOUTCOMES ? po_outcome_name[i] : NULL;
}

static const char *
word_match_name(int i)
{
	static const PoMatch match[] = {PO_MATCH_WHOLE, PO_MATCH_ALONE, PO_MATCH_WORD, PO_MATCH_LEADING};

	return i < lengthof(match) ? po_match_name(match[i]) : NULL;
}

static const char *
rule_effect_name(int i)
{
	return i == 0 ? PO_EFFECT_TAKE_ADDRESS : NULL;
}

/* Each returns the i-th name, NULL behind the last. */
static const struct
{
	const char *of;
	const char *(*name) (int i);
}			list[] = {
	{"action member", po_action_member},
	{"consent action", po_consent_action_name},
	{"extract", po_extract_name},
	{"intent", po_intent_name},
	{"kind effect", po_kind_effect_name},
	{"outcome", outcome_name},
	{"phone block", po_phone_block},
	{"phone channel", po_phone_channel_name},
	{"queued status", po_queued_status_name},
	{"reported status", po_reported_status_name},
	{"rule effect", rule_effect_name},
	{"rule match", po_match_name},
	{"scheme", po_scheme_name},
	{"verdict", po_verdict_name},
	{"verdict effect", po_verdict_effect_name},
	{"word match", word_match_name}
};

/*
 * names(of): the names of a kind that the code knows; null for no such kind.
 */
Datum
po_names(PG_FUNCTION_ARGS)
{
	char	   *of = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		name[MAX_NAMES];
	int			n = 0;

	for (int i = 0; i < lengthof(list); i++)
	{
		if (strcmp(of, list[i].of) != 0)
			continue;
		for (; n < MAX_NAMES && list[i].name(n) != NULL; n++)
			name[n] = CStringGetTextDatum(list[i].name(n));
		PG_RETURN_ARRAYTYPE_P(construct_array(name, n, TEXTOID, -1, false, TYPALIGN_INT));
	}
	PG_RETURN_NULL();
}
