/*
 * identity.h
 *	  Whether this data directory is the one it was, or a copy of it.
 */
#ifndef PO_IDENTITY_H
#define PO_IDENTITY_H

#include "utils/uuid.h"

extern void po_identity_init(void);
extern bool po_identity(pg_uuid_t *uuid);
extern bool po_is_identity(const pg_uuid_t *uuid);

#endif
