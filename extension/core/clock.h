/*
 * clock.h
 *	  The one function that tells the time.
 */
#ifndef PO_CLOCK_H
#define PO_CLOCK_H

#include "datatype/timestamp.h"
#include "utils/guc.h"

extern TimestampTz po_now(void);

extern bool po_clock_check(char **newval, void **extra, GucSource source);
extern void po_clock_assign(const char *newval, void *extra);

#endif
