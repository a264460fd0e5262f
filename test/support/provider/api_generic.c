/*
 * api_generic.c
 *		A generic receiver of JSON messages, and SendGrid's mail.
 */
#define _GNU_SOURCE
#include "api.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

/* ---- generic ------------------------------------------------------------- */

static void
generic_refused(int http_status, int code, const char *text, Answer *answer)
{
	answer->status = http_status;
	buffer_puts(&answer->body, "{\"message\":");
	buffer_json_string(&answer->body, text);
	if (code != 0)
		buffer_printf(&answer->body, ",\"code\":\"%d\"", code);
	buffer_puts(&answer->body, "}");
}

/* The strings of an array; false when it is none, or has another thing in it. */
static bool
read_lines(const Json *array, char **lines)
{
	if (array == NULL)
		return true;
	for (const Json *element = array->first; element != NULL; element = element->next)
	{
		if (element->type != JSON_STRING)
			return false;
		add_line(lines, element->text);
	}
	return array->type == JSON_ARRAY && array->first != NULL;
}

/* The first of these members that is there, as a copy. */
static char *
text_of(const Json *json, const char *a, const char *b)
{
	const char *text = json_text(json, a);

	return copy_string(text != NULL ? text : json_text(json, b));
}

static bool
generic_read(const Request *request, Send *send, Answer *answer)
{
	Json	   *json;
	char	   *to;
	bool		good;

	send->account = bearer_token(request);
	if (config.generic_token != NULL &&
		(send->account == NULL || strcmp(send->account, config.generic_token) != 0))
	{
		generic_refused(401, 0, "Unauthorized", answer);
		return false;
	}
	json = json_read(request->body, request->body_len);
	to = text_of(json, "to", "recipient");
	if (to != NULL && to[0] != '\0')
		add_recipient(send, to, false);
	free(to);
	send->from = text_of(json, "from", "sender");
	send->body = text_of(json, "body", "text");
	send->callback = text_of(json, "callback_url", "status_callback");
	send->key = key_of_callback(send->callback);
	if (send->key == NULL)
		send->key = text_of(json, "id", "message_id");
	send->html = copy_string(json_text(json, "html"));
	good = read_lines(json_member(json, "bcc"), &send->bcc) &&
		read_lines(json_member(json, "media_urls"), &send->media_urls);
	json_free(json);
	if (send->body == NULL && send->media_urls != NULL)
		send->body = copy_string("");
	if (good && send->recipients > 0 && send->body != NULL)
		return true;
	generic_refused(400, 0, "The body must be a JSON object with to and body", answer);
	return false;
}

static char *
generic_id(const Send *send)
{
	char	   *id = NULL;

	(void) send;
	if (asprintf(&id, "msg_%08llx%08llx", (unsigned long long) (run_id() >> 32),
				 (unsigned long long) next_id()) < 0)
		abort();
	return id;
}

static void
generic_accepted(const Send *send, Message *const *messages, Answer *answer)
{
	(void) send;
	answer->status = 201;
	buffer_printf(&answer->body, "{\"id\":\"%s\",\"status\":\"queued\"}", messages[0]->id);
}

static void
generic_blocked(const Send *send, const char *how, Answer *answer)
{
	(void) send;
	(void) how;
	generic_refused(422, 0, "The recipient has opted out", answer);
}

static void
finish_generic(Webhook *w)
{
	const char *secret = config.generic_signing;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len;
	Buffer		text = {0};

	if (secret != NULL)
	{
		HMAC(EVP_sha256(), secret, (int) strlen(secret), (unsigned char *) w->body.data,
			 w->body.len, mac, &mac_len);
		hex_encode(&text, mac, mac_len);
		webhook_header(w, config.generic_signature_header, text.data);
		buffer_free(&text);
	}
	w->content_type = "application/json";
	w->timeout_ms = 10000;
	w->attempts = 3;
	for (int i = 0; i < 4; i++)
		w->retry_ms[i] = 500 << i;
}

static void
put_generic(Webhook *w, const char *event, const char *id, const char *status, const char *from,
			const char *to)
{
	buffer_printf(&w->body,
				  "{\"event\":\"message.%s\",\"id\":\"%s\",\"status\":\"%s\",\"from\":", event, id,
				  status);
	buffer_json_string(&w->body, from);
	buffer_puts(&w->body, ",\"to\":");
	buffer_json_string(&w->body, to);
	buffer_printf(&w->body, ",\"timestamp\":\"%s\"", format_time(now_us(), TIME_ISO_MS));
}

static void
generic_status(const Message *m, const char *status, int code, int nth, Webhook *w)
{
	(void) nth;
	/* its events are few; the status is told as it is */
	put_generic(w,
				strcmp(status, "undelivered") == 0 ? "failed"
				: strcmp(status, "read") == 0 ? "delivered"
				: status,
				m->id, status, m->from, m->to);
	if (code != 0)
		buffer_printf(&w->body, ",\"error_code\":\"%d\"", code);
	buffer_puts(&w->body, "}");
	w->url = copy_string(m->callback);
	finish_generic(w);
}

static void
generic_reply(const Reply *r, Webhook *w)
{
	char	   *id = generic_id(NULL);

	put_generic(w, "received", id, "received", r->from, r->to);
	buffer_puts(&w->body, ",\"body\":");
	buffer_json_string(&w->body, r->body);
	buffer_puts(&w->body, "}");
	finish_generic(w);
	free(id);
}

