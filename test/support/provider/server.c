/*
 * server.c
 *		The provider's HTTP/1.1 connections, see server.h.
 *
 * Reads and writes by itself instead of through evhttp, because a test provider
 * has to answer in ways that a proper server does not offer: half an answer, a
 * false length, a reset.
 */
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_HEAD 65536
#define MAX_BODY (4 * 1024 * 1024)
#define READ_SIZE 16384

struct event_base *event_base;
ServerCounters server_counters;

static void (*handle_request) (Request *request);

/* Closes the socket; with reset the client gets RST instead of FIN. */
void
connection_close(Connection *c, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (c->hold != NULL)
		c->hold->connection = NULL;
	event_free(c->readable);
	event_free(c->writable);
	event_free(c->timer);
	close(c->fd);
	buffer_free(&c->in);
	buffer_free(&c->out);
	free(c);
	server_counters.open--;
}

/* The value of a header, or NULL; names are compared without case. */
const char *
request_header(const Request *request, const char *name)
{
	for (int i = 0; i < request->headers; i++)
	{
		if (strcasecmp(request->header[i].name, name) == 0)
			return request->header[i].value;
	}
	return NULL;
}

/* ---- reading ------------------------------------------------------------- */

/* Splits the head, which it owns, into the request's parts. */
static bool
read_head(char *head, Request *request)
{
	char	   *line = strsep(&head, "\r");
	char	   *version;

	request->method = strsep(&line, " ");
	request->path = line == NULL ? NULL : strsep(&line, " ");
	version = line;
	if (version == NULL || strncmp(version, "HTTP/1.", 7) != 0 || request->path[0] != '/')
		return false;
	request->query = request->path;
	request->path = strsep(&request->query, "?");
	while (head != NULL && *head == '\n')
	{
		char	   *name;

		head++;
		if (*head == '\0')
			break;
		line = strsep(&head, "\r");
		name = strsep(&line, ":");
		if (line == NULL || request->headers == MAX_HEADERS)
			return false;
		line += strspn(line, " \t");
		request->header[request->headers].name = name;
		request->header[request->headers++].value = line;
	}
	return true;
}

/* A chunked body, in place; -1: broken, 0: not all there, else bytes of it used. */
static ssize_t
read_chunks(char *bytes, size_t len, size_t *body_len)
{
	char	   *at = bytes;
	char	   *end = bytes + len;

	*body_len = 0;
	for (int pass = 0; pass < 2; pass++)
	{
		at = bytes;
		for (;;)
		{
			char	   *line_end = memmem(at, (size_t) (end - at), "\r\n", 2);
			char	   *stop;
			size_t		size;

			if (line_end == NULL)
				return 0;
			size = strtoul(at, &stop, 16);
			if (stop == at || size > MAX_BODY)
				return -1;
			at = line_end + 2;
			if ((size_t) (end - at) < size + 2)
				return 0;
			if (at[size] != '\r')
				return -1;
			/* moved only in the second pass, when all is known to be there */
			if (pass == 1)
			{
				memmove(bytes + *body_len, at, size);
				*body_len += size;
			}
			at += size + 2;
			if (size == 0)
				break;
		}
	}
	return at - bytes;
}

static void
refuse(Connection *c, int status)
{
	Answer		answer = {.status = status};

	server_counters.malformed++;
	c->busy = true;
	c->keep = false;
	buffer_puts(&answer.body, "{\"message\":\"malformed request\"}");
	server_answer(c, &answer);
	answer_free(&answer);
}

/*
 * The body of the request that begins the input, of which head_len bytes are its
 * head: -1: none that can be taken, 0: not all there, 1: set, with the bytes used.
 */
static int
find_body(Connection *c, Request *request, size_t head_len, size_t *used)
{
	const char *value = request_header(request, "transfer-encoding");
	size_t		there = c->in.len - head_len;
	ssize_t		chunks;

	request->body = c->in.data + head_len;
	if (value != NULL)
	{
		chunks = read_chunks(request->body, there, &request->body_len);
		*used = chunks > 0 ? head_len + (size_t) chunks : 0;
		return chunks == 0 && there > MAX_BODY ? -1 : chunks < 0 ? -1 : chunks > 0;
	}
	value = request_header(request, "content-length");
	request->body_len = value == NULL ? 0 : strtoul(value, NULL, 10);
	*used = head_len + request->body_len;
	return request->body_len > MAX_BODY ? -1 : there >= request->body_len;
}

