/*
 * launcher.h
 *	  The process that starts workers.
 */
#ifndef PO_WORKER_LAUNCHER_H
#define PO_WORKER_LAUNCHER_H

/* What a worker is told when it is started. */
typedef struct PoWorkerArgs
{
	Oid			database;
	Oid			role;
} PoWorkerArgs;

extern void po_launcher_init(void);
extern PGDLLEXPORT void po_launcher_main(Datum arg);
extern PGDLLEXPORT void po_worker_main(Datum arg);
extern PGDLLEXPORT void po_functions_main(Datum arg);

#endif
