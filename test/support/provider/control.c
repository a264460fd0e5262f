/*
 * control.c
 *		The provider's control interface.
 *
 *	GET  /control/state		counters, faults used, settings
 *	POST /control/config	settings, "faults", "rules", "callbacks", "call_callbacks"
 *	POST /control/forget	empties the ledger, its log, keys, rules and shares
 *	GET  /control/accepted	messages: ?since=NUMBER, ?format=tsv (else JSON lines)
 *	GET  /control/raw		?request=NUMBER: its bytes as they came
 *	POST /control/callback	{message: number or id, status, code}: a status callback
 *	POST /control/reply		{api, url, from, to, body, account, secret}: a message from
 *							a phone; {message, body} answers one of ours, url default
 *							reply_url
 *
 * The last two answer when the webhook has come to its end, after all its tries:
 * {"outcome": …, "http_status": …}.
 */
#define _GNU_SOURCE
#include "control.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "callback.h"
#include "config.h"
#include "fault.h"
#include "ledger.h"
#include "service.h"

/* A request that waits for the end of a webhook */
typedef struct Waiting
{
	Hold		hold;			/* first, for the server knows only this */
	char	   *status;
} Waiting;

static void
answer_text(Connection *c, int status, const char *text)
{
	Answer		answer = {.status = status};

	buffer_puts(&answer.body, "{\"message\":");
	buffer_json_string(&answer.body, text);
	buffer_puts(&answer.body, "}\n");
	server_answer(c, &answer);
	answer_free(&answer);
}

static void
show_state(Connection *c)
{
	const struct
	{
		const char *name;
		uint64_t	value;
	}			counter[] = {
		{"requests", ledger_counters.requests},
		{"lookups", ledger_counters.lookups},
		{"accepted", ledger_counters.accepted},
		{"doubled", ledger_counters.doubled},
		{"refused", ledger_counters.refused},
		{"replayed", ledger_counters.replayed},
		{"connections", server_counters.connections},
		{"connections_open", server_counters.open},
		{"connections_most", server_counters.most_open},
		{"malformed", server_counters.malformed},
		{"expect_continue", server_counters.expect_continue},
		{"callbacks_planned", callback_counters.planned},
		{"callbacks_posted", callback_counters.posts},
		{"callbacks_answered", callback_counters.answered},
		{"callbacks_refused", callback_counters.refused},
		{"callbacks_given_up", callback_counters.given_up},
		{"callbacks_impossible", callback_counters.impossible},
		{"callbacks_pending", callback_counters.pending}
	};
	Answer		answer = {.status = 200};

	buffer_puts(&answer.body, "{");
	for (size_t i = 0; i < sizeof(counter) / sizeof(counter[0]); i++)
		buffer_printf(&answer.body, "\"%s\":%llu,", counter[i].name,
					  (unsigned long long) counter[i].value);
	buffer_puts(&answer.body, "\"faults\":");
	fault_show(&answer.body);
	buffer_puts(&answer.body, ",\"config\":");
	config_show(&answer.body);
	buffer_puts(&answer.body, "}\n");
	server_answer(c, &answer);
	answer_free(&answer);
}

static void
show_accepted(Request *request)
{
	Answer		answer = {.status = 200};
	Form		form = {.fields = 0};
	const char *value;
	uint64_t	number;
	bool		tsv;
	const Message *m;

	form_read(&form, request->query);
	value = form_get(&form, "since");
	number = value != NULL ? strtoull(value, NULL, 10) : 0;
	value = form_get(&form, "format");
	tsv = value != NULL && strcmp(value, "tsv") == 0;
	form_free(&form);
	answer.content_type = tsv ? "text/tab-separated-values" : "application/x-ndjson";
	while ((m = ledger_message(++number)) != NULL)
	{
		if (tsv)
			ledger_row(&answer.body, m);
		else
			ledger_json(&answer.body, m);
		buffer_puts(&answer.body, "\n");
	}
	server_answer(request->connection, &answer);
	answer_free(&answer);
}

static void
show_raw(Request *request)
{
	const char *value = request->query != NULL ? strstr(request->query, "request=") : NULL;
	const Buffer *raw = ledger_raw(value != NULL ? strtoull(value + 8, NULL, 10) : 0);
	Answer		answer = {.status = 200, .content_type = "application/octet-stream"};

	if (raw == NULL)
	{
		answer_text(request->connection, 404, "no such request is kept");
		return;
	}
	buffer_add(&answer.body, raw->data, raw->len);
	server_answer(request->connection, &answer);
	answer_free(&answer);
}

