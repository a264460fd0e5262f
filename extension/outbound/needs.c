/*
 * needs.c
 *	  What a profile needs to make a request, found in its templates and its list.
 *
 * A placeholder is needed where nothing can stand in its place: in a URL, or beside
 * other text in the body.  One that stands alone in its member of the body, and one
 * with a default, may be missing, unless the profile requires it by name.
 */
#include "postgres.h"

#include "common/template.h"
#include "core/compat.h"
#include "outbound/needs.h"

typedef struct Reader
{
	PoNeeds    *needs;
	bool		needed;			/* nothing can stand in the place of what comes next */
	bool		is_place;		/* which is a part of the request that sends */
} Reader;

/*
 * po_find_need returns what is noted of a name, NULL when the profile does not speak of it.
 */
PoNeed *
po_find_need(const PoNeeds *needs, const char *name, int len)
{
	for (int i = 0; i < needs->n; i++)
		if (strlen(needs->need[i].name) == len && memcmp(needs->need[i].name, name, len) == 0)
			return &needs->need[i];
	return NULL;
}

static void
add_need(void *arg, const char *name, int name_len, bool optional)
{
	Reader	   *reader = arg;
	PoNeeds    *needs = reader->needs;
	PoNeed	   *need = po_find_need(needs, name, name_len);

	if (need == NULL)
	{
		needs->need = needs->need == NULL ? palloc(sizeof(PoNeed))
			: repalloc(needs->need, (needs->n + 1) * sizeof(PoNeed));
		need = &needs->need[needs->n++];
		need->name = pnstrdup(name, name_len);
		need->needed = need->has_place = false;
	}
	need->needed |= reader->needed && !optional;
	need->has_place |= reader->is_place;
}

static void
read_template(Reader *reader, const char *text, int len, bool needed)
{
	reader->needed = needed;
	po_template_each(PO_TEMPLATE_OF_PROFILE, text, len, add_need, reader);
}

/* The strings of a document; a header without a value is left out. */
static void
read_document(Reader *reader, Jsonb *document, bool is_body)
{
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString)
			read_template(reader, value.val.string.val, value.val.string.len, is_body &&
						  !po_template_is_placeholder(value.val.string.val, value.val.string.len));
}

/*
 * po_read_needs returns what a profile speaks of, palloc'd: in the URL, the headers and
 * the body of its request, in the URL of its look-up, which may be NULL, and in the list
 * of what it requires.
 */
PoNeeds *
po_read_needs(const char *url, const char *lookup_url, Jsonb *headers, Jsonb *body, const PoTexts *required)
{
	Reader		reader = {.needs = palloc0(sizeof(PoNeeds))};

	if (lookup_url != NULL)
		read_template(&reader, lookup_url, strlen(lookup_url), true);
	reader.is_place = true;
	read_template(&reader, url, strlen(url), true);
	read_document(&reader, headers, false);
	read_document(&reader, body, true);
	reader.is_place = false;
	reader.needed = true;
	for (int i = 0; i < required->n; i++)
		add_need(&reader, required->text[i], strlen(required->text[i]), false);
	return reader.needs;
}

/*
 * po_needs tells whether there is no request of the profile without a value of that
 * name.
 */
bool
po_needs(const PoNeeds *needs, const char *name)
{
	const PoNeed *need = po_find_need(needs, name, strlen(name));

	return need != NULL && need->needed;
}

/*
 * po_has_place tells whether a value of that name gets into the request.
 */
bool
po_has_place(const PoNeeds *needs, const char *name)
{
	const PoNeed *need = po_find_need(needs, name, strlen(name));

	return need != NULL && need->has_place;
}
