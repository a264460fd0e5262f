/*
 * rules.h
 *	  A tenant's configuration for reading messages, remembered in the backend.
 */
#ifndef PO_LEAD_RULES_H
#define PO_LEAD_RULES_H

#include "common/classify.h"
#include "unit/states.h"

/* How far an opt-out reaches, as tenants.opt_out_reaches names it. */
typedef enum PoOptOutReach
{
	PO_REACHES_ADDRESS,			/* the address it came from */
	PO_REACHES_KIND,			/* all of the person's that are of its kind */
	PO_REACHES_PERSON			/* all of the person's */
} PoOptOutReach;

typedef struct PoTenantRules
{
	PoWordSet	words;
	PoRuleSet	rules;
	bool		yes_opts_in;
	PoOptOutReach opt_out_reaches;
} PoTenantRules;

extern const PoTenantRules *po_tenant_rules(const char *tenant_id);

#endif
