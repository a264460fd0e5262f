/*
 * answer.c
 *		Writes answers, well or badly, see server.h.
 */
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ENDLESS_BLOCK 65536

/* Frees what it owns, not itself. */
void
answer_free(Answer *answer)
{
	buffer_free(&answer->headers);
	buffer_free(&answer->body);
}

/* The next byte of a dribble, the end of an idle connection, or the next request. */
void
connection_on_timer(evutil_socket_t fd, short what, void *arg)
{
	Connection *c = arg;

	(void) fd;
	(void) what;
	if (c->dribble_ms > 0)
		connection_write(c);
	else if (c->idle_ms >= 0)
		connection_close(c, false);
	else
		connection_process(c);
}

static void
set_timer(Connection *c, int ms)
{
	struct timeval after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(c->timer, &after);
}

/* The answer has been written. */
static void
finish_answer(Connection *c)
{
	buffer_clear(&c->out);
	c->written = 0;
	c->dribble_ms = 0;
	if (c->closing)
	{
		connection_close(c, false);
		return;
	}
	if (!c->busy)
		return;
	c->busy = false;
	if (c->unread)
		event_add(c->readable, NULL);
	c->unread = false;
	if (c->idle_ms >= 0)
	{
		if (c->idle_ms == 0)
			connection_close(c, false);
		else
			set_timer(c, c->idle_ms);
	}
	else if (c->in.len > 0)
		set_timer(c, 0);
}

/* Writes as much as the client takes now; the connection may be freed. */
void
connection_write(Connection *c)
{
	for (;;)
	{
		size_t		len = c->out.len - c->written;
		ssize_t		put;

		if (c->dribble_ms > 0 && len > 1)
			len = 1;
		put = send(c->fd, c->out.data + c->written, len, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
		{
			event_add(c->writable, NULL);
			return;
		}
		if (put < 0)
		{
			connection_close(c, false);
			return;
		}
		c->written += (size_t) put;
		if (c->written == c->out.len)
			break;
		if (c->dribble_ms > 0)
		{
			set_timer(c, c->dribble_ms);
			return;
		}
	}
	if (c->endless)
	{
		/* as much again, when the client has taken this */
		c->written = 0;
		event_add(c->writable, NULL);
		return;
	}
	/* 100 Continue alone does not end the request */
	if (!c->busy && !c->closing)
	{
		buffer_clear(&c->out);
		c->written = 0;
		return;
	}
	finish_answer(c);
}

/* The client takes more. */
void
connection_on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	connection_write(arg);
}

static const char *
reason_of(int status)
{
	switch (status)
	{
		case 200:
			return "OK";
		case 201:
			return "Created";
		case 202:
			return "Accepted";
		case 400:
			return "Bad Request";
		case 401:
			return "Unauthorized";
		case 404:
			return "Not Found";
		case 429:
			return "Too Many Requests";
		case 500:
			return "Internal Server Error";
		case 503:
			return "Service Unavailable";
		default:
			return "Status";
	}
}

/* Writes head and body of an answer behind what is to be written. */
static void
put_answer(Connection *c, const Answer *answer, size_t length)
{
	bool		bodiless = answer->status == 204 || answer->status == 304;

	buffer_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n", answer->status,
				  reason_of(answer->status), format_time(now_us(), TIME_HTTP),
				  answer->content_type != NULL ? answer->content_type : "application/json");
	if (!bodiless)
		buffer_printf(&c->out, "Content-Length: %zu\r\n", length);
	if (!c->keep)
	{
		buffer_puts(&c->out, "Connection: close\r\n");
		c->closing = true;
	}
	if (answer->headers.len > 0)
		buffer_add(&c->out, answer->headers.data, answer->headers.len);
	buffer_add(&c->out, "\r\n", 2);
	if (answer->body.len > 0 && !bodiless)
		buffer_add(&c->out, answer->body.data, answer->body.len);
}

/* The usual end of a request; the connection may be freed. */
void
server_answer(Connection *c, const Answer *answer)
{
	c->hold = NULL;
	put_answer(c, answer, answer->body.len);
	connection_write(c);
}

/* Promises to keep the connection, and closes it after idle_ms without a request. */
void
server_answer_and_close(Connection *c, const Answer *answer, int idle_ms)
{
	c->hold = NULL;
	c->keep = true;
	c->idle_ms = idle_ms;
	put_answer(c, answer, answer->body.len);
	connection_write(c);
}

/*
 * Announces a body that is longer by so many bytes than what comes before the
 * connection is closed, or shorter.
 */
void
server_answer_wrong_length(Connection *c, const Answer *answer, int more)
{
	size_t		length = answer->body.len;

	c->hold = NULL;
	if (more >= 0)
		length += (size_t) more;
	else
		length -= (size_t) -more < length ? (size_t) -more : length;
	c->keep = true;
	put_answer(c, answer, length);
	c->closing = more >= 0;
	connection_write(c);
}

/* One byte every interval_ms. */
void
server_dribble(Connection *c, const Answer *answer, int interval_ms)
{
	c->hold = NULL;
	put_answer(c, answer, answer->body.len);
	c->dribble_ms = interval_ms > 0 ? interval_ms : 1;
	connection_write(c);
}

/* A body without an end, until the client goes away. */
void
server_endless(Connection *c)
{
	c->hold = NULL;
	buffer_puts(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
	c->endless = true;
	for (int i = 0; i < ENDLESS_BLOCK / 8; i++)
		buffer_puts(&c->out, "{\"a\":{} ");
	connection_write(c);
}

/* Closes without an answer. */
void
server_close(Connection *c)
{
	c->hold = NULL;
	connection_close(c, false);
}

/* Closes without an answer, by RST. */
void
server_reset(Connection *c)
{
	c->hold = NULL;
	connection_close(c, true);
}

/*
 * Leaves the connection as it is, waiting.  hold (NULL: nobody will come back)
 * is told when the client goes away.
 */
void
server_hold(Connection *c, Hold *hold)
{
	c->hold = hold;
	if (hold != NULL)
		hold->connection = c;
}
