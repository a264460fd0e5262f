/*
 * cancel.h
 *	  Cancelling a statement without holding up the event loop.
 */
#ifndef PO_SHIM_CANCEL_H
#define PO_SHIM_CANCEL_H

#include "libpq-fe.h"

extern void po_cancel_start(PGconn *pg);

#endif							/* PO_SHIM_CANCEL_H */
