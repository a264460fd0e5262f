/*
 * unit.h
 *	  What a transaction of the engine changes: locked first, decided in memory, written
 *	  at the end.
 *
 * A caller says what it wants to lock, and for which of its members (po_want_*);
 * po_unit_lock() locks all of it in one order: contacts, addresses, leads, messages,
 * numbers, each by its key.  Then it decides, in the structs here, and po_unit_write()
 * writes what has changed.
 *
 * Functions need SPI and the engine's owner as user.  Everything is palloc'd in the
 * current context, which must live until the unit is written.
 */
#ifndef PO_UNIT_UNIT_H
#define PO_UNIT_UNIT_H

#include "core/compat.h"
#include "core/statement.h"
#include "unit/event_log.h"
#include "unit/message_states.h"
#include "unit/states.h"

/* The values of the type outreach.consent_status; their order has no meaning. */
typedef enum PoConsent
{
	PO_CONSENT_UNKNOWN,
	PO_CONSENT_OPTED_IN,
	PO_CONSENT_HELD,
	PO_CONSENT_OPTED_OUT
} PoConsent;

/* Nothing is sent to an address of such a consent. */
static inline bool
po_consent_blocks(PoConsent consent)
{
	return consent == PO_CONSENT_HELD || consent == PO_CONSENT_OPTED_OUT;
}

/* The kinds of address, as outreach.addresses.kind names them. */
typedef enum PoAddressKind
{
	PO_PHONE,
	PO_EMAIL,
	PO_NKINDS
} PoAddressKind;

/* A person, whose row is locked. */
typedef struct PoContact
{
	const char *tenant_id;
	pg_uuid_t	contact_id;
	bool		created;
	/* since when all addresses of a kind have opted out; DT_NOBEGIN: they have not */
	TimestampTz opted_out_at[PO_NKINDS];
	bool		changed;
	TimestampTz suppress_at;	/* when leads that an opt-out has left are to be suppressed; DT_NOEND: none is left */
} PoContact;

/* An address whose row is locked, by its contact's lock. */
typedef struct PoAddress
{
	const char *tenant_id;
	const char *address;
	pg_uuid_t	contact_id;
	bool		shared;			/* of too many leads to be one person's */
	PoConsent	consent;
	TimestampTz consent_at;		/* when it was said; DT_NOBEGIN: never changed */
	Jsonb	   *unreachable;	/* marks by channel; NULL: none */
	int			joins_with;		/* 1 and the member that brings it to the person, see po_join_with(); 0: none */
	bool		made;			/* in this unit */
	bool		changed;		/* its contact is another, or it is shared now */
} PoAddress;

/* A lead whose row is locked. */
typedef struct PoLead
{
	const char *tenant_id;
	const char *lead_id;
	ItemPointerData tid;
	pg_uuid_t	contact_id;
	const char *phone;			/* NULL: none, or it was taken; po_lead_set_phone() sets it */
	uint32		phone_hash;
	PoState		state;
	int			version;
	TimestampTz last_activity_at;
	TimestampTz created_at;
	bool		has_email;
	bool		has_timers;
	const char *agent;
	const char *business_phone; /* the number of ours that it talks to */
	/* what is to be written */
	bool		created;
	bool		changed;
	bool		replied;
	TimestampTz last_inbound_at;	/* of a created lead; DT_NOBEGIN: it has not replied */
	bool		written_to;		/* by us */
	bool		readdressed;	/* its phone or contact is another */
	bool		lost_email;
	const char *email;			/* that it gets; NULL: as it is */
	const char *source;			/* of a created lead */
} PoLead;

