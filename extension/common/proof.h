/*-------------------------------------------------------------------------
 * proof.h
 *	  What a proof is asked of: the endpoint's credential, and the request as
 *	  received.
 *-------------------------------------------------------------------------
 */
#ifndef PO_PROOF_H
#define PO_PROOF_H

#include "common/bytes.h"

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

#endif							/* PO_PROOF_H */
