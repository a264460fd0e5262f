/*-------------------------------------------------------------------------
 *
 * address.h
 *	  E-mail addresses and phone numbers inside a text
 *
 *-------------------------------------------------------------------------
 */
#ifndef PO_ADDRESS_H
#define PO_ADDRESS_H

#include "lead/phone.h"

/* One e-mail-like run of characters around an '@'. */
typedef struct PoMailRun
{
	const char *start;
	const char *at;
	const char *end;
} PoMailRun;

extern void po_next_mail_run(const char *p, const char *end, PoMailRun *run);
extern char *po_mail_address(const PoMailRun *run);
extern const char *po_phone_run_end(const char *p, const char *end);
extern int po_find_phones(const char *text, const char *end, char (*phone)[PO_E164_SIZE], int most);

#endif /* PO_ADDRESS_H */
