/*
 * sends.c
 *		libcurl alone, and libcurl with the least of an outbox.
 *
 * Posts the same requests as the other contenders to the test provider, over
 * keep-alive connections with one request under way on each, and reads each
 * answer for the message's id.  Alone it claims nothing and records nothing: the
 * limit of one process.  With -o it takes rows of the table outbox, CLAIM in a
 * transaction, and writes the ids into it, RECORD in a transaction: the shortest
 * program that claims before it sends, without guards, leads, events or retries.
 *
 * One thread, libcurl's multi handle over epoll, as in the extension.
 */
#include <curl/curl.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CLAIM "500"
#define RECORD 200
#define ID_MAX 64
#define ANSWER_MAX 4096
#define EVENTS 256
#define NEVER INT64_MAX

typedef struct Slot
{
	CURL	   *easy;
	long		message;
	char		body[1024];
	char		answer[ANSWER_MAX];
	size_t		len;
} Slot;

static struct
{
	int			port;
	int			connections;
	long		requests;
	const char *token;
	const char *from;
	const char *text;
	bool		outbox;
}			opt = {.connections = 50};

static CURLM *multi;
static int	poll_fd;
static int64_t timer_at = NEVER;	/* when libcurl wants to be called */
static long started;
static long accepted;
static long failed;

static PGconn *db;
static PGresult *claimed;		/* of which next_claimed is the next to send */
static int	next_claimed;
static char done[RECORD * 12 + 2];	/* arrays of messages and their ids */
static char ids[RECORD * (ID_MAX + 1) + 2];
static size_t done_len;
static size_t ids_len;
static int	to_record;

static void
die(const char *what)
{
	fprintf(stderr, "sends: %s\n", what);
	exit(1);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the outbox ----------------------------------------------------------- */

static PGresult *
run_prepared(const char *name, int n, const char *const *value)
{
	PGresult   *result = PQexecPrepared(db, name, n, value, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die(PQerrorMessage(db));
	return result;
}

static void
open_outbox(void)
{
	db = PQconnectdb("");
	if (PQstatus(db) != CONNECTION_OK)
		die(PQerrorMessage(db));
	PQclear(PQprepare(db, "claim",
					  "UPDATE outbox SET state = 1 WHERE id IN (SELECT id FROM outbox"
					  " WHERE state = 0 ORDER BY id LIMIT $1::int FOR UPDATE SKIP LOCKED)"
					  " RETURNING id, phone",
					  0, NULL));
	PQclear(PQprepare(db, "record",
					  "UPDATE outbox o SET state = 2, provider_id = u.provider_id,"
					  " done_at = clock_timestamp()"
					  " FROM unnest($1::int[], $2::text[]) u (id, provider_id) WHERE o.id = u.id",
					  0, NULL));
}

static void
record(void)
{
	const char *value[] = {done, ids};

	if (to_record == 0)
		return;
	memcpy(done + done_len, "}", 2);
	memcpy(ids + ids_len, "}", 2);
	PQclear(run_prepared("record", 2, value));
	to_record = 0;
	done_len = ids_len = 0;
}

static void
note_done(long message, const char *id, size_t id_len)
{
	char		comma = to_record > 0 ? ',' : '{';

	if (id_len > ID_MAX)
		die("the provider's id is too long");
	done_len += (size_t) sprintf(done + done_len, "%c%ld", comma, message);
	ids_len += (size_t) sprintf(ids + ids_len, "%c%.*s", comma, (int) id_len, id);
	if (++to_record == RECORD)
		record();
}

/* The next row to send, and its phone; false when there is none. */
static bool
claim(long *message, char phone[16])
{
	const char *value[] = {CLAIM};

	if (claimed == NULL || next_claimed == PQntuples(claimed))
	{
		PQclear(claimed);
		claimed = run_prepared("claim", 1, value);
		next_claimed = 0;
		if (PQntuples(claimed) == 0)
			return false;
	}
	*message = atol(PQgetvalue(claimed, next_claimed, 0));
	snprintf(phone, 16, "%s", PQgetvalue(claimed, next_claimed++, 1));
	return true;
}

/* ---- callbacks of libcurl ------------------------------------------------- */

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	(void) arg;
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (known == NULL || epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
	{
		if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
			die("cannot watch a connection");
		curl_multi_assign(multi, fd, &poll_fd);
	}
	return 0;
}

static int
set_timer(CURLM *of, long timeout_ms, void *arg)
{
	(void) of;
	(void) arg;
	timer_at = timeout_ms < 0 ? NEVER : now_ms() + timeout_ms;
	return 0;
}

static size_t
take_answer(char *data, size_t size, size_t n, void *arg)
{
	Slot	   *slot = arg;

	if (slot->len + size * n >= ANSWER_MAX)
		return 0;
	memcpy(slot->answer + slot->len, data, size * n);
	slot->len += size * n;
	slot->answer[slot->len] = '\0';
	return size * n;
}

/* ---- requests ------------------------------------------------------------- */

/* The slot's next request; false when all were made. */
static bool
begin_request(Slot *slot)
{
	char		phone[16];
	unsigned	i = (unsigned) started;
	int			len;

	/* without an outbox: the phone of lead i, as outreach.sql makes it */
	if (!opt.outbox)
		snprintf(phone, sizeof(phone), "1%03u%03u%04u", 305 + i / 900000 % 100,
				 220 + i / 10000 % 90, i % 10000);
	if (started == opt.requests || (opt.outbox && !claim(&slot->message, phone)))
		return false;
	len = snprintf(slot->body, sizeof(slot->body),
				   "{\"messageBody\":\"%s\",\"enableShortlink\":false,"
				   "\"senderPhoneNumber\":\"%s\",\"recipientPhoneNumber\":[\"%s\"]}",
				   opt.text, opt.from, phone);
	if (len >= (int) sizeof(slot->body))
		die("the text is too long");
	slot->len = 0;
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long) len);
	if (curl_multi_add_handle(multi, slot->easy) != CURLM_OK)
		die("libcurl takes no request");
	started++;
	return true;
}

