/*
 * planning.h
 *	  How the engine's statements are planned.
 */
#ifndef PO_PLANNING_H
#define PO_PLANNING_H

/* How the statements of a function are planned, once in a backend. */
typedef enum PoPlanning
{
	PO_HOT,						/* for large tables, however full they are just now */
	PO_QUEUE,					/* the same, in the order of an index */
	PO_SETS						/* as PostgreSQL finds best */
} PoPlanning;

extern void po_planning_init(void);
extern bool po_is_planning(void);

/* api.c */
extern PoPlanning po_planning_of_call(void);

#endif
