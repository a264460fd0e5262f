/*
 * http_once_test.c
 *	  Unit test of sender/http.c: a provider never sees a request twice, what
 *	  it cannot have seen is told from what it may have; TLS; name lookups.
 *
 * Prints TAP.  Listens on the loopback only; the answers of name servers are
 * made by the getaddrinfo() of this program, which libcurl calls.
 */
#include "postgres_fe.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "http_peer.h"

#define SLOW_LOOKUP_S	2
#define HELD_LOOKUP_MS	60000

static Peer plain;
static Peer secure;
static char certificate_file[] = "http_once_test.XXXXXX";
static char offered_protocols[64];

static volatile sig_atomic_t handled = 0;
static volatile sig_atomic_t handled_elsewhere = 0;
static pid_t main_thread;

static int	lookups = 0;
static int	lookups_in_main = 0;
static int	lookups_unblocked = 0;
static int	lookups_held = 0;
static bool hold = true;

/* ---- lookups ---- */

/*
 * All names of .test are 127.0.0.1; those that begin with "slow" take a while,
 * those with "held" until they are let go.
 * Notes which thread asks, and whether a signal could interrupt it.
 */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
			struct addrinfo **found)
{
	static int	(*real) (const char *, const char *, const struct addrinfo *, struct addrinfo **);
	sigset_t	mask;

	if (real == NULL)
		real = (int (*) (const char *, const char *, const struct addrinfo *,
						 struct addrinfo **)) dlsym(RTLD_NEXT, "getaddrinfo");
	if (name == NULL || strstr(name, ".test") == NULL)
		return real(name, service, hints, found);

	(void) pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 32; i++)
	{
		if (i != SIGKILL && i != SIGSTOP && !sigismember(&mask, i))
			__atomic_fetch_add(&lookups_unblocked, 1, __ATOMIC_SEQ_CST);
	}
	if (syscall(SYS_gettid) == main_thread)
		__atomic_fetch_add(&lookups_in_main, 1, __ATOMIC_SEQ_CST);
	if (strncmp(name, "slow", 4) == 0)
		sleep(SLOW_LOOKUP_S);
	if (strncmp(name, "held", 4) == 0)
	{
		for (int ms = 0; ms < HELD_LOOKUP_MS && __atomic_load_n(&hold, __ATOMIC_SEQ_CST); ms += 10)
			usleep(10000);
		__atomic_fetch_add(&lookups_held, 1, __ATOMIC_SEQ_CST);
	}
	__atomic_fetch_add(&lookups, 1, __ATOMIC_SEQ_CST);
	return real("127.0.0.1", service, hints, found);
}

static void
note_signal(int number)
{
	handled++;
	if (syscall(SYS_gettid) != main_thread)
		handled_elsewhere++;
}

/* ---- helpers ---- */

static PoHttpAnswer *
run_url(const char *url, int timeout_ms)
{
	PoHttpCall	call = make_call("POST", url, "x");

	call.timeout_ms = timeout_ms;
	return run_call(&call);
}

static bool
is_error(PoHttpAnswer *answer, PoHttpOutcome outcome, const char *error)
{
	bool		same = answer->error != NULL && strcmp(answer->error, error) == 0;

	return ends_as(answer, outcome, 0, "") && same;
}

static void
start_anew(void)
{
	po_http_stop();
	if (!po_http_start(true))
		bail_out("libcurl does not start");
	peer_forget();
}

/* ---- once ---- */

/*
 * A request on a connection that was used before, which then breaks without an
 * answer: libcurl would send it again.
 */
static void
break_reused(Peer *peer, const char *method, const char *path, const char *body)
{
	char		name[128];
	int			connection;
	int			connections;
	bool		lost;

	start_anew();
	if (!ends_as(run_request(peer, "GET", "/plain", NULL), PO_HTTP_ANSWERED, 200, "hello"))
		bail_out("no connection");
	connection = peer_last()->connection;
	connections = peer_connections();
	lost = ends_as(run_request(peer, method, path, body), PO_HTTP_LOST, 0, "");
	usleep(20000);
	snprintf(name, sizeof(name), "%s %s of %d bytes%s", method, path,
			 body != NULL ? (int) strlen(body) : 0, peer->tls != NULL ? ", TLS" : "");
	ok(lost && peer_count(path) == 1 && peer_last()->connection == connection &&
	   peer_connections() == connections, name);
}

