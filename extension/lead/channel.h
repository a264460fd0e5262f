/*
 * channel.h
 *	  The channels that messages leave in, and what each of them is.
 */
#ifndef PO_LEAD_CHANNEL_H
#define PO_LEAD_CHANNEL_H

/* A text message, which a reply is too, and a mail. */
#define PO_CHANNEL_SMS "sms"
#define PO_CHANNEL_EMAIL "email"

extern const char *po_phone_channel_name(int i);
extern const char *po_channel_problem(const char *path, const char *name);
extern void po_channel_require(const char *path, const char *name);
extern void po_address_channel_require(const char *path, const char *name);

extern bool po_goes_to_phone(const char *channel);
extern bool po_goes_to_email(const char *channel);
extern bool po_goes_to_address(const char *channel);
extern bool po_has_segments(const char *channel);
extern bool po_channel_has(const char *channel, const char *placeholder);
extern const char *po_channels_with(const char *placeholder);

#endif
