/*
 * rules.c
 *	  A tenant's configuration for reading messages: its opt-out words and its
 *	  classification rules, over the shipped ones.
 *
 * Read from the tables at first use, kept until a configuration table changes.
 * Tenants that have no rows of their own share the shipped set.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/cache.h"
#include "core/compat.h"
#include "core/statement.h"
#include "lead/rules.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define TENANT_KEY_SIZE (PO_MAX_ID_BYTES + 1)

typedef struct RulesEntry
{
	char		tenant_id[TENANT_KEY_SIZE];
	PoTenantRules rules;
} RulesEntry;

static PoCache shipped_cache = {
	.name = "outreach shipped rules",
	.tables = PO_OF_OPT_OUT_WORDS | PO_OF_CLASSIFICATION_RULES
};
static PoTenantRules shipped;

/* Tenants share what ships, and go with that. */
static PoCache tenant_cache = {
	.name = "outreach rules of tenants",
	.tables = PO_OF_OPT_OUT_WORDS | PO_OF_CLASSIFICATION_RULES | PO_OF_TENANTS
};
static HTAB *rules_by_tenant;

static PoPlan select_tenant = {
	.name = "rules.tenant",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT t.client, t.yes_opts_in, t.opt_out_reaches, t.client <> '*'"
	" OR EXISTS (SELECT FROM outreach.opt_out_words w WHERE w.tenant_id = t.tenant_id)"
	" OR EXISTS (SELECT FROM outreach.classification_rules r WHERE r.tenant_id = t.tenant_id)"
	" FROM outreach.tenants t WHERE t.tenant_id = $1",
	PO_ARGS(TEXTOID)
};

static PoPlan select_words = {
	.name = "rules.words",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT word, action, match FROM outreach.opt_out_words"
	" WHERE tenant_id = '*' OR tenant_id = $1"
	" ORDER BY (tenant_id = '*'), action, match, word",
	PO_ARGS(TEXTOID)
};

/* A row, but for its arrays and how certain it has to be. */
typedef struct RuleRow
{
	const char *rule;
	int			priority;
	const char *match;
	PoState		to_state;
	const char *extract;
	const char *effect;
} RuleRow;

static const PoField rule_field[] = {
	PO_FIELD(RuleRow, rule, TEXT, PO_GIVE),
	PO_FIELD(RuleRow, priority, INT, PO_GIVE),
	PO_FIELD(RuleRow, match, TEXT, PO_GIVE),
	PO_STATE_FIELD(RuleRow, to_state, PO_GIVE),
	PO_FIELD(RuleRow, extract, TEXT, PO_GIVE),
	PO_FIELD(RuleRow, effect, TEXT, PO_GIVE)
};

/* The columns behind those. */
enum
{
	C_TERMS = lengthof(rule_field) + 1, C_EXCEPT, C_LABELS, C_CERTAINTY
};

static PoStatement select_rules = {
	.name = "rules.rules",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {r.*}, r.terms, r.except_terms, r.labels, r.min_certainty::float8"
	" FROM outreach.classification_rules r"
	" WHERE (r.tenant_id = '*' OR r.tenant_id = $1) AND (r.client = '*' OR r.client = $2)"
	" ORDER BY r.priority DESC, (r.tenant_id = '*'), (r.client = '*'), r.rule, r.match",
	.gives = PO_FIELDS(rule_field, PO_GIVE),
	PO_FIXED(TEXTOID, TEXTOID)
};

static void
init_term(MemoryContext context, PoTerm *term, PoMatch match, const char *word)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	po_term_init(term, match, pstrdup(word), strlen(word));
	MemoryContextSwitchTo(old);
}

static bool
squeeze_term(MemoryContext context, PoTerm *squeezed, const PoTerm *term)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		other = po_term_squeeze(squeezed, term);

	MemoryContextSwitchTo(old);
	return other;
}

static const PoTerm *
read_terms(MemoryContext context, PoMatch match, uint64 row, int column, int *nterms)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);
	Datum	   *element;
	PoTerm	   *term;
	int			n;

	*nterms = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &element, NULL, nterms);
	n = *nterms;
	*nterms = 0;
	/* twice: a term may come a second time for drawn-out letters */
	term = MemoryContextAllocZero(context, Max(2 * n, 1) * sizeof(PoTerm));
	for (int i = 0; i < n; i++)
	{
		PoTerm	   *t = &term[(*nterms)++];

		init_term(context, t, match, TextDatumGetCString(element[i]));
		if (squeeze_term(context, &t[1], t))
			(*nterms)++;
	}
	return term;
}

static const char *const *
read_labels(MemoryContext context, uint64 row, int column, int *nlabels)
{
	bool		isnull;
	Datum		value = po_column(row, column, &isnull);
	Datum	   *element;
	const char **label;

	*nlabels = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &element, NULL, nlabels);
	label = MemoryContextAllocZero(context, Max(*nlabels, 1) * sizeof(char *));
	for (int i = 0; i < *nlabels; i++)
		label[i] = MemoryContextStrdup(context, TextDatumGetCString(element[i]));
	return label;
}

