/*
 * fitness.c
 *	  The check of a server, made after connecting and now and then.
 *
 * A 2xx promises that the webhook is on disk, so a session that commits without
 * waiting for the disk is not fit.  Pure but for libpq's parsing; owns nothing.
 */
#include "postgres_fe.h"

#include "fitness.h"

/* One row: synchronous_commit, transaction_read_only, functions we may call (2). */
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
" AND p.proargtypes OPERATOR(pg_catalog.=) '3807'::pg_catalog.oidvector)))";

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
		return PO_UNFIT_FUNCTIONS;
	return PO_FIT;
}

/* The same in words, for the log. */
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
		case PO_UNFIT_FUNCTIONS:
			return "outreach.ingest_webhook(s) missing or not executable";
		default:
			return "the check failed";
	}
}

/*
 * The options of the connection string, or of the environment, with a durable
 * commit added; the caller frees them.
 */
char *
po_fitness_durable_options(const char *conninfo)
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
