/*
 * service.h
 *		What is done with a request: routing, accepting, answering.
 */
#ifndef PROVIDER_SERVICE_H
#define PROVIDER_SERVICE_H

#include "server.h"

extern void service_handle(Request *request);
extern void service_forget(void);

#endif
