/*
 * shipped_rows.c
 *	  The shipped words and rules, read from the data files of the install script.
 *
 * The program runs in a folder beside this one.  A file that cannot be opened ends it.
 */
#include "postgres_fe.h"

#include "shipped_rows.h"

#define DATA_DIR "../../sql/data/"
#define MAX_ROWS 1024

PoWord		shipped_words[MAX_ROWS];
static uint64 signatures[MAX_ROWS];
PoWordSet	shipped_word_set = {shipped_words, 0, signatures};
static PoRule shipped_rules[64];
PoRuleSet	shipped_rule_set = {shipped_rules, 0};

/*
 * The next value of a row: 'text', number or NULL.  Returns where it ends.
 */
static char *
next_value(char *p, char **value)
{
	char	   *out;

	while (*p == ' ' || *p == ',' || *p == '(')
		p++;
	if (*p != '\'')
	{
		*value = p;
		p += strcspn(p, ",)");
		*p = '\0';
		if (strcmp(*value, "NULL") == 0)
			*value = NULL;
		return p + 1;
	}
	*value = out = ++p;
	while (*p != '\'' || p[1] == '\'')
	{
		if (*p == '\'')
			p++;
		*out++ = *p++;
	}
	*out = '\0';
	return p + 1;
}

static const PoTerm *
array_terms(char *array, PoMatch match, int *nterms)
{
	PoTerm	   *terms = palloc0(sizeof(PoTerm) * 128);

	array[strlen(array) - 1] = '\0';
	*nterms = 0;
	for (char *p = strtok(array + 1, ","); p != NULL; p = strtok(NULL, ","))
	{
		PoTerm	   *term = &terms[(*nterms)++];

		po_term_init(term, match, p, strlen(p));
		if (po_term_squeeze(&term[1], term))
			(*nterms)++;
	}
	return terms;
}

static const char *const *
array_labels(char *array, int *nlabels)
{
	const char **label = palloc0(sizeof(char *) * 16);

	array[strlen(array) - 1] = '\0';
	*nlabels = 0;
	for (char *p = strtok(array + 1, ","); p != NULL; p = strtok(NULL, ","))
		label[(*nlabels)++] = pstrdup(p);
	return label;
}

static bool
read_rows(const char *name, bool (*add) (char *line))
{
	char		line[2048];
	bool		good = true;
	FILE	   *file = fopen(name, "r");

	if (file == NULL)
	{
		printf("Bail out! cannot open %s\n", name);
		exit(1);
	}
	while (fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, "\t('", 3) == 0)
			good &= add(line + 1);
	}
	fclose(file);
	return good;
}

static bool
add_word(char *p)
{
	char	   *value[5];
	PoWord	   *word = &shipped_words[shipped_word_set.nwords++];

	for (int i = 0; i < 5; i++)
		p = next_value(p, &value[i]);
	word->word = pstrdup(value[1]);
	if (!po_consent_action_parse(value[2], &word->action) ||
		!po_match_parse(value[3], &word->match) || word->match > PO_MATCH_LEADING)
		return false;
	po_term_init(&word->term, word->match, value[1], strlen(value[1]));
	shipped_words[shipped_word_set.nwords] = *word;
	if (po_term_squeeze(&shipped_words[shipped_word_set.nwords].term, &word->term))
		shipped_word_set.nwords++;
	return true;
}

static bool
add_rule(char *p)
{
	char	   *value[12];
	PoRule	   *rule = &shipped_rules[shipped_rule_set.nrules++];

	for (int i = 0; i < 12; i++)
		p = next_value(p, &value[i]);
	rule->rule = pstrdup(value[2]);
	rule->priority = atoi(value[3]);
	if (!po_match_parse(value[4], &rule->match) ||
		(shipped_rule_set.nrules > 1 && rule[-1].priority < rule->priority))
		return false;
	rule->terms = array_terms(value[5], rule->match, &rule->nterms);
	rule->except = array_terms(value[6], PO_MATCH_WORD, &rule->nexcept);
	rule->to_state = value[7] ? pstrdup(value[7]) : NULL;
	if (value[8] != NULL && !po_extract_parse(value[8], &rule->extract))
		return false;
	rule->min_certainty = atof(value[9]);
	rule->takes_address = value[10] != NULL;
	rule->label = array_labels(value[11], &rule->nlabels);
	return true;
}

/*
 * sign_shipped_words must follow a change of shipped_words.
 */
void
sign_shipped_words(void)
{
	for (int i = 0; i < shipped_word_set.nwords; i++)
		signatures[i] = shipped_words[i].term.words;
}

/*
 * read_shipped_words returns whether every row of opt_out_words is well formed.
 */
bool
read_shipped_words(void)
{
	bool		good = read_rows(DATA_DIR "opt_out_words.sql", add_word);

	sign_shipped_words();
	return good;
}

/*
 * read_shipped_rules returns whether every row of classification_rules is, by
 * falling priority.
 */
bool
read_shipped_rules(void)
{
	return read_rows(DATA_DIR "classification_rules.sql", add_rule);
}
