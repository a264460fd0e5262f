/*
 * connection.h
 *	  One client connection: requests in, answers out, in order.
 */
#ifndef PO_SHIM_CONNECTION_H
#define PO_SHIM_CONNECTION_H

#include <event2/bufferevent.h>
#include <openssl/ssl.h>

#include "address.h"

extern void po_connections_init(void (*closed) (const PoPeer *peer));
extern bool po_connection_open(struct event_base *base, evutil_socket_t fd, SSL *ssl,
							   const PoPeer *peer, bool trusted);
extern int	po_connections_count(void);
extern void po_connections_drain(void);
extern void po_connections_close_all(void);

#endif							/* PO_SHIM_CONNECTION_H */
