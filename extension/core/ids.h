/*
 * ids.h
 *	  Identifiers made in the server: UUIDv7, and prefixed ULIDs as the apps make.
 */
#ifndef PO_IDS_H
#define PO_IDS_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#define PO_ULID_LEN 26
#define PO_ULID_DIGITS "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

extern void po_uuid_v7(pg_uuid_t *uuid);
extern TimestampTz po_time_of_id(const pg_uuid_t *uuid);
extern char *po_ulid(const char *prefix);

#endif
