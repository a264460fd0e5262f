/*
 * owner.h
 *	  The role that owns the engine, and as which all its statements run.
 */
#ifndef PO_OWNER_H
#define PO_OWNER_H

extern Oid	po_engine_owner(void);
extern bool po_is_engine_owner(Oid role);

#endif
