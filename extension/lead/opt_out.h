/*
 * opt_out.h
 *	  An opt-out is recorded, whatever else fails.
 */
#ifndef PO_LEAD_OPT_OUT_H
#define PO_LEAD_OPT_OUT_H

#include "unit/unit.h"

typedef struct PoOptOut
{
	const char *tenant_id;
	const char *address;
	const PoCause *cause;
	const TimestampTz *unless_agreed_since; /* nothing is done where the person has; NULL: whenever */
	bool		waits;			/* for leads that others hold; else they are left */
	/* what became of it */
	bool		changed;
	int			suppressed;
	bool		owes_event;		/* its history names an event that could not be written: */
	pg_uuid_t	event_owed;
} PoOptOut;

extern int	po_record_opt_out(PoOptOut *opt_out);
extern void po_suppress_left(TimestampTz until);

#endif
