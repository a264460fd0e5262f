/*
 * webhook.h
 *	  One webhook on its way through the inbound path.
 */
#ifndef PO_INBOUND_WEBHOOK_H
#define PO_INBOUND_WEBHOOK_H

#include "common/address.h"
#include "common/document.h"
#include "core/batch.h"
#include "core/counters.h"
#include "inbound/provider_map.h"
#include "lead/rules.h"
#include "sender/health.h"
#include "unit/unit.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

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

/* A payload in the text of another. */
typedef struct PoInner
{
	int			at;				/* the node that has the text */
	PoDocument	document;
} PoInner;

typedef struct PoWebhook
{
	MemoryContext memory;		/* of what is read out of it, set before it is processed */

	/* the request; everything points into the envelope */
	bool		is_get;
	PoBytes		path;
	PoBytes		query;			/* of a stored one what po_signed_query() has kept */
	PoBytes		body;			/* or the one event of several that this is; of a GET what its query says */
	PoHeader   *header;
	int			nheaders;
	const char *problem;		/* why it cannot be read: a fixed phrase, or NULL */
	int			http_status;	/* for a request refused before its answer is looked up */
	pg_uuid_t	correlation_id;

	/* what it is */
	const PoEndpoint *endpoint;
	bool		form_encoded;
	bool		document_read;
	PoDocument	document;
	bool		has_inner;		/* a text of it may be JSON */
	PoInner    *inner;			/* those that were read */
	int			ninner;
	PoBytes    *value;			/* one a field of the provider's map; data NULL for none */
	const PoKind *kind;			/* NULL: unknown */
	const char *event_type;
	const char *flaw;			/* why it may not have its kind's effect: a fixed phrase, or NULL */
	const char *key;
	int64		body_hash;

	bool		unresolved;		/* it says not of whom, or is not sure to be the provider's */
	char		phone[PO_ADDRESS_SIZE];	/* of the sender; or the address, of either kind, that it tells something of */
	const char *email;			/* whose consent it revokes with the phone's; NULL: of none */
	const char *email_revoked_by;	/* as revoked_by */

	/* what it says, when it is a message */
	bool		is_message;
	char		business_phone[PO_E164_SIZE];	/* ours, that it was sent to; empty: not known */
	bool		heard;			/* what follows has been read */
	PoText		text;
	PoConsentAction consent;
	const char *sounds;			/* the words that sound like a revocation; NULL: a row decided */
	int			sound;			/* how much they do, where they decided */
	bool		yes;			/* a bare YES, where the tenant counts it as consent */
	const char *word;
	PoRuling	ruling;
	bool		from_stranger;	/* no lead has the phone */
	bool		from_unreachable;	/* it is said not to take messages, and sends one */
	bool		own_number;		/* the phone is one of the tenant's own numbers; told where no lead may have it */

	/* what it tells of an address that stands in it */
	bool		is_revocation;
	const char *revoked_by;		/* the field and value that tell it, and the words; NULL: nothing does */
	bool		is_bounce;		/* it cannot be reached */
	const char *unreachable_by;
	TimestampTz said_at;		/* when it was said, at the latest */
	bool		overtaken;		/* the person has agreed since */

	/* what it says of a message of ours, when it is a status callback */
	bool		is_status;
	PoReport	report;
	const char *provider_message_id;	/* NULL: none */
	const char *reference;		/* what the query says of our message; NULL: nothing */
	bool		has_reference;	/* the callback URL names the message, and proves it */
	bool		tells_id;		/* by that the provider's id of the message is known now */
	pg_uuid_t	message_id;		/* of the reference, or of the message once it is found */
	const char *message_lead;	/* NULL: no message is known by it */
	const char *message_phone;	/* NULL: its channel has none */
	const PoAccount *account;	/* NULL: gone */
	PoVerdictEffect effect;		/* of the error code */
	const char *channel;		/* of the message */
	const char *meaning;		/* of the error code; NULL: none */

	/* what becomes of it */
	bool		stored;			/* was received before, processed only now */
	TimestampTz received_at;	/* where stored */
	int			attempts;
	bool		fresh;			/* first of its key */
	TimestampTz first_at;		/* when its key was taken, where this is another webhook under it */
	bool		held;			/* another transaction holds what it is about: it is taken up soon */
	bool		opted_out;		/* its opt-out is recorded, whatever becomes of the rest */
	bool		owes_event;		/* of that the event is still to be written, with this id */
	pg_uuid_t	event_owed;
	pg_uuid_t	receipt_id;
	PoOutcome	outcome;
	PoPayloadStatus status;
	const char *last_error;
} PoWebhook;

