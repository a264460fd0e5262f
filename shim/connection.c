/*
 * connection.c
 *	  One client connection as a state machine.
 *
 *	  HANDSHAKE -> IDLE -> READING -> WAITING -> REPLYING -> IDLE ...
 *	                                    any error -> LINGERING -> closed
 *
 * One request at a time: bytes of the next one stay in the buffer (bounded by
 * the read watermark) until the answer is out, so answers keep their order.
 * Every state but WAITING, whose time the queue and the database bound, has an
 * absolute deadline on the connection's one timer; reading a byte never moves
 * it.
 *
 * After an error nothing more is parsed.  The answer is sent, our side is shut
 * down, and what still comes is discarded for a moment (LINGERING), so that
 * closing with unread bytes does not reset the connection under the answer.
 *
 * A connection owns its bufferevent, timer and reader.  A webhook it has handed
 * over points back to it; closing abandons the webhook.
 */
#include "postgres_fe.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>

#include "config.h"
#include "connection.h"
#include "http_reader.h"
#include "log.h"
#include "memory.h"
#include "pool.h"
#include "route.h"

#define PO_READ_WATERMARK	8192
#define PO_LINGER_MS		1000
#define PO_LINGER_BYTES		1048576

typedef enum ConnectionState
{
	CONN_HANDSHAKE,
	CONN_IDLE,
	CONN_READING,
	CONN_WAITING,
	CONN_REPLYING,
	CONN_LINGERING
} ConnectionState;

typedef struct Connection
{
	struct Connection *prev;
	struct Connection *next;
	struct bufferevent *bev;
	struct event *timer;
	SSL		   *ssl;			/* owned by bev; NULL without TLS */
	evutil_socket_t fd;
	ConnectionState state;
	bool		processing;		/* process_input is on the stack */
	bool		ended;			/* the client will send no more */
	bool		close_after;	/* of the reply being sent */
	bool		trusted;		/* a proxy whose X-Forwarded-For counts */
	PoPeer		peer;

	PoHttpReader reader;
	const PoRoute *route;
	PoWebhook  *webhook;		/* while WAITING */
	size_t		memory;			/* charged to the budget */
	size_t		discarded;
	int64		begun;			/* of the current request; monotonic */
	char		correlation_id[PO_UUID_LEN + 1];
} Connection;

static Connection *all = NULL;
static int	count = 0;
static bool draining = false;
static void (*closed_hook) (const PoPeer *peer);
static PoHttpLimits limits;

static void process_input(Connection *conn);

/* Prepare; closed() is called after each connection that goes. */
void
po_connections_init(void (*closed) (const PoPeer *peer))
{
	closed_hook = closed;
	limits.request_line = (size_t) po_config.request_line_limit;
	limits.header_bytes = (size_t) po_config.header_bytes_limit;
	limits.header_count = po_config.header_count_limit;
	limits.body = (size_t) po_config.body_limit;
}

/* How many connections are open. */
int
po_connections_count(void)
{
	return count;
}

static void
set_deadline(Connection *conn, int64 ms)
{
	struct timeval tv;

	ms = Max(ms, 0);
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	event_add(conn->timer, &tv);
}

/* A deadline that counts from the first byte of the request. */
static void
set_request_deadline(Connection *conn, int ms)
{
	set_deadline(conn, ms - (po_monotonic_micros() - conn->begun) / 1000);
}

static void
close_connection(Connection *conn)
{
	PoPeer		peer = conn->peer;

	if (conn->webhook != NULL)
		po_webhook_abandon(conn->webhook);
	if (conn->prev != NULL)
		conn->prev->next = conn->next;
	else
		all = conn->next;
	if (conn->next != NULL)
		conn->next->prev = conn->prev;
	count--;
	po_memory_account(&conn->memory, 0);
	po_http_reader_reset(&conn->reader);
	event_free(conn->timer);
	bufferevent_free(conn->bev);
	free(conn);
	closed_hook(&peer);
}

