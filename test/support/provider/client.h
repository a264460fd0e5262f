/*
 * client.h
 *		Posts webhooks to loopback over HTTP, on connections that are kept.
 */
#ifndef PROVIDER_CLIENT_H
#define PROVIDER_CLIENT_H

#include "api.h"

/* http_status: 0 when no answer came, -1 when it was not even tried */
typedef void (*ClientDone) (void *arg, int http_status);

extern void client_post(const Webhook *webhook, ClientDone done, void *arg);

#endif
