/*-------------------------------------------------------------------------
 * http_transfer.c
 *	  One request of http.h: what it sends, libcurl's handle, what became of it.
 *
 * Owns, once a process, a handle of libcurl that holds what all requests have
 * in common; each transfer starts as its copy.  A transfer is allocated with
 * malloc, keeps what it sends until it is finished and what it got until it is
 * freed.  Both may be secret or personal, and are wiped.
 *
 * That a request is written only once rests on before_request(), which libcurl
 * calls each time it is about to write one: the second time ends the transfer.
 * It also tells whether the provider can have seen anything of a transfer that
 * failed.  And the body comes from a callback that cannot be wound back, as
 * libcurl would have to for a repetition.
 *
 * Nothing here raises or logs.  The caller has blocked all signals.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <limits.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "sender/http_socket.h"
#include "sender/http_transfer.h"

/* CURLOPT_QUICK_EXIT is the youngest of what is used. */
#define MIN_LIBCURL				0x075700
#if LIBCURL_VERSION_NUM < MIN_LIBCURL
#error "libcurl 7.87 or later is needed"
#endif

/*
 * A connection that has been idle for longer, in whole seconds, is not used
 * again.  Servers close theirs after 5 seconds or more, and a request that
 * crosses the closing would be LOST.
 */
#define MAX_IDLE_S				3

/* A connection whose time was up this much before anybody looked is tried anew. */
#define LATE_MS					100

/* Buffers of a transfer; libcurl's own would be 16 and 64 KiB. */
#define RECEIVE_BUFFER			8192
#define SEND_BUFFER				16384

static CURL *model = NULL;		/* what all requests have in common */

/* Milliseconds of the monotonic clock. */
int64
po_monotonic_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- callbacks of libcurl ---- */

/* CURLOPT_OPENSOCKETFUNCTION: the name is resolved, no packet has left. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	PoHttpTransfer *transfer = arg;

	/* for a repetition */
	if (transfer->requested)
		return CURL_SOCKET_BAD;
	return po_socket_open(address, &transfer->address_refused);
}

/*
 * Whether OpenSSL has more of the connection than libcurl asked it for.  A younger
 * libcurl lets it read ahead, past the end of an answer: what it has then is not seen
 * at the socket, and would be taken for the answer to the next request.  Of another
 * library for TLS that cannot be known.
 */
static bool
has_read_ahead(CURL *easy)
{
	struct curl_tlssessioninfo *tls = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || tls == NULL)
		return true;
	return tls->internals != NULL &&
		(tls->backend != CURLSSLBACKEND_OPENSSL || SSL_has_pending(tls->internals) != 0);
}

/*
 * CURLOPT_PREREQFUNCTION: a connection is there, and is about to be written to.
 * It may be one that was used before: when private addresses were allowed, or
 * so long ago that the server has closed it.
 */
static int
before_request(void *arg, char *peer, char *self, int peer_port, int self_port)
{
	PoHttpTransfer *transfer = arg;
	PoSocketState state = po_socket_state(self_port);
	long		connects = 0;

	/* Nor is a request begun that would be given up at once. */
	if (transfer->requested || transfer->give_up_at <= po_monotonic_ms())
		return CURL_PREREQFUNC_ABORT;
	transfer->address_refused = !po_socket_peer_allowed(peer);
	/* a new connection of TLS may well begin with a word from the server */
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects);
	transfer->closed = state == PO_SOCKET_CLOSED ||
		(connects == 0 && (state == PO_SOCKET_TALKS || has_read_ahead(transfer->easy)));
	if (transfer->address_refused || transfer->closed)
		return CURL_PREREQFUNC_ABORT;
	transfer->requested = true;
	return CURL_PREREQFUNC_OK;
}

/* CURLOPT_READFUNCTION: the next piece of the body. */
static size_t
read_body(char *out, size_t size, size_t n, void *arg)
{
	PoHttpTransfer *transfer = arg;
	size_t		len = Min(size * n, transfer->body_len - transfer->body_read);

	if (len > 0)
		memcpy(out, transfer->body + transfer->body_read, len);
	transfer->body_read += len;
	return len;
}

/* ---- what all requests have in common ---- */

