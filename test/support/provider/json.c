/*
 * json.c
 *		Reads JSON into a tree, see json.h.
 */
#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

#define MAX_DEPTH 64

typedef struct Reader
{
	const char *at;
	const char *end;
	int			depth;
} Reader;

static Json *read_value(Reader *r);

static void
skip_space(Reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
		r->at++;
}

static bool
take(Reader *r, char c)
{
	skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static bool
take_word(Reader *r, const char *word)
{
	size_t		len = strlen(word);

	if ((size_t) (r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return false;
	r->at += len;
	return true;
}

static bool
read_hex4(Reader *r, uint32_t *code)
{
	*code = 0;
	if (r->end - r->at < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		char		c = *r->at++;
		int			digit = c >= '0' && c <= '9' ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
			: -1;

		if (digit < 0)
			return false;
		*code = *code * 16 + (uint32_t) digit;
	}
	return true;
}

static void
add_utf8(Buffer *b, uint32_t code)
{
	char		out[4];
	size_t		len = 0;

	if (code < 0x80)
		out[len++] = (char) code;
	else if (code < 0x800)
	{
		out[len++] = (char) (0xC0 | code >> 6);
		out[len++] = (char) (0x80 | (code & 0x3F));
	}
	else if (code < 0x10000)
	{
		out[len++] = (char) (0xE0 | code >> 12);
		out[len++] = (char) (0x80 | (code >> 6 & 0x3F));
		out[len++] = (char) (0x80 | (code & 0x3F));
	}
	else
	{
		out[len++] = (char) (0xF0 | code >> 18);
		out[len++] = (char) (0x80 | (code >> 12 & 0x3F));
		out[len++] = (char) (0x80 | (code >> 6 & 0x3F));
		out[len++] = (char) (0x80 | (code & 0x3F));
	}
	buffer_add(b, out, len);
}

static bool
read_escape(Reader *r, Buffer *b)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *plain;
	uint32_t	code;
	uint32_t	low;

	if (r->at == r->end)
		return false;
	if (*r->at != 'u')
	{
		plain = memchr(from, *r->at, sizeof(from) - 1);
		if (plain == NULL)
			return false;
		buffer_add(b, &to[plain - from], 1);
		r->at++;
		return true;
	}
	r->at++;
	if (!read_hex4(r, &code) || code == 0 || (code >= 0xDC00 && code <= 0xDFFF))
		return false;
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		if (!take_word(r, "\\u") || !read_hex4(r, &low) || low < 0xDC00 || low > 0xDFFF)
			return false;
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
	}
	add_utf8(b, code);
	return true;
}

/* After the opening quote; NULL when it is no string. */
static char *
read_string(Reader *r)
{
	Buffer		b = {0};
	const char *run = r->at;

	buffer_reserve(&b, 0);
	buffer_clear(&b);
	while (r->at < r->end && (unsigned char) *r->at >= 0x20)
	{
		char		c = *r->at;

		if (c != '"' && c != '\\')
		{
			r->at++;
			continue;
		}
		buffer_add(&b, run, (size_t) (r->at - run));
		r->at++;
		if (c == '"')
			return b.data;
		if (!read_escape(r, &b))
			break;
		run = r->at;
	}
	buffer_free(&b);
	return NULL;
}

static char *
read_number(Reader *r)
{
	const char *start = r->at;
	char	   *text;
	char	   *end;

	while (r->at < r->end && strchr("+-.0123456789eE", *r->at) != NULL && *r->at != '\0')
		r->at++;
	text = copy_bytes(start, (size_t) (r->at - start));
	(void) strtod(text, &end);
	if (end == text || *end != '\0')
	{
		free(text);
		return NULL;
	}
	return text;
}

/* The members of an array or object after its opening bracket. */
static bool
read_members(Reader *r, Json *parent)
{
	Json	  **last = &parent->first;
	char		close = parent->type == JSON_OBJECT ? '}' : ']';
	char	   *name = NULL;

	if (take(r, close))
		return true;
	do
	{
		if (parent->type == JSON_OBJECT)
		{
			if (!take(r, '"') || (name = read_string(r)) == NULL)
				return false;
			if (!take(r, ':'))
			{
				free(name);
				return false;
			}
		}
		*last = read_value(r);
		if (*last == NULL)
		{
			free(name);
			return false;
		}
		(*last)->name = name;
		last = &(*last)->next;
	} while (take(r, ','));
	return take(r, close);
}

static Json *
read_value(Reader *r)
{
	Json	   *json = allocate(sizeof(Json));
	bool		good = false;

	skip_space(r);
	if (r->at < r->end && ++r->depth <= MAX_DEPTH)
	{
		switch (*r->at)
		{
			case '{':
			case '[':
				json->type = *r->at++ == '{' ? JSON_OBJECT : JSON_ARRAY;
				good = read_members(r, json);
				break;
			case '"':
				r->at++;
				json->type = JSON_STRING;
				good = (json->text = read_string(r)) != NULL;
				break;
			case 't':
				json->type = JSON_TRUE;
				good = take_word(r, "true");
				break;
			case 'f':
				json->type = JSON_FALSE;
				good = take_word(r, "false");
				break;
			case 'n':
				json->type = JSON_NULL;
				good = take_word(r, "null");
				break;
			default:
				json->type = JSON_NUMBER;
				good = (json->text = read_number(r)) != NULL;
		}
		r->depth--;
	}
	if (good)
		return json;
	json_free(json);
	return NULL;
}

/* NULL when the bytes are not one JSON document. */
Json *
json_read(const char *bytes, size_t len)
{
	Reader		r = {.at = bytes, .end = bytes + len};
	Json	   *json = read_value(&r);

	skip_space(&r);
	if (json != NULL && r.at != r.end)
	{
		json_free(json);
		return NULL;
	}
	return json;
}

/* Frees a tree, and those that follow it in its list; NULL is well. */
void
json_free(Json *json)
{
	while (json != NULL)
	{
		Json	   *next = json->next;

		json_free(json->first);
		free(json->name);
		free(json->text);
		free(json);
		json = next;
	}
}

/* The member of an object with this name, or NULL. */
Json *
json_member(const Json *json, const char *name)
{
	Json	   *member = json != NULL && json->type == JSON_OBJECT ? json->first : NULL;

	while (member != NULL && strcmp(member->name, name) != 0)
		member = member->next;
	return member;
}

/* The text of a member that is a string or a number, else NULL. */
const char *
json_text(const Json *json, const char *name)
{
	const Json *member = json_member(json, name);

	return member == NULL ? NULL : member->text;
}

/* The value of a member that is true or false, else otherwise. */
bool
json_bool(const Json *json, const char *name, bool otherwise)
{
	const Json *member = json_member(json, name);

	return member == NULL || (member->type != JSON_TRUE && member->type != JSON_FALSE)
		? otherwise
		: member->type == JSON_TRUE;
}

/* The value of a member that is a number, else otherwise. */
double
json_number(const Json *json, const char *name, double otherwise)
{
	const Json *member = json_member(json, name);

	return member == NULL || member->type != JSON_NUMBER ? otherwise : strtod(member->text, NULL);
}