static void
test_once(Peer *peer)
{
	static const char *const paths[] = {"/close", "/reset", "/header-reset"};
	static char large[200001];

	memset(large, 'b', sizeof(large) - 1);
	for (int i = 0; i < (int) lengthof(paths); i++)
	{
		break_reused(peer, "POST", paths[i], "{\"body\":\"once\"}");
		break_reused(peer, "POST", paths[i], large);
		break_reused(peer, "POST", paths[i], NULL);
		break_reused(peer, "PUT", paths[i], "x");
		break_reused(peer, "DELETE", paths[i], NULL);
		break_reused(peer, "GET", paths[i], NULL);
	}
}

/* A second connection is idle and could be used to send it again. */
static void
test_other_idle(Peer *peer)
{
	int			connections;

	start_anew();
	for (int i = 0; i < 3; i++)
	{
		PoHttpCall	call = make_call("GET", url_of(peer, "/plain"), NULL);

		po_http_add(&call);
	}
	for (int i = 0; i < 3; i++)
		po_http_free(wait_for_answer());
	connections = peer_connections();
	ok(ends_as(run_request(peer, "GET", "/reset", NULL), PO_HTTP_LOST, 0, "") &&
	   ends_as(run_request(peer, "POST", "/reset", "x"), PO_HTTP_LOST, 0, "") &&
	   peer_count("/reset") == 2 && peer_connections() == connections,
	   "not on another idle connection either");
}

/* A connection that was closed, or has something to say, is not used again. */
static void
test_idle(Peer *peer)
{
	static const char *const paths[] = {"/close-idle", "/reset-idle", "/late-extra", "/at-once-extra"};
	int			connection;

	for (int i = 0; i < (int) lengthof(paths); i++)
	{
		start_anew();
		ok(ends_as(run_request(peer, "POST", paths[i], "x"), PO_HTTP_ANSWERED, 200, "hello"), paths[i]);
		connection = peer_last()->connection;
		usleep(150000);
		ok(ends_as(run_request(peer, "POST", "/plain?next", "x"), PO_HTTP_ANSWERED, 200, "hello") &&
		   peer_count("/plain?next") == 1 && peer_last()->connection != connection,
		   "the next request goes by another connection");
	}
}

static void
test_old(void)
{
	int			connection;

	start_anew();
	po_http_free(run_request(&plain, "GET", "/plain", NULL));
	connection = peer_last()->connection;
	usleep(500000);
	po_http_free(run_request(&plain, "GET", "/plain", NULL));
	ok(peer_last()->connection == connection, "idle for a moment: used again");
	usleep(4100000);
	po_http_free(run_request(&plain, "GET", "/plain", NULL));
	ok(peer_last()->connection != connection, "idle for 4 seconds: not used again");
}

/*
 * Servers that close and reset whenever they like, some just as the next
 * request is being written, 10 calls at a time.
 */
static void
test_races(Peer *peer)
{
	enum
	{
		CALLS = 1500,
		AT_ONCE = 10
	};
	static const char *const paths[] = {
		"/plain", "/reset-soon", "/close-idle", "/plain", "/reset", "/close", "/reset-soon", "/plain"
	};
	static int	number[CALLS];
	int			added = 0;
	int			count[3] = {0};
	int			wrong = 0;
	char		name[100];

	start_anew();
	for (int taken = 0; taken < CALLS; taken++)
	{
		PoHttpAnswer *answer;
		char		text[32];
		int			times;

		for (; added < CALLS && po_http_in_flight() < AT_ONCE; added++)
		{
			PoHttpCall	call;

			snprintf(text, sizeof(text), "<%d>", added);
			call = make_call(added % 3 ? "POST" : "PUT", url_of(peer, paths[added % lengthof(paths)]),
							 text);
			number[added] = added;
			call.tag = &number[added];
			po_http_add(&call);
		}
		answer = wait_for_answer();
		snprintf(text, sizeof(text), "<%d>", *(int *) answer->tag);
		times = peer_count(text);
		count[answer->outcome]++;
		if (times > 1 || (times == 0 && answer->outcome == PO_HTTP_ANSWERED) ||
			(times == 1 && answer->outcome == PO_HTTP_NOT_SENT))
			wrong++;
		po_http_free(answer);
	}
	usleep(100000);
	for (int i = 0; i < CALLS; i++)
	{
		char		text[32];

		snprintf(text, sizeof(text), "<%d>", i);
		wrong += peer_count(text) > 1;
	}
	snprintf(name, sizeof(name), "1500 calls: %d answered, %d not sent, %d lost, none seen twice",
			 count[PO_HTTP_ANSWERED], count[PO_HTTP_NOT_SENT], count[PO_HTTP_LOST]);
	ok(wrong == 0 && count[PO_HTTP_ANSWERED] > 500, name);
}

