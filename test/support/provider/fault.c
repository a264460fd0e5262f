/*
 * fault.c
 *		Which request is answered badly, and how, see fault.h.
 */
#define _GNU_SOURCE
#include "buffer.h"
#include "fault.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

typedef struct Kind
{
	const char *name;
	FaultKind	kind;
	int			number;			/* when there is no argument */
} Kind;

static const Kind kinds[] = {
	{"ok", FAULT_OK, 0},
	{"lose_answer", FAULT_LOSE_ANSWER, 0},
	{"reset", FAULT_RESET, 0},
	{"reset_before", FAULT_RESET_BEFORE, 0},
	{"close_before", FAULT_CLOSE_BEFORE, 0},
	{"hang", FAULT_HANG, 0},
	{"hang_before", FAULT_HANG_BEFORE, 0},
	{"dribble", FAULT_DRIBBLE, 100},
	{"slow", FAULT_SLOW, 1000},
	{"slow_accept", FAULT_SLOW_ACCEPT, 1000},
	{"late_accept", FAULT_LATE_ACCEPT, 1000},
	{"429", FAULT_429, 1},
	{"500_after", FAULT_500_AFTER, 0},
	{"503_before", FAULT_503_BEFORE, 0},
	{"garbage", FAULT_GARBAGE, 0},
	{"wrong_length", FAULT_WRONG_LENGTH, 10},
	{"blocked", FAULT_BLOCKED, 0},
	{"error", FAULT_ERROR, 0},
	{"status", FAULT_STATUS, 400},
	{"status_after", FAULT_STATUS_AFTER, 500},
	{"delay_idle_close", FAULT_IDLE_CLOSE, 0},
	{"reset_reused", FAULT_RESET_REUSED, 0},
	{"endless", FAULT_ENDLESS, 0},
};

/* One after the other, as a marker or rule lists them */
typedef struct Sequence
{
	const Fault **fault;
	int			count;
} Sequence;

typedef struct Rule
{
	struct Rule *next;
	Sequence	sequence;
	bool		lookup;
	bool		each;			/* counts for each message by itself */
	int			skip;			/* lets so many pass first */
	long		times;			/* and acts on so many; -1: on all */
	long		number;			/* for the counters of each */
	long		used;
	char	   *pattern[6];		/* in the order of names[] */
} Rule;

static const char *const names[6] = {"api", "account", "to", "from", "body", "key"};

static Table faults;			/* by text; they live as long as the program */
static Table sequences;			/* by text, likewise */
static Table uses;				/* by message, and rule */
static Rule *rules;
static struct
{
	const Fault *fault;
	double		share;
}			shares[64];
static int	share_count;

/* The fault of this name; NULL when there is none. */
static const Fault *
find_fault(const char *text)
{
	void	  **slot;
	Fault	   *fault = table_find(&faults, text);
	size_t		len = strcspn(text, ":");

	for (size_t i = 0; fault == NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strlen(kinds[i].name) != len || strncmp(kinds[i].name, text, len) != 0)
			continue;
		fault = allocate(sizeof(Fault));
		fault->text = copy_string(text);
		fault->kind = kinds[i].kind;
		fault->number = kinds[i].number;
		if (text[len] == ':')
		{
			fault->argument = fault->text + len + 1;
			fault->number = atoi(fault->argument);
		}
		slot = table_slot(&faults, fault->text);
		*slot = fault;
	}
	return fault;
}

/* A list of names; NULL when one of them is none. */
static Sequence *
find_sequence(const char *text)
{
	Sequence   *sequence = table_find(&sequences, text);
	char	   *copy;
	char	   *rest;
	char	   *name;

	if (sequence != NULL)
		return sequence;
	sequence = allocate(sizeof(Sequence));
	copy = rest = copy_string(text);
	while ((name = strsep(&rest, ",")) != NULL)
	{
		sequence->fault =
			realloc(sequence->fault, (size_t) (sequence->count + 1) * sizeof(Fault *));
		if (sequence->fault == NULL)
			abort();
		sequence->fault[sequence->count] = find_fault(name);
		if (sequence->fault[sequence->count++] == NULL)
		{
			free(copy);
			free(sequence->fault);
			free(sequence);
			return NULL;
		}
	}
	free(copy);
	*table_slot(&sequences, copy_string(text)) = sequence;
	return sequence;
}

/* How often it was asked for this rule (0: a marker) and message before. */
static long
count_use(long rule, const FaultSubject *s)
{
	char	   *name = NULL;
	void	  **slot;
	long		before;
	size_t		size = uses.used;

	if (asprintf(&name, "%ld %s %s %s", rule, s->key != NULL ? s->key : "",
				 s->to != NULL ? s->to : "", s->body != NULL ? s->body : "") < 0)
		abort();
	slot = table_slot(&uses, name);
	before = (long) (intptr_t) *slot;
	*slot = (void *) (intptr_t) (before + 1);
	if (uses.used == size)
		free(name);
	return before;
}

/* What stands in [[name:…]] in the text, for the caller to free, or NULL. */
char *
marker_in(const char *body, const char *name)
{
	size_t		len = strlen(name);
	const char *end;

	while (body != NULL && (body = strstr(body, "[[")) != NULL)
	{
		body += 2;
		if (strncmp(body, name, len) != 0 || body[len] != ':')
			continue;
		end = strstr(body, "]]");
		return end == NULL ? NULL : copy_bytes(body + len + 1, (size_t) (end - body) - len - 1);
	}
	return NULL;
}

static const Fault *
in_sequence(const Sequence *sequence, long use)
{
	return sequence->fault[use < sequence->count ? use : sequence->count - 1];
}

