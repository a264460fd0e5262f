/*
 * log.h
 *	  One JSON object per line on standard error.
 *
 * What may be logged is decided here by what the functions accept: fixed
 * text, addresses, numbers, a path without its query.  No function takes a
 * header, a body, a query string or a libpq message about a statement, since
 * those carry payload.
 *
 * Lines are collected and written once per pass of the event loop (po_log_flush);
 * warnings and errors are written at once.
 */
#ifndef PO_SHIM_LOG_H
#define PO_SHIM_LOG_H

typedef enum PoLogLevel
{
	PO_LOG_ERROR,
	PO_LOG_WARNING,
	PO_LOG_INFO,
	PO_LOG_DEBUG
} PoLogLevel;

typedef struct PoLogRequest
{
	const char *correlation_id;
	const char *remote;			/* NULL for a unix socket */
	const char *method;			/* NULL when the request line was not read */
	const char *path;			/* without query; NULL likewise */
	size_t		path_len;
	int			status;			/* 0: closed without an answer */
	const char *outcome;
	size_t		bytes;			/* of body received */
	int64		micros;			/* from the first byte to the answer */
	int			batch;			/* webhooks in the same statement; 0: none */
} PoLogRequest;

extern void po_log_set_level(PoLogLevel level);
extern void po_log_plain(void);
extern bool po_log_wanted(PoLogLevel level);
extern void po_log(PoLogLevel level, const char *component, const char *fmt, ...)
			__attribute__((format(printf, 3, 4)));
extern void po_log_request(const PoLogRequest *request);
extern void po_log_flush(void);

/* The wall clock in microseconds since 1970, and the monotonic clock. */
extern int64 po_wall_micros(void);
extern int64 po_monotonic_micros(void);

#endif							/* PO_SHIM_LOG_H */
