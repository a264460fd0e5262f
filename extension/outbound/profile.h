/*
 * profile.h
 *	  How providers are spoken to: profiles, accounts and what answers mean;
 *	  remembered in the backend.
 */
#ifndef PO_OUTBOUND_PROFILE_H
#define PO_OUTBOUND_PROFILE_H

#include "core/statement.h"
#include "datatype/timestamp.h"
#include "outbound/needs.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef struct PoProfile
{
	const char *tenant_id;
	const char *profile;
	const char *provider;
	const char *channel;
	const char *url;
	const char *authentication;
	const char *auth_header;
	const char *content_type;
	Jsonb	   *headers;
	Jsonb	   *body;
	PoTexts		id_path;		/* in a JSON answer; empty: nowhere */
	const char *id_header;
	PoTexts		accepted_path;
	PoTexts		code_path;
	PoTexts		error_path;
	const char *idempotency_header;
	int64		idempotency_life;	/* microseconds; 0: not idempotent */
	/* the look-up; lookup_url NULL: none */
	const char *lookup_url;
	PoTexts		lookup_list;
	PoTexts		lookup_id;
	PoTexts		lookup_body;
	/* without one of these it is never sure that a message is the one */
	PoTexts		lookup_time;
	PoTexts		lookup_to;
	PoTexts		lookup_from;
	int64		lookup_lag;
	int64		settle;
	int			connect_timeout_ms;
	int			timeout_ms;
	int			max_in_flight;
	int64	   *retry_delay;
	int			nretries;
	int			breaker_failures;
	int64		breaker_pause;
	int			sick_failures;
	double		sick_ratio;
	int			max_segments;
	int64		price_micros;
	PoTexts		required;
	PoNeeds    *needs;
} PoProfile;

typedef enum PoOutcomeKind
{
	PO_REQUEST_SENT,
	PO_REQUEST_RETRY,
	PO_REQUEST_LATER,
	PO_REQUEST_MIDNIGHT_PACIFIC,
	PO_REQUEST_REVIEW,
	PO_REQUEST_FAILED,
	PO_REQUEST_UNKNOWN
} PoOutcomeKind;

typedef enum PoOutcomeEffect
{
	PO_OUTCOME_EFFECT_NONE,
	PO_OUTCOME_EFFECT_STOP_ACCOUNT,
	PO_OUTCOME_EFFECT_STOP_NUMBER,
	PO_OUTCOME_EFFECT_UNREACHABLE,
	PO_OUTCOME_EFFECT_OPT_OUT,
	PO_OUTCOME_EFFECT_REACHED	/* of no row: a message arrived that was said not to have */
} PoOutcomeEffect;

/* Whether an effect is one on the address. */
static inline bool
po_concerns_address(PoOutcomeEffect effect)
{
	return effect == PO_OUTCOME_EFFECT_UNREACHABLE || effect == PO_OUTCOME_EFFECT_OPT_OUT ||
		effect == PO_OUTCOME_EFFECT_REACHED;
}

/* What an answer means. */
typedef struct PoProviderOutcome
{
	PoOutcomeKind kind;
	PoOutcomeEffect effect;
	int64		delay;			/* microseconds; 0: the profile's */
	int			max_attempts;	/* 0: the profile's */
	const char *meaning;
} PoProviderOutcome;

typedef struct PoAccount
{
	const char *tenant_id;
	const char *account;
	const char *channel;
	const PoProfile *profile;
	const char *username;
	const char *secret;			/* NULL: none, or none is sent */
	const char *base_url;
	const char *origin;			/* scheme, host and port of its requests; "" when not certain */
	const char *callback_url;	/* NULL: callbacks are not asked for */
	const char *callback_key;
	int			callback_key_len;
	Jsonb	   *settings;
	const char *problem;		/* why nothing can be sent, a fixed phrase, or NULL */
} PoAccount;

#define PO_MAC_HEX 32

extern void po_profiles_begin(void);
extern const PoProfile *po_find_profile(const char *tenant_id, const char *name);
extern const PoAccount *po_find_account(const char *tenant_id, const char *account);
extern const PoProviderOutcome *po_find_outcome(const PoAccount *account, int http_status, const char *code);
extern const char *po_request_outcome_name(int i);
extern const char *po_outcome_effect_name(int i);
extern bool po_callback_mac(const PoAccount *account, const pg_uuid_t *message_id,
							char mac[PO_MAC_HEX + 1]);

#endif
