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
#include "job.h"
#include "ledger.h"
#include "spoil.h"

/* how often answers that are held are looked at */
#define HOLD_MS 20

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
	Job		   *job = arg;

	(void) http_status;
	(void) outcome;
	job->early--;
	dispose_if_due(job);
}

static Message *
accept_message(Job *job, const char *to)
{
	const Send *send = &job->send;
	Message    *m = allocate(sizeof(Message));

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
	Message   **messages;

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
	Job		   *job = arg;

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
	int			ms = config.latency_ms;

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
	Job		   *job = arg;

	if (begin_key(job))
		take(job);
	job->waiting = false;
	dispose_if_due(job);
}

/* slow_accept: it has been processed */
static void
on_slow_accept(void *arg)
{
	Job		   *job = arg;

	take(job);
	job->waiting = false;
	dispose_if_due(job);
}

/* ---- requests ------------------------------------------------------------ */

static void
write_entry(const Request *request, const Job *job, const char *answer)
{
	const Send *send = &job->send;
	Entry		entry = {
		.number = send->request,
		.api = job->api->name,
		.account = send->account,
		.to = send->recipients > 0 ? send->to[0] : NULL,
		.key = send->key != NULL ? send->key : send->idempotency_key,
		.idempotency_key = send->idempotency_key,
		.fault = job->fault->kind == FAULT_OK ? NULL : job->fault->text,
		.message = job->first_message,
		.messages = job->messages,
		.answer = answer
	};

	ledger_request(request, &entry);
}

static Job *
new_job(Request *request, const Api *api)
{
	static const Fault none = {.text = "ok", .kind = FAULT_OK};
	Job		   *job = allocate(sizeof(Job));

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
	Job		   *job = new_job(request, api);
	Send	   *send = &job->send;
	char		text[32];
	bool		fresh;

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
		FaultSubject subject = {
			.api = api->name,
			.account = send->account,
			.to = send->to[0],
			.from = send->from,
			.body = send->body,
			.key = send->key != NULL ? send->key : send->idempotency_key
		};

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
	if (spoil_is_before(job->fault->kind))
		spoil_refuse(job);
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
			  bool (*look) (const Request *request, Answer *answer, char **to))
{
	Job		   *job = new_job(request, api);
	FaultSubject subject = {.lookup = true, .api = api->name};
	char	   *to = NULL;
	char		text[32];

	ledger_counters.lookups++;
	if (look(request, &job->answer, &to))
	{
		subject.to = to;
		job->fault = fault_choose(&subject);
		if (spoil_is_before(job->fault->kind))
			spoil_refuse(job);
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
	Job		   *job = new_job(request, &generic_api);

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
		const Api  *api;
	}			routes[] = {
		{"/message/sms", &signalhouse_api},
		{"/v3/mail/send", &sendgrid_api},
		{"/messages", &generic_api}
	};
	const char *path = request->path;
	bool		post = strcmp(request->method, "POST") == 0;
	bool		get = strcmp(request->method, "GET") == 0;
	char		sid[64];

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