/* ---- TLS ---- */

/* Notes what the client offers, and takes HTTP/2 if that is among it. */
static int
choose_protocol(SSL *tls, const unsigned char **out, unsigned char *out_len,
				const unsigned char *in, unsigned int len, void *arg)
{
	snprintf(offered_protocols, sizeof(offered_protocols), "%.*s", (int) len, (const char *) in);
	return SSL_select_next_proto((unsigned char **) out, out_len,
								 (const unsigned char *) "\2h2\10http/1.1", 12, in, len) ==
		OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void
test_tls(void)
{
	static const char cut[] = "HTTP/1.1 200 OK\r\n\r\n{\"sid\":";
	static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	SSL_CTX    *old = peer_tls("/dev/null");
	Peer		old_peer;
	char		url[256];
	int			seen;

	start_anew();
	ok(ends_as(run_request(&secure, "POST", "/plain", "x"), PO_HTTP_ANSWERED, 200, "hello"), "TLS");
	ok(strcmp(offered_protocols, "\10http/1.1") == 0, "only HTTP/1.1 is offered");
	snprintf(url, sizeof(url), "https://secure.test:%d/plain", secure.port);
	ok(ends_as(run_url(url, 5000), PO_HTTP_ANSWERED, 200, "hello"), "by name");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/plain", secure.port);
	ok(ends_as(run_url(url, 5000), PO_HTTP_LOST, 0, ""), "HTTP to a server of TLS");

	/* younger libcurls take it for the error that it may be */
	ok(ends_as(run_request(&secure, "POST", "/raw-alert", cut), PO_HTTP_LOST, 0, ""),
	   "an answer that TLS does not end");
	ok(is_error(run_request(&secure, "POST", "/raw-close", cut), PO_HTTP_LOST,
				"the answer does not say how long it is"), "an answer that only TLS ends");
	ok(ends_as(run_request(&secure, "POST", "/raw-alert", whole), PO_HTTP_ANSWERED, 200, "ok"),
	   "an answer of known length");

	seen = peer_count("HTTP/1.1\r\n");
	snprintf(url, sizeof(url), "https://wrong.test:%d/plain", secure.port);
	ok(is_error(run_url(url, 5000), PO_HTTP_NOT_SENT, "the server's certificate was not accepted"),
	   "a certificate of another host");
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/plain", plain.port);
	ok(is_error(run_url(url, 300), PO_HTTP_NOT_SENT,
				"the time was up before a connection was made"), "a server that does not begin TLS");

	SSL_CTX_set_security_level(old, 0);
	SSL_CTX_set_min_proto_version(old, TLS1_1_VERSION);
	SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	peer_start(&old_peer, old);
	ok(is_error(run_request(&old_peer, "POST", "/plain", "x"), PO_HTTP_NOT_SENT,
				"TLS could not be agreed upon"), "TLS 1.1");
	peer_stop(&old_peer);
	SSL_CTX_free(old);

	unsetenv("SSL_CERT_FILE");
	po_http_stop();
	po_http_start(true);
	ok(is_error(run_request(&secure, "POST", "/plain", "x"), PO_HTTP_NOT_SENT,
				"the server's certificate was not accepted"), "a certificate nobody vouches for");
	setenv("SSL_CERT_FILE", "/nonexistent", 1);
	po_http_stop();
	po_http_start(true);
	ok(is_error(run_request(&secure, "POST", "/plain", "x"), PO_HTTP_NOT_SENT,
				"the file of trusted certificates could not be read"), "no file of certificates");
	setenv("SSL_CERT_FILE", certificate_file, 1);
	ok(peer_count("HTTP/1.1\r\n") == seen, "none of them saw a request");
}

/* ---- lookups ---- */

/* Signals come while a name is looked up, and while none is handled here. */
static void
test_signals(void)
{
	char		url[256] = "";
	PoHttpCall	call = make_call("POST", url, "x");
	sigset_t	usr1;
	sigset_t	after;

	start_anew();
	signal(SIGUSR1, note_signal);
	snprintf(url, sizeof(url), "http://slow-signal.test:%d/plain", plain.port);
	po_http_add(&call);
	po_http_drive();
	(void) sigemptyset(&usr1);
	(void) sigaddset(&usr1, SIGUSR1);
	(void) pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	usleep(200000);
	po_http_drive();
	(void) kill(getpid(), SIGUSR1);
	usleep(200000);
	ok(handled == 0, "no other thread takes a signal");
	(void) pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	ok(handled == 1, "the main thread does");
	for (int i = 0; i < 100; i++)
	{
		(void) kill(getpid(), SIGUSR1);
		po_http_drive();
	}
	ok(ends_as(wait_for_answer(), PO_HTTP_ANSWERED, 200, "hello"), "the lookup goes on");
	ok(handled > 50 && handled_elsewhere == 0, "all signals were the main thread's");
	ok(lookups_unblocked == 0 && lookups > 0, "all were blocked for the lookup");
	ok(lookups_in_main == 0, "no lookup holds the main thread up");
	(void) pthread_sigmask(SIG_SETMASK, NULL, &after);
	ok(!sigismember(&after, SIGUSR1) && !sigismember(&after, SIGTERM), "none is blocked afterwards");
}

static int
held(void)
{
	return __atomic_load_n(&lookups_held, __ATOMIC_SEQ_CST);
}

/* A lookup that does not end is left behind, by its call and at the stop; others go on. */
static void
test_held_lookup(void)
{
	char		url[256];

	snprintf(url, sizeof(url), "http://held-name.test:%d/plain?held", plain.port);
	ok(ends_as(run_url(url, 300), PO_HTTP_NOT_SENT, 0, ""), "nothing was sent when the time was up");
	ok(ends_as(run_request(&plain, "POST", "/plain", "x"), PO_HTTP_ANSWERED, 200, "hello"), "others go on");
	po_http_free(run_url(url, 50));
	po_http_stop();
	ok(held() == 0, "nobody waited for the lookups");
	po_http_start(true);
	__atomic_store_n(&hold, false, __ATOMIC_SEQ_CST);
	/* younger libcurls look for both kinds of addresses at once */
	for (int ms = 0; ms < HELD_LOOKUP_MS && held() < 2; ms += 10)
		usleep(10000);
	usleep(200000);
	ok(held() >= 2 && peer_count("?held") == 0, "they end without consequences");
}

int
main(void)
{
	SSL_CTX    *tls;

	signal(SIGPIPE, SIG_IGN);
	main_thread = syscall(SYS_gettid);
	if (mkstemp(certificate_file) < 0)
		bail_out("no file");
	tls = peer_tls(certificate_file);
	SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
	setenv("SSL_CERT_FILE", certificate_file, 1);
	peer_start(&plain, NULL);
	peer_start(&secure, tls);

	test_once(&plain);
	test_once(&secure);
	test_other_idle(&plain);
	test_other_idle(&secure);
	test_idle(&plain);
	test_idle(&secure);
	test_old();
	test_races(&plain);
	test_races(&secure);
	test_tls();
	test_signals();
	test_held_lookup();

	po_http_stop();
	peer_stop(&plain);
	peer_stop(&secure);
	peer_forget();
	SSL_CTX_free(tls);
	unlink(certificate_file);
	return finish_tests();
}
