/*
 * job.h
 *		A request that is being worked on.
 */
#ifndef PROVIDER_JOB_H
#define PROVIDER_JOB_H

#include "api.h"
#include "fault.h"
#include "idempotency.h"

typedef struct Job
{
	Hold		hold;			/* first, for the server knows only this */
	const Api  *api;
	Send		send;
	const Fault *fault;
	int			nth;			/* request of its connection */
	Answer		answer;
	uint64_t	first_message;
	int			messages;
	IdempotentAnswer *running;	/* its entry under its idempotency key */
	int			early;			/* callbacks that its answer waits for */
	bool		waiting;		/* for its time */
} Job;

#endif
