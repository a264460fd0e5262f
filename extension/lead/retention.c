/*
 * retention.c
 *	  How rows leave tables that only take new ones.
 *
 * The trigger of those tables (api/triggers.c) refuses every UPDATE, DELETE and TRUNCATE,
 * whoever asks.  The statements of api/removal_api.c pass by it: a tenant that is dropped
 * with all it has, events that move into the partition of their month, old ones that came
 * without a partition, and the history of an address that is erased.  What lets them
 * pass is a variable of this file that is set while one of them runs.
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "core/compat.h"
#include "lead/retention.h"
#include "utils/rel.h"

/* The table that rows are being removed from, and none other. */
static Oid	removing_from = InvalidOid;

/*
 * po_remove runs a statement that removes rows of one table, and returns how many.  As the
 * engine's owner; connects to SPI itself.
 */
uint64
po_remove(Oid table, PoPlan *plan, Datum *args, const char *nulls)
{
	Oid			before = removing_from;
	volatile uint64 n = 0;

	po_spi_connect();
	PG_TRY();
	{
		removing_from = table;
		n = po_exec(plan, args, nulls);
	}
	PG_FINALLY();
	{
		removing_from = before;
	}
	PG_END_TRY();
	SPI_finish();
	return n;
}

/*
 * po_is_removing tells the trigger of a table whether such a statement removes its rows,
 * also as those of a partition.
 */
bool
po_is_removing(Relation table)
{
	return OidIsValid(removing_from) &&
		(RelationGetRelid(table) == removing_from ||
		 (table->rd_rel->relispartition &&
		  get_partition_parent(RelationGetRelid(table), true) == removing_from));
}
