/*
 * client.c
 *		Posts webhooks to loopback over HTTP, see client.h.
 *
 * At most callback_connections are open; what is more waits in line.  When a
 * kept connection turns out to be closed before a byte of the answer, the post
 * is made again on a new one: that is the connection's end and not an answer.
 */
#define _GNU_SOURCE
#include "client.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define MAX_ANSWER (1024 * 1024)

typedef struct Post
{
	struct Post *next;
	int			port;
	int			timeout_ms;
	Buffer		bytes;
	ClientDone	done;
	void	   *arg;
} Post;

typedef struct Client
{
	struct Client *next;		/* of the idle ones */
	struct bufferevent *socket;
	struct event *timer;
	int			port;
	bool		reused;
	Post	   *post;
} Client;

static Client *idle;
static int	open_clients;
static Post *first_waiting;
static Post **last_waiting = &first_waiting;

static void start_waiting(void);

static void
close_client(Client *client)
{
	bufferevent_free(client->socket);
	event_free(client->timer);
	free(client);
	open_clients--;
}

static void
free_post(Post *post)
{
	buffer_free(&post->bytes);
	free(post);
}

/* Ends the post of this client, which is kept or closed, and begins the next. */
static void
finish(Client *client, int http_status, bool keep)
{
	Post	   *post = client->post;

	event_del(client->timer);
	client->post = NULL;
	if (keep)
	{
		client->next = idle;
		idle = client;
	}
	else
		close_client(client);
	post->done(post->arg, http_status);
	free_post(post);
	start_waiting();
}

/* Has the whole answer come?  The status, else 0; tells whether to keep on. */
static int
read_answer(struct evbuffer *in, bool *keep)
{
	size_t		len = evbuffer_get_length(in);
	char	   *bytes = (char *) evbuffer_pullup(in, -1);
	char	   *end = len > 0 ? memmem(bytes, len, "\r\n\r\n", 4) : NULL;
	char	   *head;
	char	   *at;
	size_t		body = 0;
	int			status = 0;

	if (end == NULL)
		return 0;
	head = copy_bytes(bytes, (size_t) (end - bytes) + 2);
	if (len > 12 && strncmp(head, "HTTP/1.", 7) == 0)
		status = atoi(head + 9);
	at = strcasestr(head, "\r\ncontent-length:");
	if (at != NULL)
		body = strtoul(at + 17, NULL, 10);
	*keep = at != NULL && strcasestr(head, "\r\nconnection: close") == NULL;
	/* an answer without a length, chunked for one, has told what is wanted */
	if (at != NULL && len < (size_t) (end - bytes) + 4 + body)
		status = 0;
	free(head);
	if (status > 0)
		evbuffer_drain(in, len);
	return status;
}

static void
on_read(struct bufferevent *socket, void *arg)
{
	Client	   *client = arg;
	struct evbuffer *in = bufferevent_get_input(socket);
	bool		keep = false;
	int			status;

	if (client->post == NULL)
	{
		evbuffer_drain(in, evbuffer_get_length(in));
		return;
	}
	status = read_answer(in, &keep);
	if (status > 0)
		finish(client, status, keep);
	else if (evbuffer_get_length(in) > MAX_ANSWER)
		finish(client, 0, false);
}

static void
remove_idle(Client *client)
{
	Client	  **place = &idle;

	while (*place != NULL && *place != client)
		place = &(*place)->next;
	if (*place != NULL)
		*place = client->next;
}

static void
on_event(struct bufferevent *socket, short what, void *arg)
{
	Client	   *client = arg;
	Post	   *post = client->post;

	if (what & BEV_EVENT_CONNECTED)
		return;
	if (post == NULL)
	{
		remove_idle(client);
		close_client(client);
	}
	else if (client->reused && evbuffer_get_length(bufferevent_get_input(socket)) == 0)
	{
		close_client(client);
		post->next = first_waiting;
		if (first_waiting == NULL)
			last_waiting = &post->next;
		first_waiting = post;
		start_waiting();
	}
	else
		finish(client, 0, false);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	finish(arg, 0, false);
}

