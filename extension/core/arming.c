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
#include "core/statement.h"
#include "miscadmin.h"
#include "utils/builtins.h"

typedef struct Arming
{
	bool		armed;
	const char *reason;
	int64		system_identifier;
	int64		database;
	pg_uuid_t	identity;
	bool		original;		/* written here, and not by a restore */
} Arming;

static const PoField arming_field[] = {
	PO_FIELD(Arming, armed, BOOL, PO_GIVE),
	PO_FIELD(Arming, reason, TEXT, PO_GIVE),
	PO_VALUE(Arming, system_identifier, "a.system_identifier::int8", ID),
	PO_FIELD(Arming, database, ID, PO_GIVE),
	PO_FIELD(Arming, identity, UUID, PO_GIVE),
	PO_VALUE(Arming, original, "a.written_by = a.xmin::text::int8", BOOL)
};

static PoStatement select_arming = {
	.name = "arming.select",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {a.*} FROM outreach.arming a",
	.gives = PO_FIELDS(arming_field, PO_GIVE)
};

/*
 * po_arming_problem returns why no work may be done in the background, palloc'd;
 * NULL when it may.  Needs SPI and the engine's owner as user.
 */
const char *
po_arming_problem(void)
{
	Arming		arming;

	if (po_exec_fixed(&select_arming, NULL) == 0)
		return "not armed yet";
	po_read_row(&select_arming, 0, &arming);
	if (!arming.armed)
		return arming.reason != NULL ? psprintf("disarmed: %s", arming.reason) : "disarmed";
	if (arming.system_identifier != (int64) GetSystemIdentifier())
		return "armed in another cluster";
	if (arming.database != MyDatabaseId)
		return "armed as another database";
	if (!arming.original)
		return "restored from a dump";
	if (!po_is_identity(&arming.identity))
		return "armed in another data directory";
	return NULL;
}
