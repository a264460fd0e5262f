/*
 * http_peer.h
 *	  For the tests of sender/http.c: a provider in the test program itself,
 *	  which behaves as the path of the request asks, and a client that waits.
 *
 * The provider listens on a free port of the loopback, and serves each
 * connection with a thread of its own, in which all signals are blocked.  It
 * keeps every request whose header it has read.  Paths:
 *
 *	/plain		200 with an X-Message-Id and a short body
 *	/raw		the request's body is the answer, byte by byte as it is
 *	/raw-close, /raw-reset, /raw-alert	the same, then the connection is closed,
 *				reset, or with TLS closed without its closing message
 *	/close, /reset	no answer
 *	/header-reset	reset when the header was read, the body not
 *	/close-idle	like /plain, then closed
 *	/reset-idle, /reset-soon	like /plain, and reset 50 or 0 to 2 ms later
 *	/late-extra	like /plain, and a moment later an answer nobody asked for
 *	/hang		no answer, until the client closes
 *	/dribble	an answer of one byte in 100 ms
 *	/endless-body, /endless-header, /endless-line	what they say
 *	/early-413, /early-200	an answer to the header, then the body is read
 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <openssl/ssl.h>

#include "sender/http.h"

typedef struct Peer
{
	int			port;
	int			listener;
	SSL_CTX    *tls;			/* or NULL */
} Peer;

/* A request as the provider has read it. */
typedef struct Seen
{
	char	   *bytes;
	size_t		len;
	int			connection;		/* counts connections of all providers */
} Seen;

extern void peer_start(Peer *peer, SSL_CTX *tls);
extern void peer_stop(Peer *peer);
extern int	peer_connections(void);
extern size_t peer_bytes_written(void);
extern int	peer_count(const char *text);
extern Seen *peer_last(void);
extern void peer_forget(void);

extern SSL_CTX *peer_tls(const char *certificate_file);

extern void ok(bool passed, const char *name);
extern void bail_out(const char *why);
extern int	finish_tests(void);

extern PoHttpCall make_call(const char *method, const char *url, const char *body);
extern const char *url_of(const Peer *peer, const char *path);
extern PoHttpAnswer *wait_for_answer(void);
extern PoHttpAnswer *run_call(const PoHttpCall *call);
extern PoHttpAnswer *run_request(const Peer *peer, const char *method, const char *path,
								 const char *body);
extern bool ends_as(PoHttpAnswer *answer, PoHttpOutcome outcome, int status, const char *body);

/* The longest that one po_http_drive() took. */
extern int	longest_drive_ms;

#endif							/* HTTP_PEER_H */
