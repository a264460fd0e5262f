/*
 * api.c
 *		What the interfaces have in common, see api.h.
 */
#define _GNU_SOURCE
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Api *const apis[] = {
	&signalhouse_api, &twilio_api, &twilio_call_api, &sendgrid_api,
	&generic_api
};

/* NULL when there is none of this name. */
const Api *
api_by_name(const char *name)
{
	for (size_t i = 0; name != NULL && i < sizeof(apis) / sizeof(apis[0]); i++)
	{
		if (strcmp(apis[i]->name, name) == 0)
			return apis[i];
	}
	return NULL;
}

/* Reads a form or a query string (NULL: none); form_free() when done. */
void
form_read(Form *form, const char *text)
{
	form->fields = 0;
	while (text != NULL && *text != '\0' && form->fields < 64)
	{
		size_t		len = strcspn(text, "&");
		const char *equals = memchr(text, '=', len);
		size_t		name_len = equals != NULL ? (size_t) (equals - text) : len;

		form->field[form->fields].name = url_decode(text, name_len);
		form->field[form->fields++].value =
			equals != NULL ? url_decode(equals + 1, len - name_len - 1) : copy_string("");
		text += len + (text[len] == '&');
	}
}

/* Frees what it owns, not itself. */
void
form_free(Form *form)
{
	for (int i = 0; i < form->fields; i++)
	{
		free(form->field[i].name);
		free(form->field[i].value);
	}
	form->fields = 0;
}

/* The first value of this name that is not empty, or NULL. */
const char *
form_get(const Form *form, const char *name)
{
	for (int i = 0; i < form->fields; i++)
	{
		if (strcmp(form->field[i].name, name) == 0 && form->field[i].value[0] != '\0')
			return form->field[i].value;
	}
	return NULL;
}

/* Nothing but digits, and that many of them? */
bool
is_digits(const char *text, size_t least, size_t most)
{
	size_t		len = strspn(text, "0123456789");

	return text[len] == '\0' && len >= least && len <= most;
}

/* A plus, then eight to fifteen digits? */
bool
is_e164(const char *phone)
{
	return phone[0] == '+' && phone[1] != '0' && is_digits(phone + 1, 8, 15);
}

/* How many septets a character takes in GSM 03.38; 0: it is not in there. */
static int
gsm_septets(uint32_t c)
{
	static const uint32_t more[] = {
		0xA3,  0xA5,  0xE8,  0xE9,  0xF9,  0xEC,  0xF2,  0xC7,
		0xD8,  0xF8,  0xC5,  0xE5,  0xC6,  0xE6,  0xDF,  0xC9,
		0xA4,  0xA1,  0xC4,  0xD6,  0xD1,  0xDC,  0xA7,  0xBF,
		0xE4,  0xF6,  0xF1,  0xFC,  0xE0,  0x394, 0x3A6, 0x393,
		0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E
	};

	if (c == 0x20AC || (c < 0x80 && c != 0 && strchr("^{}\\[~]|\f", (int) c) != NULL))
		return 2;
	if (c < 0x80)
		return c == '\n' || c == '\r' || (c >= 0x20 && c != '`' && c != 0x7F);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
	{
		if (more[i] == c)
			return 1;
	}
	return 0;
}

/* The segments of a text, which is taken to be UTF-8. */
int
count_segments(const char *body)
{
	int			septets = 0;
	int			units = 0;
	bool		gsm = true;

	while (*body != '\0')
	{
		unsigned char lead = (unsigned char) *body++;
		uint32_t	c = lead < 0x80 ? lead
			: lead < 0xE0 ? lead & 0x1F
			: lead & (lead < 0xF0 ? 0xF : 7);

		while ((*body & 0xC0) == 0x80)
			c = c << 6 | ((unsigned char) *body++ & 0x3F);
		units += c > 0xFFFF ? 2 : 1;
		if (gsm_septets(c) == 0)
			gsm = false;
		septets += gsm_septets(c);
	}
	if (gsm)
		return septets <= 160 ? 1 : (septets + 152) / 153;
	return units <= 70 ? 1 : (units + 66) / 67;
}

/* Counts up; ids are made of it and run_id(), which differs from start to start. */
uint64_t
next_id(void)
{
	static uint64_t last = 0;

	return ++last;
}

/* See next_id(). */
uint64_t
run_id(void)
{
	static uint64_t id = 0;

	if (id == 0)
		id = (uint64_t) now_us() * 0x9E3779B97F4A7C15u | 1;
	return id;
}

/*
 * The name that the client gives a message in its status callback's URL: the
 * parameter message, up to the dot before its proof.  The caller frees it; NULL
 * when there is none.
 */
char *
key_of_callback(const char *url)
{
	const char *at = url == NULL ? NULL : strchr(url, '?');

	while (at != NULL)
	{
		at++;
		if (strncmp(at, "message=", 8) == 0)
			return url_decode(at + 8, strcspn(at + 8, "&#."));
		at = strchr(at, '&');
	}
	return NULL;
}

/* The token of Authorization: Bearer, for the caller to free, or NULL. */
char *
bearer_token(const Request *request)
{
	const char *value = request_header(request, "authorization");

	if (value == NULL || strncasecmp(value, "bearer ", 7) != 0 || value[7] == '\0')
		return NULL;
	return copy_string(value + 7);
}

/* Adds a line to those that there are, which may be NULL. */
void
add_line(char **lines, const char *line)
{
	Buffer		b = {0};

	if (*lines != NULL)
		buffer_printf(&b, "%s\n", *lines);
	buffer_puts(&b, line);
	free(*lines);
	*lines = b.data;
}

int
count_lines(const char *lines)
{
	int			n = lines != NULL;

	for (; n > 0 && *lines != '\0'; lines++)
		n += *lines == '\n';
	return n;
}

/* Whether one of the lines is this, whatever the case of its letters. */
bool
has_line(const char *lines, const char *line)
{
	size_t		len = strlen(line);

	while (lines != NULL)
	{
		if (strncasecmp(lines, line, len) == 0 && (lines[len] == '\n' || lines[len] == '\0'))
			return true;
		lines = strchr(lines, '\n');
		if (lines != NULL)
			lines++;
	}
	return false;
}

/* Adds a copy; silent: it will be taken and never sent. */
void
add_recipient(Send *send, const char *to, bool silent)
{
	size_t		count = (size_t) send->recipients + 1;

	send->to = realloc(send->to, count * sizeof(char *));
	send->silent = realloc(send->silent, count * sizeof(bool));
	if (send->to == NULL || send->silent == NULL)
		abort();
	send->to[send->recipients] = copy_string(to);
	send->silent[send->recipients++] = silent;
}

/* Frees what it owns, not itself. */
void
send_free(Send *send)
{
	for (int i = 0; i < send->recipients; i++)
		free(send->to[i]);
	free(send->to);
	free(send->silent);
	free(send->account);
	free(send->from);
	free(send->body);
	free(send->html);
	free(send->bcc);
	free(send->media_urls);
	free(send->callback);
	free(send->key);
	free(send->idempotency_key);
	free(send->secret);
	free(send->service);
	*send = (Send) {0};
}

/* Frees what it owns, not itself. */
void
webhook_free(Webhook *webhook)
{
	free(webhook->url);
	buffer_free(&webhook->headers);
	buffer_free(&webhook->body);
}

/* Adds a header. */
void
webhook_header(Webhook *webhook, const char *name, const char *value)
{
	buffer_printf(&webhook->headers, "%s: %s\r\n", name, value);
}