/* What webhooks are about, locked, and what they do to it. */
typedef struct PoSubjects
{
	PoUnit		unit;
	PoHealth	health;
} PoSubjects;

/* envelope.c */
extern void po_read_envelope(PoWebhook *webhook, Jsonb *envelope);
extern void po_refuse_get(PoWebhook *webhook);

/* So much of an error code is kept. */
#define PO_MAX_CODE 64

/* A form whose query is longer is not sure to be the provider's. */
#define PO_SIGNED_QUERY_MAX 2048

/* query.c */
extern int	po_form_pairs(PoBytes body, PoFormPair **pairs);
extern void po_take_query(PoWebhook *webhook);
extern PoBytes po_signed_query(const PoWebhook *webhook);

/* split.c */
extern int	po_split_body(PoBytes body, PoBytes **event);

/* normalize.c */
extern void po_authenticate_webhook(PoWebhook *webhook);
extern void po_read_webhook(PoWebhook *webhook);
extern void po_hear_message(PoWebhook *webhook);
extern const char *po_condition_value(const PoCondition *condition, const PoBytes *value);

/* contact.c */
extern void po_read_contact(PoWebhook *webhook);
extern void po_decide_contact(PoUnit *unit, PoWebhook *webhook, const PoCause *cause);

/* own_number.c */
extern void po_find_own_numbers(PoUnit *unit, PoWebhook **webhook, int n,
								const PoMemberState *state);
extern void po_decide_own_number(PoUnit *unit, PoWebhook *webhook, const PoCause *cause);

/* process.c */
extern void po_set_outcome(PoWebhook *webhook);
extern void po_receive_webhooks(PoWebhook **webhook, int n);
extern void po_process_stored(PoWebhook **webhook, int n);

/* heed.c */
extern bool po_opts_out(const PoWebhook *webhook);
extern bool po_heed_opt_out(PoWebhook *webhook);
extern bool po_heed_conflict(PoWebhook *webhook, int wait_ms);

/* keep.c */
extern void po_log_failure(const PoWebhook *webhook, int sqlstate, const char *what);
extern void po_give_up(PoWebhook *webhook, int sqlstate);
extern void po_keep_held(PoWebhook *webhook);

/* receipt.c */
extern void po_write_receipts(PoWebhook **webhook, int n, PoEventList *events);
extern bool po_take_key(PoWebhook *webhook);
extern void po_repetition_found(PoWebhook *webhook);
extern const char *po_payload_status_name(PoPayloadStatus status);
extern void po_write_payloads(PoWebhook **webhook, int n);

/* subjects.c */
extern bool po_touches_phone(const PoWebhook *webhook);
extern void po_lock_subjects(PoUnit *unit, PoWebhook **webhook, int n, bool wait,
							 PoMemberState *state);
extern void po_forget_subject(PoWebhook *webhook);

/* decide.c */
extern bool po_is_overtaken(const PoWebhook *webhook, const PoAddress *phone);
extern PoCause po_webhook_cause(const PoWebhook *webhook);
extern void po_decide_opt_out(PoUnit *unit, const PoWebhook *webhook, PoAddress *phone,
							  const PoCause *cause);
extern void po_decide(PoSubjects *subjects, PoWebhook *webhook);

/* status.c */
extern void po_read_status(PoWebhook *webhook);
extern void po_find_statuses(PoWebhook **webhook, int n, bool parks);
extern void po_decide_status(PoSubjects *subjects, PoWebhook *webhook, const PoCause *cause);

#endif
