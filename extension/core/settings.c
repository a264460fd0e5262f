/*
 * settings.c
 *	  Every setting of the extension, in alphabetical order.
 *
 * All of them can be defined when the library is loaded into a running
 * session, so that the extension works without being preloaded.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "utils/guc.h"

char	   *po_setting_clock = NULL;
char	   *po_setting_secret_key_file = NULL;
char	   *po_setting_tenant_id = NULL;

/*
 * po_define_settings registers them; called once from _PG_init.
 */
void
po_define_settings(void)
{
	DefineCustomStringVariable("outreach.clock",
							   "Time that the engine takes for now, for tests and simulations.",
							   "A timestamp with time zone; empty for the real time.",
							   &po_setting_clock, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   po_clock_check, po_clock_assign, NULL);

	DefineCustomStringVariable("outreach.secret_key_file",
							   "File with the key that seals secrets in the database.",
							   "32 bytes, or 64 hexadecimal digits, readable by the server's user alone; keep it outside the data directory.",
							   &po_setting_secret_key_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("outreach.tenant_id",
							   "Tenant that the transaction has entered.",
							   "Set by outreach.enter_tenant() alone.",
							   &po_setting_tenant_id, "",
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE | GUC_NO_RESET_ALL,
							   NULL, NULL, NULL);

	MarkGUCPrefixReserved("outreach");
}
