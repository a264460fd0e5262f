/*
 * service.c
 *		What is done with a request: it is read by its API, the fault is chosen,
 *		its messages are accepted or not, and it is answered or not.
 *
 * A request becomes a Job, which lives until its answer has been disposed of and
 * nothing is to be accepted any more, whether or not its client is still there.
 */
#define _GNU_SOURCE
#include "service.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "callback.h"
#include "config.h"
#include "control.h"
#include "fault.h"
#include "idempotency.h"
#include "ledger.h"

/* how often answers that are held are looked at */
#define HOLD_MS 20

typedef struct Job
{
	Hold hold; /* first, for the server knows only this */
	const Api *api;
	Send send;
	const Fault *fault;
	int nth; /* request of its connection */
	Answer answer;
	uint64_t first_message;
	int messages;
	IdempotentAnswer *running; /* its entry under its idempotency key */
	int early;                 /* callbacks that its answer waits for */
	bool waiting;              /* for its time */
} Job;

static void
free_job(Job *job)
{
	send_free(&job->send);
	answer_free(&job->answer);
	free(job);
}

/* ---- accepting ----------------------------------------------------------- */

static void dispose_if_due(Job *job);

static void
on_early(void *arg, int http_status, const char *outcome)
{
	Job *job = arg;

	(void) http_status;
	(void) outcome;
	job->early--;
	dispose_if_due(job);
}

static Message *
accept_message(Job *job, const char *to)
{
	const Send *send = &job->send;
	Message *m = allocate(sizeof(Message));

	m->request = send->request;
	m->api = job->api->name;
	m->account = copy_string(send->account);
	m->to = copy_string(to);
	m->from = copy_string(send->from);
	m->body = copy_string(send->body);
	m->html = copy_string(send->html);
	m->bcc = copy_string(send->bcc);
	m->media_urls = copy_string(send->media_urls);
	m->id = job->api->new_id(send);
	m->key = copy_string(send->key != NULL ? send->key : send->idempotency_key);
	m->idempotency_key = copy_string(send->idempotency_key);
	m->callback = copy_string(send->callback);
	m->secret = copy_string(send->secret);
	m->fault = copy_string(job->fault->kind == FAULT_OK ? NULL : job->fault->text);
	m->segments = count_segments(m->body);
	m->status = "queued";
	ledger_accept(m);
	return m;
}

/* Enters it under its idempotency key; false if its answer is known by that. */
static bool
begin_key(Job *job)
{
	switch (idempotency_begin(job->api, &job->send, &job->running, &job->answer))
	{
		case IDEMPOTENCY_REPLAY:
			ledger_counters.replayed++;
			return false;
		case IDEMPOTENCY_CONFLICT:
			ledger_counters.refused++;
			return false;
		default:
			return true;
	}
}

/* Accepts the messages of the job and makes its good answer, after begin_key(). */
static void
take(Job *job)
{
	const Send *send = &job->send;
	Message **messages;

	messages = allocate((size_t) send->recipients * sizeof(Message *));
	for (int i = 0; i < send->recipients; i++)
	{
		if (send->silent[i])
			continue;
		messages[i] = accept_message(job, send->to[i]);
		if (job->messages++ == 0)
			job->first_message = messages[i]->number;
	}
	job->api->accepted(send, messages, &job->answer);
	if (job->running != NULL)
		idempotency_store(job->running, &job->answer);
	for (int i = 0; i < send->recipients; i++)
	{
		if (messages[i] != NULL)
			job->early += callback_plan(job->api, messages[i], on_early, job);
	}
	free(messages);
}

/* ---- answering ----------------------------------------------------------- */

static void
put_garbage(Answer *answer, const char *how)
{
	static const char *const ways[] = { "html", "truncated", "empty", "binary", "array" };
	Buffer *b = &answer->body;

	if (how == NULL)
		how = ways[random_u64() % 5];
	answer->content_type = NULL;
	if (strcmp(how, "truncated") == 0)
	{
		/* a complete answer whose document is not */
		b->len /= 2;
		return;
	}
	buffer_clear(b);
	answer->status = 200;
	if (strcmp(how, "html") == 0)
	{
		answer->content_type = "text/html; charset=utf-8";
		buffer_puts(b, "<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>");
	}
	else if (strcmp(how, "array") == 0)
		buffer_puts(b, "[null]");
	else if (strcmp(how, "binary") == 0)
	{
		for (int i = 0; i < 32; i++)
		{
			uint64_t bytes = random_u64();

			buffer_add(b, &bytes, sizeof(bytes));
		}
	}
}