/*
 * Which certificates are trusted: libcurl's own, or those of the file that
 * OpenSSL's environment variable names.  A file alone, without libcurl's
 * folder: only then it keeps the parsed file for the next connection.
 */
static bool
set_authorities(void)
{
	const char *file = getenv("SSL_CERT_FILE");

	if (file == NULL || file[0] == '\0')
		file = curl_version_info(CURLVERSION_NOW)->cainfo;
	return file == NULL ||
		(curl_easy_setopt(model, CURLOPT_CAINFO, file) == CURLE_OK &&
		 curl_easy_setopt(model, CURLOPT_CAPATH, NULL) == CURLE_OK);
}

/*
 * Makes ready for transfers; po_transfers_stop() undoes it.  False if libcurl
 * lacks something or there is no memory; nothing is left then.
 */
bool
po_transfers_start(void)
{
	const curl_version_info_data *version;
	bool		done;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	version = curl_version_info(CURLVERSION_NOW);
	/* With a synchronous resolver a lookup would hold up the process. */
	if (version->version_num < MIN_LIBCURL || (version->features & CURL_VERSION_SSL) == 0 ||
		(version->features & CURL_VERSION_ASYNCHDNS) == 0)
		return false;
	model = curl_easy_init();
	if (model == NULL)
		return false;
	done = set_authorities();

#define SET(option, value) \
	done = done && curl_easy_setopt(model, CURLOPT_##option, value) == CURLE_OK

	SET(HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(SSL_VERIFYPEER, 1L);
	SET(SSL_VERIFYHOST, 2L);
	SET(FOLLOWLOCATION, 0L);
	SET(MAXREDIRS, 0L);
	SET(REDIR_PROTOCOLS_STR, "https");
	SET(DISALLOW_USERNAME_IN_URL, 1L);
	SET(PROXY, "");
	SET(NETRC, (long) CURL_NETRC_IGNORED);
	SET(HTTP09_ALLOWED, 0L);
	SET(USERAGENT, "pg_outreach");

	SET(NOSIGNAL, 1L);
	/* a lookup that is given up is left to its thread, not waited for */
	SET(QUICK_EXIT, 1L);
	SET(TCP_NODELAY, 1L);
	SET(TCP_KEEPALIVE, 1L);
	SET(MAXAGE_CONN, (long) MAX_IDLE_S);
	SET(BUFFERSIZE, (long) RECEIVE_BUFFER);
	SET(UPLOAD_BUFFERSIZE, (long) SEND_BUFFER);
	/* one that says so is given up at once, any other by po_gather_body() */
	SET(MAXFILESIZE_LARGE, (curl_off_t) PO_HTTP_MAX_BODY);

	SET(OPENSOCKETFUNCTION, open_socket);
	SET(CLOSESOCKETFUNCTION, po_socket_close);
	SET(PREREQFUNCTION, before_request);
	SET(READFUNCTION, read_body);
	SET(HEADERFUNCTION, po_gather_header);
	SET(WRITEFUNCTION, po_gather_body);
#undef SET

	if (!done)
		po_transfers_stop();
	return done;
}

/* Transfers that were made live on. */
void
po_transfers_stop(void)
{
	if (model != NULL)
		curl_easy_cleanup(model);
	model = NULL;
}

/* ---- making and freeing ---- */

static bool
add_line(PoHttpTransfer *transfer, const char *line)
{
	struct curl_slist *header = curl_slist_append(transfer->header, line);

	if (header != NULL)
		transfer->header = header;
	return header != NULL;
}

/* Copies what the call sends.  False: no memory. */
static bool
copy_request(PoHttpTransfer *transfer, const PoHttpCall *call)
{
	for (int i = 0; i < call->nheaders; i++)
	{
		if (!add_line(transfer, call->header[i]))
			return false;
	}
	if (call->answer_header != NULL &&
		(transfer->gathered.wanted = strdup(call->answer_header)) == NULL)
		return false;
	if (call->body != NULL)
	{
		transfer->body_len = call->body_len;
		transfer->body = malloc(transfer->body_len + 1);
		if (transfer->body == NULL)
			return false;
		memcpy(transfer->body, call->body, transfer->body_len);
	}
	/* libcurl would ask a server for leave to send a large body */
	return add_line(transfer, "Expect:");
}

/* Makes libcurl's part of a transfer.  False: no memory. */
static bool
make_easy(PoHttpTransfer *transfer, const PoHttpCall *call)
{
	bool		is_get = strcmp(call->method, "GET") == 0;
	bool		is_post = strcmp(call->method, "POST") == 0;
	bool		done = true;

	transfer->easy = curl_easy_duphandle(model);
	if (transfer->easy == NULL)
		return false;

#define SET(option, value) \
	done = done && curl_easy_setopt(transfer->easy, CURLOPT_##option, value) == CURLE_OK

	SET(URL, call->url);
	SET(PROTOCOLS_STR, po_sockets_private_allowed() ? "https,http" : "https");
	SET(HTTPHEADER, transfer->header);
	/* How long all of it takes is ours to judge: libcurl would before it reads. */
	SET(CONNECTTIMEOUT_MS, (long) transfer->connect_ms);
	if (is_post || transfer->body != NULL)
	{
		SET(POST, 1L);
		SET(POSTFIELDSIZE_LARGE, (curl_off_t) transfer->body_len);
	}
	if (!is_post && (!is_get || transfer->body != NULL))
		SET(CUSTOMREQUEST, call->method);

	SET(PRIVATE, transfer);
	SET(OPENSOCKETDATA, transfer);
	SET(PREREQDATA, transfer);
	SET(READDATA, transfer);
	SET(HEADERDATA, &transfer->gathered);
	SET(WRITEDATA, &transfer->gathered);
#undef SET

	return done;
}

/* A transfer that can be added to a multi handle.  NULL: no memory. */
PoHttpTransfer *
po_transfer_make(const PoHttpCall *call)
{
	PoHttpTransfer *transfer = calloc(1, sizeof(*transfer));

	if (transfer == NULL)
		return NULL;
	transfer->answer.tag = call->tag;
	transfer->started_at = po_monotonic_ms();
	transfer->give_up_at = transfer->started_at + Max(call->timeout_ms, 1);
	transfer->connect_ms = Max(Min(call->connect_timeout_ms, call->timeout_ms), 1);
	if (!copy_request(transfer, call) || !make_easy(transfer, call))
	{
		po_transfer_free(transfer);
		return NULL;
	}
	return transfer;
}

/* Frees what was to be sent, and libcurl's part. */
static void
free_request(PoHttpTransfer *transfer)
{
	if (transfer->easy != NULL)
		curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
	for (struct curl_slist *line = transfer->header; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(transfer->header);
	transfer->header = NULL;
	if (transfer->body != NULL)
		explicit_bzero(transfer->body, transfer->body_len);
	free(transfer->body);
	transfer->body = NULL;
}

/* Frees a transfer, finished or not, that is in no multi handle. */
void
po_transfer_free(PoHttpTransfer *transfer)
{
	free_request(transfer);
	po_free_gathered(&transfer->gathered);
	free(transfer);
}

/* ---- the outcome ---- */

static const char *
describe_not_sent(const PoHttpTransfer *transfer, CURLcode code)
{
	if (transfer->address_refused)
		return "the address is not a public one";
	if (transfer->closed)
		return "the server closed the connection";
	if (code == CURLE_ABORTED_BY_CALLBACK)
		code = CURLE_OPERATION_TIMEDOUT;
	switch (code)
	{
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_LOGIN_DENIED:
			return "the URL cannot be used";
		case CURLE_COULDNT_RESOLVE_HOST:
			return "the host name could not be resolved";
		case CURLE_COULDNT_CONNECT:
			return "no connection could be made";
		case CURLE_PEER_FAILED_VERIFICATION:
			return "the server's certificate was not accepted";
		case CURLE_SSL_CACERT_BADFILE:
			return "the file of trusted certificates could not be read";
		case CURLE_SSL_CONNECT_ERROR:
			return "TLS could not be agreed upon";
		case CURLE_OPERATION_TIMEDOUT:
			return "the time was up before a connection was made";
		case CURLE_OUT_OF_MEMORY:
			return "out of memory";
		default:
			return "the request could not be made";
	}
}

/*
 * Whether the end of the answer is known.  Plain HTTP may end it by closing the
 * connection; with TLS libcurl does not tell that from a connection that broke.
 */
static bool
has_known_end(const PoHttpTransfer *transfer)
{
	const PoHttpGathered *gathered = &transfer->gathered;
	char	   *scheme = NULL;

	if (gathered->length_known || gathered->status == 204 || gathered->status == 304)
		return true;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_SCHEME, &scheme);
	return scheme != NULL && pg_strcasecmp(scheme, "http") == 0;
}

static const char *
describe_lost(const PoHttpTransfer *transfer, CURLcode code)
{
	if (transfer->gathered.problem != NULL)
		return transfer->gathered.problem;
	switch (code)
	{
		case CURLE_OK:
			return transfer->gathered.header_complete && !has_known_end(transfer) ?
				"the answer does not say how long it is" :
				"the answer is not complete, or came before the request was";
		case CURLE_OPERATION_TIMEDOUT:
			return "the time was up before the answer was complete";
		case CURLE_PARTIAL_FILE:
			return "the answer was cut short";
		case CURLE_FILESIZE_EXCEEDED:
			return "the answer is too long";
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_WEIRD_SERVER_REPLY:
			return "the answer is not HTTP";
		case CURLE_OUT_OF_MEMORY:
			return "out of memory";
		default:
			return "the connection broke before the answer was complete";
	}
}

/* Whether a transfer without an error is a complete answer to a complete request. */
static bool
is_complete(const PoHttpTransfer *transfer)
{
	curl_off_t	uploaded = 0;

	if (!transfer->gathered.header_complete || transfer->gathered.problem != NULL ||
		!has_known_end(transfer))
		return false;
	/* a refusal may well come early */
	if (transfer->gathered.status >= 300)
		return true;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	return uploaded >= (curl_off_t) transfer->body_len;
}

static void
set_answer(PoHttpTransfer *transfer, PoHttpOutcome outcome, const char *error)
{
	PoHttpAnswer *answer = &transfer->answer;
	PoHttpGathered *gathered = &transfer->gathered;

	answer->outcome = outcome;
	answer->error = error;
	answer->body = "";
	answer->retry_after_s = -1;
	answer->date = -1;
	answer->latency_ms = (int) Min(po_monotonic_ms() - transfer->started_at, INT_MAX);
	if (outcome == PO_HTTP_ANSWERED)
	{
		answer->http_status = gathered->status;
		if (gathered->body != NULL)
			answer->body = gathered->body;
		answer->body_len = gathered->body_len;
		answer->header_value = gathered->value;
		answer->retry_after_s = po_gathered_retry_after(gathered);
		answer->date = po_gathered_date(gathered);
	}
	else
		po_free_gathered(gathered);
	free_request(transfer);
}

/*
 * Whether a transfer that has ended, and was removed from its multi handle, is
 * to be added again, nothing of its request having been written: the connection it
 * was given had been closed, or the time to connect was up when nobody looked.  That
 * is so once; it gets a new connection then.
 */
bool
po_transfer_again(PoHttpTransfer *transfer, CURLcode code)
{
	int64		now = po_monotonic_ms();
	bool		missed = code == CURLE_OPERATION_TIMEDOUT &&
		now > transfer->started_at + transfer->connect_ms + LATE_MS;

	if (transfer->requested || transfer->again || transfer->give_up_at <= now ||
		(!transfer->closed && !missed))
		return false;
	transfer->closed = false;
	transfer->again = true;
	return curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
		curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS,
						 (long) Min(transfer->connect_ms, transfer->give_up_at - now)) == CURLE_OK;
}

/* Fills in the answer of a transfer that was never added to a multi handle. */
void
po_transfer_refuse(PoHttpTransfer *transfer, const char *problem)
{
	set_answer(transfer, PO_HTTP_NOT_SENT, problem);
}

/*
 * Fills in the answer of a transfer that ended with `code` and was removed from
 * its multi handle, and frees what it sent.
 */
void
po_transfer_finish(PoHttpTransfer *transfer, CURLcode code)
{
	long		written = 0;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &written);
	if (code == CURLE_OK && is_complete(transfer))
		set_answer(transfer, PO_HTTP_ANSWERED, NULL);
	else if (code != CURLE_OK && !transfer->requested && written == 0 && transfer->body_read == 0)
		set_answer(transfer, PO_HTTP_NOT_SENT, describe_not_sent(transfer, code));
	else
		set_answer(transfer, PO_HTTP_LOST, describe_lost(transfer, code));
}
