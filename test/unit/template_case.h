/*
 * template_case.h
 *	  What the tests of templates share: variables, and what a template gives,
 *	  misses or is refused for.
 *
 * Each test is one program of one file, so all of it is here.
 */
#ifndef TEMPLATE_CASE_H
#define TEMPLATE_CASE_H

#include "common/template.h"

#define KIB64 (64 * 1024)

typedef struct Variable
{
	const char *name;
	const char *value;
	int			len;
} Variable;

static PoTemplateKind kind = PO_TEMPLATE_OF_PROFILE;
static int	ntests = 0;
static int	nfailed = 0;

static char big[KIB64 + 2];		/* of 'x' */

static Variable variables[] = {
	{"firstName", "Pat", -1}, {"lead.first_name", "Lee", -1},
	{"_1", "one", -1},        {"empty", "", -1},
	{"space", " ", -1},       {"braces", "{{firstName}} {{", -1},
	{"big", big, KIB64},      {"huge", big, KIB64 + 1},
	{"v", NULL, -1}, /* the tests of filters set it */
};

static Variable *const v = &variables[lengthof(variables) - 1];

/* Counts its calls in *arg. */
static inline bool
find(void *arg, const char *name, int name_len, const char **value, int *value_len)
{
	int		   *ncalls = arg;

	(*ncalls)++;
	for (int i = 0; i < (int) lengthof(variables); i++)
	{
		Variable   *variable = &variables[i];

		if ((int) strlen(variable->name) != name_len ||
			memcmp(variable->name, name, name_len) != 0 || variable->value == NULL)
			continue;
		*value = variable->value;
		*value_len = variable->len >= 0 ? variable->len : (int) strlen(variable->value);
		return true;
	}
	return false;
}

/* On one line, and without what begins a TAP directive */
static inline void
put_text(const char *text)
{
	for (int i = 0; text[i] != '\0' && i < 100; i++)
		putchar((unsigned char) text[i] < ' ' ? '|' : text[i] == '#' ? '.' : text[i]);
}

static inline void
ok(bool passed, const char *what)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - ", passed ? "" : "not ", ntests);
	put_text(what);
	if (v->value != NULL)
	{
		printf(" of \"");
		put_text(v->value);
		putchar('"');
	}
	putchar('\n');
}

/*
 * Renders behind a text that is there already, which must stay.  The template is
 * a copy of its exact size, so that reading beyond it is seen.
 */
static inline PoTemplateResult
render(const char *text, int len, StringInfo out, PoTemplateProblem *problem)
{
	char	   *copy = palloc(Max(len, 1));
	PoTemplateResult result;
	int			ncalls = 0;

	memcpy(copy, text, len);
	memset(problem, 0, sizeof(*problem));
	resetStringInfo(out);
	appendStringInfoString(out, "before ");
	result = po_template_render(kind, copy, len, find, &ncalls, out, problem);
	if (problem->name != NULL)
		problem->name = text + (problem->name - copy);
	pfree(copy);
	if (out->len < 7 || memcmp(out->data, "before ", 7) != 0 || out->data[out->len] != '\0' ||
		(result != PO_TEMPLATE_OK && out->len != 7))
		ok(false, "the output is only appended to, and only when all is well");
	return result;
}

static inline void
describe(PoTemplateResult result, const PoTemplateProblem *problem, const StringInfoData *out)
{
	if (result == PO_TEMPLATE_OK)
		printf("# got \"%.200s\"\n", out->data + 7);
	else if (result == PO_TEMPLATE_MISSING)
		printf("# got missing %.*s at %d\n", problem->name_len, problem->name, problem->position);
	else
		printf("# got %s at %d\n", problem->reason, problem->position);
}

static inline void
gives(const char *text, const char *expected)
{
	StringInfoData out;
	PoTemplateProblem problem;
	PoTemplateResult result;
	bool		passed;

	initStringInfo(&out);
	result = render(text, strlen(text), &out, &problem);
	passed = result == PO_TEMPLATE_OK && strcmp(out.data + 7, expected) == 0 &&
		po_template_check(kind, text, strlen(text), &problem) == PO_TEMPLATE_OK;
	ok(passed, text);
	if (!passed)
		describe(result, &problem, &out);
	pfree(out.data);
}

static inline void
misses(const char *text, const char *name, int position)
{
	StringInfoData out;
	PoTemplateProblem problem;
	PoTemplateResult result;
	bool		passed;

	initStringInfo(&out);
	result = render(text, strlen(text), &out, &problem);
	passed = result == PO_TEMPLATE_MISSING && problem.position == position &&
		problem.reason == NULL && problem.name_len == (int) strlen(name) &&
		memcmp(problem.name, name, problem.name_len) == 0;
	if (!passed)
		describe(result, &problem, &out);
	ok(passed && po_template_check(kind, text, strlen(text), &problem) == PO_TEMPLATE_OK, text);
	pfree(out.data);
}

static inline void
refused(const char *text, const char *reason, int position)
{
	StringInfoData out;
	PoTemplateProblem problem[2];
	PoTemplateResult result;
	bool		passed = true;

	initStringInfo(&out);
	for (int i = 0; i < 2; i++)
	{
		if (i == 0)
			result = render(text, strlen(text), &out, &problem[i]);
		else
			result = po_template_check(kind, text, strlen(text), &problem[i]);
		if (result == PO_TEMPLATE_MALFORMED && strcmp(problem[i].reason, reason) == 0 &&
			problem[i].position == position && problem[i].name == NULL)
			continue;
		passed = false;
		describe(result, &problem[i], &out);
	}
	ok(passed && !po_template_is_placeholder(text, strlen(text)), text);
	pfree(out.data);
}

#endif							/* TEMPLATE_CASE_H */