const Api	generic_api = {
	.name = "generic",
	.read = generic_read,
	.new_id = generic_id,
	.accepted = generic_accepted,
	.refused = generic_refused,
	.blocked = generic_blocked,
	.status = generic_status,
	.reply = generic_reply
};

/* ---- SendGrid ------------------------------------------------------------ */

static void
sendgrid_refused(int http_status, int code, const char *text, Answer *answer)
{
	(void) code;
	answer->status = http_status;
	buffer_puts(&answer->body, "{\"errors\":[{\"message\":");
	buffer_json_string(&answer->body, text);
	buffer_puts(&answer->body, ",\"field\":null,\"help\":null}]}");
}

static bool
is_address(const Json *json)
{
	const char *email = json_text(json, "email");
	const char *at = email == NULL ? NULL : strchr(email, '@');

	return at != NULL && at != email && strchr(at, '.') != NULL;
}

/* Blind copies; an address may be in to and bcc once. */
static const char *
read_copies(const Json *bcc, const char *to, Send *send)
{
	if (bcc != NULL && (bcc->type != JSON_ARRAY || bcc->first == NULL))
		return "bcc needs an address";
	for (const Json *address = bcc != NULL ? bcc->first : NULL; address != NULL;
		 address = address->next)
	{
		const char *email = json_text(address, "email");

		if (!is_address(address))
			return "an address in bcc is none";
		if (strcasecmp(email, to) == 0 || has_line(send->bcc, email))
			return "Each email address in the personalization block should be unique between to, "
				"cc, and bcc.";
		add_line(&send->bcc, email);
	}
	return NULL;
}

/* The text, then perhaps HTML. */
static const char *
read_content(const Json *content, Send *send)
{
	const Json *part = content != NULL ? content->first : NULL;

	if (part == NULL)
		return "content is required";
	for (; part != NULL; part = part->next)
	{
		const char *type = json_text(part, "type");
		const char *value = json_text(part, "value");

		if (type == NULL || value == NULL || value[0] == '\0')
			return "content is required";
		if (strcmp(type, "text/plain") == 0 && part == content->first)
			send->body = copy_string(value);
		else if (strcmp(type, "text/html") == 0 && send->html == NULL)
			send->html = copy_string(value);
		else
			return "text/plain must be first, followed by text/html";
	}
	return NULL;
}

/* Why the mail is refused, or NULL; takes what is wanted of it. */
static const char *
read_mail(const Json *json, Send *send)
{
	const Json *people = json_member(json, "personalizations");
	const Json *content = json_member(json, "content");
	const char *subject = json_text(json, "subject");
	const char *wrong = NULL;

	if (people == NULL || people->type != JSON_ARRAY || people->first == NULL)
		return "personalizations is required";
	for (const Json *person = people->first; person != NULL; person = person->next)
	{
		const Json *to = json_member(person, "to");
		const char *own = json_text(json_member(person, "custom_args"), "message_id");

		if (to == NULL || to->first == NULL)
			return "a personalization needs to";
		for (const Json *address = to->first; address != NULL; address = address->next)
		{
			if (!is_address(address))
				return "an address in to is none";
			add_recipient(send, json_text(address, "email"), false);
		}
		wrong = read_copies(json_member(person, "bcc"), json_text(to->first, "email"), send);
		if (wrong != NULL)
			return wrong;
		if (json_text(person, "subject") != NULL)
			subject = json_text(person, "subject");
		if (own != NULL && send->key == NULL)
			send->key = copy_string(own);
	}
	if (send->key == NULL)
		send->key = copy_string(json_text(json_member(json, "custom_args"), "message_id"));
	if (!is_address(json_member(json, "from")))
		return "from is required";
	send->from = copy_string(json_text(json_member(json, "from"), "email"));
	if (json_text(json, "template_id") == NULL)
	{
		if (subject == NULL || subject[0] == '\0')
			return "subject is required";
		wrong = read_content(content, send);
	}
	if (send->body == NULL)
		send->body = copy_string("");
	return wrong;
}

static bool
sendgrid_read(const Request *request, Send *send, Answer *answer)
{
	Json	   *json;
	const char *wrong;

	send->account = bearer_token(request);
	if (send->account == NULL ||
		(config.sendgrid_token != NULL && strcmp(send->account, config.sendgrid_token) != 0))
	{
		sendgrid_refused(401, 0, "The key is not valid", answer);
		return false;
	}
	json = json_read(request->body, request->body_len);
	wrong = json == NULL ? "The body is no JSON" : read_mail(json, send);
	json_free(json);
	if (wrong == NULL)
		return true;
	sendgrid_refused(400, 0, wrong, answer);
	return false;
}

static char *
sendgrid_id(const Send *send)
{
	char	   *id = NULL;

	(void) send;
	if (asprintf(&id, "%011llx%011llx", (unsigned long long) (run_id() >> 20),
				 (unsigned long long) next_id()) < 0)
		abort();
	return id;
}

static void
sendgrid_accepted(const Send *send, Message *const *messages, Answer *answer)
{
	(void) send;
	answer->status = 202;
	answer->content_type = "text/plain";
	buffer_printf(&answer->headers, "X-Message-Id: %s\r\n", messages[0]->id);
}

const Api	sendgrid_api = {
	.name = "sendgrid",
	.read = sendgrid_read,
	.new_id = sendgrid_id,
	.accepted = sendgrid_accepted,
	.refused = sendgrid_refused
};
