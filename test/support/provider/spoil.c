/*
 * spoil.c
 *		What a fault makes of an answer: another status, garbage, a refusal.
 */
#define _GNU_SOURCE
#include "spoil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

static void
put_garbage(Answer *answer, const char *how)
{
	static const char *const ways[] = {"html", "truncated", "empty", "binary", "array"};
	Buffer	   *b = &answer->body;

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
			uint64_t	bytes = random_u64();

			buffer_add(b, &bytes, sizeof(bytes));
		}
	}
}

static void
replace_answer(Job *job, int http_status, int code, const char *text)
{
	answer_free(&job->answer);
	job->answer = (Answer) {0};
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
void
spoil_refuse(Job *job)
{
	const Fault *fault = job->fault;
	char		text[64];

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
bool
spoil_is_before(FaultKind kind)
{
	return kind == FAULT_RESET_BEFORE || kind == FAULT_CLOSE_BEFORE || kind == FAULT_HANG_BEFORE ||
		kind == FAULT_429 || kind == FAULT_503_BEFORE || kind == FAULT_BLOCKED ||
		kind == FAULT_ERROR || kind == FAULT_STATUS;
}

/* What a fault makes of the good answer. */
void
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
