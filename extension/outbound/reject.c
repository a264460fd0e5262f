/*
 * reject.c
 *	  What no message can be made of: an error of the call, or, where each is judged for
 *	  itself, the result of the one that it is about.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/limits.h"
#include "outbound/guards.h"
#include "outbound/reject.h"

/*
 * po_reject notes why one message of a request cannot be made; in a request for a single
 * one it raises that as an error.  The texts must not be changed afterwards; detail and
 * hint may be NULL.
 */
void
po_reject(const PoSendRequest *request, PoSendResult *result, int sqlstate, const char *message,
		  const char *detail, const char *hint)
{
	const char *const member[][2] = {
		{"guard", "request"},
		{"verdict", "reject"},
		{"code", unpack_sql_state(sqlstate)},
		{"reason", message},
		{"detail", detail},
		{"hint", hint}
	};

	if (!request->each)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg_internal("%s", message),
				 detail != NULL ? errdetail_internal("%s", detail) : 0,
				 hint != NULL ? errhint("%s", hint) : 0));
	result->rejected = true;
	result->verdicts = po_verdict_list(member, lengthof(member));
}

/*
 * po_check_item tells whether the caller has named a lead or an address, and a key that
 * may be used; else it has rejected the message.
 */
bool
po_check_item(const PoSendRequest *request, int item, PoSendResult *result)
{
	const char *send_key = request->send_key != NULL ? request->send_key[item] : NULL;
	int			most = po_limit_of("send_key");

	if ((request->address != NULL ? request->address : request->lead_id)[item] == NULL)
		po_reject(request, result, ERRCODE_NULL_VALUE_NOT_ALLOWED,
				  psprintf("%s must not contain null", request->address != NULL ? "addresses" : "lead_ids"),
				  NULL, NULL);
	else if (send_key != NULL && (send_key[0] == '\0' || strlen(send_key) > most))
		po_reject(request, result, ERRCODE_INVALID_PARAMETER_VALUE,
				  psprintf("send_key must have 1 to %d bytes", most), NULL, NULL);
	else if (send_key != NULL && strncmp(send_key, PO_TIMER_KEY_PREFIX, strlen(PO_TIMER_KEY_PREFIX)) == 0)
		po_reject(request, result, ERRCODE_INVALID_PARAMETER_VALUE,
				  "send_key must not begin with \"" PO_TIMER_KEY_PREFIX "\"",
				  "These are the keys of messages that timers send.", "Begin it with another word.");
	return !result->rejected;
}
