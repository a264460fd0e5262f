/*
 * fuzz_template.c
 *	  Fuzz target: templates, their filters, and the parts of an SMS.
 *
 * The input is a template and up to three values, apart by NUL; a name is that
 * of the value whose letter a, b or c it ends with.  Besides memory errors it
 * looks for a check and a rendering that disagree, for a text left behind by a
 * failure, for a value that is not inserted as it is, for XML or HTML that is not
 * escaped, for an amount that is not one, and for a beginning with more parts
 * than the whole.
 */
#include "postgres_fe.h"

#include "check.h"
#include "common/segments.h"
#include "common/template.h"
#include "common/unicode.h"

#define NVALUES 3
#define BEFORE "before"
#define BEFORE_LEN 6

typedef struct Text
{
	char	   *bytes;			/* of its exact size, so that reading beyond it is seen */
	int			len;
} Text;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Text
next_text(const char **p, const char *end)
{
	const char *nul = memchr(*p, '\0', end - *p);
	const char *to = nul != NULL ? nul : end;
	Text		text;

	text.len = to - *p;
	text.bytes = pg_malloc(Max(text.len, 1));
	memcpy(text.bytes, *p, text.len);
	*p = nul != NULL ? nul + 1 : end;
	return text;
}

static bool
find(void *arg, const char *name, int name_len, const char **value, int *value_len)
{
	const Text *values = arg;
	int			which = name[name_len - 1] - 'a';

	CHECK(name_len >= 1 && name_len <= PO_TEMPLATE_MAX_NAME);
	if (which < 0 || which >= NVALUES)
		return false;
	*value = values[which].bytes;
	*value_len = values[which].len;
	return true;
}

static PoTemplateResult
render(PoTemplateKind kind, const Text *text, Text *values, StringInfo out,
	   PoTemplateProblem *problem)
{
	PoTemplateResult result;

	resetStringInfo(out);
	appendStringInfoString(out, BEFORE);
	result = po_template_render(kind, text->bytes, text->len, find, values, out, problem);

	CHECK(memcmp(out->data, BEFORE, BEFORE_LEN) == 0 && out->data[out->len] == '\0');
	CHECK(result == PO_TEMPLATE_OK || out->len == BEFORE_LEN);
	CHECK(out->len - BEFORE_LEN <= PO_TEMPLATE_MAX_BYTES);
	if (result == PO_TEMPLATE_OK)
		return result;
	CHECK(problem->position >= 0 && problem->position <= text->len);
	if (result == PO_TEMPLATE_MALFORMED)
		CHECK(problem->reason != NULL && problem->name == NULL);
	else
	{
		CHECK(problem->reason == NULL && problem->name > text->bytes);
		CHECK(problem->name + problem->name_len <= text->bytes + text->len);
		CHECK(text->bytes[problem->position] == '{');
	}
	return result;
}

/* A template of our own with the first value in it */
static bool
render_value(PoTemplateKind kind, const char *template, Text *values, StringInfo out)
{
	PoTemplateProblem problem;
	Text		text = {(char *) template, strlen(template)};

	return render(kind, &text, values, out, &problem) == PO_TEMPLATE_OK;
}

static void
check_template(const Text *text, Text *values, StringInfo out)
{
	PoTemplateProblem checked;
	PoTemplateProblem rendered;
	PoTemplateResult check =
		po_template_check(PO_TEMPLATE_OF_MESSAGE, text->bytes, text->len, &checked);
	PoTemplateResult result = render(PO_TEMPLATE_OF_MESSAGE, text, values, out, &rendered);
	bool		too_long = result == PO_TEMPLATE_MALFORMED && strstr(rendered.reason, "KiB") != NULL;

	CHECK(check != PO_TEMPLATE_MISSING);
	if (check == PO_TEMPLATE_OK)
		CHECK(result != PO_TEMPLATE_MALFORMED || too_long);
	else if (!too_long)
		CHECK(result == PO_TEMPLATE_MALFORMED && rendered.position == checked.position &&
			  strcmp(rendered.reason, checked.reason) == 0);
	if (po_template_is_placeholder(text->bytes, text->len))
		CHECK(check == PO_TEMPLATE_OK && memcmp(text->bytes, "{{", 2) == 0 &&
			  memcmp(text->bytes + text->len - 2, "}}", 2) == 0);
	/* The same placeholders in HTML, whose values are longer, or shorter. */
	if (render(PO_TEMPLATE_OF_HTML, text, values, out, &rendered) == PO_TEMPLATE_OK)
		CHECK(result == PO_TEMPLATE_OK || too_long);
	else
		CHECK(result != PO_TEMPLATE_OK || rendered.reason == NULL ||
			  strstr(rendered.reason, "KiB") != NULL);
}

