/*
 * retention.h
 *	  How rows leave tables that only take new ones.
 */
#ifndef PO_LEAD_RETENTION_H
#define PO_LEAD_RETENTION_H

#include "datatype/timestamp.h"
#include "utils/relcache.h"

extern bool po_is_removing(Relation table);
extern int64 po_remove_tenants_rows(Oid table, const char *tenant_id);
extern int	po_move_events_of(TimestampTz from, TimestampTz until, int most);
extern int	po_remove_events_before(TimestampTz before, int most);
extern int	po_forget_consent_of(const char *tenant_id, const char *address, const char *digest);

#endif
