/*
 * arming.c
 *	  Whether background workers may work in this database: where the row of
 *	  outreach.arming names this cluster, database and data directory.
 *
 * A dump carries the row, and so does a copy of the database or of its files.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "core/arming.h"
#include "core/compat.h"
#include "core/identity.h"
#include "core/spi_plan.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

static PoPlan select_arming = {
	.name = "arming.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT armed, reason, system_identifier::int8, database, identity, written_by = xmin::text::int8"
	" FROM outreach.arming"
};

PG_FUNCTION_INFO_V1(po_arming_problem_sql);
PG_FUNCTION_INFO_V1(po_is_armed);

/*
 * po_arming_problem returns why no work may be done in the background, palloc'd;
 * NULL when it may.  Needs SPI and the engine's owner as user.
 */
const char *
po_arming_problem(void)
{
	pg_uuid_t	identity;
	char	   *reason;

	if (po_exec(&select_arming, NULL, NULL) == 0)
		return "not armed yet";
	reason = po_column_text(0, 2);
	(void) po_column_uuid(0, 5, &identity);
	if (!po_column_bool(0, 1))
		return reason != NULL ? psprintf("disarmed: %s", reason) : "disarmed";
	if (po_column_int64(0, 3) != (int64) GetSystemIdentifier())
		return "armed in another cluster";
	if (po_column_int64(0, 4) != MyDatabaseId)
		return "armed as another database";
	if (!po_column_bool(0, 6))
		return "restored from a dump";
	if (!po_is_identity(&identity))
		return "armed in another data directory";
	return NULL;
}

static const char *
read_problem(void)
{
	const char *problem;

	po_spi_connect();
	problem = po_arming_problem();
	SPI_finish();
	return problem;
}

/*
 * arming_problem(): null when background workers may work here.
 */
Datum
po_arming_problem_sql(PG_FUNCTION_ARGS)
{
	const char *problem = read_problem();

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/*
 * is_armed(): the same as yes or no.
 */
Datum
po_is_armed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(read_problem() == NULL);
}
