/*
 * lane.h
 *	  Who shares what: the requests of one tenant are a lane.
 */
#ifndef PO_SHIM_LANE_H
#define PO_SHIM_LANE_H

#include "webhook.h"

#define PO_LANES 4096

typedef struct PoLane
{
	int			waiting;		/* in the queue */
	int			calls;			/* under way that carry some of it */
	int64		slow_until;		/* monotonic; 0: it is not */
} PoLane;

/* The lanes of a call under way; zeroed at the start, freed by whoever owns it. */
typedef struct PoLanesInCall
{
	struct PoLanesInCall *next;
	int		   *lane;			/* each once */
	int			n;
	int			room;
	int64		began;			/* monotonic */
} PoLanesInCall;

extern PoLane *po_lane(int number);
extern int	po_lane_of(PoSlice path);
extern void po_lane_learn(PoSlice path, int64 tenant, int was);
extern int	po_lane_longest(void);
extern bool po_lane_is_slow(int number, int64 now);

extern void po_lanes_begin_call(PoLanesInCall *lanes, PoWebhook **webhooks, int count);
extern void po_lanes_note_slow(void);
extern void po_lanes_end_call(PoLanesInCall *lanes);

#endif							/* PO_SHIM_LANE_H */
