/*
 * api_twilio.c
 *		Twilio: messages, calls, and the list of messages.
 */
#define _GNU_SOURCE
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "twilio.h"

#define VERSION_PATH "/2010-04-01/Accounts/"
#define MAX_BODY_CHARACTERS 1600
#define MAX_MEDIA 10
#define MAX_PAGE_SIZE 1000

static void
refused(int http_status, int code, const char *text, Answer *answer)
{
	if (code == 0)
		code = http_status == 429 ? 20429 : http_status == 503 ? 20503 : 20500;
	answer->status = http_status;
	buffer_printf(&answer->body, "{\"code\":%d,\"message\":", code);
	buffer_json_string(&answer->body, text);
	buffer_printf(&answer->body,
				  ",\"more_info\":\"https://www.twilio.com/docs/errors/%d\",\"status\":%d}", code,
				  http_status);
}

static bool
refuse(Answer *answer, int http_status, int code, const char *text)
{
	refused(http_status, code, text, answer);
	return false;
}

/* Is it the path of this resource of an account, and of which? */
bool
twilio_path(const char *path, const char *resource, char sid[64])
{
	size_t		len;

	if (strncmp(path, VERSION_PATH, sizeof(VERSION_PATH) - 1) != 0)
		return false;
	path += sizeof(VERSION_PATH) - 1;
	len = strcspn(path, "/");
	if (len == 0 || len > 63 || path[len] != '/' ||
		strncmp(path + len + 1, resource, strlen(resource)) != 0)
		return false;
	memcpy(sid, path, len);
	sid[len] = '\0';
	return true;
}

/* Checks Authorization: Basic; the password, for the caller to free, or NULL. */
static char *
authenticate(const Request *request, const char *sid, Answer *answer)
{
	const char *value = request_header(request, "authorization");
	Buffer		pair = {0};
	char	   *password = NULL;

	if (value != NULL && strncasecmp(value, "basic ", 6) == 0 && base64_decode(value + 6, &pair) &&
		(password = strchr(pair.data, ':')) != NULL)
		*password++ = '\0';
	if (password == NULL || *password == '\0' ||
		(strcmp(pair.data, sid) != 0 && strncmp(pair.data, "SK", 2) != 0) ||
		(config.twilio_token != NULL && strcmp(password, config.twilio_token) != 0))
	{
		refuse(answer, 401, 20003, "Authentication failed");
		password = NULL;
	}
	password = copy_string(password);
	buffer_free(&pair);
	return password;
}

static size_t
count_characters(const char *text)
{
	size_t		n = 0;

	for (; *text != '\0'; text++)
		n += (*text & 0xC0) != 0x80;
	return n;
}

static bool
is_form(const Request *request)
{
	const char *type = request_header(request, "content-type");

	return type != NULL && strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0;
}

/* What messages and calls have in common. */
static bool
read_common(const Request *request, const char *resource, Form *form, Send *send, Answer *answer)
{
	char		sid[64];
	const char *to;

	if (!twilio_path(request->path, resource, sid))
		return refuse(answer, 404, 20404, "There is no such resource");
	send->account = copy_string(sid);
	send->secret = authenticate(request, sid, answer);
	if (send->secret == NULL)
		return false;
	if (!is_form(request))
		return refuse(answer, 400, 20001, "The request is no form");
	form_read(form, request->body);
	to = form_get(form, "To");
	send->from = copy_string(form_get(form, "From"));
	send->callback = copy_string(form_get(form, "StatusCallback"));
	send->key = key_of_callback(send->callback);
	if (to != NULL)
		add_recipient(send, to, false);
	return true;
}

static bool
check_message(const Form *form, const Send *send, Answer *answer)
{
	if (send->recipients == 0)
		return refuse(answer, 400, 21604, "To is missing");
	if (send->from == NULL && send->service == NULL)
		return refuse(answer, 400, 21603, "From or MessagingServiceSid is missing");
	if (send->body == NULL && send->media_urls == NULL && form_get(form, "ContentSid") == NULL)
		return refuse(answer, 400, 21602, "Body, MediaUrl or ContentSid is missing");
	if (!is_e164(send->to[0]))
		return refuse(answer, 400, 21211, "To is not a phone number");
	if (send->from != NULL && !is_e164(send->from) && !is_digits(send->from, 5, 6))
		return refuse(answer, 400, 21212, "From is not a phone number");
	if (send->body != NULL && count_characters(send->body) > MAX_BODY_CHARACTERS)
		return refuse(answer, 400, 21617, "Body is longer than 1600 characters");
	if (send->from != NULL && strcmp(send->from, send->to[0]) == 0)
		return refuse(answer, 400, 21266, "To and From are the same");
	if (count_lines(send->media_urls) > MAX_MEDIA)
		return refuse(answer, 400, 21623, "Number of media files exceeds allowed limit");
	return true;
}

