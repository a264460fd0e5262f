/*
 * webhook.c
 *	  A webhook on its way to the database, and the way back of its answer.
 *
 * Answering one may bring the next request of the same client.
 */
#include "postgres_fe.h"

#include "http_reader.h"
#include "memory.h"
#include "webhook.h"

/* Free a webhook that is in no list, with its request; nobody hears of it. */
void
po_webhook_free(PoWebhook *webhook)
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
	po_webhook_free(webhook);
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
