/*
 * budget.h
 *	  The time that an activity of a worker may take, and what running out of it
 *	  means.
 */
#ifndef PO_BUDGET_H
#define PO_BUDGET_H

extern void po_budget_begin(int ms);
extern void po_budget_of_function(int ms);
extern void po_budget_stop(void);
extern void po_budget_end(void);
extern bool po_budget_ran_out(void);

extern bool po_waits_for_nobody(void);
extern bool po_is_busy(int sqlstate);

#endif
