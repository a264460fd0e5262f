/*
 * change_set.h
 *	  Changes of leads and of consent, decided in memory and written together.
 */
#ifndef PO_LEAD_CHANGE_SET_H
#define PO_LEAD_CHANGE_SET_H

#include "common/phone.h"
#include "core/compat.h"
#include "core/statement.h"
#include "lead/event_log.h"
#include "lead/states.h"
#include "lead/timer.h"

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

/* A lead whose row is locked. */
typedef struct PoLead
{
	const char *tenant_id;
	const char *lead_id;
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
	bool		lost_phone;		/* it was taken */
	const char *email;
	const char *source;			/* of a created lead */
} PoLead;

/* A phone whose row is locked. */
typedef struct PoPhone
{
	const char *tenant_id;
	const char *phone;
	PoConsent	consent;
	TimestampTz consent_at;		/* when it was said; DT_NOBEGIN: never changed */
	Jsonb	   *unreachable;	/* marks by channel; NULL: none */
	bool		changed;
	bool		sets_suppress_at;
	TimestampTz suppress_at;	/* DT_NOEND: none of its leads is left */
} PoPhone;

/* Where a change comes from; all of it ends up in the events. */
typedef struct PoCause
{
	const char *source;
	const char *reason;
	const char *actor;			/* who decided; NULL: the person whose phone it is, or nobody */
	const char *version;		/* of what read the text; NULL: none was read */
	const TimestampTz *said_at; /* when it was said; NULL: now */
	const pg_uuid_t *receipt_id;
	const pg_uuid_t *correlation_id;
} PoCause;

/* One act of consent; a phone may have more than one in a set. */
typedef struct PoConsentChange
{
	int			phone;			/* in the set's phones */
	int			event;			/* in the set's events */
	const char *act;
	PoConsent	consent;
	PoCause		cause;
} PoConsentChange;

typedef struct PoChangeSet
{
	PoEventList events;
	PoLead	   *lead;			/* by tenant_id, lead_id; created ones at the end */
	int			nlocked;		/* so many are sorted */
	int			nleads;
	int			max_leads;
	PoPhone    *phone;			/* by tenant_id, phone */
	int			nphones;
	PoConsentChange *consent;
	int			nconsents;
	int			max_consents;
	PoTimerCancel *cancel;		/* done before timers are set */
	int			ncancels;
	int			max_cancels;
	PoNewTimer *timer;
	int			ntimers;
	int			max_timers;
} PoChangeSet;

/* So many leads does an opt-out suppress in its transaction; the rest follow. */
#define PO_MAX_SUPPRESSED 500

/* So many leads of a phone are locked for a webhook, at most. */
#define PO_MAX_OF_PHONE 1000

/* A (tenant, phone) pair; arrays of them are sorted and without repetitions. */
typedef struct PoPhoneKey
{
	const char *tenant_id;
	const char *phone;
} PoPhoneKey;

/* A lead to be locked, and with it, where phone is set, all leads of that phone. */
typedef struct PoLeadKey
{
	const char *tenant_id;
	const char *lead_id;
	const char *phone;
} PoLeadKey;

/* What a statement over phones takes, and what one that locks them has to give. */
extern const PoField po_phone_key_field[2];
extern const PoField po_lead_key_field[3];
#define PO_LEAD_ALONE PO_USE	/* its key without its phone */
extern const PoField po_phone_field[6];

extern int	po_phone_keys_sort(PoPhoneKey *key, int n);
extern int	po_phone_keys_find(const PoPhoneKey *sorted, int n, const PoPhoneKey *key);
extern void po_lock_phones(PoChangeSet *set, const PoPhoneKey *key, int n);
extern void po_lock_free_phones(PoChangeSet *set, const PoPhoneKey *key, int n);
extern int	po_make_free_phones(const PoPhoneKey *key, int n);
extern void po_lock_leads_of_phones(PoChangeSet *set, const PoPhoneKey *key, int n);
extern void po_lock_leads(PoChangeSet *set, const PoLeadKey *key, int n);
extern int	po_lock_leads_but_held(PoChangeSet *set, const PoLeadKey *key, int n,
								   PoLeadKey **held);
extern bool po_lock_to_suppress(PoChangeSet *set, const char *tenant_id, const char *phone,
								bool wait);
extern void po_lock_free_leads(PoChangeSet *set, const PoLeadKey *key, int n);
extern void po_read_phones(PoChangeSet *set, uint64 n);
po_noreturn extern void po_unknown_lead(const char *tenant_id, const char *lead_id);
extern PoLead *po_require_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id);

extern PoLead *po_find_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id);
extern PoPhone *po_find_phone(PoChangeSet *set, const char *tenant_id, const char *phone);
extern void po_lead_set_phone(PoLead *lead, const char *phone);
extern PoLead *po_find_subject(PoChangeSet *set, const char *tenant_id, const char *phone);
extern PoLead *po_create_lead(PoChangeSet *set, const char *tenant_id, const char *lead_id,
							  const char *phone, const PoCause *cause);
extern PoEvent *po_lead_event(PoChangeSet *set, PoLead *lead, const char *event_type,
							  const PoCause *cause);
extern void po_lead_replied(PoChangeSet *set, PoLead *lead);
extern void po_timers_of_state(PoChangeSet *set, PoLead *lead, PoState from, PoState state);
extern void po_cancel_all_timers(PoChangeSet *set, PoLead *lead, const char *reason);
extern void po_arm_timer(PoChangeSet *set, PoLead *lead, const char *timer_type);
extern void po_assign_agent(PoChangeSet *set, PoLead *lead, const char *agent,
							const PoCause *cause);
extern int	po_change_state(PoChangeSet *set, PoLead *lead, PoState to, const PoCause *cause);
extern void po_take_phone(PoChangeSet *set, const PoPhoneKey *key, TimestampTz said_at,
						  const PoCause *cause);
extern bool po_release_phone(PoChangeSet *set, PoPhone *phone, PoConsent consent, const PoCause *cause);
extern bool po_has_agreed_since(const PoPhone *phone, TimestampTz time);
extern bool po_change_consent(PoChangeSet *set, PoPhone *phone, PoConsent consent,
							  const PoCause *cause);
extern void po_complete_opt_out(PoChangeSet *set, PoPhone *phone, const pg_uuid_t *event_owed,
								const PoCause *cause);
extern void po_write_changes(PoChangeSet *set);
extern void po_write_phones(PoChangeSet *set);
extern void po_write_consent_alone(PoChangeSet *set);

extern const char *const po_consent_names[PO_CONSENT_OPTED_OUT + 1];
#define PO_CONSENT_FIELD(row, field, used) \
	PO_NAME(row, field, PoConsent, po_consent_names, "outreach.consent_status", used)
extern const char *po_consent_name(PoConsent consent);
extern PoConsent po_consent_from_name(const char *name);

#endif