/* A message whose row is locked. */
typedef struct PoMessage
{
	const char *tenant_id;
	pg_uuid_t	message_id;
	ItemPointerData tid;
	const char *lead_id;
	const char *account;
	const char *from_phone;
	const char *phone;			/* where it was to go, or went, when it was last looked at */
	const char *channel;
	PoMessageStatus status;
	int			fence;
	int			claim_fence;	/* when it was locked; */
	TimestampTz claimed_at;		/* while it is sending: when its row was changed last */
	int			attempts;
	int			failures;
	TimestampTz ambiguous_since;	/* DT_NOEND: no outcome is unknown */
	TimestampTz due_at;			/* DT_NOEND: nothing is to be done */
	TimestampTz sent_at;		/* DT_NOEND: not accepted yet */
	const char *provider_message_id;
	const char *error_code;
	const char *last_error;
	bool		ended;			/* when it was locked: its row is in a month */
	/* what is to be written besides */
	bool		changed;
	int64		owner;			/* 0: none */
	const char *held_by;
	bool		cancel_on_reply;
	Jsonb	   *verdicts;
	bool		under_way;		/* its request is, and whoever takes it from there writes the delivery */
	const char *delivery_error; /* why its answer may never come */
} PoMessage;

/* held_by of one whose lead has no address, until the lead has one. */
#define PO_HELD_BY_ADDRESS "address"

/*
 * A timer moves from outreach.timer_queue to outreach.timer_history: the columns that stay,
 * of a table and as they are inserted; and the statement around the deletion of timers t
 * that are cancelled, for a reason.
 */
#define PO_TIMER_COLUMNS(of) \
	of "tenant_id, " of "timer_id, " of "lead_id, " of "timer_type, " of "trigger_at, " of "action, " \
	of "action_payload, " of "cancel_on_reply, " of "max_attempts, " of "created_at"
#define PO_CANCEL_TIMERS(deletion, for_reason) \
	"WITH ended AS (" deletion " RETURNING " PO_TIMER_COLUMNS("t.") ", t.attempts, t.last_error, " for_reason " AS " \
	"reason)" \
	" INSERT INTO outreach.timer_history (" PO_TIMER_COLUMNS("") \
	", attempts, last_error, cancelled_at, cancel_reason, updated_at)" \
	" SELECT " PO_TIMER_COLUMNS("") ", attempts, last_error, $1, reason, $1 FROM ended"

/* A timer that is due, whose lead is locked. */
typedef struct PoTimer
{
	const char *tenant_id;
	pg_uuid_t	timer_id;
	ItemPointerData tid;		/* invalid: not known */
	const char *lead_id;
	const char *timer_type;
	TimestampTz due_at;
	const char *action;
	Jsonb	   *action_payload;
	int			attempts;
	int			max_attempts;
	bool		cancel_on_reply;
	bool		opted_out;		/* the lead's phone has */
	/* what is to be written */
	bool		changed;
	bool		executed;
	const char *last_error;
	TimestampTz next_due;		/* DT_NOEND: none */
} PoTimer;

/* A timer to be set. */
typedef struct PoNewTimer
{
	const char *tenant_id;
	const char *lead_id;
	const char *timer_type;
	TimestampTz trigger_at;
	const char *action;
	Jsonb	   *action_payload;
	bool		cancel_on_reply;
	int			max_attempts;
	pg_uuid_t	timer_id;		/* filled in when it is written */
} PoNewTimer;

/* The timers of a lead to be cancelled. */
typedef struct PoTimerCancel
{
	const char *tenant_id;
	const char *lead_id;
	const char *timer_type;		/* NULL: of any type */
	bool		on_reply;		/* only those that a reply cancels */
	const char *reason;
} PoTimerCancel;

/* Where a change comes from; all of it ends up in the events, or in their details. */
typedef struct PoCause
{
	const char *source;
	const char *reason;
	bool		reason_is_class;	/* it is the engine's own word, or a name of rows; else it is somebody's text */
	const char *actor;			/* who decided; NULL: the person whose address it is, or nobody */
	const char *version;		/* of what read the text; NULL: none was read */
	const TimestampTz *said_at; /* when it was said; NULL: now */
	const pg_uuid_t *receipt_id;
	const pg_uuid_t *correlation_id;
} PoCause;

/* One act of consent; an address may have more than one in a unit. */
typedef struct PoConsentAct
{
	int			address;		/* in the unit's addresses */
	int			event;			/* in the unit's events */
	const char *act;
	PoConsent	consent;
	PoCause		cause;			/* but for said_at, which may point to what moves */
	TimestampTz said_at;
} PoConsentAct;

