/*
 * fitness.c
 *	  The check of a server, made after connecting and now and then.
 *
 * A 2xx promises that the webhook is on disk, so a session that commits without
 * waiting for the disk is not fit.  Owns nothing.
 */
#include "postgres_fe.h"

#include "config.h"
#include "fitness.h"

/*
 * One row: synchronous_commit, transaction_read_only, functions we may call (2), and
 * the version of the extension, null without it.
 */
const char	po_fitness_sql[] =
	"SELECT pg_catalog.current_setting('synchronous_commit'),"
	" pg_catalog.current_setting('transaction_read_only'),"
	" (SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc p"
	" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace"
	" WHERE n.nspname OPERATOR(pg_catalog.=) 'outreach'"
	" AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
	" AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')"
	" AND ((p.proname OPERATOR(pg_catalog.=) 'ingest_webhook'"
	" AND p.proargtypes OPERATOR(pg_catalog.=) '3802'::pg_catalog.oidvector)"
	" OR (p.proname OPERATOR(pg_catalog.=) 'ingest_webhooks'"
	" AND p.proargtypes OPERATOR(pg_catalog.=) '3807'::pg_catalog.oidvector))),"
	" (SELECT e.extversion FROM pg_catalog.pg_extension e"
	" WHERE e.extname OPERATOR(pg_catalog.=) 'pg_outreach')";

/* What the check's result says. */
PoFitness
po_fitness_read(const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		return PO_UNFIT_ERROR;
	if (strcmp(PQgetvalue(result, 0, 0), "off") == 0)
		return PO_UNFIT_NOT_DURABLE;
	if (strcmp(PQgetvalue(result, 0, 1), "off") != 0)
		return PO_UNFIT_READ_ONLY;
	if (strcmp(PQgetvalue(result, 0, 2), "2") != 0)
		return PQgetisnull(result, 0, 3) ? PO_UNFIT_NO_EXTENSION : PO_UNFIT_NO_RIGHT;
	return PO_FIT;
}

/* The same in words: one fact. */
const char *
po_fitness_text(PoFitness fitness)
{
	switch (fitness)
	{
		case PO_FIT:
			return "fit";
		case PO_UNFIT_NOT_DURABLE:
			return "synchronous_commit is off";
		case PO_UNFIT_READ_ONLY:
			return "the server is read-only";
		case PO_UNFIT_NO_EXTENSION:
			return "the database does not have the extension pg_outreach";
		case PO_UNFIT_NO_RIGHT:
			return "the role may not call outreach.ingest_webhook() and outreach.ingest_webhooks()";
		default:
			return "the check failed";
	}
}

/* The way out, for the session that was checked, in hint[], which is returned. */
const char *
po_fitness_hint(PoFitness fitness, const PGconn *pg, char *hint, size_t size)
{
	switch (fitness)
	{
		case PO_UNFIT_NOT_DURABLE:
			snprintf(hint, size, "connecting again asks for it, which a pooler in between may drop");
			break;
		case PO_UNFIT_READ_ONLY:
			snprintf(hint, size, "name the primary, or all servers with target_session_attrs=read-write");
			break;
		case PO_UNFIT_NO_EXTENSION:
			snprintf(hint, size, "CREATE EXTENSION pg_outreach in database \"%s\", as a superuser", PQdb(pg));
			break;
		case PO_UNFIT_NO_RIGHT:
			snprintf(hint, size, "GRANT outreach_ingress TO \"%s\"", PQuser(pg));
			break;
		default:
			snprintf(hint, size, "the server's log says why");
	}
	return hint;
}

/*
 * The options of the connection string, or of the environment, with a durable
 * commit added; the caller frees them.
 */
static char *
durable_options(const char *conninfo)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	const char *given = getenv("PGOPTIONS");
	char	   *result;

	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
	{
		if (strcmp(o->keyword, "options") == 0 && o->val != NULL)
			given = o->val;
	}
	result = psprintf("%s -c synchronous_commit=on", given != NULL ? given : "");
	PQconninfoFree(options);
	return result;
}

/*
 * Begin to connect to the configured database; with `durable`, asking for commits
 * that wait for the disk.  The caller polls, and ends it with PQfinish(), also
 * where it is CONNECTION_BAD already; NULL without memory.
 */
PGconn *
po_fitness_connect(bool durable)
{
	char	   *options = durable ? durable_options(po_config.database) : NULL;
	const char *keywords[] = {
		"dbname", "fallback_application_name", "client_encoding",
		options ? "options" : NULL, NULL
	};
	const char *values[] = {po_config.database, "outreach-shim", "UTF8", options, NULL};
	PGconn	   *pg = PQconnectStartParams(keywords, values, 1);

	free(options);
	return pg;
}
