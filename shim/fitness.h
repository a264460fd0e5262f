/*
 * fitness.h
 *	  Whether a server is fit for webhooks: durable, writable, functions there.
 */
#ifndef PO_SHIM_FITNESS_H
#define PO_SHIM_FITNESS_H

#include "libpq-fe.h"

typedef enum PoFitness
{
	PO_FIT,
	PO_UNFIT_ERROR,
	PO_UNFIT_NOT_DURABLE,
	PO_UNFIT_READ_ONLY,
	PO_UNFIT_NO_EXTENSION,
	PO_UNFIT_NO_RIGHT
} PoFitness;

extern const char po_fitness_sql[];

extern PoFitness po_fitness_read(const PGresult *result);
extern const char *po_fitness_text(PoFitness fitness);
extern const char *po_fitness_hint(PoFitness fitness, const PGconn *pg, char *hint, size_t size);
extern PGconn *po_fitness_connect(bool durable);

#endif							/* PO_SHIM_FITNESS_H */
