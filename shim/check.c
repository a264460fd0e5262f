/*
 * check.c
 *	  --check: connects once as the service does, and says what it finds.
 *
 * What is found goes to the standard output, a line a fact.  What keeps the service
 * from serving is an error of the log, and what it serves in spite of a warning.
 * All of it has database_connect_timeout, as connecting has in the service.  The
 * listeners are not opened: the service may be running.
 */
#include "postgres_fe.h"

#include <poll.h>

#include "armed.h"
#include "check.h"
#include "config.h"
#include "fitness.h"
#include "log.h"

/* Null unless the server has preloaded the library, whatever its configuration says. */
static const char workers_sql[] =
	"SELECT (SELECT s.setting FROM pg_catalog.pg_settings s"
	" WHERE s.name OPERATOR(pg_catalog.=) 'outreach.max_workers')";

static int64 deadline;			/* monotonic */

static bool
fail(const char *fact, const char *hint)
{
	po_log(PO_LOG_ERROR, "check", "%s\nhint: %s", fact, hint);
	return false;
}

/* Hints for what servers and libpq say; in another language the general one is given. */
static const struct
{
	const char *text;
	const char *hint;
}			connection_hints[] = {
	{"password authentication failed", "\\password in psql, as a superuser, sets a role's password"},
	{"no password supplied", "add password=... to \"database\", or name a password file in PGPASSFILE"},
	{"Peer authentication failed", "through a Unix socket the role is the system user's; host=127.0.0.1 asks for a "
	 "password"},
	{"no pg_hba.conf entry", "the server's pg_hba.conf needs a line for this role, database and address"},
	{"", "\"database\" says where to connect; --show-config prints it"},
};

/* Say why the connection failed; false.  libpq's message has no password in it. */
static bool
connection_failed(PGconn *pg)
{
	char	   *message = pg_strdup(PQerrorMessage(pg));
	size_t		len = strlen(message);
	int			i = 0;

	while (len > 0 && message[len - 1] == '\n')
		message[--len] = '\0';
	while (strstr(message, connection_hints[i].text) == NULL)
		i++;
	fail(message, connection_hints[i].hint);
	free(message);
	return false;
}

/* Wait until the socket is ready; false, with the reason told, at the deadline. */
static bool
wait_for(PGconn *pg, short events)
{
	struct pollfd socket = {PQsocket(pg), events, 0};
	int64		left = (deadline - po_monotonic_micros()) / 1000;

	if (left > 0 && poll(&socket, 1, (int) left) != 0)
		return true;
	return fail("the database does not answer within database_connect_timeout",
				"look for a wrong host, a firewall, or a server that has stopped");
}

static bool
connect_to(PGconn *pg)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	if (PQstatus(pg) == CONNECTION_BAD)
		return connection_failed(pg);
	while (next != PGRES_POLLING_OK)
	{
		if (!wait_for(pg, next == PGRES_POLLING_READING ? POLLIN : POLLOUT))
			return false;
		next = PQconnectPoll(pg);
		if (next == PGRES_POLLING_FAILED)
			return connection_failed(pg);
	}
	return true;
}

/* What a statement returns, for the caller to clear; NULL, with the reason told, for nothing. */
static PGresult *
ask(PGconn *pg, const char *sql)
{
	PGresult   *result = NULL;
	PGresult   *next;
	bool		connected = PQsendQueryParams(pg, sql, 0, NULL, NULL, NULL, NULL, 0) || connection_failed(pg);

	while (connected)
	{
		if (PQisBusy(pg))
			connected = wait_for(pg, POLLIN) && (PQconsumeInput(pg) || connection_failed(pg));
		else if ((next = PQgetResult(pg)) == NULL)
			return result;
		else
		{
			PQclear(result);
			result = next;
		}
	}
	PQclear(result);
	return NULL;
}

/*
 * What goes on in the background; webhooks are taken in without it.  False when the
 * connection broke.
 */
