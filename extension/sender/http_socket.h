/*-------------------------------------------------------------------------
 * http_socket.h
 *	  The sockets of outgoing requests: where they lead, and whether the other
 *	  side has said something.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_SOCKET_H
#define PO_HTTP_SOCKET_H

#include <curl/curl.h>

typedef enum PoSocketState
{
	PO_SOCKET_QUIET,			/* nothing has come since the last answer */
	PO_SOCKET_TALKS,			/* something has, or we do not know */
	PO_SOCKET_CLOSED			/* its end has */
} PoSocketState;

extern void po_sockets_allow_private(bool allow);
extern bool po_sockets_private_allowed(void);

extern curl_socket_t po_socket_open(const struct curl_sockaddr *address, bool *refused);
extern int	po_socket_close(void *unused, curl_socket_t fd);
extern PoSocketState po_socket_state(int local_port);
extern bool po_socket_peer_allowed(const char *peer);

#endif							/* PO_HTTP_SOCKET_H */
