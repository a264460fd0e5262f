/*
 * trigger.h
 *	  Triggers in C: whether they are called as they were made to be.
 */
#ifndef PO_TRIGGER_H
#define PO_TRIGGER_H

#include "commands/trigger.h"
#include "core/compat.h"
#include "fmgr.h"

typedef enum PoTriggerUse
{
	PO_TRIGGER_BEFORE_ROW,
	PO_TRIGGER_AFTER_ROW,
	PO_TRIGGER_AFTER_STATEMENT,
	PO_TRIGGER_BEFORE_TRUNCATE
} PoTriggerUse;

extern bool po_trigger_is(FunctionCallInfo fcinfo, PoTriggerUse use, const char *table);
extern TriggerData *po_trigger(FunctionCallInfo fcinfo, const char *name, PoTriggerUse use, const char *table);
po_noreturn extern void po_trigger_misused(const char *name);
extern int	po_trigger_column(TriggerData *trigger, const char *column, Oid type);
extern char *po_trigger_text(TriggerData *trigger, HeapTuple row, const char *column);

#endif
