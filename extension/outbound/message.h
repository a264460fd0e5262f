/*
 * message.h
 *	  Outbound messages whose rows are locked, and how they may move.
 */
#ifndef PO_OUTBOUND_MESSAGE_H
#define PO_OUTBOUND_MESSAGE_H

#include "core/statement.h"
#include "lead/reach.h"
#include "outbound/message_states.h"
#include "outbound/profile.h"

typedef struct PoMessageKey
{
	const char *tenant_id;
	pg_uuid_t	message_id;
} PoMessageKey;

typedef struct PoMessage
{
	const char *tenant_id;
	pg_uuid_t	message_id;
	const char *lead_id;
	const char *account;
	const char *from_phone;
	const char *phone;			/* where it was to go, or went, when it was last looked at */
	const char *channel;
	PoMessageStatus status;
	int			fence;
	int			attempts;
	int			failures;
	TimestampTz ambiguous_since;	/* DT_NOEND: no outcome is unknown */
	TimestampTz due_at;			/* DT_NOEND: nothing is to be done */
	TimestampTz sent_at;		/* DT_NOEND: not accepted yet */
	const char *provider_message_id;
	const char *error_code;
	const char *last_error;
	/* what is to be written besides */
	bool		changed;
	int64		owner;			/* 0: none */
	const char *held_by;
	bool		cancel_on_reply;
	Jsonb	   *verdicts;		/* NULL: as they are */
	const char *delivery_error; /* why its delivery may never have an answer; NULL: it has, or will */
} PoMessage;

extern const PoField po_message_key_field[2];

/* held_by of one whose lead has no address, until the lead has one. */
#define PO_HELD_BY_ADDRESS "address"

/* What a provider said of a message that it has accepted. */
typedef struct PoReport
{
	PoMessageStatus status;
	const char *error_code;
} PoReport;


extern int	po_lock_messages(const PoMessageKey *key, int n, bool wait, PoMessage **message);
extern int	po_lock_messages_or_tell(const PoMessageKey *key, int n, PoMessage **message, bool *held);
extern PoMessage *po_find_message(PoMessage *message, int n, const char *tenant_id,
								  const pg_uuid_t *message_id);
extern void po_write_messages(PoMessage *message, int n);

extern PoMessageStatus po_message_move(PoMessage *message, PoMessageStep step);
extern PoEvent *po_message_event(PoChangeSet *set, const PoMessage *message, const char *event_type,
								 const PoCause *cause, Jsonb *payload);
extern PoObject *po_message_object(const PoMessage *message);
extern void po_message_accepted(PoChangeSet *set, PoMessage *message, const char *provider_message_id,
								const PoCause *cause);
extern bool po_message_report(PoChangeSet *set, PoMessage *message, const PoReport *report,
							  const PoCause *cause);
extern bool po_message_cancel(PoChangeSet *set, PoMessage *message, const PoCause *cause);
extern void po_message_in_doubt(PoChangeSet *set, const PoMessage *message, const PoCause *cause);
extern void po_message_uncertain(PoChangeSet *set, PoMessage *message, const PoCause *cause);
extern PoVerdictEffect po_effect_of_report(const PoMessage *message, const PoReport *report,
										   PoVerdictEffect effect);
extern void po_apply_to_phone(PoChangeSet *set, PoPhone *phone, PoVerdictEffect effect,
							  const PoUnreachable *mark, const PoCause *cause);
extern void po_message_unknown(PoMessage *message, TimestampTz since, int64 settle, const char *error);

#endif