static bool
tell_workers(PGconn *pg)
{
	PGresult   *armed = ask(pg, po_armed_sql);
	PGresult   *workers = ask(pg, workers_sql);
	bool		answered = armed != NULL && workers != NULL;

	if (PQresultStatus(workers) != PGRES_TUPLES_OK || atoi(PQgetvalue(workers, 0, 0)) == 0)
		po_log(PO_LOG_WARNING, "check", "the server does not run background workers\n"
			   "hint: shared_preload_libraries = 'pg_outreach' in postgresql.conf,"
			   " outreach.max_workers above 0, and a restart");
	else
	{
		printf("workers     %s at most (outreach.max_workers)\n", PQgetvalue(workers, 0, 0));
		po_armed_read(armed);
		if (po_armed() == PO_ARMED_YES)
			puts("armed       yes");
	}
	PQclear(armed);
	PQclear(workers);
	return answered;
}

static void
tell_server(PGconn *pg, const PGresult *check)
{
	const char *version = PQgetvalue(check, 0, 3);

	printf("database    \"%s\" at %s, port %s, as role \"%s\"\n", PQdb(pg), PQhost(pg), PQport(pg), PQuser(pg));
	printf("server      PostgreSQL %s\n", PQparameterStatus(pg, "server_version"));
	if (PQgetisnull(check, 0, 3))
		return;
	printf("extension   pg_outreach %s\n", version);
	if (strcmp(version, PO_VERSION) != 0)
		po_log(PO_LOG_WARNING, "check", "this program is of version " PO_VERSION "\n"
			   "hint: install the same version of both, then ALTER EXTENSION pg_outreach UPDATE");
}

/* Connect and look; whether it could serve, or PO_UNFIT_NOT_DURABLE to try that again. */
static PoFitness
look(PGconn *pg, bool durable)
{
	PGresult   *check;
	PoFitness	fitness;
	char		hint[256];

	if (!connect_to(pg) || (check = ask(pg, po_fitness_sql)) == NULL)
		return PO_UNFIT_ERROR;
	fitness = po_fitness_read(check);
	if (fitness == PO_UNFIT_NOT_DURABLE && !durable)
	{
		PQclear(check);
		return fitness;
	}
	if (fitness != PO_UNFIT_ERROR)
		tell_server(pg, check);
	if (fitness == PO_FIT)
	{
		printf("commits     durable: synchronous_commit is \"%s\"%s\n", PQgetvalue(check, 0, 0),
			   durable ? ", which is asked for when connecting" : "");
		puts("rights      outreach.ingest_webhook() and outreach.ingest_webhooks() may be called");
		if (!tell_workers(pg))
			fitness = PO_UNFIT_ERROR;
	}
	else
		fail(po_fitness_text(fitness), po_fitness_hint(fitness, pg, hint, sizeof(hint)));
	PQclear(check);
	return fitness;
}

/* Whether the service could serve, with what there is to know about it printed. */
bool
po_check(void)
{
	PoFitness	fitness = PO_UNFIT_NOT_DURABLE;

	printf("listen      %s%s%s%s\n", po_config.listen,
		   po_config.listen[0] != '\0' && po_config.tls_listen[0] != '\0' ? ", " : "",
		   po_config.tls_listen, po_config.tls_listen[0] != '\0' ? " (TLS)" : "");
	deadline = po_monotonic_micros() + (int64) po_config.database_connect_timeout * 1000;
	for (int durable = 0; durable <= 1 && fitness == PO_UNFIT_NOT_DURABLE; durable++)
	{
		PGconn	   *pg = po_fitness_connect(durable);

		fitness = pg == NULL ? PO_UNFIT_ERROR : look(pg, durable);
		PQfinish(pg);
	}
	if (fitness != PO_FIT)
		return false;
	puts("This role may not see the key file, tenants and endpoints: they are not looked at.\n"
		 "It can serve.");
	return true;
}
