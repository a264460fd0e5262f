/*
 * wakeup.h
 *	  Telling the workers, at commit, when work is due.
 */
#ifndef PO_WAKEUP_H
#define PO_WAKEUP_H

#include "datatype/timestamp.h"

extern void po_wakeup_init(void);
extern void po_wake_at(TimestampTz due);

#endif
