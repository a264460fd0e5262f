/*
 * address.c
 *	  E-mail addresses and phone numbers inside a text.
 *
 * No errors but out of memory, nothing that depends on a locale.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "lead/address.h"

#define LOCAL_PART_MAX 64
#define DOMAIN_MAX 253
#define DIGITS_MIN 7
#define DIGITS_MAX 15
#define NANP_DIGITS 10
#define GAP_MAX 2 /* characters between the groups of one number */

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_alnum(unsigned char c)
{
	return (unsigned) ((c | 0x20) - 'a') < 26 || is_digit(c);
}

static bool
is_local_char(char c)
{
	return is_alnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
}

/*
 * po_next_mail_run finds the next run of characters in [p, end) that looks like
 * an e-mail address; one at end for none.
 */
void
po_next_mail_run(const char *p, const char *end, PoMailRun *run)
{
	const char *at = p;

	while ((at = memchr(at, '@', end - at)) != NULL)
	{
		const char *start = at;
		const char *stop = at + 1;

		while (start > p && is_local_char(start[-1]))
			start--;
		while (start < at && !is_alnum(*start) && *start != '_')
			start++;
		while (stop < end && (is_alnum(*stop) || *stop == '.' || *stop == '-'))
			stop++;
		while (stop > at + 1 && !is_alnum(stop[-1]))
			stop--;
		if (start < at && stop > at + 1)
		{
			*run = (PoMailRun){ start, at, stop };
			return;
		}
		p = at = at + 1;
	}
	*run = (PoMailRun){ end, end, end };
}

/*
 * po_mail_address returns a palloc'd copy of the address, its domain in lower
 * case; NULL when it is not one that mail could be sent to.
 */
char *
po_mail_address(const PoMailRun *a)
{
	int local_len = a->at - a->start;
	int len = a->end - a->start;
	const char *label = a->at + 1;
	char *email;

	if (local_len > LOCAL_PART_MAX || len - local_len - 1 > DOMAIN_MAX || a->at[-1] == '.')
		return NULL;
	for (const char *p = a->start; p < a->end; p++)
	{
		if (p[0] == '.' && p[1] == '.')
			return NULL;
	}
	for (const char *p = label; p < a->end; p++)
	{
		if (*p == '.')
		{
			if (*label == '-' || p[-1] == '-')
				return NULL;
			label = p + 1;
		}
	}
	if (label == a->at + 1 || a->end - label < 2)
		return NULL;
	for (const char *p = label; p < a->end; p++)
	{
		if (!is_alnum(*p) || *p <= '9')
			return NULL;
	}

	email = palloc(len + 1);
	memcpy(email, a->start, len);
	email[len] = '\0';
	for (char *p = email + local_len; *p != '\0'; p++)
	{
		if (is_alnum(*p))
			*p |= 0x20;
	}
	return email;
}

/*
 * po_phone_run_end returns where a run of digits ends that begins at p and is
 * written as a phone number is; NULL for none.  Where there are more digits than
 * a number has, the run is what is complete by then as a number of the North
 * American plan.  Bounded by the digits that a number has.
 */
const char *
po_phone_run_end(const char *p, const char *end)
{
	const char *last = NULL;
	const char *complete = NULL;
	char first = '\0';
	int digits = 0;
	int gap = 0;

	for (; p < end && gap <= GAP_MAX; p++)
	{
		if (is_digit(*p))
		{
			if (gap > 0 && digits == NANP_DIGITS + (first == '1'))
				complete = last;
			if (++digits > DIGITS_MAX)
				return complete;
			if (digits == 1)
				first = *p;
			last = p + 1;
			gap = 0;
		}
		else if (strchr(" ()+.-", *p) != NULL)
			gap++;
		else
			break;
	}
	if (digits < DIGITS_MIN || (last < end && is_alnum(*last)))
		return NULL;
	return last;
}

/*
 * po_phone_in_run writes the phone number of a run in E.164 and returns true, or
 * returns false for none.  Digits may stand before it: "at 5 212-555-0188".
 */
bool
po_phone_in_run(const char *p, const char *end, char phone[PO_E164_SIZE])
{
	bool again = *p != '+';

	while (p < end)
	{
		if (po_phone_e164(p, end - p, phone))
			return true;
		if (!again)
			break;
		while (p < end && is_digit(*p))
			p++;
		while (p < end && !is_digit(*p))
			p++;
	}
	return false;
}
