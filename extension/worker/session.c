/*
 * session.c
 *	  The settings that a worker works under.
 *
 * They are the server's.  What a database or a role has set is for people, and
 * some of it would change what a worker does: row_security, a path, the meaning
 * of a literal, triggers that do not fire.  So the values that the process had
 * before it connected are put over whatever it got from there, and a few are fixed
 * whatever the server's file says.  Both are of the source "override", which
 * neither a reload nor ALTER ROLE can replace.
 *
 * Nothing in a worker sets anything for the session.  A setting that has the
 * source "session" was left behind by code of somebody else's.
 */
#include "postgres.h"

#include "core/compat.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "worker/session.h"

/* In milliseconds; what cannot be had within it is left for the next turn. */
#define LOCK_TIMEOUT "100"

static const char *const fixed[][2] = {
	{"array_nulls", "on"},
	{"bytea_output", "hex"},
	{"default_transaction_deferrable", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"exit_on_error", "off"},
	{"extra_float_digits", "1"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"lock_timeout", LOCK_TIMEOUT},
	{"plan_cache_mode", "auto"},
	{"restrict_nonsystem_relation_kind", ""},
	{"row_security", "on"},
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "origin"},
	{"standard_conforming_strings", "on"},
	{"statement_timeout", "0"},
	{"synchronous_commit", "on"},
	{"transaction_timeout", "0"},
	{"transform_null_equals", "off"}
};

typedef struct Remembered
{
	char	   *name;
	char	   *value;
} Remembered;

static Remembered *remembered;
static int	nremembered;

/*
 * po_session_remember keeps what the server's file says; to be called before the
 * process connects.
 */
void
po_session_remember(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	int			n;
	struct config_generic **variable = po_guc_variables(&n);

	remembered = palloc(n * sizeof(Remembered));
	for (int i = 0; i < n; i++)
	{
		const char *value;

		if (variable[i]->context < PGC_SU_BACKEND)
			continue;
		value = GetConfigOption(variable[i]->name, true, false);
		remembered[nremembered].name = pstrdup(variable[i]->name);
		remembered[nremembered++].value = pstrdup(value != NULL ? value : "");
	}
	MemoryContextSwitchTo(old);
}

static const char *
remembered_value(const char *name)
{
	for (int i = 0; i < nremembered; i++)
		if (strcmp(remembered[i].name, name) == 0)
			return remembered[i].value;
	return NULL;
}

/*
 * po_session_override makes the settings the worker's own; to be called once it is
 * connected, outside of a transaction.
 */
void
po_session_override(void)
{
	int			n;
	struct config_generic **variable = po_guc_variables(&n);

	for (int i = 0; i < n; i++)
	{
		const char *value;

		if (variable[i]->source < PGC_S_GLOBAL || variable[i]->source > PGC_S_DATABASE_USER)
			continue;
		/* One that nobody knew before is an application's, of no meaning here. */
		value = remembered_value(variable[i]->name);
		if (value != NULL)
			SetConfigOption(variable[i]->name, value, PGC_SUSET, PGC_S_OVERRIDE);
	}
	for (int i = 0; i < lengthof(fixed); i++)
		if (GetConfigOption(fixed[i][0], true, false) != NULL)
			SetConfigOption(fixed[i][0], fixed[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * po_session_is_clean tells whether no setting was left behind.
 */
bool
po_session_is_clean(void)
{
	int			n;
	struct config_generic **variable = po_guc_variables(&n);

	for (int i = 0; i < n; i++)
		if (variable[i]->source == PGC_S_SESSION)
			return false;
	return true;
}