static void
replace_answer(Job *job, int http_status, int code, const char *text)
{
	answer_free(&job->answer);
	job->answer = (Answer){ 0 };
	job->api->refused(http_status, code, text, &job->answer);
}

static void
put_retry_after(Answer *answer, const char *value)
{
	if (value == NULL || strcmp(value, "none") == 0)
		return;
	if (strcmp(value, "date") == 0)
		value = format_time(now_us() + 2000000, TIME_HTTP);
	buffer_printf(&answer->headers, "Retry-After: %s\r\n", value);
}

static int
http_status_of_code(const Fault *fault)
{
	const char *slash = fault->argument != NULL ? strchr(fault->argument, '/') : NULL;

	if (slash != NULL)
		return atoi(slash + 1);
	switch (fault->number)
	{
		case 20003:
			return 401;
		case 20005:
			return 403;
		case 20404:
			return 404;
		case 20429:
		case 30022:
		case 63038:
			return 429;
		case 20500:
			return 500;
		case 20503:
			return 503;
		default:
			return 400;
	}
}

/* The answer of a fault for which nothing is accepted. */
static void
refuse_by_fault(Job *job)
{
	const Fault *fault = job->fault;
	char text[64];

	ledger_counters.refused++;
	switch (fault->kind)
	{
		case FAULT_429:
			replace_answer(job, 429, 0, "Too many requests");
			put_retry_after(&job->answer, fault->argument != NULL ? fault->argument : "1");
			break;
		case FAULT_503_BEFORE:
			replace_answer(job, 503, 0, "Not available");
			put_retry_after(&job->answer, fault->argument);
			break;
		case FAULT_BLOCKED:
			if (job->api->blocked != NULL)
				job->api->blocked(&job->send, fault->argument, &job->answer);
			else
				replace_answer(job, 400, 21610, "The recipient has opted out");
			break;
		case FAULT_ERROR:
			snprintf(text, sizeof(text), "Error %d", fault->number);
			replace_answer(job, http_status_of_code(fault), fault->number, text);
			break;
		default:
			replace_answer(job, fault->number, 0, "Refused");
			if (fault->number >= 300 && fault->number < 400)
				buffer_puts(&job->answer.headers, "Location: /messages\r\n");
	}
}

/* Does this fault leave nothing accepted? */
static bool
is_before(FaultKind kind)
{
	return kind == FAULT_RESET_BEFORE || kind == FAULT_CLOSE_BEFORE || kind == FAULT_HANG_BEFORE ||
		   kind == FAULT_429 || kind == FAULT_503_BEFORE || kind == FAULT_BLOCKED ||
		   kind == FAULT_ERROR || kind == FAULT_STATUS;
}

/* What the log says of the answer; what it cannot say yet is later. */
static const char *
describe(const Job *job, char text[32])
{
	switch (job->fault->kind)
	{
		case FAULT_LOSE_ANSWER:
		case FAULT_CLOSE_BEFORE:
		case FAULT_LATE_ACCEPT:
			return "closed";
		case FAULT_RESET:
		case FAULT_RESET_BEFORE:
			return "reset";
		case FAULT_RESET_REUSED:
			if (job->nth > 1)
				return "reset";
			break;
		case FAULT_HANG:
		case FAULT_HANG_BEFORE:
			return "hung";
		case FAULT_SLOW_ACCEPT:
			return "later";
		case FAULT_ENDLESS:
			return "endless";
		default:
			break;
	}
	snprintf(text, 32, "%d", job->answer.status);
	return text;
}

