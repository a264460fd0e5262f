/*
 * template.c
 *	  Texts with placeholders: checking them and filling them in.
 *
 * The syntax and the filters are described in template.h.  A text that reaches
 * a person half filled in, or with a wrong sum in it, cannot be taken back: so
 * whatever is doubtful is refused here rather than guessed.
 *
 * A template is read once from left to right.  A value is appended to the output
 * and its filters work on it there, where its bytes are the last ones.
 *
 * No locks, no state; only the output allocates.  Nothing here raises but that.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/template.h"
#include "common/template_filter.h"
#include "common/unicode.h"

#define TOO_LONG "the text is longer than 64 KiB"
#define UNCLOSED "the placeholder is not closed"

typedef struct Filter
{
	const PoTemplateFilter *type;
	const char *argument;		/* between its quotes, escapes and all */
	int			argument_len;
} Filter;

typedef struct Placeholder
{
	const char *open;			/* its "{{" or "{", or the end of the template */
	const char *name;
	int			name_len;
	int			nfilters;
	Filter		filter[PO_TEMPLATE_MAX_FILTERS];
} Placeholder;

typedef struct Scanner
{
	const char *start;
	const char *at;
	const char *end;
	PoTemplateKind kind;
	int			braces;			/* of the placeholder that is being read: 2, or 1 */
	int			nplaceholders;
	PoTemplateProblem *problem;
} Scanner;

typedef enum Step
{
	STEP_PLACEHOLDER,
	STEP_END,
	STEP_MALFORMED
} Step;

/* ---- syntax ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
begins_name(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool
malformed(Scanner *s, const char *at, const char *reason)
{
	s->problem->position = at - s->start;
	s->problem->reason = reason;
	s->problem->name = NULL;
	s->problem->name_len = 0;
	return false;
}

static void
skip_blanks(Scanner *s)
{
	while (s->at < s->end && is_blank(*s->at))
		s->at++;
}

static bool
at_char(const Scanner *s, char c)
{
	return s->at < s->end && *s->at == c;
}

static bool
at_close(const Scanner *s)
{
	return s->end - s->at >= s->braces && s->at[0] == '}' && s->at[s->braces - 1] == '}';
}

/*
 * Something other than what was found is needed here; but where the template
 * ends, with or without half of "}}", the lack of that is the better reason.
 */
static bool
unexpected(Scanner *s, const Placeholder *placeholder, const char *reason)
{
	if (s->at == s->end || (s->at + 1 == s->end && *s->at == '}'))
		return malformed(s, placeholder->open, UNCLOSED);
	return malformed(s, s->at, reason);
}

static int
read_word(Scanner *s)
{
	const char *word = s->at;

	while (s->at < s->end && (begins_name(*s->at) || is_digit(*s->at) || *s->at == '.'))
		s->at++;
	return s->at - word;
}

static bool
parse_name(Scanner *s, Placeholder *placeholder)
{
	skip_blanks(s);
	placeholder->name = s->at;
	placeholder->name_len = read_word(s);
	if (placeholder->name_len == 0)
		return unexpected(s, placeholder,
						  at_close(s) || at_char(s, '|') ? "the placeholder has no name"
						  : "invalid name");
	if (!begins_name(*placeholder->name))
		return malformed(s, placeholder->name, "invalid name");
	if (placeholder->name_len > PO_TEMPLATE_MAX_NAME)
		return malformed(s, placeholder->name,
						 "the name is longer than " CppAsString2(PO_TEMPLATE_MAX_NAME) " characters");
	return true;
}

