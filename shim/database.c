/*
 * database.c
 *	  One non-blocking libpq connection.
 *
 *	  DOWN -> CONNECTING -> CHECKING -> PREPARING -> IDLE <-> BUSY
 *
 * A connection goes through CHECKING now and then.  A call that takes too
 * long is cancelled, and the connection is replaced, since a cancel request may
 * arrive late and would hit the next call.  Every wait has a deadline on the
 * one timer.
 *
 * Owns the PGconn, its events, and the webhooks of the call in progress.  The only
 * other thread is that of cancel.c, which shares nothing with this.
 *
 * libpq's message texts about statements are never logged: they quote data.
 */
#include "postgres_fe.h"

#include "armed.h"
#include "call.h"
#include "cancel.h"
#include "config.h"
#include "database.h"
#include "fitness.h"
#include "lane.h"
#include "log.h"
#include "queue.h"

#define PO_RETRY_FIRST_MS	100
#define PO_RETRY_DOUBLINGS	10
#define PO_RECHECK_MS		1000	/* while the functions are missing */
#define PO_CANCEL_GRACE_MS	2000

struct PoDatabase
{
	struct event_base *base;
	int			number;
	void		(*changed) (PoDatabase *database);

	PGconn	   *pg;
	PoDatabaseState state;
	struct event *io;			/* remade when libpq changes its socket */
	struct event *timer;
	int			failures;		/* attempts in a row that did not succeed */
	bool		was_up;			/* on this PGconn, before the check that runs */
	int64		last_answer;	/* monotonic; 0: none on this PGconn */
	int64		checked;		/* monotonic */
	bool		asks_armed;		/* the second statement of a check */

	int			prepared;		/* statements prepared so far: 0, 1, 2 */
	PGresult   *result;			/* of the statement that runs; an error wins */
	StringInfoData parameter;
	bool		batch;
	int			count;
	PoWebhook **webhooks;		/* room for the largest batch allowed */
	PoLanesInCall lanes;
	int			room;
};

/* Learned from the server, for all connections to it. */
static bool force_durable = false;
static bool prepare_works = true;

static void on_io(evutil_socket_t fd, short what, void *arg);
static void on_timer(evutil_socket_t fd, short what, void *arg);

/* A connection, not yet started; changed() is called after each change of state. */
PoDatabase *
po_database_new(struct event_base *base, int number, void (*changed) (PoDatabase *database))
{
	PoDatabase *db = pg_malloc0(sizeof(*db));

	db->base = base;
	db->number = number;
	db->changed = changed;
	db->timer = evtimer_new(base, on_timer, db);
	initStringInfo(&db->parameter);
	return db;
}

static void
drop_connection(PoDatabase *db)
{
	if (db->io != NULL)
		event_free(db->io);
	db->io = NULL;
	PQclear(db->result);
	db->result = NULL;
	PQfinish(db->pg);
	db->pg = NULL;
	db->was_up = false;
	db->last_answer = 0;
	db->prepared = 0;
}

/* Close and free; webhooks of a call in progress are freed unanswered. */
void
po_database_free(PoDatabase *db)
{
	for (int i = 0; i < db->count; i++)
	{
		po_webhook_abandon(db->webhooks[i]);
		po_webhook_answer(db->webhooks[i], NULL);
	}
	po_lanes_end_call(&db->lanes);
	drop_connection(db);
	event_free(db->timer);
	free(db->webhooks);
	free(db->lanes.lane);
	free(db->parameter.data);
	free(db);
}

PoDatabaseState
po_database_state(const PoDatabase *db)
{
	return db->state;
}

/* Does it serve calls, now or after the one that runs? */
bool
po_database_is_up(const PoDatabase *db)
{
	return db->state == PO_DATABASE_IDLE || db->state == PO_DATABASE_BUSY ||
		(db->state == PO_DATABASE_CHECKING && db->was_up);
}

/* Is it worth waiting for: up, or lost a moment ago and being renewed? */
bool
po_database_is_likely(const PoDatabase *db)
{
	return po_database_is_up(db) || (db->failures <= 1 && db->state != PO_DATABASE_UNUSABLE);
}

/* When the server last completed a statement on this connection; 0: never. */
int64
po_database_last_answer(const PoDatabase *db)
{
	return db->last_answer;
}

static void
set_timer(PoDatabase *db, int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	event_add(db->timer, &tv);
}