/* Hands over the request that begins the input, which it owns. */
static void
hand_over(Connection *c, Request *request, size_t used)
{
	Buffer		in = c->in;
	const char *value = request_header(request, "connection");

	/* the handler may free the connection: nothing of it is used afterwards */
	c->in = (Buffer) {0};
	if (used < in.len)
		buffer_add(&c->in, in.data + used, in.len - used);
	c->scanned = 0;
	c->busy = true;
	c->continued = false;
	c->keep = value == NULL || strcasecmp(value, "close") != 0;
	if (c->idle_ms >= 0)
		event_del(c->timer);
	c->idle_ms = -1;
	request->nth = ++c->requests;
	request->at = now_us();
	request->raw = in.data;
	request->raw_len = used;
	request->body[request->body_len] = '\0';
	handle_request(request);
	buffer_free(&in);
}

/*
 * Begins the next request if all of it has come.  One at a time: what is behind
 * it waits for the event loop, so that a handler never runs inside another.
 */
void
connection_process(Connection *c)
{
	Request		request = {.connection = c, .connection_number = c->number};
	char	   *end;
	char	   *head;
	size_t		head_len;
	size_t		used;
	int			body;

	if (c->busy || c->closing || c->in.len == 0)
		return;
	end = memmem(c->in.data + c->scanned, c->in.len - c->scanned, "\r\n\r\n", 4);
	if (end == NULL)
	{
		c->scanned = c->in.len > 3 ? c->in.len - 3 : 0;
		if (c->in.len > MAX_HEAD)
			refuse(c, 431);
		return;
	}
	c->scanned = (size_t) (end - c->in.data);
	head_len = c->scanned + 4;
	head = copy_bytes(c->in.data, head_len - 2);
	body = read_head(head, &request) ? find_body(c, &request, head_len, &used) : -1;
	if (body > 0)
		hand_over(c, &request, used);
	else if (body < 0)
		refuse(c, 400);
	else if (!c->continued && request_header(&request, "expect") != NULL)
	{
		server_counters.expect_continue++;
		c->continued = true;
		buffer_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		connection_write(c);
	}
	free(head);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	Connection *c = arg;
	ssize_t		got;

	(void) what;
	buffer_reserve(&c->in, READ_SIZE);
	got = recv(fd, c->in.data + c->in.len, READ_SIZE, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
	{
		connection_close(c, false);
		return;
	}
	c->in.len += (size_t) got;
	c->in.data[c->in.len] = '\0';
	/* a client that keeps on sending behind a request that waits is not read */
	if (c->busy && c->in.len > MAX_BODY)
	{
		event_del(c->readable);
		c->unread = true;
	}
	connection_process(c);
}

/* ---- start --------------------------------------------------------------- */

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len,
		  void *arg)
{
	Connection *c = allocate(sizeof(Connection));
	int			on = 1;

	(void) listener;
	(void) from;
	(void) len;
	(void) arg;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->fd = fd;
	c->number = ++server_counters.connections;
	c->idle_ms = -1;
	c->readable = event_new(event_base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(event_base, fd, EV_WRITE, connection_on_writable, c);
	c->timer = evtimer_new(event_base, connection_on_timer, c);
	event_add(c->readable, NULL);
	if (++server_counters.open > server_counters.most_open)
		server_counters.most_open = server_counters.open;
}

static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void) listener;
	(void) arg;
	fprintf(stderr, "provider: accept: %s\n", strerror(errno));
}

/*
 * Listens on 127.0.0.1 (port 0: a free one) and returns the port, -1 on failure.
 * event_base must be there.
 */
int
server_start(int port, void (*handle) (Request *request))
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	socklen_t	len = sizeof(address);
	struct evconnlistener *listener;

	handle_request = handle;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener =
		evconnlistener_new_bind(event_base, on_accept, NULL,
								LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
								4096, (struct sockaddr *) &address, sizeof(address));
	if (listener == NULL ||
		getsockname(evconnlistener_get_fd(listener), (struct sockaddr *) &address, &len) != 0)
		return -1;
	evconnlistener_set_error_cb(listener, on_accept_error);
	return ntohs(address.sin_port);
}

typedef struct Later
{
	void		(*function) (void *arg);
	void	   *arg;
} Later;

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	Later		later = *(Later *) arg;

	(void) fd;
	(void) what;
	free(arg);
	later.function(later.arg);
}

/* Calls the function once, after so many milliseconds. */
void
run_after(int ms, void (*function) (void *arg), void *arg)
{
	struct timeval after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	Later	   *later = allocate(sizeof(Later));

	later->function = function;
	later->arg = arg;
	event_base_once(event_base, -1, EV_TIMEOUT, on_later, later, &after);
}
