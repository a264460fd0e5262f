/*
 * catalog_api.c
 *	  The SQL functions that show what the code knows: its tables, as rows or by their
 *	  names.
 *
 * The names are for the CHECK constraints of columns that say one of them: each list is
 * read from the table that the code itself goes by, so that a row says nothing that
 * nobody understands.
 */
#include "postgres.h"

#include "common/authenticate.h"
#include "common/classify.h"
#include "common/meaning.h"
#include "common/phone.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/errors.h"
#include "funcapi.h"
#include "inbound/webhook.h"
#include "lead/channel.h"
#include "lead/timer.h"
#include "outbound/guards.h"
#include "outbound/priority.h"
#include "utils/builtins.h"

#define MAX_NAMES 32

PG_FUNCTION_INFO_V1(po_error_codes);
PG_FUNCTION_INFO_V1(po_limits);
PG_FUNCTION_INFO_V1(po_guards);
PG_FUNCTION_INFO_V1(po_priorities);
PG_FUNCTION_INFO_V1(po_is_priority);
PG_FUNCTION_INFO_V1(po_channels);
PG_FUNCTION_INFO_V1(po_is_channel);
PG_FUNCTION_INFO_V1(po_require_channel);
PG_FUNCTION_INFO_V1(po_names);

/*
 * error_codes(): one row a code.
 */
Datum
po_error_codes(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
#define X(name, a, b, c, label, text) \
	PO_ADD_ROW(CStringGetTextDatum(unpack_sql_state(name)), CStringGetTextDatum(label), CStringGetTextDatum(text));
	PO_ERROR_CODES(X)
#undef X
		return (Datum) 0;
}

/*
 * limits(): one row a limit.
 */
Datum
po_limits(PG_FUNCTION_ARGS)
{
	const PoLimit *limit;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; (limit = po_limit(i)) != NULL; i++)
	{
		Datum		values[4] = {
			CStringGetTextDatum(limit->name), Int32GetDatum(limit->most),
			CStringGetTextDatum(limit->characters ? "characters" : "bytes"),
			Int32GetDatum(limit->elements)
		};
		bool		nulls[4] = {false, false, false, limit->elements == 0};

		po_result_add(fcinfo, values, nulls);
	}
	return (Datum) 0;
}

/*
 * guards(): one row a guard, in the order they are asked.
 */
Datum
po_guards(PG_FUNCTION_ARGS)
{
	const PoGuard *guard;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; (guard = po_guard(i)) != NULL; i++)
		PO_ADD_ROW(CStringGetTextDatum(guard->name), BoolGetDatum((guard->moments & PO_AT_REQUEST) != 0),
				   BoolGetDatum((guard->moments & PO_AT_CLAIM) != 0), CStringGetTextDatum(guard->description));
	return (Datum) 0;
}

/*
 * priorities(): a row for each.
 */
Datum
po_priorities(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
#define X(name, number, label, description) \
	PO_ADD_ROW(CStringGetTextDatum(label), Int16GetDatum(number), CStringGetTextDatum(description));
	PO_PRIORITIES(X)
#undef X
		return (Datum) 0;
}

/*
 * is_priority(number): whether there is one.
 */
Datum
po_is_priority(PG_FUNCTION_ARGS)
{
	for (int i = 0; i < PO_NPRIORITIES; i++)
		if (PG_GETARG_INT16(0) == (int) po_priority(i))
			PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(false);
}

/*
 * channels(): a row for each.
 */
Datum
po_channels(PG_FUNCTION_ARGS)
{
	static const char *const goes_to_name[] = {"phone", "email", "lead"};
	const PoChannel *channel;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; (channel = po_channel(i)) != NULL; i++)
	{
		int			n = 0;

		while (n < PO_MOST_PARTS && channel->part[n] != NULL)
			n++;
		PO_ADD_ROW(CStringGetTextDatum(channel->name), CStringGetTextDatum(goes_to_name[channel->goes_to]),
				   BoolGetDatum(channel->segments), po_result_texts(channel->part, n),
				   CStringGetTextDatum(channel->description));
	}
	return (Datum) 0;
}

/*
 * is_channel(name): whether there is one.
 */
Datum
po_is_channel(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(po_find_channel(text_to_cstring(PG_GETARG_TEXT_PP(0))) != NULL);
}

/*
 * require_channel(channel): an error for what is none, and for null.
 */
Datum
po_require_channel(PG_FUNCTION_ARGS)
{
	po_channel_require("channel", PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

static const char *
webhook_outcome_name(int i)
{
	return i < PO_INGEST_NOUTCOMES ? po_ingest_outcome_name[i] : NULL;
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
	return i == 0 ? PO_RULE_EFFECT_TAKE_ADDRESS : NULL;
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
	{"outcome effect", po_outcome_effect_name},
	{"phone block", po_phone_block},
	{"phone channel", po_phone_channel_name},
	{"queued status", po_queued_status_name},
	{"reported status", po_reported_status_name},
	{"request outcome", po_request_outcome_name},
	{"rule effect", rule_effect_name},
	{"rule match", po_match_name},
	{"scheme", po_scheme_name},
	{"webhook outcome", webhook_outcome_name},
	{"word match", word_match_name}
};

/*
 * names(of): the names of a kind that the code knows; null for no such kind.
 */
Datum
po_names(PG_FUNCTION_ARGS)
{
	char	   *of = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *name[MAX_NAMES];
	int			n = 0;

	for (int i = 0; i < lengthof(list); i++)
	{
		if (strcmp(of, list[i].of) != 0)
			continue;
		while (n < MAX_NAMES && (name[n] = list[i].name(n)) != NULL)
			n++;
		return po_result_texts(name, n);
	}
	PG_RETURN_NULL();
}
