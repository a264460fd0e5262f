/*-------------------------------------------------------------------------
 *
 * phone.h
 *	  E.164 from the ways phone numbers are written
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_PHONE_H
#define PO_PHONE_H

#define PO_E164_SIZE 17			/* '+', 15 digits, NUL */

/* A dash of any length, as it parts the digits of a phone number. */
static inline bool
po_is_phone_dash(uint32 c)
{
	return c == '-' || (c >= 0x2010 && c <= 0x2015) || c == 0x2212;
}

extern const char *po_phone_block(int i);
extern bool po_phone_e164(const char *text, int len, char out[PO_E164_SIZE]);

#endif							/* PO_PHONE_H */
