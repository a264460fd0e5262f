/*
 * memory.c
 *	  One counter against memory_limit.  Each holder keeps what it has been
 *	  charged in a size_t of its own.
 */
#include "postgres_fe.h"

#include "config.h"
#include "memory.h"

static size_t used = 0;

/* The holder charged with *held now holds `now` bytes. */
void
po_memory_account(size_t *held, size_t now)
{
	used = used - *held + now;
	*held = now;
}

/* Is the budget overdrawn? */
bool
po_memory_exhausted(void)
{
	return used > (size_t) po_config.memory_limit;
}
