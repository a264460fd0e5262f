/*
 * answer.h
 *	  What a provider's answer means for a message.
 */
#ifndef PO_SENDER_ANSWER_H
#define PO_SENDER_ANSWER_H

#include "outbound/profile.h"
#include "sender/http_call.h"

typedef struct PoRequestOutcome
{
	PoOutcomeKind kind;
	PoOutcomeEffect effect;
	int64		delay;			/* until the next try; 0: the profile's */
	int			max_attempts;	/* 0: the profile's */
	const char *provider_message_id;	/* when it was accepted */
	const char *code;
	const char *error;			/* NULL when it was accepted */
	bool		outage;			/* a provider in trouble */
	bool		too_many;		/* the number is to rest for the delay */
} PoRequestOutcome;

/* The message that a look-up is to find. */
typedef struct PoSought
{
	const char *body;
	const char *to;
	const char *from;
	/* when the provider may have accepted it, by our clock */
	TimestampTz since;
	TimestampTz until;
	/* when the look-up was under way, and so the provider's own time was told */
	TimestampTz asked_at;
	TimestampTz answered_at;
} PoSought;

typedef enum PoLikeness
{
	PO_ANOTHER,					/* surely not the one */
	PO_PERHAPS,
	PO_THE_SAME					/* text, numbers and time are those of the one */
} PoLikeness;

/* What a look-up listed. */
typedef struct PoListed
{
	const char *id;
	PoLikeness	likeness;
} PoListed;

extern void po_read_answer(const PoAccount *account, const PoHttpCall *call,
						   const PoHttpAnswer *answer, PoRequestOutcome *outcome);
extern int	po_read_lookup(const PoProfile *profile, const PoHttpCall *call,
						   const PoHttpAnswer *answer, const PoSought *sought, PoListed **listed);
extern const char *po_answer_excerpt(const PoHttpCall *call, const PoHttpAnswer *answer);

#endif
