/*
 * holding.h
 *	  Keeping workers out of databases that statements want for themselves.
 */
#ifndef PO_WORKER_HOLDING_H
#define PO_WORKER_HOLDING_H

extern void po_holding_init(void);

#endif
