/*
 * http_client.c
 *	  A client for the tests of sender/http.c: see http_peer.h.
 */
#include "postgres_fe.h"

#include <poll.h>
#include <time.h>

#include "http_peer.h"

#define PATIENCE_MS		60000

int			longest_drive_ms = 0;

/* A call with a body, or NULL, and time-outs that a busy machine does not reach. */
PoHttpCall
make_call(const char *method, const char *url, const char *body)
{
	return (PoHttpCall) {
		.method = method, .url = url, .body = body, .body_len = body != NULL ? strlen(body) : 0,
			.connect_timeout_ms = 20000, .timeout_ms = 20000
	};
}

/* Overwritten by the next call. */
const char *
url_of(const Peer *peer, const char *path)
{
	static char url[256];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s", peer->tls != NULL ? "https" : "http",
			 peer->port, path);
	return url;
}

static int
now_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec % 1000000 * 1000 + now.tv_nsec / 1000000;
}

/* Drives all calls until there is an answer; gives up the test if none comes. */
PoHttpAnswer *
wait_for_answer(void)
{
	int			until = now_ms() + PATIENCE_MS;
	PoHttpAnswer *answer;

	while ((answer = po_http_next()) == NULL)
	{
		struct pollfd waited = {po_http_fd(), POLLIN, 0};
		int			started;

		if (now_ms() > until || (po_http_in_flight() == 0 && po_http_timeout_ms() != 0))
			bail_out("no answer");
		(void) poll(&waited, 1, po_http_timeout_ms());
		started = now_ms();
		po_http_drive();
		longest_drive_ms = Max(longest_drive_ms, now_ms() - started);
	}
	return answer;
}

/* The only call that is under way. */
PoHttpAnswer *
run_call(const PoHttpCall *call)
{
	if (!po_http_add(call))
		bail_out("no memory");
	return wait_for_answer();
}

/* The same, of a request to a peer. */
PoHttpAnswer *
run_request(const Peer *peer, const char *method, const char *path, const char *body)
{
	PoHttpCall	call = make_call(method, url_of(peer, path), body);

	return run_call(&call);
}

/* Whether it is this answer; `body` NULL is any.  Frees it. */
bool
ends_as(PoHttpAnswer *answer, PoHttpOutcome outcome, int status, const char *body)
{
	bool		right = answer->outcome == outcome && answer->http_status == status &&
		(answer->error == NULL) == (outcome == PO_HTTP_ANSWERED) &&
		answer->body[answer->body_len] == '\0' &&
		(body == NULL || strcmp(answer->body, body) == 0);

	if (!right || answer->error != NULL)
		printf("# outcome %d, status %d, %d ms, \"%.60s\": %s\n", answer->outcome,
			   answer->http_status, answer->latency_ms, answer->body,
			   answer->error != NULL ? answer->error : "");
	po_http_free(answer);
	return right;
}
