/*
 * check.h
 *	  --check: whether the program could serve, for a person.
 */
#ifndef PO_SHIM_CHECK_H
#define PO_SHIM_CHECK_H

extern bool po_check(void);

#endif							/* PO_SHIM_CHECK_H */