static void
set_state(PoDatabase *db, PoDatabaseState state)
{
	db->state = state;
	db->changed(db);
}

/*
 * Wait for these events on the socket that libpq uses now.  While connecting,
 * it may have opened another one under the same number.
 */
static void
watch(PoDatabase *db, short events)
{
	int			fd = PQsocket(db->pg);

	if (db->io != NULL && db->state != PO_DATABASE_CONNECTING &&
		event_get_fd(db->io) == fd && event_get_events(db->io) == events)
		return;
	if (db->io != NULL)
		event_free(db->io);
	db->io = event_new(db->base, fd, events, on_io, db);
	event_add(db->io, NULL);
}

/* Answer 503 to the webhooks of the call in progress. */
static void
fail_call(PoDatabase *db, const char *reason)
{
	int			count = db->count;

	db->count = 0;
	po_webhooks_fail(db->webhooks, count, reason);
}

/*
 * Give the connection up and plan the next attempt: at once after one that
 * worked, else after a pause that doubles, with jitter so that many programs
 * do not come back together.
 */
static void
go_down(PoDatabase *db, bool failed)
{
	int			pause = (int) po_random_below(20);

	po_lanes_end_call(&db->lanes);
	drop_connection(db);
	if (failed)
		db->failures++;
	if (db->failures > 0)
	{
		int64		longest = (int64) PO_RETRY_FIRST_MS << Min(db->failures - 1, PO_RETRY_DOUBLINGS);

		longest = Min(longest, po_config.database_retry_max);
		pause = (int) (longest / 2 + po_random_below((uint32) (longest / 2 + 1)));
	}
	set_timer(db, pause);
	db->state = PO_DATABASE_DOWN;
	/* What a lost call did is not known; its sender tries again. */
	fail_call(db, "database_lost");
	db->changed(db);
}

/* The first line of libpq's message about a connection (never a statement). */
static void
log_connect_failure(PoDatabase *db)
{
	const char *message = PQerrorMessage(db->pg);

	po_log(PO_LOG_WARNING, "database", "connection %d: %.*s", db->number,
		   (int) strcspn(message, "\n"), message);
}

static void
ignore_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/* Begin an attempt to connect; called once, and by itself after that. */
void
po_database_start(PoDatabase *db)
{
	db->pg = po_fitness_connect(force_durable);
	if (db->pg == NULL || PQstatus(db->pg) == CONNECTION_BAD)
	{
		if (db->pg != NULL)
			log_connect_failure(db);
		go_down(db, true);
		return;
	}
	PQsetNoticeReceiver(db->pg, ignore_notice, NULL);
	set_timer(db, po_config.database_connect_timeout);
	watch(db, EV_WRITE | EV_PERSIST);
	set_state(db, PO_DATABASE_CONNECTING);
}

/* After anything was sent: on with what the socket did not take. */
static bool
flush(PoDatabase *db)
{
	int			pending = PQflush(db->pg);

	if (pending < 0)
		return false;
	watch(db, EV_READ | EV_PERSIST | (pending > 0 ? EV_WRITE : 0));
	return true;
}

static void
lost(PoDatabase *db, bool failed)
{
	po_log(PO_LOG_WARNING, "database", "connection %d lost", db->number);
	go_down(db, failed);
}

static void
send_check(PoDatabase *db, bool armed)
{
	const char *sql = armed ? po_armed_sql : po_fitness_sql;

	db->asks_armed = armed;
	if (!PQsendQueryParams(db->pg, sql, 0, NULL, NULL, NULL, NULL, 0) || !flush(db))
		lost(db, !db->was_up);
}

static void
start_check(PoDatabase *db)
{
	db->was_up = po_database_is_up(db);
	set_timer(db, po_config.database_connect_timeout);
	db->state = PO_DATABASE_CHECKING;
	send_check(db, false);
}

/* Ready for a call, or for a check that is due: under load there is no idle moment. */
static void
become_idle(PoDatabase *db)
{
	int64		left = po_config.database_check_interval -
		(po_monotonic_micros() - db->checked) / 1000;

	if (db->failures > 0 || !db->was_up)
		po_log(PO_LOG_INFO, "database", "connection %d ready", db->number);
	db->failures = 0;
	db->was_up = true;
	if (left <= 0)
	{
		start_check(db);
		return;
	}
	set_timer(db, (int) left);
	set_state(db, PO_DATABASE_IDLE);
}

