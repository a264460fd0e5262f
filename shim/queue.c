/*
 * queue.c
 *	  The bounded queue in front of the database: first in, first out.
 *
 * Owns the webhooks in it.  Answering one may bring the next request of the
 * same client, hence a push from within: loops here take the webhook out
 * before they answer it.
 */
#include "postgres_fe.h"

#include "config.h"
#include "http_reader.h"
#include "log.h"
#include "memory.h"
#include "queue.h"

static PoWebhook *head = NULL;
static PoWebhook *tail = NULL;
static int	length = 0;

static void
free_webhook(PoWebhook *webhook)
{
	po_memory_account(&webhook->memory, 0);
	po_http_request_free(webhook->request);
	free(webhook);
}

/* Answer the client, if it is still there, and free the webhook. */
void
po_webhook_answer(PoWebhook *webhook, const PoAnswer *answer)
{
	if (webhook->done != NULL)
		webhook->done(webhook->arg, webhook, answer);
	free_webhook(webhook);
}

/* Answer 503 to the webhooks of a call; those that are NULL have their answer. */
void
po_webhooks_fail(PoWebhook **webhooks, int count, const char *reason)
{
	for (int i = 0; i < count; i++)
	{
		PoAnswer	answer;

		if (webhooks[i] == NULL)
			continue;
		po_answer_retry(&answer, reason);
		answer.batch = count;
		po_webhook_answer(webhooks[i], &answer);
	}
}

/* The client has gone; the owner (queue or database) frees the webhook. */
void
po_webhook_abandon(PoWebhook *webhook)
{
	webhook->done = NULL;
	webhook->arg = NULL;
}

/* Take over a webhook; false, and nothing taken, when the queue is full. */
bool
po_queue_push(PoWebhook *webhook)
{
	if (length >= po_config.queue_limit)
		return false;
	webhook->next = NULL;
	if (tail != NULL)
		tail->next = webhook;
	else
		head = webhook;
	tail = webhook;
	length++;
	return true;
}

/* Put webhooks back that were taken before, in their order, limit or not. */
void
po_queue_push_front(PoWebhook **webhooks, int count)
{
	for (int i = count - 1; i >= 0; i--)
	{
		webhooks[i]->next = head;
		head = webhooks[i];
		if (tail == NULL)
			tail = head;
		length++;
	}
}

/*
 * Put back the webhooks of a call that has left nothing behind, for one more
 * attempt; alone means each in a call of its own.  False, and nothing put back,
 * when one of them has had its attempt.
 */
bool
po_queue_retry(PoWebhook **webhooks, int count, bool alone)
{
	for (int i = 0; i < count; i++)
	{
		if (webhooks[i]->retried && (!alone || webhooks[i]->alone))
			return false;
	}
	for (int i = 0; i < count; i++)
	{
		webhooks[i]->retried = true;
		webhooks[i]->alone |= alone;
	}
	po_queue_push_front(webhooks, count);
	return true;
}

static PoWebhook *
pop(void)
{
	PoWebhook  *webhook = head;

	head = webhook->next;
	if (head == NULL)
		tail = NULL;
	length--;
	return webhook;
}

/*
 * Take up to limit webhooks that belong in one call, dropping abandoned ones on
 * the way; one that must go alone does.  The caller owns them.
 */
int
po_queue_take(PoWebhook **out, int limit)
{
	int			count = 0;

	while (count < limit && head != NULL)
	{
		if (head->done == NULL)
		{
			free_webhook(pop());
			continue;
		}
		if (head->alone && count > 0)
			break;
		out[count++] = pop();
		if (out[0]->alone)
			break;
	}
	return count;
}

/* How many wait. */
int
po_queue_length(void)
{
	return length;
}

/* Answer 503 to those that have waited longer than queue_timeout. */
void
po_queue_expire(int64 now)
{
	while (head != NULL && now - head->queued_at > (int64) po_config.queue_timeout * 1000)
	{
		PoAnswer	answer;

		po_answer_retry(&answer, "queue_timeout");
		po_webhook_answer(pop(), &answer);
	}
}

/* Answer 503 to all that wait now. */
void
po_queue_fail_all(const char *reason)
{
	for (int n = length; n > 0 && head != NULL; n--)
	{
		PoAnswer	answer;

		po_answer_retry(&answer, reason);
		po_webhook_answer(pop(), &answer);
	}
}
