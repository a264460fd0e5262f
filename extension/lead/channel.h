/*
 * channel.h
 *	  The channels that messages leave in, and what each of them is.
 */
#ifndef PO_LEAD_CHANNEL_H
#define PO_LEAD_CHANNEL_H

/* A text message, which a reply is too, and a mail. */
#define PO_CHANNEL_SMS "sms"
#define PO_CHANNEL_EMAIL "email"

#define PO_MOST_PARTS 3

/* Where a message of a channel goes. */
typedef enum PoGoesTo
{
	PO_TO_PHONE,				/* from one of the tenant's numbers */
	PO_TO_EMAIL,
	PO_TO_LEAD					/* to no address */
} PoGoesTo;

typedef struct PoChannel
{
	const char *name;
	PoGoesTo	goes_to;
	bool		segments;		/* its texts are sent and paid in parts */
	const char *part[PO_MOST_PARTS];	/* what it has beside its text, as placeholders */
	const char *description;
} PoChannel;

extern const PoChannel *po_channel(int i);
extern const PoChannel *po_find_channel(const char *name);
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