typedef struct PoUnit
{
	PoEventList events;
	PoContact  *contact;		/* by tenant_id, contact_id */
	int			ncontacts;
	PoAddress  *address;		/* by tenant_id, address */
	int			naddresses;
	PoLead	   *lead;			/* by tenant_id, lead_id; created ones at the end */
	int			nlocked;		/* so many are sorted */
	int			nleads;
	int			max_leads;
	PoMessage  *message;		/* by tenant_id, message_id */
	int			nmessages;
	PoTimer    *timer;			/* in the order in which they were wanted */
	int			ntimers;
	PoConsentAct *act;
	int			nacts;
	int			max_acts;
	PoTimerCancel *cancel;		/* done before timers are set */
	int			ncancels;
	int			max_cancels;
	PoNewTimer *new_timer;
	int			nnew_timers;
	int			max_new_timers;
} PoUnit;

/* So many leads does an opt-out suppress in its transaction; the rest follow. */
#define PO_MAX_SUPPRESSED 500

/* So many leads of an address are locked at once, at most, and as many of its contact. */
#define PO_MAX_OF_ADDRESS 1000

/* A contact has so many addresses, at most: what joins it has to be locked with it. */
#define PO_MAX_ADDRESSES 1000

/* From so many leads on an address says nothing of who somebody is. */
#define PO_SHARED_BY 100

/* ---- wants: what a unit is to lock ---- */

typedef enum PoWantKind
{
	PO_WANT_ADDRESS,			/* its row, which is made where there is none, and its contact's other addresses */
	PO_WANT_LEADS_OF,			/* the leads that have an address; where that is wanted too, all of its contact */
	PO_WANT_REPLIES,			/* what a reply from an address takes back; its leads are wanted too */
	PO_WANT_CONTACT,			/* by its id, or of a lead */
	PO_WANT_LEAD,
	PO_WANT_MESSAGE,
	PO_WANT_NUMBER				/* of ours */
} PoWantKind;

typedef struct PoWant
{
	PoWantKind	kind;
	int			member;			/* of the caller's batch, that wants it */
	const char *tenant_id;
	const char *name;			/* an address, a lead, a number; NULL of messages */
	const char *lead_id;		/* whose contact an unknown address joins; NULL: that of the member's others */
	bool		alone;			/* it joins nobody's */
	const char *channel;		/* of a number */
	pg_uuid_t	id;				/* of a message, a contact */
	ItemPointerData tid;		/* where a lead or a message was seen, to be looked for there first; or invalid */
} PoWant;

typedef struct PoWants
{
	PoWant	   *want;
	int			n;
	int			max;
} PoWants;

/* How a unit locks.  Without PO_LOCK_WAITS it never waits for another transaction. */
#define PO_LOCK_WAITS	0x01
#define PO_LOCK_SHARES	0x02	/* contacts, and goes before nobody who waits for one */
#define PO_LOCK_IN_ORDER	0x04	/* its members are decided one after another, as po_join_with() is told */

extern PoWant *po_want(PoWants *wants, PoWantKind kind, int member, const char *tenant_id,
					   const char *name);
extern PoWant *po_want_message(PoWants *wants, int member, const char *tenant_id,
							   const pg_uuid_t *message_id);
extern void po_unit_lock(PoUnit *unit, const PoWants *wants, int how, bool *held);
extern void po_unit_write(PoUnit *unit);

/* ---- keys: what statements over addresses, leads and messages take ---- */

typedef struct PoAddressKey
{
	const char *tenant_id;
	const char *address;
} PoAddressKey;

typedef struct PoLeadKey
{
	const char *tenant_id;
	const char *lead_id;
} PoLeadKey;

typedef struct PoMessageKey
{
	const char *tenant_id;
	pg_uuid_t	message_id;
} PoMessageKey;

extern const PoField po_address_key_field[2];
extern const PoField po_lead_key_field[2];
extern const PoField po_message_key_field[2];