/* MediaUrl, once for each; false: one is no URL. */
static bool
read_media(const Form *form, Send *send, Answer *answer)
{
	for (int i = 0; i < form->fields; i++)
	{
		const char *url = form->field[i].value;

		if (strcmp(form->field[i].name, "MediaUrl") != 0)
			continue;
		if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
			return refuse(answer, 400, 21620, "Invalid media URL(s)");
		add_line(&send->media_urls, url);
	}
	return true;
}

static bool
read_message(const Request *request, Send *send, Answer *answer)
{
	Form		form = {.fields = 0};
	bool		good = read_common(request, "Messages.json", &form, send, answer);

	if (good)
	{
		send->body = copy_string(form_get(&form, "Body"));
		send->service = copy_string(form_get(&form, "MessagingServiceSid"));
		good = read_media(&form, send, answer) && check_message(&form, send, answer);
		if (good && send->body == NULL)
			send->body = copy_string("");
	}
	form_free(&form);
	return good;
}

static bool
read_call(const Request *request, Send *send, Answer *answer)
{
	Form		form = {.fields = 0};
	bool		good = read_common(request, "Calls.json", &form, send, answer);
	const char *twiml = form_get(&form, "Twiml");

	if (good)
	{
		send->body = copy_string(twiml != NULL ? twiml : form_get(&form, "Url"));
		if (send->recipients == 0)
			good = refuse(answer, 400, 21201, "To is missing");
		else if (send->from == NULL)
			good = refuse(answer, 400, 21213, "From is missing");
		else if (send->body == NULL && form_get(&form, "ApplicationSid") == NULL)
			good = refuse(answer, 400, 21205, "Url, Twiml or ApplicationSid is missing");
		else if (twiml != NULL && (twiml[0] != '<' || strstr(twiml, "<Response") == NULL))
			good = refuse(answer, 400, 21218, "Twiml is no TwiML");
		else if (!is_e164(send->to[0]))
			good = refuse(answer, 400, 21211, "To is not a phone number");
		else if (!is_e164(send->from))
			good = refuse(answer, 400, 21212, "From is not a phone number");
		if (good && send->body == NULL)
			send->body = copy_string("");
	}
	form_free(&form);
	return good;
}

static char *
new_sid(const char *prefix)
{
	char	   *sid = NULL;

	if (asprintf(&sid, "%s%016llx%016llx", prefix, (unsigned long long) run_id(),
				 (unsigned long long) next_id()) < 0)
		abort();
	return sid;
}

/* For the caller to free; one with media has its own beginning. */
char *
twilio_new_message_sid(const Send *send)
{
	return new_sid(send != NULL && send->media_urls != NULL ? "MM" : "SM");
}

/* For the caller to free. */
char *
twilio_new_call_sid(const Send *send)
{
	(void) send;
	return new_sid("CA");
}

/* ---- answers ------------------------------------------------------------- */

static void
put_member(Buffer *b, const char *name, const char *value)
{
	buffer_printf(b, "%s\"%s\":", b->data[b->len - 1] == '{' ? "" : ",", name);
	buffer_json_string(b, value);
}

/* Is it still with Twilio?  A message of which no callback told is sent in time. */
static bool
is_queued(const Message *m)
{
	return (strcmp(m->status, "queued") == 0 || strcmp(m->status, "accepted") == 0) &&
		m->at + (int64_t) config.twilio_queue_ms * 1000 > now_us();
}

