/*
 * http_peer.c
 *	  A provider for the tests of sender/http.c: see http_peer.h.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "http_peer.h"

#define MAX_SEEN		10000

typedef struct Connection
{
	int			fd;
	SSL		   *tls;
	int			number;
} Connection;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Seen seen[MAX_SEEN];
static int	nseen = 0;
static int	nconnections = 0;
static size_t bytes_written = 0;
static int	ntests = 0;
static int	nfailed = 0;

/* ---- TAP ---- */

void
ok(bool passed, const char *name)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, name);
	fflush(stdout);
}

void
bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(1);
}

int
finish_tests(void)
{
	printf("1..%d\n", ntests);
	return nfailed > 0;
}

/* ---- bytes ---- */

static void
pause_ms(int ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

	(void) nanosleep(&time, NULL);
}

static ssize_t
read_some(Connection *c, char *bytes, size_t size)
{
	return c->tls != NULL ? SSL_read(c->tls, bytes, size) : recv(c->fd, bytes, size, 0);
}

static bool
write_all(Connection *c, const char *bytes, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = c->tls != NULL ? SSL_write(c->tls, bytes, len)
			: send(c->fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		pthread_mutex_lock(&lock);
		bytes_written += n;
		pthread_mutex_unlock(&lock);
		bytes += n;
		len -= n;
	}
	return true;
}

static bool
write_text(Connection *c, const char *text)
{
	return write_all(c, text, strlen(text));
}

static void
drain(Connection *c)
{
	char		bytes[16384];

	while (read_some(c, bytes, sizeof(bytes)) > 0)
		;
}

