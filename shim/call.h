/*
 * call.h
 *	  The two statements that carry webhooks: parameters out, rows back.
 */
#ifndef PO_SHIM_CALL_H
#define PO_SHIM_CALL_H

#include "lib/stringinfo.h"
#include "libpq-fe.h"

#include "webhook.h"

#define PO_CALL_BYTES	1048576 /* a batch is closed when it is larger than this */

typedef struct PoStatement
{
	const char *name;
	const char *sql;
	Oid			parameter_type;
	int			columns;
} PoStatement;

extern const PoStatement po_call_single;
extern const PoStatement po_call_batch;

extern int	po_call_build(StringInfo parameter, PoWebhook **webhooks, int count, bool batch);
extern int	po_call_answer(const PGresult *result, PoWebhook **webhooks, int count, bool batch);

/* What to do about a statement that the server has refused. */
typedef enum PoCallRetry
{
	PO_RETRY_NEVER,
	PO_RETRY_SAME,				/* the same call may well succeed */
	PO_RETRY_ALONE,				/* one webhook may be to blame: each by itself */
	PO_RETRY_UNPREPARED,		/* prepared statements do not work here */
	PO_RETRY_RECONNECT			/* on a connection that is made anew */
} PoCallRetry;

extern PoCallRetry po_call_retry(const PGresult *error);
extern const char *po_call_sqlstate(const PGresult *error);
extern void po_call_log_error(const PGresult *error, int connection, const char *what);

#endif							/* PO_SHIM_CALL_H */
