/*
 * pool.c
 *	  A fixed number of connections, served from the queue.
 *
 * Dispatch runs once at the end of a pass of the event loop, after all sockets
 * were read, so that requests that came together go together; nothing ever
 * waits for more to come.  A free connection takes one webhook when few wait,
 * else a batch: a batch has a fixed cost that a few webhooks do not repay.
 *
 * A tenant whose calls take long (lane.c) leaves one connection to the others,
 * where there is more than one, and its webhooks are in no batch with theirs.
 *
 * Webhooks are queued while a connection serves, or one that was lost is being
 * renewed.  When that does not work out, all are answered 503, and new ones are
 * at once.
 */
#include "postgres_fe.h"

#include "config.h"
#include "database.h"
#include "lane.h"
#include "log.h"
#include "pool.h"
#include "queue.h"

#define PO_MAX_BATCH	1000	/* the largest max_batch */
#define PO_SWEEP_MS		100

static PoDatabase **connections;
static int	nconnections = 0;
static struct event *dispatch_event;
static struct event *sweep_timer;

static bool
is_likely(void)
{
	for (int i = 0; i < nconnections; i++)
	{
		if (po_database_is_likely(connections[i]))
			return true;
	}
	return false;
}

static int
count_idle(void)
{
	int			idle = 0;

	for (int i = 0; i < nconnections; i++)
		idle += po_database_state(connections[i]) == PO_DATABASE_IDLE;
	return idle;
}

/* How many of the waiting a free connection takes. */
static int
choose_count(int waiting, int idle)
{
	int			share;

	if (waiting <= po_config.batch_threshold)
		return 1;
	share = Max((waiting + idle - 1) / idle, po_config.batch_threshold + 1);
	return Min(share, po_config.max_batch);
}

static void
dispatch(evutil_socket_t fd, short what, void *arg)
{
	static PoWebhook *taken[PO_MAX_BATCH];
	int			idle = count_idle();
	int			calls_of_slow = Max(nconnections - 1, 1);

	(void) fd;
	(void) what;
	(void) arg;
	po_lanes_note_slow();
	for (int i = 0; i < nconnections && po_queue_length() > 0; i++)
	{
		int			count;

		if (po_database_state(connections[i]) != PO_DATABASE_IDLE)
			continue;
		count = po_queue_take(taken, choose_count(po_queue_length(), idle), calls_of_slow);
		if (count == 0)
			break;
		po_database_call(connections[i], taken, count);
		idle = Max(idle - 1, 1);
	}
}

static void
schedule_dispatch(void)
{
	event_active(dispatch_event, EV_TIMEOUT, 0);
}

static void
sweep(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	po_queue_expire(po_monotonic_micros());
	if (po_queue_length() == 0)
		event_del(sweep_timer);
}

static void
connection_changed(PoDatabase *database)
{
	(void) database;
	if (po_queue_length() == 0)
		return;
	if (!is_likely())
		po_queue_fail_all("database_down");
	else
		schedule_dispatch();
}

/* Open the configured number of connections. */
void
po_pool_start(struct event_base *base)
{
	dispatch_event = event_new(base, -1, 0, dispatch, NULL);
	sweep_timer = event_new(base, -1, EV_PERSIST, sweep, NULL);
	connections = pg_malloc0(sizeof(PoDatabase *) * po_config.database_connections);
	for (int i = 0; i < po_config.database_connections; i++)
		connections[i] = po_database_new(base, i + 1, connection_changed);
	nconnections = po_config.database_connections;
	for (int i = 0; i < nconnections; i++)
		po_database_start(connections[i]);
}

/* Close all connections; what is still in a call is left to the server. */
void
po_pool_stop(void)
{
	int			count = nconnections;

	nconnections = 0;
	po_queue_fail_all("stopping");
	for (int i = 0; i < count; i++)
		po_database_free(connections[i]);
	free(connections);
	event_free(dispatch_event);
	event_free(sweep_timer);
}

/*
 * Take a webhook over.  It is answered later by a connection, or before this
 * returns with 503.
 */
void
po_pool_submit(PoWebhook *webhook)
{
	struct timeval tv = {0, PO_SWEEP_MS * 1000};
	PoAnswer	answer;

	if (!is_likely())
	{
		po_answer_retry(&answer, "database_down");
		po_webhook_answer(webhook, &answer);
		return;
	}
	webhook->queued_at = po_monotonic_micros();
	if (!po_queue_push(webhook))
	{
		po_answer_retry(&answer, "queue_full");
		po_webhook_answer(webhook, &answer);
		return;
	}
	if (!event_pending(sweep_timer, EV_TIMEOUT, NULL))
		event_add(sweep_timer, &tv);
	schedule_dispatch();
}

/* Why a webhook would not be served now, as a fixed word; NULL when it would. */
const char *
po_pool_problem(void)
{
	int64		oldest = po_monotonic_micros() - 3000 * (int64) po_config.database_check_interval;
	const char *problem = "database_down";

	for (int i = 0; i < nconnections; i++)
	{
		if (po_database_is_up(connections[i]) && po_database_last_answer(connections[i]) >= oldest)
			return NULL;
		if (po_database_state(connections[i]) == PO_DATABASE_UNUSABLE)
			problem = "functions_missing";
	}
	return problem;
}
