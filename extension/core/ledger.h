/*
 * ledger.h
 *	  Keys of what must be known to be used for ever.
 */
#ifndef PO_CORE_LEDGER_H
#define PO_CORE_LEDGER_H

#include "core/compat.h"
#include "utils/uuid.h"

/* What a text is the key of. */
#define PO_LEDGER_SEND "send"
#define PO_LEDGER_WEBHOOK "webhook"
#define PO_LEDGER_MESSAGE_ID "message id"

extern pg_uuid_t po_ledger_key(const char *tenant_id, const char *scope, const char *text);
extern pg_uuid_t po_provider_key(const char *tenant_id, const char *word, const char *provider, const char *text);

#endif
