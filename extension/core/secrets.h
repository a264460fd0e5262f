/*
 * secrets.h
 *	  Secrets that the database keeps sealed.
 */
#ifndef PO_SECRETS_H
#define PO_SECRETS_H

#include "core/compat.h"
#include "utils/uuid.h"

typedef struct PoSecret
{
	char	   *data;
	int			len;
} PoSecret;

extern PoSecret *po_secrets_open(const char *tenant_id, const char *purpose,
								 const char *name, const char *given_for, int *nsecrets,
								 const char **problem);
extern void po_secret_store(const char *tenant_id, const char *purpose, const char *name,
							const char *given_for, const text * plain, pg_uuid_t *secret_id);
po_noreturn extern void po_secrets_unavailable(const char *problem);
extern void po_secret_wipe(PoSecret *secret);

#endif
