/*
 * idempotency.c
 *		Answers kept under the Idempotency-Key of their requests, see
 *		idempotency.h.
 *
 * An answer is kept from the moment its messages were accepted, so that a
 * request whose answer was lost, spoilt or a 500 gets it when it comes again.
 */
#define _GNU_SOURCE
#include "idempotency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "table.h"

struct IdempotentAnswer
{
	unsigned char digest[32];
	int64_t		at;
	bool		running;		/* its first request has not been answered */
	Answer		answer;
};

static Table entries;

/* Is this name in the list of APIs that honour keys? */
static bool
is_idempotent(const Api *api)
{
	size_t		len = strlen(api->name);

	for (const char *at = config.idempotent; at != NULL && *at != '\0';)
	{
		size_t		item = strcspn(at, ",");

		if (item == len && memcmp(at, api->name, len) == 0)
			return true;
		at += item + (at[item] == ',');
	}
	return false;
}

static void
copy_answer(Answer *to, const Answer *from)
{
	answer_free(to);
	*to = (Answer) {.status = from->status, .content_type = from->content_type};
	if (from->headers.len > 0)
		buffer_add(&to->headers, from->headers.data, from->headers.len);
	if (from->body.len > 0)
		buffer_add(&to->body, from->body.data, from->body.len);
}

/* Looks the request's key up, before anything is accepted. */
IdempotencyResult
idempotency_begin(const Api *api, const Send *send, IdempotentAnswer **entry, Answer *answer)
{
	char	   *name = NULL;
	void	  **slot;
	IdempotentAnswer *found;

	*entry = NULL;
	if (send->idempotency_key == NULL || !is_idempotent(api))
		return IDEMPOTENCY_NEW;
	if (asprintf(&name, "%s %s %s", api->name, send->account != NULL ? send->account : "",
				 send->idempotency_key) < 0)
		abort();
	found = table_find(&entries, name);
	if (found != NULL &&
		(found->running || found->at + (int64_t) config.idempotency_life_ms * 1000 > now_us()))
	{
		free(name);
		if (memcmp(found->digest, send->digest, sizeof(found->digest)) != 0)
		{
			api->refused(422, 0, "The Idempotency-Key was used for another request", answer);
			return IDEMPOTENCY_CONFLICT;
		}
		if (found->running)
		{
			api->refused(409, 0, "The first request with this Idempotency-Key is under way",
						 answer);
			buffer_puts(&answer->headers, "Retry-After: 1\r\n");
			return IDEMPOTENCY_CONFLICT;
		}
		copy_answer(answer, &found->answer);
		buffer_puts(&answer->headers, "Idempotent-Replayed: true\r\n");
		return IDEMPOTENCY_REPLAY;
	}
	if (found == NULL)
	{
		slot = table_slot(&entries, name);
		*slot = found = allocate(sizeof(IdempotentAnswer));
	}
	else
		free(name);
	memcpy(found->digest, send->digest, sizeof(found->digest));
	found->at = now_us();
	found->running = true;
	*entry = found;
	return IDEMPOTENCY_NEW;
}

/* Keeps the answer of what was accepted. */
void
idempotency_store(IdempotentAnswer *entry, const Answer *answer)
{
	copy_answer(&entry->answer, answer);
}

/* The first request has been disposed of: from now on its answer is repeated. */
void
idempotency_end(IdempotentAnswer *entry)
{
	entry->running = false;
}

/* Forgets all; their memory stays, for requests under way may use it. */
void
idempotency_forget(void)
{
	table_clear(&entries);
}
