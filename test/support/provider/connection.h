/*
 * connection.h
 *		A connection as server.c, which reads from it, and answer.c, which writes
 *		to it, know it.  It is freed by connection_close() alone.
 */
#ifndef PROVIDER_CONNECTION_H
#define PROVIDER_CONNECTION_H

#include "server.h"

struct Connection
{
	int			fd;
	uint64_t	number;
	int			requests;
	bool		busy;
	bool		keep;			/* the client wants to go on after this request */
	bool		closing;		/* close when everything is written */
	bool		endless;
	bool		unread;			/* too much has come: reading rests */
	bool		continued;		/* 100 was sent for the request that is coming */
	int			idle_ms;		/* close so long after the answer; -1: do not */
	int			dribble_ms;		/* between single bytes; 0: write as usual */
	struct event *readable;
	struct event *writable;
	struct event *timer;
	Buffer		in;
	size_t		scanned;		/* of in, without the end of the head */
	Buffer		out;
	size_t		written;
	Hold	   *hold;
};

extern void connection_close(Connection *c, bool reset);
extern void connection_process(Connection *c);
extern void connection_write(Connection *c);
extern void connection_on_writable(evutil_socket_t fd, short what, void *arg);
extern void connection_on_timer(evutil_socket_t fd, short what, void *arg);

#endif
