/*
 * planning.h
 *	  How the engine's statements are planned.
 */
#ifndef PO_PLANNING_H
#define PO_PLANNING_H

extern void po_planning_init(void);
extern bool po_is_planning(void);

#endif
