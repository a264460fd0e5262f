/*
 * memory.h
 *	  The byte budget of requests being read or waiting, over all connections.
 */
#ifndef PO_SHIM_MEMORY_H
#define PO_SHIM_MEMORY_H

extern void po_memory_account(size_t *held, size_t now);
extern bool po_memory_exhausted(void);

#endif							/* PO_SHIM_MEMORY_H */
