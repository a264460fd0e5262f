/*
 * load.c
 *		HTTP load maker of the bench: one thread, keep-alive connections, each
 *		with one request under way.
 *
 * It is the same program with the same bytes for every contender.  It signs as
 * it goes, waits for all answers before it ends, and prints what it sent, so
 * that the rows in the database can be held against it.
 *
 * Two kinds of run: by default each request is a new webhook, but for a share
 * of replays of one of the last REPLAY_WINDOW; with -D every request is one of
 * the first COUNT webhooks of the series again.
 */
#include "request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define REPLAY_WINDOW 256
#define ANSWER_MAX 16384
#define DRAIN_SECONDS 10

typedef struct Connection
{
	int			fd;
	bool		busy;			/* a request waits for its answer */
	uint64_t	sent_at;		/* microseconds, monotonic */
	size_t		len;			/* bytes of the answer so far */
	char		answer[ANSWER_MAX];
} Connection;

static struct
{
	int			port;
	int			connections;
	double		warmup;			/* seconds before counting starts */
	double		seconds;		/* seconds that are counted */
	unsigned	replay_per_mille;
	uint64_t	duplicates_of;	/* -D: only webhooks below this number, again */
}			opt = {.connections = 64, .warmup = 1, .seconds = 8, .replay_per_mille = 20};

static Connection conns[MAX_CONNECTIONS];
static BenchSeries series;
static int	poll_fd;
static uint64_t next_new;		/* webhooks below it have been sent */
static uint64_t sent;
static uint64_t answered;
static uint64_t refused;		/* answers other than 2xx */
static uint64_t lost;			/* connection closed instead of an answer */
static uint64_t random_state = 88172645463325252u;

static uint32_t *latencies;		/* of the answers inside the counted time */
static size_t latency_count;
static size_t latency_space;

static void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Opens the connection anew and enters it into the poll set. */
static void
open_connection(Connection *conn)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) opt.port)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
	int			on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	conn->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *) &to, sizeof(to)) != 0)
		die("cannot connect");
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) != 0 ||
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0)
		die("cannot watch a connection");
	conn->busy = false;
	conn->len = 0;
}

/* Which webhook goes out next. */
static uint64_t
choose_webhook(void)
{
	if (opt.duplicates_of > 0)
		return sent % opt.duplicates_of;
	if (next_new > 0 && next_random() % 1000 < opt.replay_per_mille)
	{
		uint64_t	window = next_new < REPLAY_WINDOW ? next_new : REPLAY_WINDOW;

		return next_new - 1 - next_random() % window;
	}
	return next_new++;
}

/* Sends one request; an idle loopback socket takes one whole. */
static void
send_request(Connection *conn)
{
	BenchRequest request;
	char		message[BENCH_BODY_MAX + 512];
	int			len;

	bench_request_make(&series, choose_webhook(), &request);
	len = snprintf(message, sizeof(message),
				   "POST " BENCH_PATH " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
				   "User-Agent: texting-webhooks/1.0\r\nContent-Type: application/json\r\n"
				   "X-Texting-Signature: %s\r\nContent-Length: %zu\r\n\r\n%s",
				   request.signature, request.body_len, request.body);
	conn->sent_at = now_us();
	conn->busy = true;
	conn->len = 0;
	sent++;
	if (send(conn->fd, message, (size_t) len, MSG_NOSIGNAL) != len)
		die("cannot send");
}

/*
 * Length of the whole answer, 0 while it is incomplete.  *status and *closes
 * are set once the head is there.
 */
static size_t
answer_length(Connection *conn, int *status, bool *closes)
{
	char	   *end;
	char	   *line;
	size_t		body = 0;

	conn->answer[conn->len] = '\0';
	end = strstr(conn->answer, "\r\n\r\n");
	if (end == NULL)
		return 0;
	*status = atoi(conn->answer + strlen("HTTP/1.1 "));
	*closes = false;
	for (line = strstr(conn->answer, "\r\n"); line < end; line = strstr(line + 2, "\r\n"))
	{
		if (strncasecmp(line + 2, "content-length:", 15) == 0)
			body = strtoul(line + 17, NULL, 10);
		else if (strncasecmp(line + 2, "transfer-encoding:", 18) == 0)
		{
			fprintf(stderr, "load: chunked answers are not read\n");
			exit(1);
		}
		else if (strncasecmp(line + 2, "connection: close", 17) == 0)
			*closes = true;
	}
	body += (size_t) (end - conn->answer) + 4;
	return conn->len >= body ? body : 0;
}

/* Books a complete answer. */
static void
count_answer(Connection *conn, int status, uint64_t count_from)
{
	uint64_t	now = now_us();

	answered++;
	if (status < 200 || status > 299)
	{
		if (refused++ == 0)
			fprintf(stderr, "load: first refusal: %.300s\n", conn->answer);
	}
	else if (now >= count_from && latency_count < latency_space)
		latencies[latency_count++] = (uint32_t) (now - conn->sent_at);
}