/* Prepare the next statement, or go to work when both are. */
static void
prepare_next(PoDatabase *db)
{
	const PoStatement *statement = db->prepared == 0 ? &po_call_single : &po_call_batch;

	if (!po_config.database_prepare || !prepare_works || db->prepared == 2)
	{
		become_idle(db);
		return;
	}
	db->state = PO_DATABASE_PREPARING;
	if (!PQsendPrepare(db->pg, statement->name, statement->sql, 1, &statement->parameter_type) ||
		!flush(db))
		lost(db, true);
}

static void
armed_done(PoDatabase *db)
{
	po_armed_read(db->result);
	db->checked = po_monotonic_micros();
	prepare_next(db);
}

static void
check_done(PoDatabase *db)
{
	PoFitness	fitness = po_fitness_read(db->result);
	char		hint[256];

	if (fitness == PO_UNFIT_ERROR)
		po_call_log_error(db->result, db->number, "check");
	else if (fitness != PO_FIT)
		po_log(PO_LOG_WARNING, "database", "connection %d: %s; %s", db->number,
			   po_fitness_text(fitness), po_fitness_hint(fitness, db->pg, hint, sizeof(hint)));
	switch (fitness)
	{
		case PO_FIT:
			send_check(db, true);
			return;
		case PO_UNFIT_NO_EXTENSION:
		case PO_UNFIT_NO_RIGHT:
			set_timer(db, Min(PO_RECHECK_MS, po_config.database_check_interval));
			set_state(db, PO_DATABASE_UNUSABLE);
			return;
		case PO_UNFIT_NOT_DURABLE:
			/* Connect again, asking for it; after that it is a failure. */
			go_down(db, force_durable);
			force_durable = true;
			return;
		default:
			go_down(db, true);
	}
}

/* A pooler gives us server connections that others have used, or will. */
static void
stop_preparing(void)
{
	po_log(PO_LOG_WARNING, "database", "prepared statements do not work here, going without");
	prepare_works = false;
}

static void
prepare_done(PoDatabase *db)
{
	if (PQresultStatus(db->result) == PGRES_COMMAND_OK)
		db->prepared++;
	else if (strcmp(po_call_sqlstate(db->result), "42P05") == 0)
		stop_preparing();
	else
	{
		po_call_log_error(db->result, db->number, "prepare");
		go_down(db, true);
		return;
	}
	prepare_next(db);
}

/* The server has rolled the call back: once more where that may help, else 503. */
static void
call_failed(PoDatabase *db)
{
	PoCallRetry retry = po_call_retry(db->result);

	po_lanes_end_call(&db->lanes);
	po_call_log_error(db->result, db->number, "call");
	if (retry != PO_RETRY_NEVER && (retry != PO_RETRY_ALONE || db->count > 1) &&
		po_queue_retry(db->webhooks, db->count, retry == PO_RETRY_ALONE))
		db->count = 0;
	fail_call(db, "database_error");
	if (retry == PO_RETRY_UNPREPARED)
		stop_preparing();
	if (retry == PO_RETRY_UNPREPARED || retry == PO_RETRY_RECONNECT)
		go_down(db, false);
	else
		become_idle(db);
}

static void
call_done(PoDatabase *db)
{
	if (PQresultStatus(db->result) != PGRES_TUPLES_OK)
	{
		call_failed(db);
		return;
	}
	po_lanes_end_call(&db->lanes);
	if (po_call_answer(db->result, db->webhooks, db->count, db->batch) > 0)
	{
		po_log(PO_LOG_ERROR, "database", "a call of %d returned no usable answer for some", db->count);
		fail_call(db, "malformed_answer");
	}
	db->count = 0;
	become_idle(db);
}

/* The server is ready for the next query: the transaction is over. */
static void
statement_done(PoDatabase *db)
{
	db->last_answer = po_monotonic_micros();
	switch (db->state)
	{
		case PO_DATABASE_CHECKING:
			(db->asks_armed ? armed_done : check_done) (db);
			break;
		case PO_DATABASE_PREPARING:
			prepare_done(db);
			break;
		case PO_DATABASE_BUSY:
			call_done(db);
			break;
		default:
			go_down(db, false);
	}
	PQclear(db->result);
	db->result = NULL;
}

static bool
has_statement(const PoDatabase *db)
{
	return db->state == PO_DATABASE_CHECKING || db->state == PO_DATABASE_PREPARING ||
		db->state == PO_DATABASE_BUSY || db->state == PO_DATABASE_CANCELLING;
}

