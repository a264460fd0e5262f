/*
 * armed.h
 *	  Whether the database works by itself, as the connections' checks find it.
 */
#ifndef PO_SHIM_ARMED_H
#define PO_SHIM_ARMED_H

#include "libpq-fe.h"

typedef enum PoArmed
{
	PO_ARMED_UNKNOWN,
	PO_ARMED_NO,
	PO_ARMED_YES
} PoArmed;

extern const char po_armed_sql[];

extern void po_armed_read(const PGresult *result);
extern PoArmed po_armed(void);

#endif							/* PO_SHIM_ARMED_H */
