/*
 * webhook.h
 *	  One webhook on its way through the inbound path.
 *
 * It is four parts, each with its own writer and its own life: what came, what that says,
 * what a try has found it to be about, and what becomes of it.  Who only reads a part
 * takes it as const.
 */
#ifndef PO_INBOUND_WEBHOOK_H
#define PO_INBOUND_WEBHOOK_H

#include "common/address.h"
#include "core/batch.h"
#include "core/counters.h"
#include "inbound/provider_map.h"
#include "lead/rules.h"
#include "sender/health.h"
#include "unit/unit.h"

/* As in the type outreach.payload_status. */
typedef enum PoPayloadStatus
{
	PO_PAYLOAD_PENDING,
	PO_PAYLOAD_DONE,
	PO_PAYLOAD_UNRESOLVED,
	PO_PAYLOAD_ERROR,
	PO_PAYLOAD_DEAD,
	PO_PAYLOAD_CONFLICT,
	PO_PAYLOAD_OWN_NUMBER
} PoPayloadStatus;

/*
 * What came.  Of one that comes now (envelope.c, ingest.c) it points into the envelope, of a
 * stored one (stored.c) it is what was kept; nobody changes it once it is read.
 */
typedef struct PoWebhookRequest
{
	bool		is_get;
	bool		form_encoded;
	PoBytes		path;
	PoBytes		query;			/* of a stored one what po_signed_query() has kept */
	PoBytes		body;			/* or the one event of several that this is; of a GET what its query says */
	PoHeader   *header;
	int			nheaders;
	pg_uuid_t	correlation_id;
	bool		stored;			/* was received before, processed only now */
	bool		ended;			/* where stored: its row is in outreach.inbound_history, not in the queue */
	TimestampTz received_at;	/* where stored */
	const char *reference;		/* where stored: what the query said of our message; NULL: nothing */
} PoWebhookRequest;

/* What a webhook may be; it may be more than one.  Each has its handler. */
#define PO_IS_MESSAGE	0x01
#define PO_IS_CONTACT	0x02	/* it tells something of an address that stands in it */
#define PO_IS_STATUS	0x04	/* it says something of a message of ours */

/*
 * What it says, by the rows: written by po_read_webhook() and po_hear_webhook(), and for them
 * by the handlers; lives as long as the webhook.
 */
typedef struct PoWebhookReading
{
	const char *problem;		/* why it cannot be read: a fixed phrase, or NULL */
	PoBytes    *value;			/* one a field of the provider's map; data NULL for none */
	const PoKind *kind;			/* NULL: unknown */
	const char *event_type;
	const char *flaw;			/* why it may not have its kind's effect: a fixed phrase, or NULL */
	const char *key;
	int64		body_hash;
	bool		unresolved;		/* it says not of whom, or is not sure to be the provider's */
	unsigned	is;				/* PO_IS_* */
	char		phone[PO_ADDRESS_SIZE]; /* of the sender; or the address, of either kind, that it tells something of */
	const char *reason;			/* of what it changes; NULL: none */
	TimestampTz said_at;		/* when it was said, at the latest; DT_NOEND: now */

	/* a message */
	char		business_phone[PO_E164_SIZE];	/* ours, that it was sent to; empty: not known */
	bool		heard;			/* what follows has been read */
	PoConsentAction consent;
	const char *word;
	const char *sounds;			/* the words that sound like a revocation; NULL: a row decided */
	int			sound;			/* how much they do, where they decided */
	bool		yes;			/* a bare YES, where the tenant counts it as consent */
	PoRuling	ruling;

	/* what it tells of an address */
	bool		is_revocation;
	const char *revoked_by;		/* the field and value that tell it, and the words; NULL: nothing does */
	const char *unreachable_by; /* the same, that it cannot be reached */
	const char *email;			/* whose consent it revokes with the phone's; NULL: of none */
	const char *email_revoked_by;	/* as revoked_by */

	/* what it says of a message of ours */
	PoReport	report;
	const char *provider_message_id;	/* NULL: none */
	const char *reference;		/* names the message, and proves it; NULL: nothing does */
} PoWebhookReading;

/*
 * What a try has found it to be about: written by the handlers' find, look_again and decide.
 * Cleared where a try begins (po_begin_try), and of no meaning after it.
 */
typedef struct PoWebhookSubject
{
	bool		is_of_lead;		/* a lead has its event */

	/* of a message */
	bool		from_stranger;	/* no lead has the phone */
	bool		from_unreachable;	/* it is said not to take messages, and sends one */
	bool		own_number;		/* the phone is one of the tenant's own numbers; told where no lead may have it */

	/* of an address */
	bool		overtaken;		/* the person has agreed since */

	/* of a message of ours */
	const char *lead_id;		/* NULL: no message is known by it */
	pg_uuid_t	message_id;		/* of the reference, or of the message once it is found */
	bool		has_reference;	/* the callback URL names the message, and proves it */
	bool		tells_id;		/* by that the provider's id of the message is known now */
	const char *channel;
	const char *phone;			/* NULL: its channel has none */
	const PoAccount *account;	/* NULL: gone */
	PoReport	report;			/* of it; not what is said of a copy */
	PoOutcomeEffect effect;		/* of the error code */
	const char *meaning;		/* of the error code; NULL: none */
} PoWebhookSubject;

