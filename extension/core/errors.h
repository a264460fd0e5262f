/*
 * errors.h
 *	  The engine's own SQLSTATE values, class OR.
 *
 * One list makes the C names, outreach.error_codes() and thereby the regression
 * test and the documentation that are checked against it.
 */
#ifndef PO_ERRORS_H
#define PO_ERRORS_H

#include "utils/elog.h"

#define PO_ERROR_CODES(X) \
	X(PO_ERRCODE_ILLEGAL_TRANSITION, '0', '0', '1', "illegal_transition", \
	  "The change of state is not in outreach.lead_transitions.") \
	X(PO_ERRCODE_UNKNOWN_LEAD, '0', '0', '2', "unknown_lead", \
	  "The tenant has no lead with this id.") \
	X(PO_ERRCODE_UNKNOWN_STATE, '0', '0', '3', "unknown_state", \
	  "No lead state has this name.") \
	X(PO_ERRCODE_INVALID_ADDRESS, '0', '0', '4', "invalid_address", \
	  "The text is neither a phone number that can be brought to E.164 without guessing nor an e-mail address.") \
	X(PO_ERRCODE_UNKNOWN_WEBHOOK, '0', '0', '5', "unknown_webhook", \
	  "The tenant has no webhook with this receipt.") \
	X(PO_ERRCODE_LEAD_ENDED, '0', '0', '6', "lead_ended", \
	  "The lead is closed or suppressed, or its phone has opted out: it gets no timers.") \
	X(PO_ERRCODE_OTHERS_ADDRESS, '0', '0', '7', "address_of_another", \
	  "The address is another person's.") \
	X(PO_ERRCODE_TENANT_NOT_ALLOWED, '1', '0', '1', "tenant_not_allowed", \
	  "The session's role may not act for this tenant.") \
	X(PO_ERRCODE_OTHER_TENANT, '1', '0', '2', "other_tenant", \
	  "The transaction has entered another tenant.") \
	X(PO_ERRCODE_INVALID_PROOF, '1', '0', '3', "invalid_proof", \
	  "The proof is malformed, expired, or not signed with the tenant's key.") \
	X(PO_ERRCODE_NO_TENANT, '1', '0', '4', "no_tenant_entered", \
	  "Rows of tenants are read, and no tenant is entered.") \
	X(PO_ERRCODE_SECRET_KEY, '2', '0', '1', "secret_key_unavailable", \
	  "outreach.secret_key_file cannot be used, or is not the key that a secret was sealed with.") \
	X(PO_ERRCODE_APPEND_ONLY, '3', '0', '1', "append_only", \
	  "The table only takes new rows.") \
	X(PO_ERRCODE_SHIPPED_ROW, '3', '0', '2', "shipped_row", \
	  "Rows of the tenant '*' belong to the extension.") \
	X(PO_ERRCODE_UNKNOWN_EVENT_TYPE, '3', '0', '3', "unknown_event_type", \
	  "The event type is not in outreach.event_types.") \
	X(PO_ERRCODE_ENGINE_EVENT, '3', '0', '4', "engine_event", \
	  "Events of this type are written by the engine alone.") \
	X(PO_ERRCODE_SEND_KEY_USED, '4', '0', '1', "send_key_used", \
	  "The send_key belongs to a message with other content.") \
	X(PO_ERRCODE_UNKNOWN_MESSAGE, '4', '0', '2', "unknown_message", \
	  "The tenant has no message with this id.") \
	X(PO_ERRCODE_NO_SENDER, '4', '0', '3', "no_sender", \
	  "The tenant has no number or account to send from in this channel.") \
	X(PO_ERRCODE_UNKNOWN_TEMPLATE, '4', '0', '4', "unknown_template", \
	  "The tenant has no template of this name.") \
	X(PO_ERRCODE_INVALID_TEMPLATE, '4', '0', '5', "invalid_template", \
	  "The text has a placeholder that cannot be read.") \
	X(PO_ERRCODE_MESSAGE_NOT_RESOLVABLE, '4', '0', '6', "message_not_resolvable", \
	  "The message is not one whose outcome a person may decide.")

#define PO_ERROR_CODE_SQLSTATE(a, b, c) MAKE_SQLSTATE('O', 'R', a, b, c)

enum
{
#define X(name, a, b, c, label, text) name = PO_ERROR_CODE_SQLSTATE(a, b, c),
	PO_ERROR_CODES(X)
#undef X
};

extern bool po_is_servers_fault(int sqlstate);
extern bool po_is_functions_fault(int sqlstate);

#endif