static void
put_message(Buffer *b, const Message *m, const char *service, bool queued)
{
	char		segments[16];
	char		media[16];
	const char *at = format_time(m->at - (int64_t) config.listed_age_ms * 1000, TIME_RFC2822);
	bool		told = strcmp(m->status, "queued") != 0 && strcmp(m->status, "accepted") != 0;

	snprintf(segments, sizeof(segments), "%d", m->media_urls != NULL ? 1 : m->segments);
	snprintf(media, sizeof(media), "%d", count_lines(m->media_urls));
	buffer_puts(b, "{");
	put_member(b, "account_sid", m->account);
	put_member(b, "api_version", "2010-04-01");
	put_member(b, "body", m->body);
	put_member(b, "date_created", at);
	put_member(b, "date_sent", queued ? NULL : at);
	put_member(b, "date_updated", at);
	put_member(b, "direction", "outbound-api");
	if (m->error != 0)
		buffer_printf(b, ",\"error_code\":%d", m->error);
	else
		put_member(b, "error_code", NULL);
	put_member(b, "error_message", NULL);
	put_member(b, "from", m->from);
	put_member(b, "messaging_service_sid", service);
	put_member(b, "num_media", media);
	put_member(b, "num_segments", segments);
	put_member(b, "price", NULL);
	put_member(b, "price_unit", "USD");
	put_member(b, "sid", m->id);
	put_member(b, "status", queued || told ? m->status : "sent");
	buffer_printf(b,
				  ",\"subresource_uris\":{\"media\":\"" VERSION_PATH "%s/Messages/%s/Media.json\"}",
				  m->account, m->id);
	put_member(b, "to", m->to);
	buffer_printf(b, ",\"uri\":\"" VERSION_PATH "%s/Messages/%s.json\"}", m->account, m->id);
}

static void
message_accepted(const Send *send, Message *const *messages, Answer *answer)
{
	if (send->service != NULL)
		messages[0]->status = "accepted";
	answer->status = 201;
	put_message(&answer->body, messages[0], send->service, true);
}

static void
call_accepted(const Send *send, Message *const *messages, Answer *answer)
{
	const Message *m = messages[0];
	Buffer	   *b = &answer->body;

	(void) send;
	answer->status = 201;
	buffer_puts(b, "{");
	put_member(b, "account_sid", m->account);
	put_member(b, "answered_by", NULL);
	put_member(b, "api_version", "2010-04-01");
	put_member(b, "caller_name", NULL);
	put_member(b, "date_created", NULL);
	put_member(b, "date_updated", NULL);
	put_member(b, "direction", "outbound-api");
	put_member(b, "duration", NULL);
	put_member(b, "end_time", NULL);
	put_member(b, "forwarded_from", NULL);
	put_member(b, "from", m->from);
	put_member(b, "from_formatted", m->from);
	put_member(b, "group_sid", NULL);
	put_member(b, "parent_call_sid", NULL);
	put_member(b, "phone_number_sid", NULL);
	put_member(b, "price", NULL);
	put_member(b, "price_unit", "USD");
	put_member(b, "queue_time", "0");
	put_member(b, "sid", m->id);
	put_member(b, "start_time", NULL);
	put_member(b, "status", m->status);
	put_member(b, "to", m->to);
	put_member(b, "to_formatted", m->to);
	put_member(b, "trunk_sid", NULL);
	buffer_printf(b, ",\"uri\":\"" VERSION_PATH "%s/Calls/%s.json\"}", m->account, m->id);
}

/* ---- the list of messages ------------------------------------------------ */

typedef struct Query
{
	const char *account;
	const char *from;
	bool		dated;
	int64_t		since;
	int64_t		until;
} Query;

/* DateSent, DateSent< and DateSent>; a day means all of it.  What is queued has none. */
static bool
read_dates(const Form *form, Query *q)
{
	static const char *const names[] = {"DateSent", "DateSent>", "DateSent<"};

	q->until = INT64_MAX;
	for (int i = 0; i < 3; i++)
	{
		const char *value = form_get(form, names[i]);
		bool		day = false;
		int64_t		at = value == NULL ? 0 : read_time(value, &day);

		if (at < 0)
			return false;
		if (value == NULL)
			continue;
		q->dated = true;
		/* an instant in DateSent itself means its day */
		if (i == 0)
		{
			at -= at % INT64_C(86400000000);
			day = true;
		}
		if (i != 2)
			q->since = at;
		if (i != 1)
			q->until = at + (day ? INT64_C(86400000000) : 1000000);
	}
	return true;
}

static bool
matches(const Message *m, const Query *q)
{
	return strcmp(m->api, "twilio") == 0 && strcmp(m->account, q->account) == 0 &&
		(q->from == NULL || (m->from != NULL && strcmp(m->from, q->from) == 0)) &&
		m->at >= q->since && m->at < q->until && !(q->dated && is_queued(m)) &&
		m->at + (int64_t) config.lookup_lag_ms * 1000 <= now_us();
}