static Client *
open_client(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	Client	   *client = allocate(sizeof(Client));

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client->port = port;
	client->socket =
		bufferevent_socket_new(event_base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	client->timer = evtimer_new(event_base, on_timeout, client);
	open_clients++;
	bufferevent_setcb(client->socket, on_read, NULL, on_event, client);
	/* a failure is reported by on_event, later */
	bufferevent_socket_connect(client->socket, (struct sockaddr *) &to, sizeof(to));
	bufferevent_enable(client->socket, EV_READ | EV_WRITE);
	return client;
}

/* An idle client of this port, a new one, or NULL when there are enough. */
static Client *
get_client(int port)
{
	Client	  **place = &idle;
	Client	   *client;

	while (*place != NULL && (*place)->port != port)
		place = &(*place)->next;
	client = *place;
	if (client != NULL)
	{
		*place = client->next;
		client->reused = true;
		return client;
	}
	if (open_clients >= config.callback_connections && idle != NULL)
	{
		client = idle;
		idle = client->next;
		close_client(client);
	}
	return open_clients < config.callback_connections ? open_client(port) : NULL;
}

static void
start_waiting(void)
{
	while (first_waiting != NULL)
	{
		Post	   *post = first_waiting;
		Client	   *client = get_client(post->port);
		struct timeval after = {
			.tv_sec = post->timeout_ms / 1000,
			.tv_usec = post->timeout_ms % 1000 * 1000
		};

		if (client == NULL)
			return;
		first_waiting = post->next;
		if (first_waiting == NULL)
			last_waiting = &first_waiting;
		client->post = post;
		event_add(client->timer, &after);
		bufferevent_write(client->socket, post->bytes.data, post->bytes.len);
	}
}

/* The port to connect to for a URL; 0 when that is not on loopback. */
static int
port_of(const char *host, size_t len, bool https)
{
	const char *colon = memchr(host, ':', len);
	size_t		name = colon != NULL ? (size_t) (colon - host) : len;

	if (config.callback_to != NULL)
	{
		colon = strchr(config.callback_to, ':');
		return atoi(colon != NULL ? colon + 1 : config.callback_to);
	}
	if (https || !((name == 9 && memcmp(host, "127.0.0.1", 9) == 0) ||
				   (name == 9 && memcmp(host, "localhost", 9) == 0)))
		return 0;
	return colon != NULL ? atoi(colon + 1) : 80;
}

/* Posts it, sometime; the webhook may be freed at once.  done is called later. */
void
client_post(const Webhook *w, ClientDone done, void *arg)
{
	bool		https = strncmp(w->url, "https://", 8) == 0;
	const char *host = https ? w->url + 8 : strncmp(w->url, "http://", 7) == 0 ? w->url + 7 : "";
	size_t		host_len = strcspn(host, "/?#");
	const char *target = host + host_len;
	Post	   *post = allocate(sizeof(Post));

	post->done = done;
	post->arg = arg;
	post->timeout_ms = w->timeout_ms;
	post->port = host_len > 0 ? port_of(host, host_len, https) : 0;
	if (post->port <= 0)
	{
		free(post);
		done(arg, -1);
		return;
	}
	buffer_puts(&post->bytes, "POST ");
	if (*target != '/')
		buffer_puts(&post->bytes, "/");
	buffer_add(&post->bytes, target, strcspn(target, "#"));
	buffer_puts(&post->bytes, " HTTP/1.1\r\nHost: ");
	buffer_add(&post->bytes, host, host_len);
	buffer_printf(&post->bytes, "\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", w->content_type,
				  w->body.len);
	buffer_add(&post->bytes, w->headers.data, w->headers.len);
	buffer_puts(&post->bytes, "\r\n");
	buffer_add(&post->bytes, w->body.data, w->body.len);
	*last_waiting = post;
	last_waiting = &post->next;
	start_waiting();
}
