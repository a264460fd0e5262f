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
	PO_UNFIT_FUNCTIONS
} PoFitness;

extern const char po_fitness_sql[];

extern PoFitness po_fitness_read(const PGresult *result);
extern const char *po_fitness_text(PoFitness fitness);
extern char *po_fitness_durable_options(const char *conninfo);

#endif							/* PO_SHIM_FITNESS_H */
