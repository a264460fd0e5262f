/*
 * server.h
 *	  The listening sockets, and how many connections they let in.
 */
#ifndef PO_SHIM_SERVER_H
#define PO_SHIM_SERVER_H

#include <event2/event.h>

extern bool po_server_start(struct event_base *base);
extern bool po_server_check(void);
extern void po_server_reload(void);
extern void po_server_drain(void (*empty) (void));
extern void po_server_stop(void);

#endif							/* PO_SHIM_SERVER_H */
