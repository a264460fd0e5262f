/*
 * calm.h
 *	  Whether the wall clock goes as the monotonic one does.
 */
#ifndef PO_CALM_H
#define PO_CALM_H

extern Size po_calm_size(void);
extern void po_calm_startup(void);

extern void po_shared_watch_clock(bool begins);
extern int64 po_shared_calm_for(void);

#endif
