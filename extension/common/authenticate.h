/*-------------------------------------------------------------------------
 * authenticate.h
 *	  Whether a webhook comes from the holder of its endpoint's secret.
 *
 * A pure function of the endpoint's credential and the request as received.
 * Nothing here raises, logs, allocates with palloc or keeps a pointer; a
 * request that cannot be checked (no memory, no algorithm) is refused.  Not
 * for use from several threads.
 *
 * The scheme, the secrets and the signed URL are the endpoint's: nothing of
 * the request chooses them.
 *-------------------------------------------------------------------------
 */
#ifndef PO_AUTHENTICATE_H
#define PO_AUTHENTICATE_H

typedef enum PoScheme
{
	PO_SCHEME_NONE,
	PO_SCHEME_TOKEN,
	PO_SCHEME_SECRET_HEADER,
	PO_SCHEME_HMAC_SHA256,
	PO_SCHEME_TWILIO,
	PO_SCHEME_SIGNALHOUSE,
	PO_SCHEME_GHL,
	PO_SCHEME_STANDARD_WEBHOOKS,
	PO_SCHEME_BASIC,
	PO_SCHEME_SENDGRID
} PoScheme;

/* What is special about a scheme. */
#define PO_SIGNS_URL		0x01
#define PO_SIGNS_BODY		0x02	/* alone: nothing of it covers a GET */
#define PO_HAS_FAMILY		0x04	/* the time, and the id, stand beside the signature */
#define PO_OWN_HEADER		0x08	/* its proof may come in a header that the endpoint names */

/* What the engine adds to a callback's URL: a message's id, a point, and a MAC. */
#define PO_REFERENCE_LEN 69

typedef struct PoBytes
{
	const char *data;
	int			len;
} PoBytes;

typedef struct PoHeader
{
	PoBytes		name;			/* lower case; a repeated header comes repeatedly */
	PoBytes		value;
} PoHeader;

typedef struct PoFormPair
{
	PoBytes		key;			/* decoded */
	PoBytes		value;
} PoFormPair;

typedef struct PoSignedRequest
{
	bool		is_get;			/* it has no body, its fields are in the query */
	PoBytes		body;			/* as received */
	PoBytes		query;			/* as received, without the '?' */
	const PoHeader *header;
	int			nheaders;
	const PoFormPair *form;		/* the body's pairs when it is a form */
	int			nform;
	int64		now_ms;			/* unix time */
} PoSignedRequest;

/* Secrets that are live at one time: the newest and the one it replaces. */
#define PO_MAX_SECRETS		2

/* Longest secret of any scheme, in bytes. */
#define PO_MAX_SECRET_LEN	1024

/* Longest name of a header that an endpoint may have of its own. */
#define PO_MAX_HEADER_NAME	128

/* A form of more pairs than this is not checked but refused. */
#define PO_MAX_SIGNED_PAIRS	512

typedef struct PoCredential
{
	PoScheme	scheme;
	PoBytes		secret[PO_MAX_SECRETS];
	int			nsecrets;
	PoBytes		url;			/* the endpoint's public URL */
	PoBytes		header_name;	/* of the proof; empty: the scheme's own */
} PoCredential;

extern const char *po_scheme_name(int i);
extern bool po_scheme_from_name(const char *name, PoScheme *scheme);
extern bool po_scheme_has(PoScheme scheme, int trait);
extern const char *po_check_header_name(PoScheme scheme, PoBytes name);
extern const char *po_check_secret(PoScheme scheme, PoBytes secret);
extern bool po_authenticate(const PoCredential *credential, const PoSignedRequest *request);

#endif							/* PO_AUTHENTICATE_H */