/* Nothing in it is markup, and each & begins an entity. */
static void
check_escaped(const char *p, const char *apostrophe)
{
	for (; *p != '\0'; p++)
	{
		CHECK(strchr("<>\"'", *p) == NULL);
		CHECK((unsigned char) *p >= ' ' || strchr("\t\r\n", *p) != NULL);
		CHECK(*p != '&' || strncmp(p, "&amp;", 5) == 0 || strncmp(p, "&lt;", 4) == 0 ||
			  strncmp(p, "&gt;", 4) == 0 || strncmp(p, "&quot;", 6) == 0 ||
			  strncmp(p, apostrophe, strlen(apostrophe)) == 0);
	}
}

static void
check_filters(Text *values, StringInfo out)
{
	const Text *value = &values[0];
	const char *p;

	CHECK(render_value(PO_TEMPLATE_OF_MESSAGE, "{{a}}", values, out) ==
		  (!po_template_is_blank(value->bytes, value->len) && value->len <= PO_TEMPLATE_MAX_BYTES));
	if (out->len > BEFORE_LEN)
		CHECK(out->len == BEFORE_LEN + value->len &&
			  memcmp(out->data + BEFORE_LEN, value->bytes, value->len) == 0);

	if (render_value(PO_TEMPLATE_OF_MESSAGE, "{{a|xml}}", values, out))
		check_escaped(out->data + BEFORE_LEN, "&apos;");
	if (render_value(PO_TEMPLATE_OF_HTML, "{{a}}", values, out))
		check_escaped(out->data + BEFORE_LEN, "&#39;");
	if (render_value(PO_TEMPLATE_OF_MESSAGE, "{{a|money}}", values, out))
	{
		p = out->data + BEFORE_LEN;
		if (*p == '-')
			p++;
		CHECK(p[0] == '$' && p[1] >= '0' && p[1] <= '9');
		CHECK(strspn(p + 1, "0123456789,.") == strlen(p + 1) && strlen(p) <= 25);
		p = strchr(p, '.');
		CHECK(p == NULL || (strlen(p) == 3 && strcmp(p, ".00") != 0));
	}
	if (render_value(PO_TEMPLATE_OF_MESSAGE, "{{a|digits}}", values, out))
		CHECK(strspn(out->data + BEFORE_LEN, "0123456789") == (size_t) out->len - BEFORE_LEN);
	if (render_value(PO_TEMPLATE_OF_MESSAGE, "{{a|first}}", values, out))
		CHECK(strpbrk(out->data + BEFORE_LEN, " \t\r\n") == NULL);
}

static void
check_segments(const Text *text)
{
	const char *end = text->bytes + text->len;
	const char *middle = text->bytes;
	bool		ucs2;
	bool		begins_ucs2;
	int			parts = po_segments(text->bytes, text->len, &ucs2);
	uint32		c;

	while (middle < text->bytes + text->len / 2)
		middle += po_utf8_decode(middle, end, &c);
	CHECK((parts == 0) == (text->len == 0) && parts <= text->len);
	CHECK(po_segments(text->bytes, middle - text->bytes, &begins_ucs2) <= parts);
	CHECK(ucs2 || !begins_ucs2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *) data;
	const char *end = p + size;
	StringInfoData out;
	Text		template;
	Text		values[NVALUES];

	if (size == 0 || size > 1024 * 1024)
		return 0;
	template = next_text(&p, end);
	for (int i = 0; i < NVALUES; i++)
		values[i] = next_text(&p, end);

	initStringInfo(&out);
	check_template(&template, values, &out);
	check_filters(values, &out);
	check_segments(&template);
	check_segments(&values[0]);

	pfree(out.data);
	for (int i = 0; i < NVALUES; i++)
		pg_free(values[i].bytes);
	pg_free(template.bytes);
	return 0;
}
