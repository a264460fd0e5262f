/*-------------------------------------------------------------------------
 * signature_sendgrid.c
 *	  The signatures of SendGrid's event webhook.
 *
 * Signed are the timestamp and, right behind it, the body, by ECDSA over P-256 and
 * SHA-256.  The secret is the public key of the verification, as SendGrid shows it.
 *
 * The timestamp is signed and no more: how old it is is not asked.  SendGrid tries for
 * a day, and does not say that it signs anew; an event that is sent again by whoever
 * has captured it has the same id, and no effect.
 *
 * No locks, no state.  See authenticate.h.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <ctype.h>

#include "common/base64.h"
#include "common/header.h"
#include "common/signature.h"
#include "common/signature_sendgrid.h"

/* What precedes the 64 bytes of the point in the SPKI form of a key of P-256. */
static const uint8 spki_prefix[] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
	0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04
};

StaticAssertDecl(sizeof(spki_prefix) + 64 == PO_P256_SPKI_LEN, "a point has 64 bytes");

/* A DER sequence of two integers of at most 33 bytes. */
#define MAX_SIGNATURE_LEN 72

static bool
decode_key(PoBytes secret, uint8 spki[PO_P256_SPKI_LEN])
{
	return po_base64_decode(secret.data, secret.len, spki, PO_P256_SPKI_LEN) == PO_P256_SPKI_LEN &&
		memcmp(spki, spki_prefix, sizeof(spki_prefix)) == 0;
}

/*
 * Whether the secret is a key, its point one of the curve.
 */
bool
po_is_sendgrid_secret(PoBytes secret)
{
	uint8		spki[PO_P256_SPKI_LEN];

	return decode_key(secret, spki) && po_p256_is_key(spki);
}

/*
 * Whether the request has a signature by one of the credential's keys.
 */
bool
po_check_sendgrid(const PoCredential *credential, const PoSignedRequest *request)
{
	PoBytes		family = po_bytes("x-twilio-email-event-webhook");
	PoBytes		part[2];
	PoBytes		proof;
	uint8		signature[MAX_SIGNATURE_LEN];
	uint8		spki[PO_P256_SPKI_LEN];
	int			len;
	bool		matched = false;

	if (credential->header_name.len > 0 && !po_family_of(credential->header_name, &family))
		return false;
	if (po_find_of_family(request, family, "-signature", &proof) != 1 ||
		po_find_of_family(request, family, "-timestamp", &part[0]) != 1 || part[0].len == 0)
		return false;
	/*
	 * Where the one ends and the other begins is not signed: the time is all the digits, for
	 * events begin with none.  A body that does could be read as a form, to say what is
	 * written inside of a text of theirs.
	 */
	for (int i = 0; i < part[0].len; i++)
	{
		if (!isdigit((unsigned char) part[0].data[i]))
			return false;
	}
	if (request->body.len > 0 && isdigit((unsigned char) request->body.data[0]))
		return false;
	len = po_base64_decode(proof.data, proof.len, signature, sizeof(signature));
	if (len <= 0)
		return false;
	part[1] = request->body;
	for (int i = 0; i < credential->nsecrets; i++)
		matched |= decode_key(credential->secret[i], spki) &&
			po_p256_verify(spki, signature, len, part, 2);
	return matched;
}