/* Answers, or whatever stands in its place, and ends the job. */
static void
dispose(Job *job)
{
	Connection *c = job->hold.connection;
	const Fault *fault = job->fault;
	const Answer *answer = &job->answer;

	if (job->running != NULL)
		idempotency_end(job->running);
	if (c == NULL)
	{
		free_job(job);
		return;
	}
	switch (fault->kind)
	{
		case FAULT_LOSE_ANSWER:
		case FAULT_CLOSE_BEFORE:
			server_close(c);
			break;
		case FAULT_RESET:
		case FAULT_RESET_BEFORE:
			server_reset(c);
			break;
		case FAULT_HANG:
		case FAULT_HANG_BEFORE:
			server_hold(c, NULL);
			break;
		case FAULT_ENDLESS:
			server_endless(c);
			break;
		case FAULT_DRIBBLE:
			server_dribble(c, answer, fault->number);
			break;
		case FAULT_WRONG_LENGTH:
			server_answer_wrong_length(c, answer, fault->number);
			break;
		case FAULT_IDLE_CLOSE:
			server_answer_and_close(c, answer, fault->number);
			break;
		default:
			if (fault->kind == FAULT_RESET_REUSED && job->nth > 1)
				server_reset(c);
			else if (config.idle_close_ms >= 0)
				server_answer_and_close(c, answer, config.idle_close_ms);
			else
				server_answer(c, answer);
	}
	free_job(job);
}

static void
dispose_if_due(Job *job)
{
	if (!job->waiting && job->early == 0)
		dispose(job);
}

static void
on_time(void *arg)
{
	Job *job = arg;

	if (config.hold_answers)
	{
		run_after(HOLD_MS, on_time, job);
		return;
	}
	job->waiting = false;
	dispose_if_due(job);
}

/*
 * Disposes of it after the latency that is set, or that the fault asks for, and
 * not while answers are held.
 */
static void
dispose_later(Job *job)
{
	int ms = config.latency_ms;

	if (config.latency_jitter_ms > 0)
		ms += (int) (random_u64() % (uint64_t) config.latency_jitter_ms);
	if (job->fault->kind == FAULT_SLOW)
		ms = job->fault->number;
	job->waiting = ms > 0 || config.hold_answers;
	if (job->waiting)
		run_after(ms, on_time, job);
	else
		dispose_if_due(job);
}

/* late_accept: the request has arrived */
static void
on_late(void *arg)
{
	Job *job = arg;

	if (begin_key(job))
		take(job);
	job->waiting = false;
	dispose_if_due(job);
}

/* slow_accept: it has been processed */
static void
on_slow_accept(void *arg)
{
	Job *job = arg;

	take(job);
	job->waiting = false;
	dispose_if_due(job);
}

static void
spoil_answer(Job *job)
{
	switch (job->fault->kind)
	{
		case FAULT_GARBAGE:
			put_garbage(&job->answer, job->fault->argument);
			break;
		case FAULT_500_AFTER:
			replace_answer(job, 500, 0, "Something broke");
			break;
		case FAULT_STATUS_AFTER:
			replace_answer(job, job->fault->number, 0, "Something broke");
			break;
		default:
			break;
	}
}

/* ---- requests ------------------------------------------------------------ */

static void
write_entry(const Request *request, const Job *job, const char *answer)
{
	const Send *send = &job->send;
	Entry entry = { .number = send->request,
					.api = job->api->name,
					.account = send->account,
					.to = send->recipients > 0 ? send->to[0] : NULL,
					.key = send->key != NULL ? send->key : send->idempotency_key,
					.idempotency_key = send->idempotency_key,
					.fault = job->fault->kind == FAULT_OK ? NULL : job->fault->text,
					.message = job->first_message,
					.messages = job->messages,
					.answer = answer };

	ledger_request(request, &entry);
}

static Job *
new_job(Request *request, const Api *api)
{
	static const Fault none = { .text = "ok", .kind = FAULT_OK };
	Job *job = allocate(sizeof(Job));

	job->api = api;
	job->fault = &none;
	job->nth = request->nth;
	job->send.request = ++ledger_counters.requests;
	ledger_keep_raw(job->send.request, request, config.keep_raw);
	server_hold(request->connection, &job->hold);
	return job;
}