/*
 * What becomes of it: written by outcome.c alone, but for what a stored row says of the
 * tries before (stored.c).
 */
typedef struct PoWebhookResult
{
	PoIngestOutcome outcome;	/* what its sender is told, and what is counted */
	int			http_status;	/* of a request that is refused before its answer is looked up */
	const char *refusal;		/* why it is: a fixed phrase, or NULL */
	pg_uuid_t	receipt_id;
	bool		fresh;			/* first of its key */
	TimestampTz first_at;		/* when its key was taken, where this is another webhook under it */
	PoPayloadStatus status;
	int			attempts;
	const char *last_error;
	bool		held;			/* another transaction holds what it is about: it is taken up soon */
	bool		opted_out;		/* its opt-out is recorded, whatever becomes of the rest */
	bool		owes_event;		/* of that the event is still to be written, with this id */
	pg_uuid_t	event_owed;
} PoWebhookResult;

typedef struct PoWebhook
{
	MemoryContext memory;		/* of the reading */
	const PoEndpoint *endpoint; /* by which it came; NULL: none */
	PoWebhookRequest request;
	PoWebhookReading reading;
	PoWebhookSubject subject;
	PoWebhookResult result;
} PoWebhook;

/* Of a GET, too, that proves nothing: it does not learn whether the path takes any. */
#define PO_NOT_POST "the method is not POST"

/* So much of an error code is kept. */
#define PO_MAX_CODE 64

/* A form whose query is longer is not sure to be the provider's. */
#define PO_SIGNED_QUERY_MAX 2048

/* What a request is told. */
typedef struct PoReply
{
	PoIngestOutcome outcome;
	bool		proven;			/* else it has neither receipt nor lane */
	pg_uuid_t	receipt_id;		/* of none where it is busy */
	int			http_status;
	const char *content_type;
	const char *body;
	int64		lane;			/* tells tenants apart without naming them */
} PoReply;

/* ingest.c */
extern void po_ingest_requests(Jsonb **envelope, int n, PoReply *reply);

/* stored.c */
extern int	po_process_due(int batch, TimestampTz since);
extern void po_replay(const char *tenant_id, const pg_uuid_t *receipt_id, const char *by, const char **status,
					  const char **event_type);

/* envelope.c */
extern void po_read_envelope(PoWebhook *webhook, Jsonb *envelope);

/* query.c */
extern int	po_form_pairs(PoBytes body, PoFormPair **pairs);
extern PoBytes po_query_body(PoBytes query, const PoCredential *credential);
extern PoBytes po_signed_query(const PoWebhookRequest *request, const PoCredential *credential);

/* split.c */
extern int	po_split_body(PoBytes body, PoBytes **event);

/* normalize.c */
extern void po_read_webhook(PoWebhook *webhook);
extern bool po_value_is(const PoBytes *value, const char *wanted);
extern const char *po_condition_value(const PoCondition *condition, const PoBytes *value);

/* process.c */
extern void po_receive_webhooks(PoWebhook **webhook, int n);
extern void po_process_stored(PoWebhook **webhook, int n);

/* keep.c */
extern void po_log_failure(const PoWebhook *webhook, int sqlstate, const char *what);
extern bool po_heed_conflict(PoWebhook *webhook, int wait_ms);
extern void po_give_up(PoWebhook *webhook, int sqlstate);
extern void po_keep_held(PoWebhook *webhook);

/* outcome.c */
extern void po_refuse(PoWebhook *webhook, PoIngestOutcome outcome, int http_status, const char *refusal);
extern void po_be_expected(PoWebhook *webhook);
extern void po_be_fresh(PoWebhook *webhook, const pg_uuid_t *receipt_id);
extern void po_be_duplicate(PoWebhook *webhook, const pg_uuid_t *receipt_id);
extern void po_be_conflict(PoWebhook *webhook, const pg_uuid_t *receipt_id, TimestampTz first_at);
extern void po_be_repetition(PoWebhook *webhook);
extern void po_be_own_number(PoWebhook *webhook);
extern void po_be_opted_out(PoWebhook *webhook, const pg_uuid_t *event_owed);
extern void po_be_failed(PoWebhook *webhook, int sqlstate);
extern void po_be_held(PoWebhook *webhook);

/* The columns of a payload that stay as they are wherever it stands. */
#define PO_PAYLOAD_KEPT \
	"path, provider, form_encoded, body, reference, received_at, correlation_id, signed_query," \
	" idempotency_key, event_type"

/* receipt.c */
extern void po_write_receipts(PoWebhook **webhook, int n, PoEventList *events);
extern bool po_take_key(const PoWebhook *webhook);
extern const char *po_payload_status_name(PoPayloadStatus status);
extern void po_write_payloads(PoWebhook **webhook, int n);

#endif