static bool
parse_argument(Scanner *s, const Placeholder *placeholder, Filter *filter)
{
	const char *quote;

	skip_blanks(s);
	if (!at_char(s, '"'))
		return unexpected(s, placeholder, "the argument is not in double quotes");
	quote = s->at++;
	filter->argument = s->at;
	for (; s->at < s->end && *s->at != '"'; s->at++)
	{
		if (*s->at != '\\')
			continue;
		if (s->end - s->at < 2)
			break;
		if (s->at[1] != '"' && s->at[1] != '\\')
			return malformed(s, s->at, "invalid escape in the argument");
		s->at++;
	}
	if (!at_char(s, '"'))
		return malformed(s, quote, "the quotes are not closed");
	filter->argument_len = s->at - filter->argument;
	s->at++;
	return true;
}

static bool
parse_filter(Scanner *s, Placeholder *placeholder)
{
	const char *word;
	Filter	   *filter;
	int			len;

	skip_blanks(s);
	word = s->at;
	len = read_word(s);
	if (len == 0)
		return unexpected(s, placeholder, "the filter has no name");
	if (placeholder->nfilters == PO_TEMPLATE_MAX_FILTERS)
		return malformed(s, word, "more than " CppAsString2(PO_TEMPLATE_MAX_FILTERS) " filters");
	filter = &placeholder->filter[placeholder->nfilters++];
	filter->type = po_template_filter(word, len);
	if (filter->type == NULL)
		return malformed(s, word, "unknown filter");

	skip_blanks(s);
	if (filter->type->apply != NULL)
		return !at_char(s, ':') || malformed(s, s->at, "the filter takes no argument");
	if (!at_char(s, ':'))
		return unexpected(s, placeholder, "the filter needs an argument");
	s->at++;
	return parse_argument(s, placeholder, filter);
}

/*
 * Reads the placeholder whose braces are next, and stops behind those that close it.
 */
static bool
parse_placeholder(Scanner *s, Placeholder *placeholder, int braces)
{
	placeholder->open = s->at;
	placeholder->nfilters = 0;
	s->braces = braces;
	s->at += braces;
	if (!parse_name(s, placeholder))
		return false;
	for (;;)
	{
		skip_blanks(s);
		if (at_close(s))
		{
			s->at += braces;
			return true;
		}
		if (!at_char(s, '|'))
			return unexpected(s, placeholder, "neither | nor }} follows");
		s->at++;
		if (!parse_filter(s, placeholder))
			return false;
	}
}

/*
 * Reads what stands in single braces, if that is a placeholder and nothing else;
 * else the scanner stays where it is.
 */
static bool
parse_single(Scanner *s, Placeholder *placeholder)
{
	PoTemplateProblem ignored;
	Scanner		ahead = *s;

	if (s->kind == PO_TEMPLATE_OF_PROFILE)
		return false;
	ahead.problem = &ignored;
	if (!parse_placeholder(&ahead, placeholder, 1))
		return false;
	s->at = ahead.at;
	return true;
}

static bool
count_placeholder(Scanner *s, const char *open)
{
	if (s->nplaceholders++ < PO_TEMPLATE_MAX_PLACEHOLDERS)
		return true;
	return malformed(s, open,
					 "more than " CppAsString2(PO_TEMPLATE_MAX_PLACEHOLDERS) " placeholders");
}

/*
 * The next placeholder.  What lies between the scanner's place before and
 * placeholder->open is ordinary text.
 */
static Step
next_placeholder(Scanner *s, Placeholder *placeholder)
{
	for (; s->at < s->end; s->at++)
	{
		s->at = memchr(s->at, '{', s->end - s->at);
		if (s->at == NULL)
			break;
		if (s->end - s->at >= 2 && s->at[1] == '{')
			return count_placeholder(s, s->at) && parse_placeholder(s, placeholder, 2)
				? STEP_PLACEHOLDER
				: STEP_MALFORMED;
		if (parse_single(s, placeholder))
			return count_placeholder(s, placeholder->open) ? STEP_PLACEHOLDER : STEP_MALFORMED;
	}
	s->at = placeholder->open = s->end;
	return STEP_END;
}