static void
handle_send(Request *request, const Api *api)
{
	Job *job = new_job(request, api);
	Send *send = &job->send;
	char text[32];
	bool fresh;

	if (!api->read(request, send, &job->answer))
	{
		ledger_counters.refused++;
		write_entry(request, job, describe(job, text));
		dispose_later(job);
		return;
	}
	send->idempotency_key = copy_string(request_header(request, "idempotency-key"));
	if (send->idempotency_key != NULL)
		SHA256((const unsigned char *) request->body, request->body_len, send->digest);
	{
		FaultSubject subject = { .api = api->name,
								 .account = send->account,
								 .to = send->to[0],
								 .from = send->from,
								 .body = send->body,
								 .key = send->key != NULL ? send->key : send->idempotency_key };

		job->fault = fault_choose(&subject);
	}
	if (job->fault->kind == FAULT_LATE_ACCEPT)
	{
		write_entry(request, job, describe(job, text));
		job->waiting = true;
		run_after(job->fault->number, on_late, job);
		server_close(request->connection);
		job->hold.connection = NULL;
		return;
	}
	if (is_before(job->fault->kind))
		refuse_by_fault(job);
	else
	{
		fresh = begin_key(job);
		if (fresh && job->fault->kind == FAULT_SLOW_ACCEPT)
		{
			write_entry(request, job, describe(job, text));
			job->waiting = true;
			run_after(job->fault->number, on_slow_accept, job);
			return;
		}
		if (fresh)
			take(job);
		spoil_answer(job);
	}
	write_entry(request, job, describe(job, text));
	dispose_later(job);
}

static void
handle_lookup(Request *request, const Api *api,
			  bool (*look)(const Request *request, Answer *answer, char **to))
{
	Job *job = new_job(request, api);
	FaultSubject subject = { .lookup = true, .api = api->name };
	char *to = NULL;
	char text[32];

	ledger_counters.lookups++;
	if (look(request, &job->answer, &to))
	{
		subject.to = to;
		job->fault = fault_choose(&subject);
		if (is_before(job->fault->kind))
			refuse_by_fault(job);
		else
			spoil_answer(job);
	}
	if (to != NULL)
		add_recipient(&job->send, to, false);
	free(to);
	write_entry(request, job, describe(job, text));
	dispose_later(job);
}

static void
handle_unknown(Request *request)
{
	Job *job = new_job(request, &generic_api);

	ledger_counters.refused++;
	job->api->refused(404, 0, "There is no such resource", &job->answer);
	write_entry(request, job, "404");
	dispose_later(job);
}

/* Decides where a request goes; it is disposed of, now or later. */
void
service_handle(Request *request)
{
	static const struct
	{
		const char *path;
		const Api *api;
	} routes[] = { { "/message/sms", &signalhouse_api },
				   { "/v3/mail/send", &sendgrid_api },
				   { "/messages", &generic_api } };
	const char *path = request->path;
	bool post = strcmp(request->method, "POST") == 0;
	bool get = strcmp(request->method, "GET") == 0;
	char sid[64];

	if (strncmp(path, "/control/", 9) == 0)
	{
		control_handle(request);
		return;
	}
	for (size_t i = 0; post && i < sizeof(routes) / sizeof(routes[0]); i++)
	{
		if (strcmp(path, routes[i].path) == 0)
		{
			handle_send(request, routes[i].api);
			return;
		}
	}
	if (get && strcmp(path, "/message") == 0)
		handle_lookup(request, &signalhouse_api, signalhouse_lookup);
	else if (get && twilio_path(path, "Messages", sid))
		handle_lookup(request, &twilio_api, twilio_lookup);
	else if (post && twilio_path(path, "Messages.json", sid))
		handle_send(request, &twilio_api);
	else if (post && twilio_path(path, "Calls.json", sid))
		handle_send(request, &twilio_call_api);
	else
		handle_unknown(request);
}

/* Forgets what the ledger, the keys and the markers' counts hold. */
void
service_forget(void)
{
	ledger_forget();
	idempotency_forget();
	fault_forget();
}