/* Take what results are complete; an error outweighs rows that came before it. */
static void
collect(PoDatabase *db)
{
	while (has_statement(db) && !PQisBusy(db->pg))
	{
		PGresult   *result = PQgetResult(db->pg);

		if (result == NULL)
		{
			if (PQstatus(db->pg) == CONNECTION_BAD)
				lost(db, !po_database_is_up(db));
			else
				statement_done(db);
			return;
		}
		if (db->result == NULL || PQresultStatus(result) == PGRES_FATAL_ERROR)
		{
			PQclear(db->result);
			db->result = result;
		}
		else
			PQclear(result);
	}
}

static void
connect_poll(PoDatabase *db)
{
	switch (PQconnectPoll(db->pg))
	{
		case PGRES_POLLING_READING:
			watch(db, EV_READ | EV_PERSIST);
			break;
		case PGRES_POLLING_WRITING:
			watch(db, EV_WRITE | EV_PERSIST);
			break;
		case PGRES_POLLING_OK:
			if (PQsetnonblocking(db->pg, 1) != 0)
				go_down(db, true);
			else
				start_check(db);
			break;
		default:
			log_connect_failure(db);
			go_down(db, true);
	}
}

static void
on_io(evutil_socket_t fd, short what, void *arg)
{
	PoDatabase *db = arg;

	(void) fd;
	if (db->state == PO_DATABASE_CONNECTING)
	{
		connect_poll(db);
		return;
	}
	if (((what & EV_READ) && !PQconsumeInput(db->pg)) ||
		((what & EV_WRITE) && !flush(db)))
	{
		lost(db, !po_database_is_up(db));
		return;
	}
	collect(db);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	PoDatabase *db = arg;

	(void) fd, (void) what;
	switch (db->state)
	{
		case PO_DATABASE_DOWN:
			po_database_start(db);
			break;
		case PO_DATABASE_IDLE:
		case PO_DATABASE_UNUSABLE:
			start_check(db);
			break;
		case PO_DATABASE_BUSY:
			po_log(PO_LOG_WARNING, "database", "connection %d: call of %d cancelled after %d ms",
				   db->number, db->count, po_config.database_call_timeout);
			po_cancel_start(db->pg);
			set_timer(db, PO_CANCEL_GRACE_MS);
			db->state = PO_DATABASE_CANCELLING;
			fail_call(db, "database_timeout");
			db->changed(db);
			break;
		case PO_DATABASE_CANCELLING:
			go_down(db, false);
			break;
		default:
			po_log(PO_LOG_WARNING, "database", "connection %d: no answer in time", db->number);
			go_down(db, true);
	}
}

/*
 * Send webhooks, on an idle connection.  Takes them over; those that do not fit
 * into one call go back to the head of the queue.
 */
void
po_database_call(PoDatabase *db, PoWebhook **webhooks, int count)
{
	const PoStatement *statement = count > 1 ? &po_call_batch : &po_call_single;
	const char *value;
	int			length;
	int			format = 1;
	int			sent;

	Assert(db->state == PO_DATABASE_IDLE && count > 0);
	if (count > db->room)
	{
		db->webhooks = pg_realloc(db->webhooks, sizeof(PoWebhook *) * count);
		db->room = count;
	}
	memcpy(db->webhooks, webhooks, sizeof(PoWebhook *) * count);
	db->batch = count > 1;
	db->count = po_call_build(&db->parameter, db->webhooks, count, db->batch);
	po_queue_push_front(webhooks + db->count, count - db->count);
	po_lanes_begin_call(&db->lanes, db->webhooks, db->count);

	value = db->parameter.data;
	length = db->parameter.len;
	if (db->prepared == 2)
		sent = PQsendQueryPrepared(db->pg, statement->name, 1, &value, &length, &format, 0);
	else
		sent = PQsendQueryParams(db->pg, statement->sql, 1, &statement->parameter_type,
								 &value, &length, &format, 0);
	/* libpq has its own copy now; an unusually large buffer is not kept. */
	if (db->parameter.maxlen > 2 * PO_CALL_BYTES)
	{
		free(db->parameter.data);
		initStringInfo(&db->parameter);
	}
	set_timer(db, po_config.database_call_timeout);
	db->state = PO_DATABASE_BUSY;
	if (!sent || !flush(db))
		lost(db, false);
}
