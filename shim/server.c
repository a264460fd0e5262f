/*
 * server.c
 *	  Listeners, accepting, and the limits on connections.
 *
 * Accepting pauses, for all listeners together, at connection_limit until a
 * connection closes, and for a moment when the process is out of descriptors;
 * new clients then wait in the kernel's backlog.
 *
 * Owns the listeners, the TLS context and the list of trusted proxies.
 */
#include "postgres_fe.h"

#include <event2/listener.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "address.h"
#include "config.h"
#include "connection.h"
#include "log.h"
#include "server.h"
#include "tls.h"

#define PO_ACCEPT_PAUSE_MS	250
#define PO_LOG_PAUSE_MS		1000

typedef struct Listener
{
	struct Listener *next;
	struct evconnlistener *socket;
	bool		tls;
	char		unix_path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
} Listener;

static struct event_base *event_base;
static Listener *listeners = NULL;
static struct event *resume_timer;
static SSL_CTX *tls_context = NULL;
static PoAddressList *trusted = NULL;
static bool paused = false;
static bool stopping = false;
static void (*on_empty) (void) = NULL;

static void
enable_listeners(bool enable)
{
	paused = !enable;
	for (Listener *l = listeners; l != NULL; l = l->next)
	{
		if (enable)
			evconnlistener_enable(l->socket);
		else
			evconnlistener_disable(l->socket);
	}
}

static void
resume_accepting(void)
{
	if (paused && !stopping && po_connections_count() < po_config.connection_limit)
		enable_listeners(true);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	resume_accepting();
}

static void
connection_closed(const PoPeer *peer)
{
	if (!peer->is_unix)
		po_peer_count_remove(peer);
	/* A pause for want of descriptors ends by its timer. */
	if (!evtimer_pending(resume_timer, NULL))
		resume_accepting();
	if (stopping && po_connections_count() == 0 && on_empty != NULL)
		on_empty();
}

/* One peer has too many: it is told nothing, which costs it and us the least. */
static bool
admit(const PoPeer *peer, bool is_trusted)
{
	if (peer->is_unix)
		return true;
	return po_peer_count_add(peer, is_trusted ? INT_MAX : po_config.connections_per_address);
}

/* At the limit connections come and go; that is said once in a while only. */
static void
log_limit(void)
{
	static int64 last = 0;
	int64		now = po_monotonic_micros();

	if (last != 0 && now - last < PO_LOG_PAUSE_MS * INT64CONST(1000))
		return;
	last = now;
	po_log(PO_LOG_WARNING, "server", "connection_limit reached, accepting pauses");
}

static void
on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
	Listener   *listener = arg;
	PoPeer		peer;
	bool		is_trusted;
	SSL		   *ssl = NULL;
	int			one = 1;

	(void) socket;
	(void) len;
	po_peer_from_sockaddr(addr, &peer);
	is_trusted = po_address_list_has(trusted, &peer);
	if (po_connections_count() >= po_config.connection_limit || !admit(&peer, is_trusted))
	{
		evutil_closesocket(fd);
		return;
	}
	if (!peer.is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (listener->tls && (ssl = SSL_new(tls_context)) == NULL)
	{
		evutil_closesocket(fd);
		connection_closed(&peer);
		return;
	}
	if (!po_connection_open(event_base, fd, ssl, &peer, is_trusted))
	{
		connection_closed(&peer);
		return;
	}
	if (po_connections_count() >= po_config.connection_limit)
	{
		log_limit();
		enable_listeners(false);
	}
}

/* Out of descriptors or memory: trying again at once would only spin. */
static void
on_accept_error(struct evconnlistener *socket, void *arg)
{
	struct timeval tv = {0, PO_ACCEPT_PAUSE_MS * 1000};
	int			error = EVUTIL_SOCKET_ERROR();

	(void) socket;
	(void) arg;
	po_log(PO_LOG_WARNING, "server", "cannot accept, pausing: %s",
		   evutil_socket_error_to_string(error));
	enable_listeners(false);
	event_add(resume_timer, &tv);
}

/* Remove a socket file that nobody listens on any more. */
static void
remove_stale_socket(const struct sockaddr_un *addr)
{
	struct stat st;
	int			fd;

	if (lstat(addr->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *) addr, sizeof(*addr)) != 0 && errno == ECONNREFUSED)
		unlink(addr->sun_path);
	close(fd);
}