static const Fault *
marked(const FaultSubject *s)
{
	char	   *text = marker_in(s->body, "fault");
	Sequence   *sequence;

	if (text == NULL)
		return NULL;
	sequence = find_sequence(text);
	if (sequence == NULL)
		fprintf(stderr, "provider: no such fault: \"%s\"\n", text);
	free(text);
	return sequence == NULL ? NULL : in_sequence(sequence, count_use(0, s));
}

static bool
rule_matches(const Rule *rule, const FaultSubject *s)
{
	const char *value[] = {s->api, s->account, s->to, s->from, s->body, s->key};

	if (rule->lookup != s->lookup)
		return false;
	for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++)
	{
		if (rule->pattern[i] != NULL &&
			(value[i] == NULL || fnmatch(rule->pattern[i], value[i], 0) != 0))
			return false;
	}
	return true;
}

static const Fault *
ruled(const FaultSubject *s)
{
	for (Rule *rule = rules; rule != NULL; rule = rule->next)
	{
		long		use;

		if (!rule_matches(rule, s))
			continue;
		use = rule->each ? count_use(rule->number, s) : rule->used++;
		use -= rule->skip;
		if (use < 0 || (rule->times >= 0 && use >= rule->times))
			continue;
		return in_sequence(&rule->sequence, use);
	}
	return NULL;
}

static const Fault *
drawn(void)
{
	double		at = share_count > 0 ? random_fraction() : 1;

	for (int i = 0; i < share_count; i++)
	{
		at -= shares[i].share;
		if (at < 0)
			return shares[i].fault;
	}
	return NULL;
}

/* The fault for this request; FAULT_OK, not NULL, when it is to be answered well. */
const Fault *
fault_choose(const FaultSubject *subject)
{
	const Fault *fault = subject->lookup ? NULL : marked(subject);

	if (fault == NULL)
		fault = ruled(subject);
	if (fault == NULL && !subject->lookup)
		fault = drawn();
	if (fault == NULL)
		fault = find_fault("ok");
	((Fault *) fault)->used++;
	return fault;
}

/* {"name": share of all requests, …}; returns NULL, or what is wrong. */
const char *
fault_set_shares(const Json *json)
{
	double		sum = 0;

	share_count = 0;
	for (const Json *m = json->first; m != NULL; m = m->next)
	{
		double		share = m->text != NULL ? strtod(m->text, NULL) : -1;

		if (m->name == NULL || find_fault(m->name) == NULL)
			return "no such fault";
		if (share < 0 || (sum += share) > 1.000001)
			return "the shares must be numbers that add up to at most 1";
		if (share_count == sizeof(shares) / sizeof(shares[0]))
			return "too many faults";
		shares[share_count].fault = find_fault(m->name);
		shares[share_count++].share = share;
	}
	return NULL;
}

static const char *
read_rule(const Json *json, Rule *rule)
{
	for (const Json *m = json->first; m != NULL; m = m->next)
	{
		bool		known = true;

		if (strcmp(m->name, "fault") == 0 && m->text != NULL)
		{
			const Sequence *sequence = find_sequence(m->text);

			if (sequence == NULL)
				return "no such fault";
			rule->sequence = *sequence;
		}
		else if (strcmp(m->name, "times") == 0 && m->text != NULL)
			rule->times = atol(m->text);
		else if (strcmp(m->name, "skip") == 0 && m->text != NULL)
			rule->skip = atoi(m->text);
		else if (strcmp(m->name, "each") == 0)
			rule->each = m->type == JSON_TRUE;
		else if (strcmp(m->name, "lookup") == 0)
			rule->lookup = m->type == JSON_TRUE;
		else
		{
			known = false;
			for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			{
				if (strcmp(m->name, names[i]) != 0 || m->text == NULL)
					continue;
				known = true;
				rule->pattern[i] = copy_string(m->text);
			}
		}
		if (!known)
			return "a rule has fault, times, skip, each, lookup, and patterns for api, account, "
				"to, from, body, key";
	}
	return rule->sequence.count == 0 ? "a rule needs a fault" : NULL;
}

/* A list of rules instead of those there are; returns NULL, or what is wrong. */
const char *
fault_set_rules(const Json *json)
{
	static long number = 0;
	Rule	  **last = &rules;
	const char *wrong = NULL;

	/* the old ones are few, and a sequence of theirs may be in use: they stay */
	rules = NULL;
	for (const Json *m = json->first; m != NULL && wrong == NULL; m = m->next)
	{
		Rule	   *rule = allocate(sizeof(Rule));

		rule->times = -1;
		rule->number = ++number;
		wrong = m->type == JSON_OBJECT ? read_rule(m, rule) : "a rule is an object";
		*last = rule;
		last = &rule->next;
	}
	if (wrong != NULL)
		rules = NULL;
	return wrong;
}

/* Back to no faults, and to the beginning of every marker's list. */
void
fault_forget(void)
{
	rules = NULL;
	share_count = 0;
	for (size_t i = 0; i < uses.space; i++)
		free((char *) uses.entry[i].key);
	table_clear(&uses);
	for (size_t i = 0; i < faults.space; i++)
	{
		if (faults.entry[i].value != NULL)
			((Fault *) faults.entry[i].value)->used = 0;
	}
}

/* How often each was used, as a JSON object. */
void
fault_show(Buffer *b)
{
	bool		any = false;

	buffer_puts(b, "{");
	for (size_t i = 0; i < faults.space; i++)
	{
		const Fault *fault = faults.entry[i].value;

		if (fault == NULL || fault->used == 0)
			continue;
		buffer_puts(b, any ? "," : "");
		buffer_json_string(b, fault->text);
		buffer_printf(b, ":%lu", fault->used);
		any = true;
	}
	buffer_puts(b, "}");
}