extern int	po_address_keys_sort(PoAddressKey *key, int n);
extern int	po_address_keys_find(const PoAddressKey *sorted, int n, const PoAddressKey *key);

/* ---- what is in a unit ---- */

extern PoContact *po_find_contact(PoUnit *unit, const char *tenant_id, const pg_uuid_t *contact_id);
extern PoAddress *po_find_address(PoUnit *unit, const char *tenant_id, const char *address);
extern PoLead *po_find_lead(PoUnit *unit, const char *tenant_id, const char *lead_id);
extern PoMessage *po_find_message(PoUnit *unit, const char *tenant_id, const pg_uuid_t *message_id);
extern PoLead *po_find_subject(PoUnit *unit, const char *tenant_id, const char *phone);
po_noreturn extern void po_unknown_lead(const char *tenant_id, const char *lead_id);
extern PoLead *po_require_lead(PoUnit *unit, const char *tenant_id, const char *lead_id);
extern PoAddress *po_require_address(PoUnit *unit, const char *tenant_id, const char *address);

extern void po_lead_set_phone(PoLead *lead, const char *phone);
extern void *po_grow(void *array, int n, int *max, size_t size);
extern PoLead *po_create_lead(PoUnit *unit, const char *tenant_id, const char *lead_id,
							  const char *address, const PoCause *cause);
extern PoEvent *po_lead_event(PoUnit *unit, PoLead *lead, const char *event_type,
							  const PoCause *cause);
extern pg_uuid_t po_new_contact(PoUnit *unit, const char *tenant_id);
extern pg_uuid_t po_join(PoUnit *unit, PoAddress *address);
extern void po_move_to_contact(PoUnit *unit, PoAddress *address, const pg_uuid_t *contact_id);
extern void po_move_to_new_contact(PoUnit *unit, PoAddress *address);
extern PoAddressKind po_kind_of(const char *address);
extern void po_object_cause(PoObject *object, const PoCause *cause, const char *actor_key);
extern void po_object_address(PoObject *object, const char *address, const pg_uuid_t *contact_id);
extern PoEvent *po_consent_event(PoUnit *unit, const PoAddress *address, PoConsent act,
								 const PoCause *cause);
extern void po_note_consent(PoUnit *unit, PoAddress *address, PoConsent act, PoConsent consent,
							const PoCause *cause);

extern const char *const po_consent_names[PO_CONSENT_OPTED_OUT + 1];
#define PO_CONSENT_FIELD(row, field, used) \
	PO_NAME(row, field, PoConsent, po_consent_names, "outreach.consent_status", used)
extern const char *po_consent_name(PoConsent consent);
extern PoConsent po_consent_from_name(const char *name);

/* ---- the rows, for the files of the unit alone ---- */

/* people.c, people_rows.c */
extern void po_join_with(PoUnit *unit, int member);
extern void po_lock_people(PoUnit *unit, const PoWants *wants, int how, bool *held);
extern void po_write_people(PoUnit *unit);

/* lead_rows.c */
extern void po_lock_leads(PoUnit *unit, const PoWants *wants, int how, bool *held);
extern void po_write_leads(PoUnit *unit);
extern void po_lock_left(PoUnit *unit, const char *tenant_id, const pg_uuid_t *contact_id,
						 const char *const *phone, int nphones, bool wait);
extern int	po_leads_left(const char *tenant_id, const pg_uuid_t *contact_id, const char *const *phone,
						  int nphones, int most);
extern bool po_is_shared(const char *tenant_id, const pg_uuid_t *contact_id);

/* message_rows.c */
extern void po_lock_messages(PoUnit *unit, const PoWants *wants, int how, bool *held);
extern void po_write_messages(PoUnit *unit);

/* timer_rows.c */
extern void po_write_timers(PoUnit *unit);
extern int	po_cancel_timers(const PoTimerCancel *cancel, int n);
extern void po_timers_not_before(TimestampTz time);
extern TimestampTz po_timer_time(TimestampTz time);

#endif
