/*
 * http_test.c
 *	  Unit test of sender/http.c: requests as they are written, answers of all
 *	  kinds, and that time and memory are bounded.
 *
 * Prints TAP.  Listens on the loopback only.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_peer.h"

static Peer peer;

/* ---- requests ---- */

/* Whether what was seen last is these bytes, in which %d is the port. */
static bool
was_seen(const char *format)
{
	char		expected[1024];
	Seen	   *request = peer_last();

	snprintf(expected, sizeof(expected), format, peer.port);
	if (request->len == strlen(expected) && memcmp(request->bytes, expected, request->len) == 0)
		return true;
	printf("# %s\n", request->bytes);
	return false;
}

static void
test_requests(void)
{
	const char *header[] = {
		"Content-Type: application/json", "Authorization: Basic YTpi", "X-Empty:"
	};
	char		url[256] = "";
	char		body[] = "{\"to\":\"+12025550123\",\"body\":\"caf\xc3\xa9\"}";
	PoHttpCall	call = make_call("POST", url, body);
	PoHttpAnswer *answer;
	int			connection;
	int			n;

	strlcpy(url, url_of(&peer, "/plain?a=%20b&c=1"), sizeof(url));
	call.header = header;
	call.nheaders = lengthof(header);
	call.answer_header = "x-message-id";
	call.tag = &call;
	if (!po_http_add(&call))
		bail_out("no memory");
	memset(url, 'x', sizeof(url));
	memset(body, 'x', sizeof(body));
	ok(po_http_in_flight() == 1, "one call is under way");
	answer = wait_for_answer();
	ok(po_http_in_flight() == 0 && po_http_next() == NULL, "one answer comes");
	ok(answer->tag == &call && answer->latency_ms >= 0 && answer->latency_ms < 5000, "of this call");
	ok(answer->header_value != NULL && strcmp(answer->header_value, "m1") == 0,
	   "the header that was wanted, without the blanks");
	ok(answer->retry_after_s == -1 && answer->body_len == 5, "no Retry-After");
	ok(ends_as(answer, PO_HTTP_ANSWERED, 200, "hello"), "200");
	ok(was_seen("POST /plain?a=%%20b&c=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
				"User-Agent: pg_outreach\r\nAccept: */*\r\n"
				"Content-Type: application/json\r\nAuthorization: Basic YTpi\r\n"
				"Content-Length: 36\r\n\r\n{\"to\":\"+12025550123\",\"body\":\"caf\xc3\xa9\"}"),
	   "every byte of a POST");
	connection = peer_last()->connection;

	ok(ends_as(run_request(&peer, "GET", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello"), "GET");
	ok(was_seen("GET /plain HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
				"User-Agent: pg_outreach\r\nAccept: */*\r\n\r\n"), "every byte of a GET");
	ok(peer_last()->connection == connection, "the connection is used again");

	ok(ends_as(run_request(&peer, "POST", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello"), "POST without a body");
	ok(strstr(peer_last()->bytes, "POST /plain HTTP/1.1\r\n") == peer_last()->bytes &&
	   strstr(peer_last()->bytes, "\r\nContent-Length: 0\r\n") != NULL, "it says that it has none");
	ok(ends_as(run_request(&peer, "POST", "/plain", ""), PO_HTTP_ANSWERED, 200, "hello"), "POST of an empty body");
	ok(ends_as(run_request(&peer, "PUT", "/plain", "new"), PO_HTTP_ANSWERED, 200, "hello") &&
	   strstr(peer_last()->bytes, "PUT ") == peer_last()->bytes &&
	   strstr(peer_last()->bytes, "\r\n\r\nnew") != NULL, "PUT");
	ok(ends_as(run_request(&peer, "DELETE", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello") &&
	   strstr(peer_last()->bytes, "DELETE ") == peer_last()->bytes &&
	   strstr(peer_last()->bytes, "Content-Length") == NULL, "DELETE");
	n = peer_connections();
	ok(n == connection, "all on one connection");
}

static void
test_large_body(void)
{
	static char body[3000001];
	Seen	   *request;

	memset(body, 'b', sizeof(body) - 1);
	ok(ends_as(run_request(&peer, "POST", "/plain?large", body), PO_HTTP_ANSWERED, 200, "hello"), "a body of 3 MB");
	request = peer_last();
	ok(request->len > sizeof(body) &&
	   strcmp(request->bytes + request->len - (sizeof(body) - 1), body) == 0, "arrives as it is");
	ok(strstr(request->bytes, "Expect") == NULL, "without asking first");
	ok(ends_as(run_request(&peer, "POST", "/early-413", body), PO_HTTP_ANSWERED, 413, "big"),
	   "refused before it was read");
	ok(ends_as(run_request(&peer, "POST", "/early-200", body), PO_HTTP_LOST, 0, ""),
	   "accepted before it was read");
	ok(ends_as(run_request(&peer, "POST", "/header-reset", body), PO_HTTP_LOST, 0, ""), "reset before it was read");
}

/* ---- answers ---- */

typedef struct Answer
{
	const char *name;
	const char *path;
	const char *bytes;
	PoHttpOutcome outcome;
	int			status;
	const char *body;
} Answer;

static const Answer answers[] = {
	{"204", "/raw", "HTTP/1.1 204 No Content\r\n\r\n", PO_HTTP_ANSWERED, 204, ""},
	{"304", "/raw", "HTTP/1.1 304 Not Modified\r\n\r\n", PO_HTTP_ANSWERED, 304, ""},
	{"301 is not followed", "/raw", "HTTP/1.1 301 Moved\r\nLocation: /plain?followed\r\nContent-Length: 0\r\n\r\n",
	 PO_HTTP_ANSWERED, 301, ""},
	{"307 is not followed", "/raw", "HTTP/1.1 307 Moved\r\nLocation: /plain?followed\r\nContent-Length: 0\r\n\r\n",
	 PO_HTTP_ANSWERED, 307, ""},
	{"401 is not answered", "/raw", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
	 "Content-Length: 0\r\n\r\n", PO_HTTP_ANSWERED, 401, ""},
	{"417 is not answered", "/raw", "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", PO_HTTP_ANSWERED, 417, ""},
	{"500", "/raw", "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", PO_HTTP_ANSWERED, 500, "oops"},
	{"status 999", "/raw", "HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n", PO_HTTP_ANSWERED, 999, ""},
	{"no reason phrase", "/raw", "HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", PO_HTTP_ANSWERED, 202, ""},
	{"HTTP/1.0", "/raw-close", "HTTP/1.0 200 OK\r\n\r\nold", PO_HTTP_ANSWERED, 200, "old"},
	{"length of the body unknown", "/raw-close", "HTTP/1.1 200 OK\r\n\r\nuntil the end",
	 PO_HTTP_ANSWERED, 200, "until the end"},
	{"chunks", "/raw", "HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
	 PO_HTTP_ANSWERED, 201, "abcde"},
	{"chunks and trailers", "/raw", "HTTP/1.1 201 OK\r\n"
	 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nRetry-After: 9\r\nX: HTTP/1.1 500\r\n\r\n",
	 PO_HTTP_ANSWERED, 201, "abc"},
	{"an encoding nobody asked for", "/raw", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
	 "Content-Length: 3\r\n\r\nraw", PO_HTTP_ANSWERED, 200, "raw"},
	{"interim answers", "/raw", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
	 "HTTP/1.1 202 OK\r\nContent-Length: 1\r\n\r\n1", PO_HTTP_ANSWERED, 202, "1"},
	{"a second answer behind it", "/raw", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	 "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", PO_HTTP_ANSWERED, 200, "ok"},

	{"no answer", "/close", "x", PO_HTTP_LOST, 0, ""},
	{"reset", "/reset", "x", PO_HTTP_LOST, 0, ""},
	{"only an interim answer", "/raw-close", "HTTP/1.1 100 Continue\r\n\r\n", PO_HTTP_LOST, 0, ""},
	{"another protocol", "/raw-close", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx",
	 PO_HTTP_LOST, 0, ""},
	{"a status line cut short", "/raw-close", "HTTP/1.1 20", PO_HTTP_LOST, 0, ""},
	{"only a status line", "/raw-close", "HTTP/1.1 200 OK\r\n", PO_HTTP_LOST, 0, ""},
	{"a header cut short", "/raw-close", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-L",
	 PO_HTTP_LOST, 0, ""},
	{"a header without its end", "/raw-close", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", PO_HTTP_LOST, 0, ""},
	{"a body cut short", "/raw-close", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"sid\":", PO_HTTP_LOST, 0, ""},
	{"no body at all", "/raw-close", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", PO_HTTP_LOST, 0, ""},
	{"a body reset", "/raw-reset", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"sid\":", PO_HTTP_LOST, 0, ""},
	{"a body of unknown length reset", "/raw-reset", "HTTP/1.1 200 OK\r\n\r\n{\"sid\":", PO_HTTP_LOST, 0, ""},
	{"a chunk cut short", "/raw-close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
	 PO_HTTP_LOST, 0, ""},
	{"no last chunk", "/raw-close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	 PO_HTTP_LOST, 0, ""},
	{"no end of the trailers", "/raw-close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	 PO_HTTP_LOST, 0, ""},
	{"garbage for a chunk", "/raw-close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
	 PO_HTTP_LOST, 0, ""},
	{"garbage for a length", "/raw-close", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde", PO_HTTP_LOST, 0, ""},
	{"two lengths", "/raw-close", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
	 PO_HTTP_LOST, 0, ""},
	{"another server", "/raw-close", "SSH-2.0-OpenSSH_9.2\r\n", PO_HTTP_LOST, 0, ""},
	{"HTTP/0.9", "/raw-close", "<html>hello</html>", PO_HTTP_LOST, 0, ""},
	{"a status of letters", "/raw-close", "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", PO_HTTP_LOST, 0, ""},
	{"a status of two digits", "/raw-close", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", PO_HTTP_LOST, 0, ""},
	{"HTTP/2 all of a sudden", "/raw-close", "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", PO_HTTP_LOST, 0, ""},
	{"a zero byte in the header", "/raw-close", NULL, PO_HTTP_LOST, 0, ""},
	{"a gzip bomb's encoding", "/raw-close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nnot gzip",
	 PO_HTTP_LOST, 0, ""},
};

static void
test_answers(void)
{
	static const char zero[] = "HTTP/1.1 200 OK\r\nX-Message-Id: a\0b\r\nContent-Length: 0\r\n\r\n";

	for (int i = 0; i < (int) lengthof(answers); i++)
	{
		const Answer *a = &answers[i];
		PoHttpCall	call;

		peer_forget();
		call = make_call("POST", url_of(&peer, a->path), a->bytes);
		if (a->bytes == NULL)
		{
			call.body = zero;
			call.body_len = sizeof(zero) - 1;
		}
		ok(ends_as(run_call(&call), a->outcome, a->status, a->body), a->name);
		if (peer_count("\r\n\r\n") != 1)
			ok(false, "one request was seen");
	}
	ok(peer_count("followed") == 0, "no redirection was followed");
}

static void
test_retry_after(void)
{
	static const struct
	{
		const char *value;
		long		expected;
	}			cases[] = {
		{"0", 0}, {"120", 120}, {"  7  ", 7}, {"31536001", PO_HTTP_MAX_RETRY_AFTER},
		{"99999999999999999999", PO_HTTP_MAX_RETRY_AFTER}, {"-1", -1}, {"1.5", -1}, {"12s", -1},
		{"", -1}, {"soon", -1}, {"0x10", -1}, {"1994", 1994}, {"20301231", 20301231},
		{"Sun, 06 Nov 1994 08:50:37 GMT", 60}, {"Sunday, 06-Nov-94 08:50:37 GMT", 60},
		{"Sun Nov  6 08:50:37 1994", 60}, {"Sun, 06 Nov 1994 08:49:36 GMT", 0},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0}, {"Fri, 31 Dec 9999 23:59:59 GMT", PO_HTTP_MAX_RETRY_AFTER},
		{"Sun, 99 Nov 1994 08:50:37 GMT", -1}, {"Sun, 06 Nov", -1}, {"2030-01-01 00:00:00", -1},
		{"Sun, 06 Nov 1994 08:50:37 GMT Sun, 06 Nov 1994 08:50:37 GMT", -1}
	};
	char		bytes[512];
	char		date[64];
	time_t		later = time(NULL) + 100;
	PoHttpAnswer *answer;

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		snprintf(bytes, sizeof(bytes), "HTTP/1.1 429 Slow\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				 "retry-after:%s\r\nContent-Length: 0\r\n\r\n", cases[i].value);
		answer = run_request(&peer, "POST", "/raw", bytes);
		if (answer->retry_after_s != cases[i].expected)
			printf("# %ld\n", answer->retry_after_s);
		ok(answer->retry_after_s == cases[i].expected && answer->http_status == 429, cases[i].value);
		po_http_free(answer);
	}

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
	snprintf(bytes, sizeof(bytes), "HTTP/1.1 503 Slow\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", date);
	answer = run_request(&peer, "POST", "/raw", bytes);
	ok(answer->retry_after_s > 90 && answer->retry_after_s <= 100, "a date, without that of the answer");
	po_http_free(answer);

	answer = run_request(&peer, "POST", "/raw", "HTTP/1.1 103 Early\r\nRetry-After: 9\r\n\r\n"
						 "HTTP/1.1 429 Slow\r\nRetry-After: 5\r\nRetry-After: 6\r\nContent-Length: 0\r\n\r\n");
	ok(answer->retry_after_s == 5, "the first of two, not that of an interim answer");
	po_http_free(answer);
}

static void
test_answer_header(void)
{
	PoHttpCall	call = make_call("POST", url_of(&peer, "/raw"), "HTTP/1.1 202 OK\r\n"
								 "X-Message-Idx: 1\r\nX-Message-I: 2\r\nX-Message-Id : 3\r\n"
								 "X-Message-Id:\r\nX-Message-Id: 5\r\nContent-Length: 0\r\n\r\n");
	PoHttpAnswer *answer;

	call.answer_header = "X-Message-Id";
	answer = run_call(&call);
	ok(answer->header_value != NULL && answer->header_value[0] == '\0', "a header without a value");
	po_http_free(answer);
	call.answer_header = "X-None";
	answer = run_call(&call);
	ok(answer->header_value == NULL, "a header that is not there");
	po_http_free(answer);
	call.answer_header = "X-Message-Id";
	call.body = "HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Message-Id: 9\r\n\r\n";
	call.body_len = strlen(call.body);
	answer = run_call(&call);
	ok(answer->outcome == PO_HTTP_ANSWERED && answer->header_value == NULL, "a trailer is no header");
	po_http_free(answer);
	call.body = "HTTP/1.1 100 Continue\r\nX-Message-Id: 1\r\n\r\nHTTP/1.1 202 OK\r\nX-Message-Id: 2\r\n"
		"Content-Length: 0\r\n\r\n";
	call.body_len = strlen(call.body);
	answer = run_call(&call);
	ok(answer->header_value != NULL && strcmp(answer->header_value, "2") == 0,
	   "that of the final answer");
	po_http_free(answer);
}

/* ---- bounds ---- */

static long
peak_kb(void)
{
	struct rusage usage;

	(void) getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static void
test_bounds(void)
{
	static char raw[PO_HTTP_MAX_BODY + 200];
	static const char *const endless[] = {"/endless-body", "/endless-header", "/endless-line"};
	int			head;
	PoHttpAnswer *answer;
	long		peak;

	for (int extra = 0; extra <= 1; extra++)
	{
		head = sprintf(raw, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", PO_HTTP_MAX_BODY + extra);
		memset(raw + head, 'b', PO_HTTP_MAX_BODY + extra);
		raw[head + PO_HTTP_MAX_BODY + extra] = '\0';
		answer = run_request(&peer, "POST", "/raw", raw);
		if (extra == 0)
			ok(answer->body_len == PO_HTTP_MAX_BODY &&
			   ends_as(answer, PO_HTTP_ANSWERED, 200, raw + head), "a body of 64 KiB");
		else
			ok(ends_as(answer, PO_HTTP_LOST, 0, ""), "a body of one byte more");
	}
	answer = run_request(&peer, "POST", "/raw", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
	ok(answer->latency_ms < 1000 && ends_as(answer, PO_HTTP_LOST, 0, ""),
	   "a body that only says it is longer");

	peak = peak_kb();
	for (int i = 0; i < (int) lengthof(endless); i++)
	{
		size_t		written = peer_bytes_written();
		PoHttpCall	call = make_call("GET", url_of(&peer, endless[i]), NULL);

		call.timeout_ms = 3000;
		ok(ends_as(run_call(&call), PO_HTTP_LOST, 0, ""), endless[i]);
		ok(peer_bytes_written() - written < 16 * 1024 * 1024, "it is not read on");
	}
	ok(peak_kb() - peak < 8 * 1024, "memory stays bounded");
}

static void
test_time(void)
{
	static const char *const paths[] = {"/hang", "/dribble"};
	PoHttpCall	call = make_call("POST", url_of(&peer, "/hang"), "x");
	PoHttpAnswer *answer;

	for (int i = 0; i < (int) lengthof(paths); i++)
	{
		call.url = url_of(&peer, paths[i]);
		call.timeout_ms = 700;
		answer = run_call(&call);
		ok(answer->latency_ms >= 690 && answer->latency_ms < 1500, "the time-out is held");
		ok(ends_as(answer, PO_HTTP_LOST, 0, ""), paths[i]);
	}

	call.timeout_ms = 0;
	answer = run_call(&call);
	ok(answer->latency_ms < 1000, "none is not forever");
	po_http_free(answer);
	ok(po_http_in_flight() == 0 && longest_drive_ms < 500, "nothing waits inside");
}

/* Nobody looks at a call, from when the peer has its request until its time is long up. */
static PoHttpAnswer *
neglect(const PoHttpCall *call, const char *text)
{
	PoHttpAnswer *answer;
	int			seen;

	do
	{
		seen = peer_count(text);
		if (!po_http_add(call))
			bail_out("no memory");
		while (peer_count(text) == seen && po_http_next() == NULL)
			po_http_drive();
		answer = po_http_next();
		if (answer != NULL)
			po_http_free(answer);
	} while (po_http_in_flight() == 0);
	usleep((call->timeout_ms + 300) * 1000);
	po_http_drive();
	return po_http_next();
}

static void
test_neglect(void)
{
	static char raw[PO_HTTP_MAX_BODY + 256];
	PoHttpCall	call = make_call("POST", url_of(&peer, "/raw"), raw);
	PoHttpAnswer *answer;
	int			head;

	head = sprintf(raw, "HTTP/1.1 200 OK\r\nX-Neglected: %d\r\nContent-Length: %d\r\n\r\n",
				   PO_HTTP_MAX_BODY, PO_HTTP_MAX_BODY);
	memset(raw + head, 'n', PO_HTTP_MAX_BODY);
	call.body_len = strlen(raw);
	call.timeout_ms = 400;
	answer = neglect(&call, "X-Neglected");
	ok(answer != NULL && answer->latency_ms >= 400 && answer->body_len == PO_HTTP_MAX_BODY &&
	   ends_as(answer, PO_HTTP_ANSWERED, 200, raw + head),
	   "an answer that came in time counts, however late it is looked at");

	call = make_call("POST", url_of(&peer, "/hang"), "neglected");
	call.timeout_ms = 400;
	answer = neglect(&call, "neglected");
	ok(answer != NULL && ends_as(answer, PO_HTTP_LOST, 0, ""), "where none came, the first look gives it up");

	/* nobody has looked since before there was a connection */
	call = make_call("POST", url_of(&peer, "/plain"), "connected late");
	call.connect_timeout_ms = 200;
	po_http_stop();
	if (!po_http_start(true) || !po_http_add(&call))
		bail_out("no memory");
	usleep(500 * 1000);
	ok(ends_as(wait_for_answer(), PO_HTTP_ANSWERED, 200, "hello"),
	   "a connection is tried anew when its time went by unseen");
	call.timeout_ms = 300;
	call.body = "never begun";
	call.body_len = strlen(call.body);
	po_http_stop();
	if (!po_http_start(true) || !po_http_add(&call))
		bail_out("no memory");
	usleep(500 * 1000);
	ok(ends_as(wait_for_answer(), PO_HTTP_NOT_SENT, 0, "") && peer_count("never begun") == 0,
	   "a request whose time is up is not begun");
}

/* ---- the process ---- */

/* Whether all sockets of this process are closed on exec, and ours kept alive. */
static void
test_sockets(void)
{
	DIR		   *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	bool		closed = true;
	int			alive = 0;

	po_http_free(run_request(&peer, "GET", "/plain", NULL));
	while ((entry = readdir(dir)) != NULL)
	{
		int			fd = atoi(entry->d_name);
		struct sockaddr_in to;
		socklen_t	size = sizeof(to);
		int			keep = 0;

		if (getpeername(fd, (struct sockaddr *) &to, &size) != 0 || to.sin_family != AF_INET)
			continue;
		if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
			closed = false;
		size = sizeof(keep);
		if (ntohs(to.sin_port) == peer.port &&
			getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keep, &size) == 0 && keep != 0)
			alive++;
	}
	closedir(dir);
	ok(closed && (fcntl(po_http_fd(), F_GETFD) & FD_CLOEXEC) != 0, "closed on exec");
	ok(alive == 1, "kept alive");
}

/* A proxy that does not exist, a password for this host: neither is used. */
static void
test_environment(void)
{
	char		home[] = "http_test.XXXXXX";
	char		path[64];
	FILE	   *file;

	if (mkdtemp(home) == NULL)
		bail_out("no folder");
	snprintf(path, sizeof(path), "%s/.netrc", home);
	file = fopen(path, "w");
	fprintf(file, "default login a password b\n");
	fclose(file);
	setenv("HOME", home, 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	po_http_stop();
	po_http_start(true);
	ok(ends_as(run_request(&peer, "GET", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello"), "no proxy");
	ok(strstr(peer_last()->bytes, "Authorization") == NULL, "no password");
	ok(ends_as(run_request(&peer, "POST", "/raw", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
			   PO_HTTP_ANSWERED, 200, "") &&
	   ends_as(run_request(&peer, "GET", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello") &&
	   strstr(peer_last()->bytes, "Cookie") == NULL, "no cookies");
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unlink(path);
	rmdir(home);
}

/* ---- many ---- */

static void
test_many(void)
{
	static int	tags[200];
	char		url[256];
	int			n = lengthof(tags);
	int			right = 0;

	memset(tags, 0, sizeof(tags));
	peer_forget();
	for (int i = 0; i < n; i++)
	{
		PoHttpCall	call;
		char		body[32];

		snprintf(body, sizeof(body), "<%d>", i);
		snprintf(url, sizeof(url), "http://%s:%d/plain?many", i % 2 ? "127.0.0.1" : "private.test",
				 peer.port);
		call = make_call("POST", url, body);
		call.timeout_ms = 15000;
		call.tag = &tags[i];
		if (!po_http_add(&call))
			bail_out("no memory");
	}
	ok(po_http_in_flight() == n, "200 calls at once");
	for (int i = 0; i < n; i++)
	{
		PoHttpAnswer *answer = wait_for_answer();

		++*(int *) answer->tag;
		right += ends_as(answer, PO_HTTP_ANSWERED, 200, "hello");
	}
	for (int i = 0; i < n; i++)
	{
		char		body[32];

		snprintf(body, sizeof(body), "<%d>", i);
		right += tags[i] == 1 && peer_count(body) == 1;
	}
	ok(right == 2 * n, "each is seen once and answered once");

	for (int i = 0; i < 50; i++)
	{
		PoHttpCall	call = make_call("POST", url_of(&peer, i % 2 ? "/hang" : "/plain"), "x");

		po_http_add(&call);
	}
	po_http_free(wait_for_answer());
	po_http_stop();
	ok(po_http_in_flight() == 0 && po_http_fd() == -1 && po_http_timeout_ms() == -1 &&
	   po_http_next() == NULL, "all are given up");
	po_http_drive();
	po_http_stop();
	ok(!po_http_add(&(PoHttpCall) {.method = "GET", .url = "http://127.0.0.1/"}), "no call then");
	ok(po_http_start(true) && po_http_fd() >= 0 && po_http_timeout_ms() == -1, "starts again");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	peer_start(&peer, NULL);
	if (!po_http_start(true))
		bail_out("libcurl does not start");

	test_requests();
	test_large_body();
	test_answers();
	test_retry_after();
	test_answer_header();
	test_bounds();
	test_time();
	test_neglect();
	test_sockets();
	test_environment();
	test_many();

	po_http_stop();
	peer_stop(&peer);
	peer_forget();
	return finish_tests();
}
