/*
 * idempotency.h
 *		Answers kept under the Idempotency-Key of their requests.
 *
 * A key belongs to an API and an account, and lives for idempotency_life_ms.
 */
#ifndef PROVIDER_IDEMPOTENCY_H
#define PROVIDER_IDEMPOTENCY_H

#include "api.h"

typedef struct IdempotentAnswer IdempotentAnswer;

typedef enum IdempotencyResult
{
	IDEMPOTENCY_NEW,			/* go on; entry is set if the key is to be kept */
	IDEMPOTENCY_REPLAY,			/* the answer is that of then */
	IDEMPOTENCY_CONFLICT		/* the answer is 409 or 422 */
} IdempotencyResult;

extern IdempotencyResult
			idempotency_begin(const Api *api, const Send *send, IdempotentAnswer **entry, Answer *answer);
extern void idempotency_store(IdempotentAnswer *entry, const Answer *answer);
extern void idempotency_end(IdempotentAnswer *entry);
extern void idempotency_forget(void);

#endif