static bool
start_scan(Scanner *s, PoTemplateKind kind, const char *text, int len, PoTemplateProblem *problem)
{
	s->kind = kind;
	s->start = s->at = text;
	s->end = text + len;
	s->nplaceholders = 0;
	s->problem = problem;
	return len <= PO_TEMPLATE_MAX_BYTES || malformed(s, text + PO_TEMPLATE_MAX_BYTES, TOO_LONG);
}

/* ---- the ways to use a template ---- */

/*
 * po_template_check tells PO_TEMPLATE_OK from PO_TEMPLATE_MALFORMED.  The
 * template is UTF-8 and is not kept.
 */
PoTemplateResult
po_template_check(PoTemplateKind kind, const char *text, int len, PoTemplateProblem *problem)
{
	Scanner		scanner;
	Placeholder placeholder;
	Step		step;

	if (!start_scan(&scanner, kind, text, len, problem))
		return PO_TEMPLATE_MALFORMED;
	do
	{
		step = next_placeholder(&scanner, &placeholder);
	} while (step == STEP_PLACEHOLDER);
	return step == STEP_END ? PO_TEMPLATE_OK : PO_TEMPLATE_MALFORMED;
}

static void
append_argument(StringInfo out, const Filter *filter)
{
	const char *p = filter->argument;
	const char *end = p + filter->argument_len;

	while (p < end)
	{
		const char *escape = memchr(p, '\\', end - p);

		if (escape == NULL)
			escape = end;
		appendBinaryStringInfo(out, p, escape - p);
		if (escape == end)
			break;
		appendStringInfoCharMacro(out, escape[1]);
		p = escape + 2;
	}
}

/* False: of what could be seen nothing is left. */
static bool
escape_value(StringInfo out, int start)
{
	bool		seen = !po_template_is_blank(out->data + start, out->len - start);

	po_template_escape_html(out, start);
	return !seen || !po_template_is_blank(out->data + start, out->len - start);
}

/*
 * Appends what a placeholder stands for.  PO_TEMPLATE_MALFORMED: it is too long.
 */
static PoTemplateResult
append_value(StringInfo out, PoTemplateKind kind, const Placeholder *placeholder,
			 PoTemplateLookup lookup, void *arg)
{
	int			start = out->len;
	const char *value;
	int			len;
	bool		present;

	present = lookup(arg, placeholder->name, placeholder->name_len, &value, &len) &&
		!po_template_is_blank(value, len);
	if (present)
	{
		if (len > PO_TEMPLATE_MAX_BYTES)
			return PO_TEMPLATE_MALFORMED;
		appendBinaryStringInfo(out, value, len);
	}
	for (int i = 0; i < placeholder->nfilters; i++)
	{
		const Filter *filter = &placeholder->filter[i];

		if (filter->type->apply == NULL)
		{
			if (!present)
				append_argument(out, filter);
			present = true;
		}
		else if (out->len > start)
		{
			filter->type->apply(out, start);
			present = !po_template_is_blank(out->data + start, out->len - start);
			if (!present)
			{
				out->len = start;
				out->data[start] = '\0';
			}
		}
		if (out->len - start > PO_TEMPLATE_MAX_BYTES)
			return PO_TEMPLATE_MALFORMED;
	}
	if (present && kind == PO_TEMPLATE_OF_HTML)
		present = escape_value(out, start);
	if (out->len - start > PO_TEMPLATE_MAX_BYTES)
		return PO_TEMPLATE_MALFORMED;
	return present ? PO_TEMPLATE_OK : PO_TEMPLATE_MISSING;
}

/*
 * po_template_render appends the template with its placeholders filled in to
 * out; nothing is appended unless the result is PO_TEMPLATE_OK.  Of several
 * placeholders without a value the first is named; a template that
 * po_template_check refuses is refused for the same reason, unless the text got
 * too long before.  lookup must not touch out, and no value may lie in it.
 */