/* Say that no more will come, and wait a moment for the client to have read it. */
static void
linger(Connection *conn)
{
	conn->state = CONN_LINGERING;
	if (conn->ssl != NULL)
		(void) SSL_shutdown(conn->ssl);
	shutdown(conn->fd, SHUT_WR);
	evbuffer_drain(bufferevent_get_input(conn->bev), PO_READ_WATERMARK * 2);
	set_deadline(conn, PO_LINGER_MS);
}

static void
log_answer(Connection *conn, const PoHttpRequest *request, int status, const char *outcome, int batch)
{
	char		text[PO_ADDRESS_TEXT];
	PoLogRequest line = {
		.correlation_id = conn->correlation_id,
		.remote = conn->webhook != NULL && conn->webhook->has_remote ? conn->webhook->remote :
		po_peer_format(&conn->peer, text, sizeof(text)),
		.status = status,
		.outcome = outcome,
		.micros = po_monotonic_micros() - conn->begun,
		.batch = batch,
	};

	/* A head that was not accepted has no parts to show. */
	if (request != NULL && request->method_name != NULL)
	{
		line.method = request->method_name;
		line.path = request->path.data;
		line.path_len = request->path.len;
		line.bytes = request->body_len;
	}
	po_log_request(&line);
}

/*
 * Send an answer and go to what comes after it: REPLYING while the socket does
 * not take it all, else IDLE or the end.  The caller closes a connection left in
 * state LINGERING by the timer alone.
 */
static void
send_answer(Connection *conn, const PoHttpRequest *request, const PoAnswer *answer, bool keep)
{
	struct evbuffer *out = evbuffer_new();
	bool		head_only = request != NULL && request->method == PO_METHOD_HEAD;
	int			minor = request != NULL ? request->minor_version : 1;

	keep = keep && !draining;
	log_answer(conn, request, answer->status, answer->outcome, answer->batch);
	po_reply_append(out, answer, conn->correlation_id, head_only, minor, keep);
	conn->close_after = !keep;
	conn->state = CONN_REPLYING;
	/* Most answers fit into the socket; then no event is needed to write them. */
	if (conn->ssl == NULL && evbuffer_write(out, conn->fd) < 0 &&
		errno != EAGAIN && errno != EINTR)
		evbuffer_drain(out, evbuffer_get_length(out));
	if (evbuffer_get_length(out) > 0)
		bufferevent_write_buffer(conn->bev, out);
	evbuffer_free(out);
	set_deadline(conn, po_config.reply_timeout);
}

/* The answer is out: next request, or the end. */
static void
reply_done(Connection *conn)
{
	po_memory_account(&conn->memory, 0);
	if (conn->close_after || draining)
	{
		linger(conn);
		return;
	}
	conn->state = CONN_IDLE;
	set_deadline(conn, po_config.idle_timeout);
}

/* An error in the request: answer it and read no further. */
static void
refuse(Connection *conn, const PoAnswer *answer)
{
	PoHttpRequest *request = conn->reader.request;

	/* Only a head that passed the rules tells how to answer. */
	if (request != NULL && request->method_name == NULL)
		request = NULL;
	send_answer(conn, request, answer, false);
	po_http_reader_reset(&conn->reader);
}

static void
refuse_status(Connection *conn, int status, const char *reason)
{
	PoAnswer	answer;

	po_answer_error(&answer, status, reason);
	refuse(conn, &answer);
}

/* The address to report: the peer's, or what a trusted proxy says last. */
static bool
find_remote(const Connection *conn, const PoHttpRequest *request, char *out, size_t size)
{
	PoPeer		peer = conn->peer;

	for (int i = request->nheaders - 1; conn->trusted && i >= 0; i--)
	{
		PoSlice		value = request->headers[i].value;
		size_t		start = value.len;

		if (!po_slice_is(request->headers[i].name, "x-forwarded-for"))
			continue;
		while (start > 0 && value.data[start - 1] != ',' && value.data[start - 1] != ' ' &&
			   value.data[start - 1] != '\t')
			start--;
		if (!po_peer_parse(value.data + start, value.len - start, &peer))
			peer = conn->peer;
		break;
	}
	return po_peer_format(&peer, out, size) != NULL;
}

