/*
 * provider_map.h
 *	  Endpoints and how their payloads are read: payload maps, kinds of webhook,
 *	  answers; remembered in the backend.
 */
#ifndef PO_INBOUND_PROVIDER_MAP_H
#define PO_INBOUND_PROVIDER_MAP_H

#include "common/proof.h"
#include "core/counters.h"
#include "datatype/timestamp.h"
#include "outbound/message.h"

/* Fields that the engine itself reads; a map may name any others besides. */
typedef enum PoEngineField
{
	PO_FIELD_FROM,
	PO_FIELD_TO,
	PO_FIELD_BODY,
	PO_FIELD_OPT_OUT_TYPE,
	PO_FIELD_MESSAGE_ID,
	PO_FIELD_ERROR_CODE,
	PO_FIELD_PHONE,
	PO_FIELD_SAID,
	PO_FIELD_SAID_AT,
	PO_FIELD_EMAIL,
	PO_FIELD_REFERENCE,
	PO_NFIELDS
} PoEngineField;

typedef struct PoPath
{
	const char **key;
	int			nkeys;
	const char **end;			/* the value ends before the first of these */
	int			nends;
} PoPath;

typedef struct PoFieldMap
{
	const char *name;
	PoPath	   *path;			/* best first */
	int			npaths;
} PoFieldMap;

/* A field must have one of the values; a value may end in '*'. */
typedef struct PoCondition
{
	int			field;
	const char **value;
	int			nvalues;
} PoCondition;

/* A field must have one of the forms for its payload to have an effect. */
typedef struct PoForm
{
	const char *prefix;
	int			prefix_len;
	char		class;			/* of the rest: 'h' hex, 'd' digits, 'a' any, '\0' there is none */
	int			min;			/* bytes of the rest */
	int			max;
} PoForm;

typedef struct PoFieldForms
{
	int			field;
	PoForm	   *form;
	int			nforms;
} PoFieldForms;

/* One way to make an idempotency key. */
typedef struct PoKeyForm
{
	int		   *field;
	bool	   *optional;
	int			nfields;
} PoKeyForm;

typedef enum PoKindEffect
{
	PO_KIND_EFFECT_LOG,
	PO_KIND_EFFECT_MESSAGE,
	PO_KIND_EFFECT_OPT_OUT,
	PO_KIND_EFFECT_HELP,
	PO_KIND_EFFECT_STATUS
} PoKindEffect;

typedef struct PoKind
{
	const char *event_type;
	PoCondition *condition;
	int			nconditions;
	PoKeyForm  *key;
	int			nkeys;
	PoFieldForms *forms;
	int			nforms;
	PoKindEffect effect;
	PoMessageStatus to_status;	/* of a message of ours, for PO_KIND_EFFECT_STATUS */
	PoCondition *revoked_by;	/* one that holds tells that the consent of an address is revoked, */
	int			nrevoked_by;
	PoCondition *email_revoked_by;	/* that of the e-mail address alone, */
	int			nemail_revoked_by;
	PoCondition *unreachable_by;	/* or that it cannot be reached */
	int			nunreachable_by;
} PoKind;

typedef struct PoAnswer
{
	const char *event_type;		/* '*' for any */
	const char *outcome;
	int			score;			/* how exact tenant and provider are */
	int			http_status;
	const char *content_type;
	const char *body;
} PoAnswer;

/* What a provider's payloads mean to a tenant. */
typedef struct PoProviderMap
{
	PoFieldMap *field;			/* the first PO_NFIELDS are those of PoEngineField */
	int			nfields;
	PoKind	   *kind;			/* in the order they are tried */
	int			nkinds;
	PoAnswer   *answer;
	int			nanswers;
} PoProviderMap;

typedef struct PoEndpoint
{
	const char *tenant_id;
	const char *path;
	const char *provider;
	bool		form_encoded;
	bool		deferred;
	bool		key_per_endpoint;
	bool		allow_get;
	PoCredential credential;
	const char *problem;		/* why its secrets cannot be opened, or NULL */
	TimestampTz stale_at;		/* when a secret ends */
	const PoProviderMap *map;
} PoEndpoint;

extern const char *po_kind_effect_name(int i);
extern void po_endpoints_begin(void);
extern const PoEndpoint *po_find_endpoint(const char *path, int len);
extern void po_look_for_endpoint(const char *path, int len);
extern const PoAnswer *po_find_answer(const PoProviderMap *map, const char *event_type,
									  PoIngestOutcome outcome);
extern const PoProviderMap *po_shipped_map(void);

#endif
