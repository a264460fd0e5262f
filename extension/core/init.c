/*
 * init.c
 *	  What happens when the library is loaded: registration, and nothing else.
 *
 * Everything works in a session that loads the library on first use; only the
 * shared counters need shared_preload_libraries.
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/counters.h"
#include "core/settings.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	po_define_settings();
	po_counters_init();
}