/*
 * Reads what has come.  Sends the next request when the answer is complete and
 * there is still time to send.
 */
static void
read_connection(Connection *conn, uint64_t count_from, bool send_more)
{
	ssize_t		got = recv(conn->fd, conn->answer + conn->len, ANSWER_MAX - 1 - conn->len, 0);
	int			status = 0;
	bool		closes = false;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
	{
		lost += conn->busy;
		close(conn->fd);
		open_connection(conn);
	}
	else
	{
		conn->len += (size_t) got;
		if (answer_length(conn, &status, &closes) == 0)
		{
			if (conn->len == ANSWER_MAX - 1)
			{
				errno = EMSGSIZE;
				die("answer");
			}
			return;
		}
		count_answer(conn, status, count_from);
		conn->busy = false;
		if (closes)
		{
			close(conn->fd);
			open_connection(conn);
		}
	}
	if (send_more)
		send_request(conn);
}

static int
compare_latency(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *) a;
	uint32_t	y = *(const uint32_t *) b;

	return (x > y) - (x < y);
}

/* Latency in milliseconds below which a share of the answers lies. */
static double
percentile(double share)
{
	if (latency_count == 0)
		return 0;
	return latencies[(size_t) (share * (double) (latency_count - 1))] / 1000.0;
}

/* Keeps all connections busy for the time asked for, then waits for the last answers. */
static void
run(void)
{
	uint64_t	start = now_us();
	uint64_t	count_from = start + (uint64_t) (opt.warmup * 1e6);
	uint64_t	stop = count_from + (uint64_t) (opt.seconds * 1e6);
	uint64_t	give_up = stop + DRAIN_SECONDS * UINT64_C(1000000);
	size_t		counted = 0;
	struct epoll_event events[64];

	for (int i = 0; i < opt.connections; i++)
	{
		open_connection(&conns[i]);
		send_request(&conns[i]);
	}
	while (answered + lost < sent && now_us() < give_up)
	{
		int			ready = epoll_wait(poll_fd, events, 64, 100);
		bool		send_more = now_us() < stop;

		if (send_more)
			counted = latency_count;
		for (int i = 0; i < ready; i++)
			read_connection(events[i].data.ptr, count_from, send_more);
	}
	latency_count = counted;
}

static void
parse_options(int argc, char **argv)
{
	uint64_t	seed = 1;
	uint32_t	leads = 100000;
	int			c;

	while ((c = getopt(argc, argv, "p:c:w:d:r:s:l:D:")) != -1)
	{
		switch (c)
		{
			case 'p':
				opt.port = atoi(optarg);
				break;
			case 'c':
				opt.connections = atoi(optarg);
				break;
			case 'w':
				opt.warmup = atof(optarg);
				break;
			case 'd':
				opt.seconds = atof(optarg);
				break;
			case 'r':
				opt.replay_per_mille = (unsigned) atoi(optarg);
				break;
			case 's':
				seed = strtoull(optarg, NULL, 10);
				break;
			case 'l':
				leads = (uint32_t) strtoul(optarg, NULL, 10);
				break;
			case 'D':
				opt.duplicates_of = strtoull(optarg, NULL, 10);
				break;
			default:
				exit(2);
		}
	}
	if (opt.port <= 0 || leads == 0 || opt.connections < 1 || opt.connections > MAX_CONNECTIONS)
	{
		fprintf(stderr, "usage: load -p PORT [-c CONNECTIONS] [-w WARMUP] [-d SECONDS]"
				" [-r REPLAYS_PER_MILLE] [-s SEED] [-l LEADS] [-D COUNT]\n");
		exit(2);
	}
	bench_series_open(&series, seed, leads);
}

int
main(int argc, char **argv)
{
	struct rusage usage;

	parse_options(argc, argv);
	latency_space = (size_t) (opt.seconds * 200000) + 1;
	latencies = malloc(latency_space * sizeof(*latencies));
	poll_fd = epoll_create1(0);
	if (latencies == NULL || poll_fd < 0)
		die("cannot start");

	run();

	qsort(latencies, latency_count, sizeof(*latencies), compare_latency);
	getrusage(RUSAGE_SELF, &usage);
	printf("rate=%.1f p50=%.2f p99=%.2f max=%.2f sent=%" PRIu64 " new=%" PRIu64 " answered=%" PRIu64
		   " refused=%" PRIu64 " lost=%" PRIu64 " cpu=%.3f\n",
		   (double) latency_count / opt.seconds, percentile(0.5), percentile(0.99), percentile(1),
		   sent, next_new, answered, refused, lost,
		   (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	bench_series_close(&series);
	free(latencies);
	return 0;
}
