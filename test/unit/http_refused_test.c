/*
 * http_refused_test.c
 *	  Unit test of sender/http.c: what is not sent, for its URL, its headers or
 *	  the address it would go to.
 *
 * Prints TAP.  Listens on the loopback only.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sender/http_address.h"

#include "http_peer.h"

static Peer peer;

static void
not_sent(const char *url, const char *error)
{
	PoHttpCall	call = make_call("POST", url, "x");
	PoHttpAnswer *answer = run_call(&call);
	bool		right = answer->error != NULL && strcmp(answer->error, error) == 0;

	ok(ends_as(answer, PO_HTTP_NOT_SENT, 0, "") && right, url);
}

static void
test_not_sent(void)
{
	static const char *const bad_urls[] = {
		"", "http://", "no url", "ftp://127.0.0.1/", "file:///etc/passwd",
		"gopher://127.0.0.1/", "unix:///x", "http://user:password@127.0.0.1/",
		"http://127.0.0.1:99999/", "http://127.0.0.1/a b", "http://127.0.0.1/a\r\nX: y"
	};
	static const char *const bad_headers[] = {
		"X: a\r\nY: b", "X: a\nY: b", "X: a\rY: b", "X: a\tb", "X: \x7f", "no colon", ": no name",
		"X Y: z", "X;", "X;:", " X: y", "", "Content-Length: 5", "content-length: 5",
		"Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close", "Upgrade: h2c"
	};
	Peer		gone;
	char		url[256];
	PoHttpCall	call;
	PoHttpAnswer *answer;
	int			connections = peer_connections();

	peer_start(&gone, NULL);
	peer_stop(&gone);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", gone.port);
	not_sent(url, "no connection could be made");
	not_sent("http://nowhere.test/", "the host name could not be resolved");
	for (int i = 0; i < (int) lengthof(bad_urls); i++)
		not_sent(bad_urls[i], "the URL cannot be used");

	call = make_call("POST", url_of(&peer, "/plain"), "x");
	for (int i = 0; i < (int) lengthof(bad_headers); i++)
	{
		call.header = &bad_headers[i];
		call.nheaders = 1;
		answer = run_call(&call);
		ok(strstr(answer->error, "a header ") == answer->error &&
		   ends_as(answer, PO_HTTP_NOT_SENT, 0, ""), "a bad header");
	}
	call.method = "HEAD";
	call.nheaders = 0;
	ok(ends_as(run_call(&call), PO_HTTP_NOT_SENT, 0, ""), "HEAD");
	ok(peer_connections() == connections, "no connection was made");

}

/* A server that takes no more connections: its queue is full. */
static void
test_connect_time(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	size = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int			waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd queue = {.fd = listener, .events = POLLIN};
	char		url[256] = "";
	PoHttpCall	call = make_call("POST", url, "x");
	PoHttpAnswer *answer;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, size) != 0 || listen(listener, 0) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &size) != 0)
		bail_out("cannot listen");
	/* It is full once the one it has room for is in it: before, others are let in and reset. */
	if (connect(waiting, (struct sockaddr *) &address, size) != 0 || poll(&queue, 1, -1) != 1)
		bail_out("cannot connect");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
	call.connect_timeout_ms = 300;
	answer = run_call(&call);
	ok(answer->latency_ms >= 290 && answer->latency_ms < 2000 &&
	   ends_as(answer, PO_HTTP_NOT_SENT, 0, ""), "no connection in time");
	close(waiting);
	close(listener);
}

static void
test_addresses(void)
{
	static const char *const closed[] = {
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255",
		"127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
		"198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255", "::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254",
		"64:ff9b:1::8.8.8.8", "64:ff9b::1:0:0:8.8.8.8", "100::1", "2001::1", "2001:0:4136:e378::1",
		"2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1",
		"2002:808:808::1", "3fff::1", "3fff:fff::1", "1fff::1", "4000::1", "5f00::1", "fc00::1",
		"fd00:ec2::254", "fe80::1", "febf::1", "fec0::1", "ff02::1", "", "x", "1", "127.1", "localhost"
	};
	static const char *const open[] = {
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255",
		"172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.1", "192.88.100.1",
		"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255",
		"198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "64:ff9b::8.8.8.8",
		"2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1",
		"2606:4700::1111", "2a00:1450::1", "3ffe:ffff::1", "3fff:1000::1"
	};
	struct sockaddr_storage other = {.ss_family = AF_UNIX};

	for (int i = 0; i < (int) lengthof(closed); i++)
		ok(!po_address_text_is_public(closed[i]), closed[i]);
	for (int i = 0; i < (int) lengthof(open); i++)
		ok(po_address_text_is_public(open[i]), open[i]);
	ok(!po_address_is_public((struct sockaddr *) &other), "a socket of the file system");
}

static void
test_private_refused(void)
{
	static const char *const hosts[] = {
		"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0",
		"[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "private.test", "PRIVATE.test"
	};
	char		url[256];
	PoHttpCall	call;
	int			connections;

	/* there is a connection that could be used again */
	ok(ends_as(run_request(&peer, "GET", "/plain?before", NULL), PO_HTTP_ANSWERED, 200, "hello"), "allowed");
	connections = peer_connections();
	call = make_call("GET", url_of(&peer, "/plain?after"), NULL);
	if (!po_http_add(&call))
		bail_out("no memory");
	po_http_allow_private(false);
	ok(ends_as(wait_for_answer(), PO_HTTP_NOT_SENT, 0, ""), "not even on an open connection");
	for (int i = 0; i < (int) lengthof(hosts); i++)
	{
		snprintf(url, sizeof(url), "https://%s:%d/plain?after", hosts[i], peer.port);
		not_sent(url, "the address is not a public one");
	}
	not_sent(url_of(&peer, "/plain?after"), "the URL cannot be used");
	ok(peer_connections() == connections && peer_count("?after") == 0, "nothing was sent");
	po_http_allow_private(true);
	ok(ends_as(run_request(&peer, "GET", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello"), "allowed again");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	peer_start(&peer, NULL);
	if (!po_http_start(true))
		bail_out("libcurl does not start");

	test_addresses();
	test_not_sent();
	test_connect_time();
	test_private_refused();

	po_http_stop();
	peer_stop(&peer);
	peer_forget();
	return finish_tests();
}
