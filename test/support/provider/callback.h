/*
 * callback.h
 *		What follows a message: its status callbacks, and replies from the phone.
 *
 * A plan is a list, parted by commas, of
 *
 *		status[:code][/segment][*times][@milliseconds | @early]
 *		reply:text[@milliseconds]
 *
 * counted from the acceptance.  /segment: once for each segment of the message;
 * @early: the send is answered only when this callback has been.  A message
 * follows the plan in its marker [[callbacks:…]], else one of those set, by
 * their weights.
 */
#ifndef PROVIDER_CALLBACK_H
#define PROVIDER_CALLBACK_H

#include "api.h"
#include "json.h"

typedef struct CallbackCounters
{
	uint64_t	planned;
	uint64_t	posts;
	uint64_t	answered;		/* 2xx */
	uint64_t	refused;		/* 3xx, 4xx: not tried again */
	uint64_t	given_up;
	uint64_t	impossible;		/* the URL leads nowhere on loopback */
	uint64_t	pending;
} CallbackCounters;

extern CallbackCounters callback_counters;

/* outcome: answered, refused, given_up or impossible */
typedef void (*CallbackDone) (void *arg, int http_status, const char *outcome);

extern const char *callback_set_plans(const Json *json, bool calls);
extern int	callback_plan(const Api *api, Message *message, CallbackDone early_done, void *arg);
extern void callback_now(const Api *api, Message *message, const char *status, int code,
						 CallbackDone done, void *arg);
extern void
			callback_reply(const Api *api, const Reply *reply, const char *url, CallbackDone done, void *arg);

#endif
