/*
 * settings.c
 *	  Every setting of the extension, in alphabetical order.
 *
 * Those that size shared memory and the pool of workers exist only when the
 * library is preloaded, because only then are there any.
 */
#include "postgres.h"

#include <limits.h>

#include "core/clock.h"
#include "core/compat.h"
#include "core/entered.h"
#include "core/settings.h"
#include "miscadmin.h"
#include "utils/guc.h"

bool		po_setting_allow_private_addresses = false;
char	   *po_setting_clock = NULL;
int			po_setting_function_timeout = 30000;
int			po_setting_keep_events = 0;
int			po_setting_keep_messages = 0;
int			po_setting_keep_payloads = 0;
int			po_setting_keep_timers = 0;
int			po_setting_lock_wait = 300;
int			po_setting_max_databases = 1024;
int			po_setting_max_function_workers = 2;
int			po_setting_max_sends = 500;
int			po_setting_max_sends_per_host = 500;
int			po_setting_max_workers = 4;
bool		po_setting_require_tenant = true;
char	   *po_setting_secret_key_file = NULL;

/*
 * po_define_settings registers them; called once from _PG_init.
 */
void
po_define_settings(void)
{
	DefineCustomBoolVariable("outreach.allow_private_addresses",
							 "Lets messages go to loopback and private addresses, and over plain HTTP.",
							 "For tests and development.",
							 &po_setting_allow_private_addresses, false,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("outreach.clock",
							   "Time that the engine takes for now, for tests and simulations.",
							   "A timestamp with time zone; empty for the real time.",
							   &po_setting_clock, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   po_clock_check, po_clock_assign, NULL);

	DefineCustomIntVariable("outreach.function_timeout",
							"Time that a worker gives a function which a timer calls.",
							"0 is for ever.",
							&po_setting_function_timeout, 30000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("outreach.keep_events",
							"How long events are kept; the upkeep drops whole months that are older.",
							"0 is for ever.",
							&po_setting_keep_events, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN,
							NULL, NULL, NULL);

	DefineCustomIntVariable("outreach.keep_messages",
							"How long messages that have left or never will are kept, with their deliveries.",
							"The upkeep drops whole months that are older, by the time at which they were asked for; "
							"0 is for ever.",
							&po_setting_keep_messages, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN,
							NULL, NULL, NULL);

	DefineCustomIntVariable("outreach.keep_payloads",
							"How long webhooks that have been processed or given up are kept.",
							"The upkeep drops whole months that are older, by the time at which they came; 0 is for "
							"ever.",
							&po_setting_keep_payloads, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN,
							NULL, NULL, NULL);

	DefineCustomIntVariable("outreach.keep_timers",
							"How long timers that have fired, were cancelled or gave up are kept.",
							"The upkeep drops whole months that are older, by the time at which they were set; 0 is "
							"for ever.",
							&po_setting_keep_timers, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN,
							NULL, NULL, NULL);

	DefineCustomIntVariable("outreach.lock_wait",
							"How long a call that takes webhooks in waits for locks of others, in all.",
							"After that what is locked is kept, and processed when it is free.",
							&po_setting_lock_wait, 300, 1, 60000,
							PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	if (process_shared_preload_libraries_in_progress)
	{
		DefineCustomIntVariable("outreach.max_databases",
								"Number of databases that workers can know of.",
								NULL,
								&po_setting_max_databases, 1024, 1, 65536,
								PGC_POSTMASTER, 0,
								NULL, NULL, NULL);

		DefineCustomIntVariable("outreach.max_function_workers",
								"Number of background workers that call timers' functions, for all databases together.",
								"They count towards max_worker_processes, beside those of outreach.max_workers.",
								&po_setting_max_function_workers, 2, 1, 64,
								PGC_POSTMASTER, 0,
								NULL, NULL, NULL);
	}

	DefineCustomIntVariable("outreach.max_sends",
							"Number of requests that a database has under way at once.",
							"0 sends nothing.",
							&po_setting_max_sends, 500, 0, 10000,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("outreach.max_sends_per_host",
							"Number of requests that a database has under way to one host.",
							NULL,
							&po_setting_max_sends_per_host, 500, 1, 10000,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	if (process_shared_preload_libraries_in_progress)
	{
		DefineCustomIntVariable("outreach.max_workers",
								"Number of background workers for all databases together.",
								"They count towards max_worker_processes; 0 starts none.",
								&po_setting_max_workers, 4, 0, 64,
								PGC_POSTMASTER, 0,
								NULL, NULL, NULL);
	}

	DefineCustomBoolVariable("outreach.require_tenant",
							 "Whether it is an error to read rows of tenants before one is entered.",
							 "Else there are none.",
							 &po_setting_require_tenant, true,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("outreach.secret_key_file",
							   "File with the key that seals secrets in the database.",
							   "32 bytes, or 64 hexadecimal digits, readable by the server's user alone; keep it "
							   "outside the data directory.",
							   &po_setting_secret_key_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("outreach.tenant_id",
							   "Tenants that roles have entered in the transaction.",
							   "Set by outreach.enter_tenant() alone.",
							   &po_entered_setting, "",
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE | GUC_NO_RESET_ALL,
							   po_entered_check, po_entered_assign, NULL);

	MarkGUCPrefixReserved("outreach");
}
