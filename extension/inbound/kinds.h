/*
 * kinds.h
 *	  What is done with a webhook, by what it is.
 *
 * Each PO_IS_* has a handler, in a file of its own; a webhook that is more than one is
 * given to each, in the order of the table.  Who goes over the table knows none by name.
 *
 * find, look_again and decide need SPI and the engine's owner as user.
 */
#ifndef PO_INBOUND_KINDS_H
#define PO_INBOUND_KINDS_H

#include "inbound/webhook.h"

/* What webhooks are about, locked, and what they do to it. */
typedef struct PoSubjects
{
	PoUnit		unit;
	PoHealth	health;
} PoSubjects;

typedef struct PoHandler
{
	unsigned	is;				/* the PO_IS_* whose it is */
	unsigned	effects;		/* of rows that it reads, as bits of PoKindEffect */

	/* Reads the fields of a webhook without a flaw; whether it is one. */
	bool		(*read) (const PoWebhook *webhook, PoWebhookReading *reading);

	/* Reads what is much work, and no duplicate needs; NULL: nothing. */
	void		(*hear) (const PoWebhook *webhook, PoWebhookReading *reading);

	/*
	 * Finds out, without a lock, what they are about, all or what an opt-out needs.  What it
	 * writes stays only where all is found.  Given others besides, it passes them over.
	 */
	void		(*find) (PoWebhook **webhook, int n, bool all);

	/* What has to be locked. */
	void		(*want) (const PoWebhook *webhook, PoWants *wants, int member);

	/* What else the locked rows tell of those that are PO_MEMBER_DONE; NULL: nothing. */
	void		(*look_again) (PoUnit *unit, PoWebhook **webhook, int n, PoMemberState *state);

	/* Decides in memory what it changes; whether that has an event of the webhook. */
	bool		(*decide) (PoSubjects *subjects, PoWebhook *webhook, const PoCause *cause);

	/* The address that it opts out; NULL: none. */
	const char *(*opts_out) (const PoWebhook *webhook);
	bool		is_told_late;	/* an act of consent since then stands */
} PoHandler;

#define PO_NHANDLERS 3

extern const PoHandler *const po_handler[PO_NHANDLERS];
extern const PoHandler po_message_handler;	/* kind_message.c */
extern const PoHandler po_contact_handler;	/* kind_contact.c */
extern const PoHandler po_status_handler;	/* kind_status.c */

/* kinds.c */
extern void po_hear_webhook(PoWebhook *webhook);
extern const PoHandler *po_opts_out(const PoWebhook *webhook, const char **address);

/* subjects.c */
extern void po_begin_try(PoWebhook *webhook);
extern void po_lock_subjects(PoUnit *unit, PoWebhook **webhook, int n, bool wait,
							 PoMemberState *state);

/* decide.c */
extern void po_received_event(PoEvent *event, const PoWebhook *webhook);
extern PoCause po_webhook_cause(const PoWebhook *webhook);
extern void po_decide_opt_out(PoUnit *unit, const PoWebhookResult *result, PoAddress *address,
							  const PoCause *cause);
extern void po_decide(PoSubjects *subjects, PoWebhook *webhook);

#endif
