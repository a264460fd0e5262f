/*-------------------------------------------------------------------------
 * http.c
 *	  HTTP requests to providers, many at once: the loop around libcurl.
 *
 * Owns, once a process: a multi handle of libcurl, the epoll descriptor that
 * watches its sockets, the transfers that run and those that are finished and
 * not yet taken.
 *
 * Nothing here raises, logs, waits or uses a memory context: libcurl's frames
 * are on the stack, and must be returned to.  All signals are blocked while
 * libcurl runs: a thread that it starts to look a name up inherits that, so
 * that the server's handlers never run in it.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <curl/curl.h>

#include "sender/http.h"
#include "sender/http_socket.h"
#include "sender/http_transfer.h"

#define EVENTS_AT_ONCE			256
/* So often a socket is read for the longest answer: head and body, by 8 KiB. */
#define LONGEST_ANSWER_READS	((PO_HTTP_MAX_HEADER + PO_HTTP_MAX_BODY) / 8192)
#define NEVER					PG_INT64_MAX

static CURLM *multi = NULL;
static int	epoll_fd = -1;
static dlist_head running = DLIST_STATIC_INIT(running);
static dlist_head finished = DLIST_STATIC_INIT(finished);
static int	nrunning = 0;
static int	max_running;		/* as many connections are kept */
static int64 timer_at;			/* when libcurl wants to be called */
static int64 look_at;			/* when a transfer is to be given up, or earlier */

static void
block_signals(sigset_t *before)
{
	sigset_t	all;

	(void) sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, before);
}

static void
restore_signals(const sigset_t *before)
{
	(void) pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The transfer that a handle of libcurl belongs to; NULL if it is libcurl's own. */
static PoHttpTransfer *
transfer_of(CURL *easy)
{
	char	   *transfer = NULL;

	(void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	return (PoHttpTransfer *) transfer;
}

/* ---- callbacks of libcurl ---- */

/*
 * CURLMOPT_SOCKETFUNCTION.  `watched` is not NULL if we have had the socket
 * before; but libcurl may have closed it and got the same number again.
 */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watched)
{
	struct epoll_event event = {.data.fd = fd};
	PoHttpTransfer *transfer;

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;

	if (watched != NULL && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
		(errno == EEXIST && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0))
	{
		(void) curl_multi_assign(multi, fd, &epoll_fd);
		return 0;
	}

	/* An error from here would end all transfers; only this one cannot go on. */
	transfer = transfer_of(easy);
	if (transfer != NULL)
		transfer->give_up_at = look_at = 0;
	return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int
set_timer(CURLM *of, long timeout_ms, void *arg)
{
	timer_at = timeout_ms < 0 ? NEVER : po_monotonic_ms() + timeout_ms;
	return 0;
}

/* ---- start and stop ---- */

/* The header may be of an older libcurl than the library. */
#if LIBCURL_VERSION_NUM < 0x081400
#define CURLMOPT_RESOLVE_THREADS_MAX	((CURLMoption) (CURLOPTTYPE_LONG + 20))
#define CURLMOPT_QUICK_EXIT				((CURLMoption) (CURLOPTTYPE_LONG + 21))
#endif

/*
 * From 8.20 on libcurl looks names up in a pool of 20 threads.  A name server that
 * does not answer would have them all, and nobody's name be found: there are as many
 * as are needed, as there were before.  And the end of the pool waits for none of them.
 * An older one refuses both, and needs neither.
 */
static void
set_lookups(void)
{
	(void) curl_multi_setopt(multi, CURLMOPT_RESOLVE_THREADS_MAX, (long) INT_MAX);
	(void) curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
}

/*
 * Makes ready for calls.  `allow_private` lets requests go to addresses that
 * are not public, and by http besides https.  False if that cannot be: no
 * memory, no descriptor, or a libcurl that lacks what is needed.
 */
bool
po_http_start(bool allow_private)
{
	sigset_t	before;
	bool		done;

	po_http_stop();
	block_signals(&before);
	max_running = 0;
	timer_at = look_at = NEVER;
	po_sockets_allow_private(allow_private);
	done = po_transfers_start() &&
		(epoll_fd = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
		(multi = curl_multi_init()) != NULL &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING) == CURLM_OK;
	if (done)
		set_lookups();
	restore_signals(&before);
	if (!done)
		po_http_stop();
	return done;
}

/*
 * Gives up all calls, drops the answers that nobody took, and closes all
 * connections.  What became of the calls that were under way is not known.
 */
void
po_http_stop(void)
{
	sigset_t	before;

	block_signals(&before);
	while (!dlist_is_empty(&running))
	{
		PoHttpTransfer *transfer = dlist_container(PoHttpTransfer, node,
												   dlist_pop_head_node(&running));

		(void) curl_multi_remove_handle(multi, transfer->easy);
		po_transfer_free(transfer);
	}
	while (!dlist_is_empty(&finished))
		po_transfer_free(dlist_container(PoHttpTransfer, node, dlist_pop_head_node(&finished)));
	nrunning = 0;

	po_transfers_stop();
	if (multi != NULL)
		(void) curl_multi_cleanup(multi);
	if (epoll_fd >= 0)
		(void) close(epoll_fd);
	multi = NULL;
	epoll_fd = -1;
	restore_signals(&before);
}

/*
 * Changes what po_http_start() was told, for calls added from now on.  A
 * connection to a private address that is open is not used again after they
 * are forbidden, not even by a call that was added before.
 */
void
po_http_allow_private(bool allow)
{
	po_sockets_allow_private(allow);
}

/* ---- calls ---- */

/*
 * Starts a request.  Everything is copied.  False if there is no memory for it,
 * or po_http_start() was not called: nothing is sent then, and no answer comes.
 * The answer to a call that cannot be made, because of its URL or a header, is
 * NOT_SENT.
 */
bool
po_http_add(const PoHttpCall *call)
{
	PoHttpTransfer *transfer;
	const char *problem;
	sigset_t	before;

	if (multi == NULL)
		return false;
	block_signals(&before);
	transfer = po_transfer_make(call);
	problem = po_http_call_problem(call);
	if (transfer != NULL && problem != NULL)
	{
		po_transfer_refuse(transfer, problem);
		dlist_push_tail(&finished, &transfer->node);
	}
	else if (transfer != NULL && curl_multi_add_handle(multi, transfer->easy) == CURLM_OK)
	{
		dlist_push_tail(&running, &transfer->node);
		nrunning++;
		look_at = Min(look_at, transfer->give_up_at);
		if (nrunning > max_running &&
			curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) nrunning) == CURLM_OK)
			max_running = nrunning;
	}
	else if (transfer != NULL)
	{
		po_transfer_free(transfer);
		transfer = NULL;
	}
	restore_signals(&before);
	return transfer != NULL;
}

