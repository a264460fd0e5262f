/*-------------------------------------------------------------------------
 * http_socket.c
 *	  The sockets of outgoing requests: where they lead, and whether the other
 *	  side has said something.
 *
 * Owns a list of the sockets that libcurl has open, once a process.  It is
 * there because libcurl keeps connections for the next request, and takes one
 * for alive on which something waits to be read: the end of a TLS session, a
 * reset, or an answer that nobody asked for and that would be taken for that
 * to the next request.  And libcurl names a connection by its ports alone.
 *
 * No locks; malloc; nothing raises.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "sender/http_address.h"
#include "sender/http_socket.h"

/* Bytes that the other side has not acknowledged for so long are given up. */
#define UNANSWERED_MS	20000

typedef struct Socket
{
	int			fd;
	int			local_port;		/* 0: not asked for yet */
} Socket;

static Socket *sockets = NULL;
static int	nsockets = 0;
static int	sockets_size = 0;
static bool private_allowed = false;

/* Whether sockets may lead to addresses that are not public, from now on. */
void
po_sockets_allow_private(bool allow)
{
	private_allowed = allow;
}

bool
po_sockets_private_allowed(void)
{
	return private_allowed;
}

/* Whether requests may go to this numeric address. */
bool
po_socket_peer_allowed(const char *peer)
{
	return private_allowed || po_address_text_is_public(peer);
}

static void
forget(int fd)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].fd == fd)
			sockets[i--] = sockets[--nsockets];
	}
	if (nsockets == 0)
	{
		free(sockets);
		sockets = NULL;
		sockets_size = 0;
	}
}

static bool
remember(int fd)
{
	forget(fd);
	if (nsockets == sockets_size)
	{
		int			size = Max(2 * sockets_size, 16);
		Socket	   *grown = realloc(sockets, size * sizeof(Socket));

		if (grown == NULL)
			return false;
		sockets = grown;
		sockets_size = size;
	}
	sockets[nsockets++] = (Socket) {fd, 0};
	return true;
}

/*
 * Nothing leaves after the socket is closed, also by the end of the process:
 * otherwise the kernel goes on with what it has buffered, and a request would
 * arrive minutes after its sender has died.  Nor does it try for long before.
 */
static bool
drop_when_closed(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	unsigned int milliseconds = UNANSWERED_MS;

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 &&
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds)) == 0;
}

/*
 * Opens a socket for libcurl, which connects it.  CURL_SOCKET_BAD if the address
 * is not allowed, which *refused says then, or there is no socket to be had.
 */
curl_socket_t
po_socket_open(const struct curl_sockaddr *address, bool *refused)
{
	int			fd;

	*refused = !private_allowed && !po_address_is_public(&address->addr);
	if (*refused)
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0 && (!drop_when_closed(fd) || !remember(fd)))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

/* CURLOPT_CLOSESOCKETFUNCTION */
int
po_socket_close(void *unused, curl_socket_t fd)
{
	forget(fd);
	return close(fd);
}

static int
local_port_of(int fd)
{
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	}			address;
	socklen_t	size = sizeof(address);

	if (getsockname(fd, &address.any, &size) != 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static PoSocketState
state_of(int fd)
{
	char		byte;
	ssize_t		n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		return PO_SOCKET_TALKS;
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? PO_SOCKET_QUIET : PO_SOCKET_CLOSED;
}

/*
 * The state of the connection from this port.  Connections to several servers
 * may share one: it is the worst of theirs then, which costs a new connection.
 */
PoSocketState
po_socket_state(int local_port)
{
	PoSocketState worst = PO_SOCKET_QUIET;
	bool		found = false;

	for (int i = 0; i < nsockets; i++)
	{
		PoSocketState state;

		if (sockets[i].local_port == 0)
			sockets[i].local_port = local_port_of(sockets[i].fd);
		if (sockets[i].local_port != local_port)
			continue;
		found = true;
		state = state_of(sockets[i].fd);
		if (worst == PO_SOCKET_QUIET || state == PO_SOCKET_CLOSED)
			worst = state;
	}
	return found ? worst : PO_SOCKET_TALKS;
}
