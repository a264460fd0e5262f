/*
 * request_values.h
 *	  What a request is made of, and the values of its placeholders.
 */
#ifndef PO_SENDER_REQUEST_VALUES_H
#define PO_SENDER_REQUEST_VALUES_H

#include "lib/stringinfo.h"
#include "outbound/profile.h"

/* What a message says, and who gets copies of it. */
typedef struct PoContent
{
	const char *subject;
	const char *body;
	const char *html;
	const char **bcc;
	int			nbcc;
	const char **media_url;
	int			nmedia;
} PoContent;

/* What a request is made of. */
typedef struct PoRequestInput
{
	const PoAccount *account;
	pg_uuid_t	message_id;
	const char *to;
	const char *from;
	PoContent	content;
	TimestampTz started_at;		/* of a look-up: when the message was sent, perhaps */
} PoRequestInput;

/* Placeholders that stand for any number of values. */
typedef enum PoList
{
	PO_NO_LIST = -1,
	PO_LIST_BCC,
	PO_LIST_MEDIA_URLS
} PoList;

typedef struct PoRequestValues
{
	const PoRequestInput *input;
	const char *callback_url;	/* NULL: none */
	bool		in_url;			/* values are percent-encoded */
	PoList		list;			/* the list of which one value is being written, */
	const char *item;			/* and that value */
	const char *problem;		/* of the profile, or NULL */
	const char **header;		/* of the call */
} PoRequestValues;

extern char *po_url_encode(const char *value);
extern const char *po_reference(const PoRequestInput *input);
extern PoList po_list_from_name(const char *name, int len);
extern int	po_list_values(const PoRequestInput *input, PoList list, const char *const **value);
extern bool po_has_value(PoRequestValues *values, const char *name);
extern bool po_fill_in(PoRequestValues *values, const char *text, int len, StringInfo out);

#endif
