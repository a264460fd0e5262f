/*
 * draft.h
 *	  A message between being asked for and being inserted.
 */
#ifndef PO_OUTBOUND_DRAFT_H
#define PO_OUTBOUND_DRAFT_H

#include "outbound/guards.h"
#include "outbound/profile.h"
#include "outbound/send_request.h"

typedef struct PoNumber
{
	const char *phone;
	const char *account;
	bool		stopped;
} PoNumber;

/* What holds for all messages of a request. */
typedef struct PoSending
{
	const PoSendRequest *request;
	const char *body;			/* NULL: each has its own */
	const char *subject;
	const char *html;			/* NULL: none */
	const char **bcc;			/* of the options and of the account */
	int			nbcc;
	bool		copy_blocked;	/* one of these is not to be written to */
	int			template_version;
	const char *time_zone;
	const char *from_phone;
	Jsonb	   *variables;
	PoNumber   *number;
	int			nnumbers;
	const char *account;		/* of a channel without numbers */
	bool		to_phone;
} PoSending;

/* One message under way. */
typedef struct PoDraft
{
	int			item;			/* in the request */
	PoSendResult *outcome;
	const char *text;			/* with its placeholders */
	Jsonb	   *options;
	Jsonb	   *variables;
	const char *lead_id;
	const char *send_key;
	pg_uuid_t	key;			/* of the send_key */
	pg_uuid_t	content_hash;
	pg_uuid_t	message_id;
	bool		found;			/* the lead is there */
	const char *phone;
	const char *email;
	const char *address;		/* where it goes, folded; NULL: the lead has none that is valid */
	PoState		state;
	const char *first_name;
	const char *last_name;
	const char *company;
	Jsonb	   *attributes;
	const char *business_phone;
	PoConsent	consent;
	Jsonb	   *unreachable;	/* marks of the address by channel; NULL: none */
	const char *from;
	const PoAccount *account;
	const char *subject;
	const char *body;
	int			body_len;
	const char *html;
	const char **bcc;
	int			nbcc;
	int			segments;
	int64		price_micros;
	const char *missing;
	bool		malformed;
	PoGuardResult result;
	bool		inserted;
	bool		asked_anew;		/* what stood under its key was blocked before it ever left */
	Jsonb	   *verdicts_before;	/* of that */
} PoDraft;

/* per_lead.c */
extern void po_check_per_lead(const PoSendRequest *request);
extern void po_read_content(const PoSending *sending, PoDraft *draft);

/* addressee.c */
extern void po_find_or_make_leads(const PoSendRequest *request, PoSendResult *result);
extern void po_read_copies(PoSending *sending);
extern void po_read_addressees(const PoSending *sending, PoDraft *draft, int n);

/* draft.c */
extern void po_read_sending(PoSending *sending);
extern void po_write_draft(const PoSending *sending, PoDraft *draft);

#endif
