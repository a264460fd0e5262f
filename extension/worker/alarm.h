/*
 * alarm.h
 *	  Waking up on the microsecond.
 */
#ifndef PO_WORKER_ALARM_H
#define PO_WORKER_ALARM_H

#include "port.h"

extern pgsocket po_alarm_in(int64 us);

#endif