/* The database's answer, or the queue's; the webhook is freed after this. */
static void
webhook_done(void *arg, PoWebhook *webhook, const PoAnswer *answer)
{
	Connection *conn = arg;

	send_answer(conn, webhook->request, answer, webhook->request->keep_alive);
	conn->webhook = NULL;
	if (!conn->processing)
	{
		if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
			reply_done(conn);
		process_input(conn);
	}
}

static void
submit(Connection *conn)
{
	PoWebhook  *webhook = pg_malloc0(sizeof(*webhook));

	webhook->request = po_http_reader_take(&conn->reader);
	webhook->done = webhook_done;
	webhook->arg = conn;
	webhook->memory = conn->memory;
	conn->memory = 0;
	webhook->has_remote = find_remote(conn, webhook->request, webhook->remote,
									  sizeof(webhook->remote));
	memcpy(webhook->correlation_id, conn->correlation_id, sizeof(conn->correlation_id));
	conn->webhook = webhook;
	conn->state = CONN_WAITING;
	event_del(conn->timer);
	po_pool_submit(webhook);
}

static void
head_read(Connection *conn)
{
	PoAnswer	answer;

	conn->route = po_route_find(conn->reader.request, &answer);
	if (conn->route == NULL)
		refuse(conn, &answer);
	else
		set_request_deadline(conn, po_config.request_timeout);
}

static void
request_read(Connection *conn)
{
	PoHttpRequest *request;
	PoAnswer	answer;

	if (conn->route->answer == NULL)
	{
		submit(conn);
		return;
	}
	request = po_http_reader_take(&conn->reader);
	conn->route->answer(&answer);
	send_answer(conn, request, &answer, request->keep_alive);
	po_http_request_free(request);
}

static void
begin_request(Connection *conn)
{
	conn->state = CONN_READING;
	conn->route = NULL;
	conn->begun = po_monotonic_micros();
	po_uuid_v7(po_wall_micros(), conn->correlation_id);
	set_deadline(conn, po_config.header_timeout);
}

/* Feed the reader with one contiguous piece of input. */
static void
read_piece(Connection *conn, struct evbuffer *input)
{
	size_t		len = evbuffer_get_contiguous_space(input);
	const char *data = len > 0 ? (const char *) evbuffer_pullup(input, (ev_ssize_t) len) : "";
	size_t		consumed;
	PoHttpProgress progress;

	progress = po_http_read(&conn->reader, data, len, &consumed);
	evbuffer_drain(input, consumed);
	po_memory_account(&conn->memory, po_http_reader_memory(&conn->reader));
	switch (progress)
	{
		case PO_HTTP_MORE:
			break;
		case PO_HTTP_HEAD:
			head_read(conn);
			break;
		case PO_HTTP_COMPLETE:
			request_read(conn);
			break;
		case PO_HTTP_REFUSED:
			refuse_status(conn, conn->reader.refusal.status, conn->reader.refusal.reason);
	}
	/* Heads are small and bounded by the number of connections; bodies are not. */
	if (conn->state == CONN_READING && conn->route != NULL && conn->route->answer == NULL &&
		po_memory_exhausted())
	{
		PoAnswer	answer;

		po_answer_retry(&answer, "memory_limit");
		refuse(conn, &answer);
	}
}

/* Is there anything for the reader to do now? */
static bool
can_read(Connection *conn, struct evbuffer *input)
{
	if (conn->state != CONN_IDLE && conn->state != CONN_READING)
		return false;
	/* A message without a body completes without further bytes. */
	return evbuffer_get_length(input) > 0 ||
		(conn->state == CONN_READING && conn->reader.phase == PO_PHASE_DONE);
}

/*
 * Go on with what is in the input buffer.  May close the connection: the caller
 * must not touch it afterwards.
 */
