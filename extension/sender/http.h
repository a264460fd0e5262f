/*-------------------------------------------------------------------------
 * http.h
 *	  HTTP requests to providers, many at once, none of them ever sent twice.
 *
 * How it is used: po_http_start(), then po_http_add() for each request.  The
 * caller waits for po_http_fd() to become readable, at most
 * po_http_timeout_ms(), calls po_http_drive(), and takes what po_http_next()
 * has.  Nothing here waits.  SIGPIPE must be ignored, as it is in a server
 * process.
 *
 * Each call ends in exactly one answer, at the latest in the first
 * po_http_drive() that begins after its time-out.  What has arrived by then is
 * read before: an answer that came while nobody drove is one.
 *
 * Servers must have a certificate of an authority that libcurl trusts, or of one
 * in the file that SSL_CERT_FILE in the server's environment names.
 *
 * A request is written once, to one connection.  libcurl by itself repeats one
 * whose kept-alive connection died before an answer came; here that is LOST.
 *-------------------------------------------------------------------------
 */
#ifndef PO_HTTP_H
#define PO_HTTP_H

#include "sender/http_call.h"

extern bool po_http_start(bool allow_private);
extern void po_http_stop(void);
extern void po_http_allow_private(bool allow);

extern bool po_http_add(const PoHttpCall *call);
extern int	po_http_in_flight(void);

extern int	po_http_fd(void);
extern long po_http_timeout_ms(void);
extern void po_http_drive(void);
extern PoHttpAnswer *po_http_next(void);
extern void po_http_free(PoHttpAnswer *answer);

#endif							/* PO_HTTP_H */
