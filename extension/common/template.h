/*
 * template.h
 *	  Texts with placeholders: checking them and filling them in.
 *
 *	{{name}}   {{ name | filter | filter: "argument" }}
 *
 * A name is a letter or '_', then at most 63 letters, digits, '_' and '.'.  In
 * the text of a message single braces do as well, {name}, where nothing but such a
 * placeholder stands between them; what else is in single braces is ordinary text.
 * White space between the parts of a placeholder does not count; in the
 * argument \" and \\ are escapes.  Filters apply from left to right:
 *
 *	default: "text"	what stands for a value that is not there
 *	digits			only 0 to 9
 *	first			the first word
 *	lower, upper	of ASCII letters
 *	money			350000.5 as $350,000.50, whole dollars without cents
 *	xml				escaped for XML, without the characters that XML forbids
 *
 * A value of which a reader sees nothing (blanks, invisible characters) is not
 * there.  A filter that leaves nothing leaves no value, as money does with what is
 * surely no amount; a later default still helps.  An empty default is a value:
 * it makes a placeholder optional.  A '{' or '}' alone, and a "}}" that closes
 * nothing, are ordinary text.  A value is inserted as it is: placeholders in it
 * mean nothing.  In HTML it is escaped, after its filters and defaults too, so that
 * it is text there, or the value of an attribute in quotes, and never markup.
 */
#ifndef PO_TEMPLATE_H
#define PO_TEMPLATE_H

#include "lib/stringinfo.h"

#define PO_TEMPLATE_MAX_BYTES (64 * 1024)	/* of a template, of each value, of what comes out */
#define PO_TEMPLATE_MAX_PLACEHOLDERS 100
#define PO_TEMPLATE_MAX_FILTERS 8	/* of one placeholder */
#define PO_TEMPLATE_MAX_NAME 64

/* What a template is for. */
typedef enum PoTemplateKind
{
	PO_TEMPLATE_OF_PROFILE,		/* a part of a request: single braces are its own */
	PO_TEMPLATE_OF_MESSAGE,
	PO_TEMPLATE_OF_HTML			/* of a message; values are escaped */
} PoTemplateKind;

/*
 * Finds the value of a name, which is not NUL-terminated.  False: there is
 * none; a blank one counts as none.  The value is UTF-8 and is kept until the
 * next call or the end of po_template_render.
 */
typedef bool (*PoTemplateLookup) (void *arg, const char *name, int name_len, const char **value,
								  int *value_len);

typedef enum PoTemplateResult
{
	PO_TEMPLATE_OK,
	PO_TEMPLATE_MISSING,		/* a placeholder has no value */
	PO_TEMPLATE_MALFORMED		/* the template is wrong, or the text would be too long */
} PoTemplateResult;

/* Set when the result is not PO_TEMPLATE_OK. */
typedef struct PoTemplateProblem
{
	int			position;		/* byte of the template; of a placeholder its first "{" */
	const char *reason;			/* MALFORMED: a fixed phrase, else NULL */
	const char *name;			/* MISSING: points into the template, else NULL */
	int			name_len;
} PoTemplateProblem;

/* Is told of each placeholder; optional: it has a default. */
typedef void (*PoTemplateVisit) (void *arg, const char *name, int name_len, bool optional);

extern PoTemplateResult po_template_check(PoTemplateKind kind, const char *text, int len,
										  PoTemplateProblem *problem);
extern PoTemplateResult po_template_render(PoTemplateKind kind, const char *text, int len,
										   PoTemplateLookup lookup, void *arg, StringInfo out,
										   PoTemplateProblem *problem);
extern void po_template_each(PoTemplateKind kind, const char *text, int len, PoTemplateVisit visit,
							 void *arg);
extern bool po_template_is_placeholder(const char *text, int len);
extern bool po_template_is_blank(const char *text, int len);
extern const char *po_template_trim(const char *text, int *len);

#endif							/* PO_TEMPLATE_H */