PoTemplateResult
po_template_render(PoTemplateKind kind, const char *text, int len, PoTemplateLookup lookup,
				   void *arg, StringInfo out, PoTemplateProblem *problem)
{
	int			base = out->len;
	PoTemplateResult result = PO_TEMPLATE_OK;
	Scanner		scanner;
	Placeholder placeholder;
	Step		step;

	if (!start_scan(&scanner, kind, text, len, problem))
		return PO_TEMPLATE_MALFORMED;
	do
	{
		const char *ordinary = scanner.at;

		step = next_placeholder(&scanner, &placeholder);
		if (step == STEP_MALFORMED)
			result = PO_TEMPLATE_MALFORMED;
		if (result != PO_TEMPLATE_OK)
			continue;

		appendBinaryStringInfo(out, ordinary, placeholder.open - ordinary);
		if (step == STEP_PLACEHOLDER)
			result = append_value(out, kind, &placeholder, lookup, arg);
		if (result == PO_TEMPLATE_MISSING)
		{
			problem->position = placeholder.open - text;
			problem->reason = NULL;
			problem->name = placeholder.name;
			problem->name_len = placeholder.name_len;
		}
		else if (result == PO_TEMPLATE_MALFORMED || out->len - base > PO_TEMPLATE_MAX_BYTES)
		{
			malformed(&scanner, placeholder.open, TOO_LONG);
			result = PO_TEMPLATE_MALFORMED;
			break;
		}
	} while (step == STEP_PLACEHOLDER);

	if (result != PO_TEMPLATE_OK)
	{
		out->len = base;
		out->data[base] = '\0';
	}
	return result;
}

/*
 * po_template_is_placeholder: the whole text is one placeholder and nothing
 * else, not even white space around it.
 */
bool
po_template_is_placeholder(const char *text, int len)
{
	PoTemplateProblem problem;
	Scanner		scanner;
	Placeholder placeholder;

	return len >= 4 && text[0] == '{' && text[1] == '{' &&
		start_scan(&scanner, PO_TEMPLATE_OF_PROFILE, text, len, &problem) &&
		parse_placeholder(&scanner, &placeholder, 2) && scanner.at == scanner.end;
}

/*
 * po_template_each tells of the placeholders of a template, in their order; of one
 * that is malformed, of those before.
 */
void
po_template_each(PoTemplateKind kind, const char *text, int len, PoTemplateVisit visit, void *arg)
{
	PoTemplateProblem problem;
	Scanner		scanner;
	Placeholder placeholder;

	if (!start_scan(&scanner, kind, text, len, &problem))
		return;
	while (next_placeholder(&scanner, &placeholder) == STEP_PLACEHOLDER)
	{
		bool		optional = false;

		for (int i = 0; i < placeholder.nfilters; i++)
			optional |= placeholder.filter[i].type->apply == NULL;
		visit(arg, placeholder.name, placeholder.name_len, optional);
	}
}

/*
 * po_template_is_blank: a reader sees nothing of the text, which is UTF-8.
 */
bool
po_template_is_blank(const char *text, int len)
{
	const char *end = text + len;
	uint32		c;

	while (text < end)
	{
		text += po_utf8_decode(text, end, &c);
		if (!po_char_is_blank(c))
			return false;
	}
	return true;
}

/*
 * po_template_trim returns where the text begins without the white space around
 * it, and sets the length of that.  What means something for the character beside
 * it, as a variation selector does, stays.
 */
const char *
po_template_trim(const char *text, int *len)
{
	const char *end = text + *len;
	const char *last;
	uint32		c;

	while (text < end)
	{
		int			size = po_utf8_decode(text, end, &c);

		if (!po_char_is_space(c))
			break;
		text += size;
	}
	last = text;
	for (const char *p = text; p < end;)
	{
		p += po_utf8_decode(p, end, &c);
		if (!po_char_is_space(c))
			last = p;
	}
	*len = last - text;
	return text;
}
