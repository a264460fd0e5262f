/*
 * init.c
 *	  What happens when the library is loaded: registration, and nothing else.
 *
 * Everything works in a session that loads the library on first use; only the
 * shared counters and the background workers need shared_preload_libraries.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/counters.h"
#include "core/identity.h"
#include "core/planning.h"
#include "core/settings.h"
#include "core/shared.h"
#include "core/subtransaction.h"
#include "core/wakeup.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "sender/sender.h"
#include "worker/launcher.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	po_define_settings();
	po_counters_init();
	po_planning_init();
	po_between_members = po_sender_drive;
	if (!process_shared_preload_libraries_in_progress)
		return;
	po_identity_init();
	po_shared_init();
	po_wakeup_init();
	po_launcher_init();
}
