/*
 * queue.c
 *	  The bounded queue in front of the database: first in, first out, but for
 *	  lanes that are slow, and full for whoever has the most in it.
 *
 * Owns the webhooks in it.  Answering one may bring the next request of the
 * same client, hence a push from within: loops here take the webhook out
 * before they answer it.
 */
#include "postgres_fe.h"

#include "config.h"
#include "lane.h"
#include "log.h"
#include "queue.h"

static PoWebhook *head = NULL;
static PoWebhook *tail = NULL;
static int	length = 0;

/* Take the webhook behind `before` (NULL: the first) out of the list. */
static PoWebhook *
unlink_after(PoWebhook *before)
{
	PoWebhook  *webhook = before != NULL ? before->next : head;

	if (before != NULL)
		before->next = webhook->next;
	else
		head = webhook->next;
	if (tail == webhook)
		tail = before;
	po_lane(webhook->lane)->waiting--;
	length--;
	return webhook;
}

static PoWebhook *
pop(void)
{
	return unlink_after(NULL);
}

/* Take out the newest webhook of a lane. */
static PoWebhook *
unlink_newest(int lane)
{
	PoWebhook  *before = NULL;
	PoWebhook  *last = NULL;

	for (PoWebhook *w = head, *previous = NULL; w != NULL; previous = w, w = w->next)
	{
		if (w->lane == lane)
		{
			before = previous;
			last = w;
		}
	}
	return last != NULL ? unlink_after(before) : NULL;
}

/*
 * Take over a webhook; false, and nothing taken, when the queue is full.  One whose
 * lane has less in it than another takes the place of that lane's newest, which is
 * answered 503.
 */
bool
po_queue_push(PoWebhook *webhook)
{
	PoWebhook  *displaced = NULL;

	webhook->lane = po_lane_of(webhook->request->path);
	if (length >= po_config.queue_limit)
	{
		int			longest = po_lane_longest();

		if (po_lane(longest)->waiting > po_lane(webhook->lane)->waiting + 1)
			displaced = unlink_newest(longest);
		if (displaced == NULL)
			return false;
	}
	webhook->next = NULL;
	if (tail != NULL)
		tail->next = webhook;
	else
		head = webhook;
	tail = webhook;
	po_lane(webhook->lane)->waiting++;
	length++;
	if (displaced != NULL)
	{
		PoAnswer	answer;

		po_answer_retry(&answer, "queue_full");
		po_webhook_answer(displaced, &answer);
	}
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
		po_lane(webhooks[i]->lane)->waiting++;
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

/* May the webhook go into the call that has begun with `first`? */
static bool
belongs(const PoWebhook *webhook, const PoWebhook *first, int64 now, int calls_of_slow)
{
	bool		slow = po_lane_is_slow(webhook->lane, now);

	if (first == NULL)
		return !slow || po_lane(webhook->lane)->calls < calls_of_slow;
	if (webhook->alone || first->alone)
		return false;
	return webhook->lane == first->lane || (!slow && !po_lane_is_slow(first->lane, now));
}

/*
 * Take up to limit webhooks that belong in one call, dropping abandoned ones on
 * the way; one that must go alone does.  Those of a slow lane go among themselves,
 * and wait where that lane has `calls_of_slow` calls under way.  The caller owns
 * them.
 */
int
po_queue_take(PoWebhook **out, int limit, int calls_of_slow)
{
	int64		now = po_monotonic_micros();
	PoWebhook  *before = NULL;
	int			count = 0;

	while (count < limit)
	{
		PoWebhook  *webhook = before != NULL ? before->next : head;

		if (webhook == NULL)
			break;
		if (webhook->done == NULL)
			po_webhook_free(unlink_after(before));
		else if (belongs(webhook, count > 0 ? out[0] : NULL, now, calls_of_slow))
			out[count++] = unlink_after(before);
		else
			before = webhook;
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