static void
on_done(void *arg, int http_status, const char *outcome)
{
	Waiting    *waiting = arg;
	Answer		answer = {.status = 200};

	buffer_printf(&answer.body, "{\"outcome\":\"%s\",\"http_status\":%d}\n", outcome, http_status);
	if (waiting->hold.connection != NULL)
		server_answer(waiting->hold.connection, &answer);
	answer_free(&answer);
	free(waiting->status);
	free(waiting);
}

static Message *
find_message(const Json *json)
{
	const char *name = json_text(json, "message");
	Message    *m = name == NULL ? NULL : ledger_by_id(name);

	if (m == NULL && name != NULL && is_digits(name, 1, 18))
		m = ledger_message(strtoull(name, NULL, 10));
	return m;
}

static void
make_callback(Connection *c, const Json *json)
{
	Message    *m = find_message(json);
	const char *status = json_text(json, "status");
	Waiting    *waiting;

	if (m == NULL || m->callback == NULL || status == NULL)
	{
		answer_text(c, 400, "message (of one that was accepted with a URL) and status are needed");
		return;
	}
	waiting = allocate(sizeof(Waiting));
	server_hold(c, &waiting->hold);
	/* the message points to its last status: not freed */
	callback_now(api_by_name(m->api), m, copy_string(status), (int) json_number(json, "code", 0),
				 on_done, waiting);
}

static const char *
text_or(const Json *json, const char *name, const char *otherwise)
{
	const char *text = json_text(json, name);

	return text != NULL ? text : otherwise;
}

static void
make_reply(Connection *c, const Json *json)
{
	const Message *m = find_message(json);
	const Api  *api = api_by_name(text_or(json, "api", m != NULL ? m->api : NULL));
	const char *url = text_or(json, "url", config.reply_url);
	Reply		reply = {
		.account = text_or(json, "account", m != NULL ? m->account : ""),
		.from = text_or(json, "from", m != NULL ? m->to : NULL),
		.to = text_or(json, "to", m != NULL ? m->from : NULL),
		.body = json_text(json, "body"),
		.secret = text_or(json, "secret", m != NULL ? m->secret : NULL)
	};
	Waiting    *waiting;

	if (api == NULL || api->reply == NULL || url == NULL || reply.from == NULL ||
		reply.to == NULL || reply.body == NULL)
	{
		answer_text(c, 400, "message, or api, from and to; body, and url or reply_url are needed");
		return;
	}
	waiting = allocate(sizeof(Waiting));
	server_hold(c, &waiting->hold);
	callback_reply(api, &reply, url, on_done, waiting);
}

static void
change_config(Connection *c, const Json *json)
{
	char	   *wrong = config_merge(json);

	if (wrong != NULL)
		answer_text(c, 400, wrong);
	else
		show_state(c);
	free(wrong);
}

/* Answers a request to /control/…, now or later. */
void
control_handle(Request *request)
{
	static const struct
	{
		const char *name;
		void		(*function) (Connection *c, const Json *json);
	}			posts[] = {
		{"config", change_config},
		{"callback", make_callback},
		{"reply", make_reply}
	};
	Connection *c = request->connection;
	const char *name = request->path + strlen("/control/");
	Json	   *json;

	if (strcmp(request->method, "GET") == 0)
	{
		if (strcmp(name, "state") == 0)
			show_state(c);
		else if (strcmp(name, "accepted") == 0)
			show_accepted(request);
		else if (strcmp(name, "raw") == 0)
			show_raw(request);
		else
			answer_text(c, 404, "no such control");
		return;
	}
	if (strcmp(name, "forget") == 0)
	{
		service_forget();
		show_state(c);
		return;
	}
	json = json_read(request->body, request->body_len);
	for (size_t i = 0; i < sizeof(posts) / sizeof(posts[0]); i++)
	{
		if (strcmp(name, posts[i].name) != 0)
			continue;
		if (json == NULL || json->type != JSON_OBJECT)
			answer_text(c, 400, "the body is no JSON object");
		else
			posts[i].function(c, json);
		json_free(json);
		return;
	}
	json_free(json);
	answer_text(c, 404, "no such control");
}