/* How many calls have no answer yet. */
int
po_http_in_flight(void)
{
	return nrunning;
}

/* Takes a transfer that libcurl, or we, have ended, or lets it run once more. */
static void
end_transfer(PoHttpTransfer *transfer, CURLcode code)
{
	(void) curl_multi_remove_handle(multi, transfer->easy);
	if (po_transfer_again(transfer, code) && curl_multi_add_handle(multi, transfer->easy) == CURLM_OK)
		return;
	dlist_delete(&transfer->node);
	nrunning--;
	po_transfer_finish(transfer, code);
	dlist_push_tail(&finished, &transfer->node);
}

/* Takes all transfers that libcurl has ended. */
static void
end_done(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE)
			end_transfer(transfer_of(message->easy_handle), message->data.result);
	}
}

/* Gives up the transfers whose time was up then, and sets look_at for the others. */
static void
end_late(int64 then)
{
	dlist_mutable_iter iter;

	look_at = NEVER;
	dlist_foreach_modify(iter, &running)
	{
		PoHttpTransfer *transfer = dlist_container(PoHttpTransfer, node, iter.cur);

		if (transfer->give_up_at <= then)
			end_transfer(transfer, CURLE_OPERATION_TIMEDOUT);
		else
			look_at = Min(look_at, transfer->give_up_at);
	}
}

/* ---- driving ---- */

/* The descriptor that is readable when po_http_drive() has something to do; -1: none. */
int
po_http_fd(void)
{
	return epoll_fd;
}

/*
 * In how many milliseconds po_http_drive() is to be called even if the
 * descriptor is not readable; 0 too if answers wait.  -1: there is nothing.
 */
long
po_http_timeout_ms(void)
{
	int64		at = Min(timer_at, look_at);

	if (!dlist_is_empty(&finished))
		return 0;
	if (multi == NULL || at == NEVER)
		return -1;
	return (long) Min(Max(at - po_monotonic_ms(), 0), INT_MAX);
}

/* Lets libcurl read and write where it can, once each; returns how many sockets. */
static int
drive_sockets(void)
{
	struct epoll_event event[EVENTS_AT_ONCE];
	int			unused;
	int			n = epoll_wait(epoll_fd, event, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (event[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (event[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (event[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		(void) curl_multi_socket_action(multi, event[i].data.fd, what, &unused);
	}
	return n;
}

/*
 * Does what can be done without waiting.  May be called at any time, however late:
 * a transfer whose time is up is given up after all that has arrived for it was
 * read, and so an answer that came in time counts although nobody looked.
 */
void
po_http_drive(void)
{
	int64		began = po_monotonic_ms();
	sigset_t	before;
	int			unused;
	int			rounds = 1;
	bool		again;

	if (multi == NULL)
		return;
	block_signals(&before);

	/* When something may be given up, until nothing has arrived; no peer may make it endless. */
	if (look_at <= began)
		rounds = LONGEST_ANSWER_READS + max_running / EVENTS_AT_ONCE;
	do
	{
		again = drive_sockets() > 0;
		if (timer_at <= po_monotonic_ms())
		{
			timer_at = NEVER;
			(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &unused);
			again = true;
		}
	} while (again && --rounds > 0);

	end_done();
	if (look_at <= began)
		end_late(began);
	restore_signals(&before);
}

/* An answer, in the order they came, or NULL.  The caller frees it. */
PoHttpAnswer *
po_http_next(void)
{
	if (dlist_is_empty(&finished))
		return NULL;
	return &dlist_container(PoHttpTransfer, node, dlist_pop_head_node(&finished))->answer;
}

/* Wipes and frees an answer of po_http_next().  It may outlive po_http_stop(). */
void
po_http_free(PoHttpAnswer *answer)
{
	po_transfer_free((PoHttpTransfer *) answer);
}
