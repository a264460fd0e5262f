/*-------------------------------------------------------------------------
 *
 * address.h
 *	  E-mail addresses and phone numbers: given, and inside a text
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_ADDRESS_H
#define PO_ADDRESS_H

#include "common/phone.h"

/* A phone in E.164 or a folded e-mail address, with its NUL. */
#define PO_ADDRESS_SIZE 255

/* One e-mail-like run of characters around an '@'. */
typedef struct PoMailRun
{
	const char *start;
	const char *at;
	const char *end;
} PoMailRun;

static inline bool
po_is_email(const char *address)
{
	return strchr(address, '@') != NULL;
}

/* What an address is called in a payload. */
static inline const char *
po_address_kind(const char *address)
{
	return po_is_email(address) ? "email" : "phone";
}

extern bool po_email_fold(const char *text, int len, char out[PO_ADDRESS_SIZE]);
extern bool po_address_fold(const char *text, int len, char out[PO_ADDRESS_SIZE]);
extern void po_next_mail_run(const char *p, const char *end, PoMailRun *run);
extern char *po_mail_address(const PoMailRun *run);
extern const char *po_phone_run_end(const char *p, const char *end);
extern int	po_find_phones(const char *text, const char *end, char (*phone)[PO_E164_SIZE], int most);

#endif							/* PO_ADDRESS_H */
