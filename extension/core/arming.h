/*
 * arming.h
 *	  Whether background workers may work in this database.
 */
#ifndef PO_ARMING_H
#define PO_ARMING_H

extern const char *po_arming_problem(void);

#endif
