/*
 * twilio.h
 *		What the two files of Twilio share.
 */
#ifndef PROVIDER_TWILIO_H
#define PROVIDER_TWILIO_H

#include "api.h"

extern char *twilio_new_message_sid(const Send *send);
extern char *twilio_new_call_sid(const Send *send);

extern void
			twilio_message_status(const Message *m, const char *status, int code, int nth, Webhook *w);
extern void twilio_call_status(const Message *m, const char *status, int code, int nth, Webhook *w);
extern void twilio_reply(const Reply *r, Webhook *w);

#endif