static void
reset(Connection *c)
{
	struct linger linger = {1, 0};

	(void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* What is written meanwhile arrives in one piece. */
static void
set_cork(Connection *c, int on)
{
	(void) setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* ---- requests ---- */

static void
set_request(Seen *request, const char *bytes, size_t len)
{
	char	   *copy = malloc(len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	free(request->bytes);
	request->bytes = copy;
	request->len = len;
}

/* The header of a request has been read. */
static Seen *
note_request(Connection *c, const char *bytes, size_t len)
{
	Seen	   *request;

	pthread_mutex_lock(&lock);
	if (nseen == MAX_SEEN)
		bail_out("too many requests");
	request = &seen[nseen++];
	*request = (Seen) {NULL, 0, c->number};
	set_request(request, bytes, len);
	pthread_mutex_unlock(&lock);
	return request;
}

/* Its body as well. */
static void
note_body(Seen *request, const char *bytes, size_t len)
{
	pthread_mutex_lock(&lock);
	set_request(request, bytes, len);
	pthread_mutex_unlock(&lock);
}

/* Whether the path is this one; what follows its ? does not count. */
static bool
has_path(const char *request, const char *path)
{
	const char *start = strchr(request, ' ');
	size_t		len = strlen(path);

	return start != NULL && strncmp(start + 1, path, len) == 0 &&
		(start[1 + len] == '?' || start[1 + len] == ' ');
}

/* An answer that comes before the body was read, or instead of it. */
static bool
serve_early(Connection *c, const char *request)
{
	if (has_path(request, "/header-reset"))
		reset(c);
	else if (has_path(request, "/early-413"))
	{
		write_text(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
		(void) shutdown(c->fd, SHUT_WR);
		drain(c);
	}
	else if (has_path(request, "/early-200"))
	{
		write_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
		(void) shutdown(c->fd, SHUT_WR);
		pause_ms(300);
		reset(c);
	}
	else
		return false;
	return true;
}

/* Answers a request that was read completely.  False: the connection ends. */
static bool
serve(Connection *c, const char *request, const char *body, size_t body_len)
{
	static const char plain[] = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		"X-Message-ID:  m1 \r\nContent-Length: 5\r\n\r\nhello";
	char		fill[1024];

	memset(fill, 'a', sizeof(fill));
	if (has_path(request, "/plain"))
		return write_text(c, plain);
	if (has_path(request, "/raw"))
		return write_all(c, body, body_len);
	if (has_path(request, "/raw-close"))
		write_all(c, body, body_len);
	else if (has_path(request, "/raw-alert"))
	{
		write_all(c, body, body_len);
		SSL_set_quiet_shutdown(c->tls, 1);
	}
	else if (has_path(request, "/raw-reset"))
	{
		write_all(c, body, body_len);
		pause_ms(200);
		reset(c);
	}
	else if (has_path(request, "/reset"))
		reset(c);
	else if (has_path(request, "/close-idle"))
		write_text(c, plain);
	else if (has_path(request, "/reset-idle") || has_path(request, "/reset-soon"))
	{
		write_text(c, plain);
		/* soon: so that some resets cross the next request */
		pause_ms(has_path(request, "/reset-idle") ? 50 : c->number % 3);
		reset(c);
	}
	else if (has_path(request, "/late-extra"))
	{
		write_text(c, plain);
		pause_ms(20);
		return write_text(c, "HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n");
	}
	else if (has_path(request, "/at-once-extra"))
	{
		set_cork(c, 1);
		write_text(c, plain);
		write_text(c, "HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n");
		set_cork(c, 0);
		return true;
	}
	else if (has_path(request, "/hang"))
		drain(c);
	else if (has_path(request, "/dribble"))
	{
		for (const char *byte = plain; *byte != '\0' && write_all(c, byte, 1); byte++)
			pause_ms(100);
	}
	else if (has_path(request, "/endless-body"))
	{
		write_text(c, "HTTP/1.1 200 OK\r\n\r\n");
		while (write_all(c, fill, sizeof(fill)))
			;
	}
	else if (has_path(request, "/endless-header"))
	{
		write_text(c, "HTTP/1.1 200 OK\r\n");
		while (write_text(c, "X-Fill: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"))
			;
	}
	else if (has_path(request, "/endless-line"))
	{
		write_text(c, "HTTP/1.1 200 OK\r\nX-Fill: ");
		while (write_all(c, fill, sizeof(fill)))
			;
	}
	/* /close, and what is not known */
	return false;
}

/* Reads and answers one request.  False: the connection ends. */
static bool
serve_next(Connection *c)
{
	size_t		size = 65536;
	size_t		len = 0;
	size_t		header_len = 0;
	size_t		body_len = 0;
	char	   *bytes = malloc(size + 1);
	Seen	   *request = NULL;
	bool		goes_on = false;

	for (;;)
	{
		ssize_t		n;
		char	   *end;

		if (len == size)
			bytes = realloc(bytes, (size *= 2) + 1);
		n = read_some(c, bytes + len, size - len);
		if (n <= 0)
			break;
		len += n;
		bytes[len] = '\0';
		if (request == NULL && (end = strstr(bytes, "\r\n\r\n")) != NULL)
		{
			const char *field = strstr(bytes, "\r\nContent-Length: ");

			header_len = end + 4 - bytes;
			if (field != NULL && field < end)
				body_len = atol(field + strlen("\r\nContent-Length: "));
			request = note_request(c, bytes, header_len);
			if (serve_early(c, bytes))
				break;
		}
		if (request != NULL && len >= header_len + body_len)
		{
			note_body(request, bytes, len);
			goes_on = serve(c, bytes, bytes + header_len, len - header_len);
			break;
		}
	}
	free(bytes);
	return goes_on;
}

static void *
connection_main(void *arg)
{
	Connection *c = arg;
	struct linger linger;
	socklen_t	size = sizeof(linger);

	if (c->tls == NULL || SSL_accept(c->tls) == 1)
	{
		while (serve_next(c))
			;
	}
	/* an alert before a reset would be an orderly end */
	if (c->tls != NULL && getsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 &&
		linger.l_onoff == 0)
		(void) SSL_shutdown(c->tls);
	if (c->tls != NULL)
		SSL_free(c->tls);
	(void) close(c->fd);
	free(c);
	return NULL;
}

/* ---- the provider ---- */

static void
start_thread(void *(*body) (void *), void *arg)
{
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;

	(void) sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, body, arg) != 0)
		bail_out("no thread");
	(void) pthread_detach(thread);
	(void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *
listener_main(void *arg)
{
	Peer	   *peer = arg;
	int			listener = peer->listener;
	SSL_CTX    *tls = peer->tls;

	for (;;)
	{
		int			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		Connection *c;

		if (fd < 0)
			return NULL;
		c = calloc(1, sizeof(*c));
		c->fd = fd;
		if (tls != NULL)
		{
			c->tls = SSL_new(tls);
			SSL_set_fd(c->tls, fd);
		}
		pthread_mutex_lock(&lock);
		c->number = ++nconnections;
		pthread_mutex_unlock(&lock);
		start_thread(connection_main, c);
	}
}

/* With tls NULL it speaks plain HTTP. */
void
peer_start(Peer *peer, SSL_CTX *tls)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer->tls = tls;
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(peer->listener, (struct sockaddr *) &address, size) != 0 ||
		listen(peer->listener, 1024) != 0 ||
		getsockname(peer->listener, (struct sockaddr *) &address, &size) != 0)
		bail_out("cannot listen");
	peer->port = ntohs(address.sin_port);
	start_thread(listener_main, peer);
}

/* The port is free afterwards: connections to it are refused. */
void
peer_stop(Peer *peer)
{
	(void) shutdown(peer->listener, SHUT_RDWR);
	(void) close(peer->listener);
}

int
peer_connections(void)
{
	int			n;

	pthread_mutex_lock(&lock);
	n = nconnections;
	pthread_mutex_unlock(&lock);
	return n;
}

size_t
peer_bytes_written(void)
{
	size_t		n;

	pthread_mutex_lock(&lock);
	n = bytes_written;
	pthread_mutex_unlock(&lock);
	return n;
}

/* How many requests hold this text. */
int
peer_count(const char *text)
{
	int			n = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < nseen; i++)
		n += strstr(seen[i].bytes, text) != NULL;
	pthread_mutex_unlock(&lock);
	return n;
}

/* The request that was seen last; only while none is under way. */
Seen *
peer_last(void)
{
	return &seen[nseen - 1];
}

/* Only while no request is under way. */
void
peer_forget(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < nseen; i++)
		free(seen[i].bytes);
	nseen = 0;
	pthread_mutex_unlock(&lock);
}

/*
 * A key, and a certificate of it that it signed itself, for 127.0.0.1 and
 * secure.test.  The certificate is written to the file.
 */
SSL_CTX *
peer_tls(const char *certificate_file)
{
	SSL_CTX    *tls = SSL_CTX_new(TLS_server_method());
	EVP_PKEY   *key = EVP_EC_gen("P-256");
	X509	   *certificate = X509_new();
	X509_NAME  *name = X509_get_subject_name(certificate);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
												"IP:127.0.0.1,DNS:secure.test");
	X509_EXTENSION *authority = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
													"critical,CA:TRUE");
	FILE	   *file = fopen(certificate_file, "w");

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *) "test", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, names, -1);
	X509_add_ext(certificate, authority, -1);
	if (file == NULL || X509_sign(certificate, key, EVP_sha256()) == 0 ||
		PEM_write_X509(file, certificate) != 1 || fclose(file) != 0 ||
		SSL_CTX_use_certificate(tls, certificate) != 1 || SSL_CTX_use_PrivateKey(tls, key) != 1)
		bail_out("cannot make a certificate");
	X509_EXTENSION_free(names);
	X509_EXTENSION_free(authority);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return tls;
}
