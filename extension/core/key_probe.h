/*
 * key_probe.h
 *	  What an index of the engine's has under a key, without a statement.
 */
#ifndef PO_KEY_PROBE_H
#define PO_KEY_PROBE_H

#include "utils/uuid.h"

typedef enum PoKeyState
{
	PO_KEY_FREE,				/* no row */
	PO_KEY_TAKEN,				/* a row that is committed, or our own */
	PO_KEY_HELD					/* a row that another transaction is making, changing or deleting */
} PoKeyState;

typedef struct PoLedger PoLedger;

extern PoKeyState po_probe_key(const char *index_name, const char *const *key, int n);
extern PoKeyState po_probe_ledger(const char *name, const pg_uuid_t *key);
extern PoLedger *po_open_ledger(const char *name);
extern bool po_read_ledger(PoLedger *ledger, const pg_uuid_t *key, const char *const *column, int n,
						   NullableDatum *value);
extern void po_close_ledger(PoLedger *ledger);
extern void po_have_rows(const char *index_name, const char *const *key, int n, int nkeys, bool unseen,
						 bool *has);

#endif