static void
put_page(const Form *form, const Query *q, Answer *answer)
{
	const char *to = form_get(form, "To");
	const char *value = form_get(form, "PageSize");
	int			size = value != NULL ? atoi(value) : 50;
	int			page = (value = form_get(form, "Page")) != NULL ? atoi(value) : 0;
	int			found = 0;
	Buffer		next = {0};
	uint64_t	number = ledger_counters.accepted;
	Message    *m = to != NULL ? ledger_latest_to(to) : ledger_message(number);

	size = size < 1 ? 1 : size > MAX_PAGE_SIZE ? MAX_PAGE_SIZE : size;
	buffer_puts(&answer->body, "{\"messages\":[");
	for (; m != NULL && found <= (page + 1) * size;
		 m = to != NULL ? m->older_to : ledger_message(--number))
	{
		if (!matches(m, q))
			continue;
		if (found >= page * size && found < (page + 1) * size)
		{
			if (found > page * size)
				buffer_puts(&answer->body, ",");
			put_message(&answer->body, m, NULL, is_queued(m));
		}
		found++;
	}
	buffer_printf(&answer->body, "],\"page\":%d,\"page_size\":%d,\"start\":%d,\"end\":%d", page,
				  size, page * size, page * size + size - 1);
	if (found > (page + 1) * size)
	{
		for (int i = 0; i < form->fields; i++)
		{
			if (strncmp(form->field[i].name, "Page", 4) != 0)
				buffer_field(&next, form->field[i].name, form->field[i].value);
		}
		buffer_printf(&next, "%sPageSize=%d&Page=%d&PageToken=PA%d", next.len > 0 ? "&" : "", size,
					  page + 1, page + 1);
		buffer_printf(&answer->body, ",\"next_page_uri\":\"" VERSION_PATH "%s/Messages.json?%s\"",
					  q->account, next.data);
		buffer_free(&next);
	}
	else
		buffer_puts(&answer->body, ",\"next_page_uri\":null");
	buffer_printf(&answer->body,
				  ",\"first_page_uri\":\"" VERSION_PATH "%s/Messages.json?PageSize=%d&Page=0\","
				  "\"previous_page_uri\":null,\"uri\":\"" VERSION_PATH "%s/Messages.json\"}",
				  q->account, size, q->account);
	answer->status = 200;
}

/*
 * GET Messages.json, or Messages/SID.json.  False when it is refused; to is the
 * phone that was asked for, if one was, for the caller to free.
 */
bool
twilio_lookup(const Request *request, Answer *answer, char **to)
{
	char		sid[64];
	Query		q = {0};
	Form		form = {.fields = 0};
	char	   *password;
	bool		good = true;
	const char *id;

	if (!twilio_path(request->path, "Messages", sid))
		return refuse(answer, 404, 20404, "There is no such resource");
	password = authenticate(request, sid, answer);
	if (password == NULL)
		return false;
	free(password);
	q.account = sid;
	id = strstr(request->path, "/Messages/");
	if (id != NULL)
	{
		char	   *name = copy_bytes(id + 10, strcspn(id + 10, "."));
		Message    *m = ledger_by_id(name);

		free(name);
		q.until = INT64_MAX;
		if (m == NULL || !matches(m, &q))
			return refuse(answer, 404, 20404, "There is no such message");
		answer->status = 200;
		put_message(&answer->body, m, NULL, is_queued(m));
		return true;
	}
	form_read(&form, request->query);
	q.from = form_get(&form, "From");
	*to = copy_string(form_get(&form, "To"));
	if (read_dates(&form, &q))
		put_page(&form, &q, answer);
	else
		good = refuse(answer, 400, 20001, "DateSent is no date");
	form_free(&form);
	return good;
}

const Api	twilio_api = {
	.name = "twilio",
	.read = read_message,
	.new_id = twilio_new_message_sid,
	.accepted = message_accepted,
	.refused = refused,
	.status = twilio_message_status,
	.reply = twilio_reply
};

const Api	twilio_call_api = {
	.name = "twilio_call",
	.read = read_call,
	.new_id = twilio_new_call_sid,
	.accepted = call_accepted,
	.refused = refused,
	.status = twilio_call_status,
	.reply = twilio_reply
};
