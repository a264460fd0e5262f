/*
 * rules.h
 *	  A tenant's configuration for reading messages, remembered in the backend.
 */
#ifndef PO_LEAD_RULES_H
#define PO_LEAD_RULES_H

#include "common/classify.h"
#include "lead/states.h"

typedef struct PoTenantRules
{
	PoWordSet	words;
	PoRuleSet	rules;
	bool		yes_opts_in;
} PoTenantRules;

extern const PoTenantRules *po_tenant_rules(const char *tenant_id);

#endif