static void
end_request(Slot *slot, CURLcode code)
{
	static const char member[] = "\"_id\":\"";
	long		status = 0;
	const char *id = code == CURLE_OK && slot->len > 0 ? strstr(slot->answer, member) : NULL;
	const char *end = id != NULL ? strchr(id + sizeof(member) - 1, '"') : NULL;

	curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	if (end != NULL && status == 201)
	{
		accepted++;
		id += sizeof(member) - 1;
		if (opt.outbox)
			note_done(slot->message, id, (size_t) (end - id));
	}
	else if (failed++ == 0)
		fprintf(stderr, "sends: first failure: %s, status %ld\n", curl_easy_strerror(code), status);
	curl_multi_remove_handle(multi, slot->easy);
	begin_request(slot);
}

/* Lets libcurl do what it can, and waits for more to do. */
static void
drive(void)
{
	struct epoll_event event[EVENTS];
	int64_t		wait = timer_at == NEVER ? 1000 : timer_at - now_ms();
	CURLMsg    *message;
	int			n = epoll_wait(poll_fd, event, EVENTS, wait < 0 ? 0 : (int) wait);
	int			unused;

	for (int i = 0; i < n; i++)
	{
		int			what = (event[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
			(event[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			(event[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

		curl_multi_socket_action(multi, event[i].data.fd, what, &unused);
	}
	if (timer_at <= now_ms())
	{
		timer_at = NEVER;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &unused);
	}
	while ((message = curl_multi_info_read(multi, &unused)) != NULL)
	{
		char	   *slot = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		end_request((Slot *) slot, message->data.result);
	}
}

static void
run(void)
{
	Slot	   *slot = calloc((size_t) opt.connections, sizeof(Slot));
	struct curl_slist *header = NULL;
	char		line[512];

	snprintf(line, sizeof(line), "http://127.0.0.1:%d/message/sms", opt.port);
	if (slot == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		(multi = curl_multi_init()) == NULL || (poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("cannot start");
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) opt.connections);
	for (int i = 0; i < opt.connections; i++)
	{
		CURL	   *easy = slot[i].easy = curl_easy_init();

		if (i == 0)
		{
			char		token[512];

			snprintf(token, sizeof(token), "Authorization: Bearer %s", opt.token);
			header = curl_slist_append(NULL, token);
			header = curl_slist_append(header, "Content-Type: application/json");
			header = curl_slist_append(header, "Accept: application/json");
			header = curl_slist_append(header, "Expect:");
		}
		curl_easy_setopt(easy, CURLOPT_URL, line);
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, header);
		curl_easy_setopt(easy, CURLOPT_USERAGENT, "pg_outreach");
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, slot[i].body);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, &slot[i]);
		curl_easy_setopt(easy, CURLOPT_PRIVATE, &slot[i]);
		begin_request(&slot[i]);
	}
	while (accepted + failed < started)
		drive();
	record();
	PQfinish(db);
	for (int i = 0; i < opt.connections; i++)
		curl_easy_cleanup(slot[i].easy);
	curl_multi_cleanup(multi);
	curl_slist_free_all(header);
	free(slot);
}

int
main(int argc, char **argv)
{
	struct rusage usage;
	int			c;

	while ((c = getopt(argc, argv, "p:c:n:t:f:b:o")) != -1)
	{
		switch (c)
		{
			case 'p':
				opt.port = atoi(optarg);
				break;
			case 'c':
				opt.connections = atoi(optarg);
				break;
			case 'n':
				opt.requests = atol(optarg);
				break;
			case 't':
				opt.token = optarg;
				break;
			case 'f':
				opt.from = optarg;
				break;
			case 'b':
				opt.text = optarg;
				break;
			case 'o':
				opt.outbox = true;
				break;
			default:
				return 2;
		}
	}
	if (opt.port <= 0 || opt.connections < 1 || opt.requests < 1 || opt.token == NULL ||
		opt.from == NULL || opt.text == NULL)
	{
		fprintf(stderr, "usage: sends -p PORT -n REQUESTS -t TOKEN -f FROM -b TEXT"
				" [-c CONNECTIONS] [-o]\n");
		return 2;
	}
	if (opt.outbox)
		open_outbox();
	run();
	getrusage(RUSAGE_SELF, &usage);
	printf("accepted=%ld failed=%ld cpu=%.3f\n", accepted, failed,
		   (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	return 0;
}
