/*
 * session.h
 *	  The settings that a worker works under.
 */
#ifndef PO_WORKER_SESSION_H
#define PO_WORKER_SESSION_H

extern void po_session_remember(void);
extern void po_session_override(void);
extern bool po_session_is_clean(void);

#endif
