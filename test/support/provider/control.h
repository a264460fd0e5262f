/*
 * control.h
 *		The provider's control interface, /control/… on the same port.
 */
#ifndef PROVIDER_CONTROL_H
#define PROVIDER_CONTROL_H

#include "server.h"

extern void control_handle(Request *request);

#endif