/* A bound, non-blocking socket, or -1. */
static evutil_socket_t
bind_socket(const PoListenAddress *address)
{
	const struct sockaddr *addr = (const struct sockaddr *) &address->addr;
	int			one = 1;
	mode_t		mask;
	int			result;
	int			error;
	evutil_socket_t fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (addr->sa_family == AF_UNIX)
		remove_stale_socket((const struct sockaddr_un *) addr);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));

	/* The socket file must not be open to others for even a moment. */
	mask = umask((mode_t) (~po_config.unix_socket_mode & 0777));
	result = bind(fd, addr, address->len);
	error = errno;
	umask(mask);
	if (result != 0)
	{
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static bool
open_listener(const char *word, bool tls)
{
	PoListenAddress address;
	struct sockaddr_storage bound;
	socklen_t	len = sizeof(bound);
	Listener   *listener;
	char		text[256];
	evutil_socket_t fd;

	if (!po_listen_address_parse(word, &address) || (fd = bind_socket(&address)) < 0)
	{
		po_log(PO_LOG_ERROR, "server", "cannot listen on %s: %s", word, strerror(errno));
		return false;
	}
	listener = pg_malloc0(sizeof(*listener));
	listener->tls = tls;
	if (address.addr.ss_family == AF_UNIX)
		strlcpy(listener->unix_path, ((struct sockaddr_un *) &address.addr)->sun_path,
				sizeof(listener->unix_path));
	listener->socket = evconnlistener_new(event_base, on_accept, listener,
										  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
										  po_config.listen_backlog, fd);
	if (listener->socket == NULL)
	{
		po_log(PO_LOG_ERROR, "server", "cannot listen on %s: %s", word, strerror(errno));
		close(fd);
		free(listener);
		return false;
	}
	evconnlistener_set_error_cb(listener->socket, on_accept_error);
	listener->next = listeners;
	listeners = listener;

	if (getsockname(fd, (struct sockaddr *) &bound, &len) == 0)
	{
		po_sockaddr_format((struct sockaddr *) &bound, text, sizeof(text));
		po_log(PO_LOG_INFO, "server", "listening on %s%s", text, tls ? " with TLS" : "");
	}
	return true;
}

static bool
open_listeners(const char *list, bool tls)
{
	char		word[256];

	while (po_address_next_word(&list, word, sizeof(word)))
	{
		if (!open_listener(word, tls))
			return false;
	}
	return true;
}

/* Can the TLS files, if any, be used?  Logs what is wrong. */
bool
po_server_check(void)
{
	SSL_CTX    *context;

	if (po_config.tls_listen[0] == '\0')
		return true;
	context = po_tls_load(po_config.tls_certificate, po_config.tls_key);
	SSL_CTX_free(context);
	return context != NULL;
}

/*
 * Read certificate, key and trusted proxies anew; connections that are open
 * keep what they began with.
 */
void
po_server_reload(void)
{
	PoAddressList *list = po_address_list_parse(po_config.trusted_proxies);

	if (list != NULL)
	{
		po_address_list_free(trusted);
		trusted = list;
	}
	if (po_config.tls_listen[0] != '\0')
	{
		SSL_CTX    *context = po_tls_load(po_config.tls_certificate, po_config.tls_key);

		if (context != NULL)
		{
			SSL_CTX_free(tls_context);
			tls_context = context;
		}
		else if (tls_context != NULL)
			po_log(PO_LOG_ERROR, "server", "going on with the certificate in use");
	}
	resume_accepting();
}

/* Open all listeners; false, with the reason logged, when one cannot be. */
bool
po_server_start(struct event_base *base)
{
	event_base = base;
	resume_timer = evtimer_new(base, on_resume, NULL);
	po_connections_init(connection_closed);
	po_server_reload();
	return (po_config.tls_listen[0] == '\0' || tls_context != NULL) &&
		open_listeners(po_config.listen, false) &&
		open_listeners(po_config.tls_listen, true);
}

static void
close_listeners(void)
{
	while (listeners != NULL)
	{
		Listener   *listener = listeners;

		listeners = listener->next;
		if (listener->unix_path[0] != '\0')
			unlink(listener->unix_path);
		evconnlistener_free(listener->socket);
		free(listener);
	}
}

/* Stop listening; empty() is called when the last connection has closed. */
void
po_server_drain(void (*empty) (void))
{
	stopping = true;
	on_empty = empty;
	close_listeners();
	po_connections_drain();
	if (po_connections_count() == 0)
		empty();
}

/* Close what is left and free everything. */
void
po_server_stop(void)
{
	stopping = true;
	on_empty = NULL;
	close_listeners();
	po_connections_close_all();
	if (resume_timer != NULL)
		event_free(resume_timer);
	SSL_CTX_free(tls_context);
	po_address_list_free(trusted);
}
