/*
 * subtransaction.h
 *	  Work on one item that may fail without its neighbours noticing.
 */
#ifndef PO_SUBTRANSACTION_H
#define PO_SUBTRANSACTION_H

typedef void (*PoWork) (void *arg);

extern int	po_try(PoWork work, void *arg, const bool *foreign);
extern int	po_try_alone(PoWork work, void *arg, const bool *foreign);

extern void (*po_between_members) (void);

#endif
