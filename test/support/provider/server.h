/*
 * server.h
 *		The provider's HTTP/1.1 connections: requests in, answers out, well or
 *		badly.
 *
 * A connection is busy from the moment its request is handed over until one of
 * the server_… functions has disposed of it; further requests wait.  Its client
 * may go away meanwhile: then the connection is freed, and the Hold that its
 * request left with it, if any, loses its connection.
 */
#ifndef PROVIDER_SERVER_H
#define PROVIDER_SERVER_H

#include <event2/event.h>

#include "buffer.h"

#define MAX_HEADERS 64

typedef struct Connection Connection;

typedef struct Request
{
	Connection *connection;
	int64_t		at;				/* when its last byte was read */
	uint64_t	connection_number;
	int			nth;			/* of the requests on its connection, from 1 */
	char	   *method;
	char	   *path;
	char	   *query;			/* NULL: none */
	struct
	{
		char	   *name;
		char	   *value;
	}			header[MAX_HEADERS];
	int			headers;
	char	   *body;			/* a NUL follows it */
	size_t		body_len;
	const char *raw;			/* as it came */
	size_t		raw_len;
} Request;

typedef struct Answer
{
	int			status;
	const char *content_type;	/* NULL: application/json */
	Buffer		headers;		/* whole lines, more than the usual ones */
	Buffer		body;
} Answer;

/*
 * What a delayed request leaves with its connection.  It belongs to whoever made
 * it; the server sets connection to NULL when the client has gone.
 */
typedef struct Hold
{
	Connection *connection;
} Hold;

typedef struct ServerCounters
{
	uint64_t	connections;
	uint64_t	open;
	uint64_t	most_open;
	uint64_t	malformed;
	uint64_t	expect_continue;
} ServerCounters;

extern struct event_base *event_base;
extern ServerCounters server_counters;

extern int	server_start(int port, void (*handle) (Request *request));
extern const char *request_header(const Request *request, const char *name);

extern void answer_free(Answer *answer);
extern void server_answer(Connection *connection, const Answer *answer);
extern void server_answer_and_close(Connection *connection, const Answer *answer, int idle_ms);
extern void server_answer_wrong_length(Connection *connection, const Answer *answer, int more);
extern void server_dribble(Connection *connection, const Answer *answer, int interval_ms);
extern void server_endless(Connection *connection);
extern void server_close(Connection *connection);
extern void server_reset(Connection *connection);
extern void server_hold(Connection *connection, Hold *hold);

extern void run_after(int ms, void (*function) (void *arg), void *arg);

#endif