static void
process_input(Connection *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);

	if (conn->processing)
		return;
	conn->processing = true;
	while (can_read(conn, input))
	{
		if (conn->state == CONN_IDLE)
			begin_request(conn);
		read_piece(conn, input);
		if (conn->state == CONN_REPLYING &&
			evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
			reply_done(conn);
	}
	conn->processing = false;

	if (conn->state == CONN_LINGERING)
	{
		conn->discarded += evbuffer_get_length(input);
		evbuffer_drain(input, evbuffer_get_length(input));
		if (conn->ended || conn->discarded > PO_LINGER_BYTES)
			close_connection(conn);
	}
	else if (conn->ended && (conn->state == CONN_IDLE || conn->state == CONN_READING))
	{
		if (conn->state == CONN_READING)
			log_answer(conn, conn->reader.request, 0, "client_closed", 0);
		close_connection(conn);
	}
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void) bev;
	process_input(arg);
}

/* The output buffer has been emptied. */
static void
on_write(struct bufferevent *bev, void *arg)
{
	Connection *conn = arg;

	if (conn->state == CONN_REPLYING && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
	{
		reply_done(conn);
		process_input(conn);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	Connection *conn = arg;

	(void) bev;
	if (what & BEV_EVENT_CONNECTED)
	{
		conn->state = CONN_IDLE;
		set_deadline(conn, po_config.header_timeout);
		return;
	}
	if ((what & BEV_EVENT_EOF) && conn->state != CONN_HANDSHAKE)
	{
		/* Half a close is no reason not to answer what came before it. */
		conn->ended = true;
		process_input(conn);
		return;
	}
	if (conn->state == CONN_READING || conn->state == CONN_WAITING)
		log_answer(conn, conn->webhook ? conn->webhook->request : conn->reader.request, 0,
				   "client_reset", 0);
	close_connection(conn);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	Connection *conn = arg;

	(void) fd;
	(void) what;
	if (conn->state == CONN_READING)
	{
		refuse_status(conn, 408, conn->route == NULL ? "header_timeout" : "request_timeout");
		if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
			reply_done(conn);
		process_input(conn);
		return;
	}
	if (conn->state == CONN_HANDSHAKE)
		po_log(PO_LOG_INFO, "server", "TLS handshake not finished in time");
	close_connection(conn);
}

/*
 * Take over an accepted socket; ssl, if any, has not begun its handshake.  On
 * failure returns false, with socket and ssl freed.
 */
bool
po_connection_open(struct event_base *base, evutil_socket_t fd, SSL *ssl,
				   const PoPeer *peer, bool trusted)
{
	Connection *conn = pg_malloc0(sizeof(*conn));

	if (ssl != NULL)
		conn->bev = bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
												   BEV_OPT_CLOSE_ON_FREE);
	else
		conn->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (conn->bev == NULL)
	{
		if (ssl != NULL)
			SSL_free(ssl);
		evutil_closesocket(fd);
		free(conn);
		return false;
	}
	conn->timer = evtimer_new(base, on_deadline, conn);
	conn->ssl = ssl;
	conn->fd = fd;
	conn->peer = *peer;
	conn->trusted = trusted;
	conn->state = ssl != NULL ? CONN_HANDSHAKE : CONN_IDLE;
	po_http_reader_init(&conn->reader, &limits);

	conn->next = all;
	if (all != NULL)
		all->prev = conn;
	all = conn;
	count++;

	bufferevent_setcb(conn->bev, on_read, on_write, on_event, conn);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, PO_READ_WATERMARK);
	bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
	set_deadline(conn, ssl != NULL ? po_config.handshake_timeout : po_config.header_timeout);
	return true;
}

/* From now on every answer is a connection's last; idle ones go at once. */
void
po_connections_drain(void)
{
	Connection *next;

	draining = true;
	for (Connection *conn = all; conn != NULL; conn = next)
	{
		next = conn->next;
		if (conn->state == CONN_IDLE || conn->state == CONN_HANDSHAKE)
			close_connection(conn);
	}
}

/* Close everything as it is. */
void
po_connections_close_all(void)
{
	while (all != NULL)
		close_connection(all);
}
