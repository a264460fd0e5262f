/*
 * retention.h
 *	  How rows leave tables that only take new ones.
 */
#ifndef PO_LEAD_RETENTION_H
#define PO_LEAD_RETENTION_H

#include "core/spi_plan.h"
#include "utils/relcache.h"

extern uint64 po_remove(Oid table, PoPlan *plan, Datum *args, const char *nulls);
extern bool po_is_removing(Relation table);

#endif
