/*
 * cancel.c
 *	  PQcancel() waits for the server, so it runs in a thread of its own.
 *
 * The thread owns a PGcancel, which libpq makes for this purpose, and touches
 * nothing else.  At most one is started for a call, and the connection is not
 * used again, so a late one can do no harm.
 */
#include "postgres_fe.h"

#include <pthread.h>
#include <signal.h>

#include "cancel.h"
#include "log.h"

#define PO_CANCEL_STACK 262144

static void *
run(void *arg)
{
	PGcancel   *cancel = arg;
	char		error[256];

	(void) PQcancel(cancel, error, sizeof(error));
	PQfreeCancel(cancel);
	return NULL;
}

/* Ask the server to cancel what runs on pg; returns at once. */
void
po_cancel_start(PGconn *pg)
{
	PGcancel   *cancel = PQgetCancel(pg);
	pthread_attr_t attributes;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	int			failed;

	if (cancel == NULL)
		return;
	/* Signals belong to the event loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, PO_CANCEL_STACK);
	failed = pthread_create(&thread, &attributes, run, cancel);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0)
	{
		po_log(PO_LOG_WARNING, "database", "cannot start a thread to cancel a statement");
		PQfreeCancel(cancel);
	}
}
