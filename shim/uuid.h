/*
 * uuid.h
 *	  Random bytes and UUID version 7.
 */
#ifndef PO_SHIM_UUID_H
#define PO_SHIM_UUID_H

#define PO_UUID_LEN 36

extern void po_random_bytes(void *buf, size_t len);
extern uint32 po_random_below(uint32 limit);
extern void po_uuid_v7(int64 wall_micros, char out[PO_UUID_LEN + 1]);

#endif							/* PO_SHIM_UUID_H */
