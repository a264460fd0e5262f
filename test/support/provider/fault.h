/*
 * fault.h
 *		Which request is answered badly, and how.
 *
 * A fault is named "kind" or "kind:argument".  The first of these that says
 * something decides: a marker [[fault:…]] in the message, a rule, the shares.
 * Markers and rules may list several, parted by commas: one for each request
 * with that message, the last for all that follow.
 */
#ifndef PROVIDER_FAULT_H
#define PROVIDER_FAULT_H

#include <stdbool.h>

#include "buffer.h"
#include "json.h"

typedef enum FaultKind
{
	FAULT_OK,
	FAULT_LOSE_ANSWER,			/* accepted, then closed */
	FAULT_RESET,				/* accepted, then RST */
	FAULT_RESET_BEFORE,
	FAULT_CLOSE_BEFORE,
	FAULT_HANG,					/* accepted, never answered */
	FAULT_HANG_BEFORE,
	FAULT_DRIBBLE,				/* :MS between the bytes, 100 */
	FAULT_SLOW,					/* :MS until the answer, accepted at once */
	FAULT_SLOW_ACCEPT,			/* :MS until it is accepted and answered, client or not */
	FAULT_LATE_ACCEPT,			/* :MS until it is accepted; closed at once */
	FAULT_429,					/* :Retry-After, 1; "none", "date", or any text */
	FAULT_500_AFTER,
	FAULT_503_BEFORE,			/* :Retry-After, none */
	FAULT_GARBAGE,				/* accepted; :html, truncated, empty, binary or array */
	FAULT_WRONG_LENGTH,			/* accepted; :BYTES that never come, or -BYTES too many */
	FAULT_BLOCKED,				/* :dnc, out or filtered */
	FAULT_ERROR,				/* :CODE or CODE/HTTPSTATUS */
	FAULT_STATUS,				/* not accepted, this HTTP status */
	FAULT_STATUS_AFTER,			/* accepted, this HTTP status */
	FAULT_IDLE_CLOSE,			/* accepted and answered, closed :MS later */
	FAULT_RESET_REUSED,			/* accepted; RST unless it is its connection's first */
	FAULT_ENDLESS				/* accepted; a body that does not end */
} FaultKind;

typedef struct Fault
{
	const char *text;			/* as it was named */
	FaultKind	kind;
	int			number;			/* the argument as a number, or what stands in its place */
	const char *argument;		/* NULL: none */
	unsigned long used;
} Fault;

typedef struct FaultSubject
{
	bool		lookup;
	const char *api;
	const char *account;
	const char *to;
	const char *from;
	const char *body;
	const char *key;
} FaultSubject;

extern const char *fault_set_shares(const Json *json);
extern const char *fault_set_rules(const Json *json);
extern const Fault *fault_choose(const FaultSubject *subject);
extern void fault_forget(void);
extern void fault_show(Buffer *b);
extern char *marker_in(const char *body, const char *name);

#endif
