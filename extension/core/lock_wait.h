/*
 * lock_wait.h
 *	  How long work may wait for locks that others hold.
 */
#ifndef PO_LOCK_WAIT_H
#define PO_LOCK_WAIT_H

#include "core/subtransaction.h"

extern void po_wait_at_most(PoWork work, void *arg, int milliseconds);
extern void po_wait_each_at_most(PoWork work, void *arg, int milliseconds);

#endif