static void
read_words(MemoryContext context, const char *tenant_id, PoWordSet *set)
{
	Datum		args[1] = {CStringGetTextDatum(tenant_id)};
	uint64		n = po_exec(&select_words, args, NULL);

	/* twice: a row may come a second time for drawn-out letters */
	PoWord	   *word = MemoryContextAllocZero(context, Max(2 * n, 1) * sizeof(PoWord));
	uint64	   *signature = MemoryContextAlloc(context, Max(2 * n, 1) * sizeof(uint64));

	set->words = word;
	set->signature = signature;
	set->nwords = 0;
	for (uint64 i = 0; i < n; i++)
	{
		PoWord	   *w = &word[set->nwords];

		/* CHECK keeps out what nobody knows; where it was switched off, it has no effect. */
		if (!po_consent_action_parse(po_column_text(i, 2), &w->action) ||
			!po_match_parse(po_column_text(i, 3), &w->match))
			continue;
		w->word = MemoryContextStrdup(context, po_column_text(i, 1));
		init_term(context, &w->term, w->match, w->word);
		set->nwords++;
		w[1] = w[0];
		if (squeeze_term(context, &w[1].term, &w->term))
			set->nwords++;
	}
	for (int i = 0; i < set->nwords; i++)
		signature[i] = word[i].term.words;
}

static void
read_rules(MemoryContext context, const char *tenant_id, const char *client,
		   PoRuleSet *set)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(client)};
	uint64		n = po_exec_fixed(&select_rules, args);
	PoRule	   *rule = MemoryContextAllocZero(context, Max(n, 1) * sizeof(PoRule));

	set->rules = rule;
	set->nrules = 0;
	for (uint64 i = 0; i < n; i++)
	{
		PoRule	   *r = &rule[set->nrules];
		RuleRow		row;
		bool		isnull;

		po_read_row(&select_rules, i, &row);
		if (!po_match_parse(row.match, &r->match))
			continue;
		r->rule = MemoryContextStrdup(context, row.rule);
		r->priority = row.priority;
		r->terms = read_terms(context, r->match, i, C_TERMS, &r->nterms);
		r->except = read_terms(context, PO_MATCH_WORD, i, C_EXCEPT, &r->nexcept);
		r->to_state = row.to_state != PO_STATE_NONE ? po_state_name(row.to_state) : NULL;
		r->min_certainty = DatumGetFloat8(po_column(i, C_CERTAINTY, &isnull));
		r->takes_address = row.effect != NULL && strcmp(row.effect, PO_RULE_EFFECT_TAKE_ADDRESS) == 0;
		r->label = read_labels(context, i, C_LABELS, &r->nlabels);
		if (row.extract != NULL)
			(void) po_extract_parse(row.extract, &r->extract);
		set->nrules++;
	}
}

static void
read_set(MemoryContext context, const char *tenant_id, const char *client, PoTenantRules *rules)
{
	read_words(context, tenant_id, &rules->words);
	read_rules(context, tenant_id, client, &rules->rules);
}

static PoOptOutReach
read_reach(const char *name)
{
	return strcmp(name, "address") == 0 ? PO_REACHES_ADDRESS
		: strcmp(name, "person") == 0 ? PO_REACHES_PERSON : PO_REACHES_KIND;
}

static const PoTenantRules *
find_or_load(const char *tenant_id)
{
	char		key[TENANT_KEY_SIZE] = {0};
	Datum		args[1] = {CStringGetTextDatum(tenant_id)};
	RulesEntry *entry;
	PoTenantRules loaded = shipped;

	strlcpy(key, tenant_id, sizeof(key));
	entry = hash_search(rules_by_tenant, key, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->rules;

	po_spi_connect();
	if (po_exec(&select_tenant, args, NULL) > 0)
	{
		char	   *client = po_column_text(0, 1);

		loaded.yes_opts_in = po_column_bool(0, 2);
		loaded.opt_out_reaches = read_reach(po_column_text(0, 3));
		if (po_column_bool(0, 4))
			read_set(tenant_cache.context, tenant_id, client, &loaded);
	}
	SPI_finish();
	entry = hash_search(rules_by_tenant, key, HASH_ENTER, NULL);
	entry->rules = loaded;
	return &entry->rules;
}

/*
 * po_tenant_rules returns a tenant's words and rules, valid until the
 * transaction ends.  Runs as the engine's owner.
 */
const PoTenantRules *
po_tenant_rules(const char *tenant_id)
{
	if (!po_cache_fresh(&shipped_cache))
	{
		MemoryContext context = po_cache_reset(&shipped_cache);

		po_cache_discard(&tenant_cache);
		memset(&shipped, 0, sizeof(shipped));
		po_spi_connect();
		read_set(context, "*", "*", &shipped);
		shipped.opt_out_reaches = PO_REACHES_KIND;
		SPI_finish();
		po_cache_filled(&shipped_cache);
	}
	if (!po_cache_fresh(&tenant_cache))
	{
		HASHCTL		control = {
			.keysize = TENANT_KEY_SIZE,
			.entrysize = sizeof(RulesEntry),
			.hcxt = po_cache_reset(&tenant_cache)
		};

		rules_by_tenant = hash_create("outreach rules of tenants", 16, &control,
									  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
		po_cache_filled(&tenant_cache);
	}
	return find_or_load(tenant_id);
}
