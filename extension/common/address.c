/*
 * address.c
 *	  E-mail addresses and phone numbers: given, and inside a text.
 *
 * No errors but out of memory, nothing that depends on a locale.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/address.h"
#include "common/unicode.h"

#define LOCAL_PART_MAX 64
#define DOMAIN_MAX 253
#define LABEL_MAX 63
#define RUN_DIGITS_LEAST 7
#define RUN_GAP_MOST 2
#define DIGITS_MOST 15
#define GROUPS_MOST 8
#define GROUP_GAP_MOST 3		/* characters between the groups of one number */

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

/* ---- e-mail addresses ---- */

/* What may stand between the points of a local part, unquoted (RFC 5322, atext). */
static bool
is_atext(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * Whether a text has what begins and ends an encoded word (RFC 2047).  Some mail systems
 * decode one even here, and send to what it hides: another address, or several.
 */
static bool
has_encoded_word(const char *p, const char *end)
{
	bool		open = false;

	for (; p + 1 < end; p++)
	{
		if (open && p[0] == '?' && p[1] == '=')
			return true;
		open |= p[0] == '=' && p[1] == '?';
	}
	return false;
}

/* Parts with points between them, none of them empty. */
static bool
is_local_part(const char *p, const char *end)
{
	if (has_encoded_word(p, end))
		return false;
	if (p == end || end - p > LOCAL_PART_MAX || *p == '.' || end[-1] == '.')
		return false;
	for (; p < end; p++)
	{
		if (*p == '.' ? p[-1] == '.' : !is_atext(*p))
			return false;
	}
	return true;
}

/* What a top-level domain is: letters, or letters of another script as xn--. */
static bool
is_top_level(const char *p, const char *end)
{
	if (end - p > 4 && (*p | 0x20) == 'x' && (p[1] | 0x20) == 'n' && p[2] == '-' && p[3] == '-')
		return true;
	for (const char *c = p; c < end; c++)
	{
		if (!is_alnum(*c) || *c <= '9')
			return false;
	}
	return end - p >= 2;
}

/* A name of at least two labels. */
static bool
is_domain(const char *p, const char *end)
{
	const char *label = p;

	if (end - p > DOMAIN_MAX)
		return false;
	for (const char *c = p; c < end; c++)
	{
		if (*c == '.')
		{
			if (c == label || c - label > LABEL_MAX || *label == '-' || c[-1] == '-')
				return false;
			label = c + 1;
		}
		else if (!is_alnum(*c) && *c != '-')
			return false;
	}
	return label > p && end - label <= LABEL_MAX && end[-1] != '-' && is_top_level(label, end);
}

static void
to_lower(char *text)
{
	for (; *text != '\0'; text++)
	{
		if (is_alnum(*text))
			*text |= 0x20;
	}
}

/*
 * po_email_fold writes the e-mail address that a text is, white space around it
 * apart, in the form that is compared: in lower case.  False, and out is not
 * changed, if it is none that mail can be sent to.  A local part is another address
 * in other letters by the letter of RFC 5321; no provider treats it so, and whoever
 * unsubscribes as Ann@example.com means ann@example.com.
 */
bool
po_email_fold(const char *text, int len, char out[PO_ADDRESS_SIZE])
{
	const char *end = text + len;
	const char *at;

	while (text < end && strchr(" \t\r\n", *text) != NULL)
		text++;
	while (text < end && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	at = memchr(text, '@', end - text);
	if (at == NULL || end - text >= PO_ADDRESS_SIZE || !is_local_part(text, at) ||
		!is_domain(at + 1, end))
		return false;
	memcpy(out, text, end - text);
	out[end - text] = '\0';
	to_lower(out);
	return true;
}

/*
 * po_address_fold does the same for an address of either kind: an e-mail address
 * has an '@', a phone is brought to E.164.
 */
bool
po_address_fold(const char *text, int len, char out[PO_ADDRESS_SIZE])
{
	if (memchr(text, '@', len) != NULL)
		return po_email_fold(text, len, out);
	return po_phone_e164(text, len, out);
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
			*run = (PoMailRun) {start, at, stop};
			return;
		}
		p = at = at + 1;
	}
	*run = (PoMailRun) {end, end, end};
}

/*
 * po_mail_address returns the address folded, palloc'd; NULL when it is not one that
 * mail could be sent to.
 */
char *
po_mail_address(const PoMailRun *run)
{
	char		address[PO_ADDRESS_SIZE];

	return po_email_fold(run->start, run->end - run->start, address) ? pstrdup(address) : NULL;
}

/* ---- phones ---- */

/*
 * po_phone_run_end returns where a run of digits ends that begins at p and is
 * written as phone numbers are, of any country, or local ones; NULL for none.
 * Bounded: more digits than a phone number has end the search.
 */
const char *
po_phone_run_end(const char *p, const char *end)
{
	const char *last = NULL;
	int			digits = 0;
	int			gap = 0;

	for (; p < end && gap <= RUN_GAP_MOST; p++)
	{
		if (is_digit(*p))
		{
			if (++digits > DIGITS_MOST)
				return NULL;
			last = p + 1;
			gap = 0;
		}
		else if (strchr(" ()+.-", *p) != NULL)
			gap++;
		else
			break;
	}
	if (digits < RUN_DIGITS_LEAST || (last < end && is_alnum(*last)))
		return NULL;
	return last;
}

/* A number in groups of digits, as it is written. */
typedef struct Group
{
	const char *start;
	const char *end;
	char		before;			/* what parts it from the one before: '-', '.', ')' or ' ' */
} Group;

/* What parts groups: bytes of it, 0 for none. */
static int
separator(const char *p, const char *end, char *kind)
{
	uint32		c;
	int			len = po_utf8_decode(p, end, &c);

	*kind = po_is_phone_dash(c) ? '-' : *p;
	return *kind == '-' || *p == ' ' || *p == '(' || *p == ')' || *p == '.' ? len : 0;
}

/*
 * The groups from p on, at most GROUPS_MOST.
 */
static int
read_groups(const char *p, const char *end, Group *group)
{
	int			n = 0;
	char		kind = '\0';

	while (n < GROUPS_MOST)
	{
		const char *start = p;

		while (p < end && is_digit(*p))
			p++;
		if (p == start)
			break;
		group[n++] = (Group) {start, p, kind};
		kind = '\0';
		for (int gap = 0; p < end && gap < GROUP_GAP_MOST; gap++)
		{
			char		c;
			int			len = separator(p, end, &c);

			if (len == 0)
				break;
			if (c != ' ' || kind == '\0')
				kind = c;
			p += len;
		}
		if (kind == '\0')
			break;
	}
	return n;
}

static inline int
group_len(const Group *group)
{
	return group->end - group->start;
}

/* Whether what stands behind a group says that it is no end of a phone number. */
static bool
goes_on(const char *p, const char *end)
{
	return p < end && (is_alnum(*p) || *p == '@' || *p == '_' || *p == '/' || *p == ':' ||
					   ((*p == '-' || *p == '.') && p + 1 < end && is_digit(p[1])));
}

/* How many of the groups are a number of the North American plan, 0 for none. */
static int
nanp_groups(const Group *group, int n)
{
	int			first = n > 1 && group_len(&group[0]) == 1 && *group[0].start == '1';
	const Group *g = group + first;

	n -= first;
	if (n >= 1 && (group_len(g) == 10 || (!first && group_len(g) == 11 && *g->start == '1')))
		return first + 1;
	if (n < 2 || group_len(&g[0]) != 3)
		return 0;
	if (group_len(&g[1]) == 7)
		return first + 2;
	/* "350-400 2000" is a range and a number */
	if (n < 3 || group_len(&g[1]) != 3 || group_len(&g[2]) != 4 ||
		(g[1].before == '-' && g[2].before == ' '))
		return 0;
	return first + 3;
}

/*
 * Where the phone number ends that begins at p, which is written to phone in
 * E.164; NULL for none.  Of an international number, groups of one digit and
 * what goes on as a time or a fraction are no part.
 */
static const char *
read_phone(const char *p, const char *end, char phone[PO_E164_SIZE])
{
	Group		group[GROUPS_MOST];
	bool		plus = *p == '+';
	int			n = read_groups(p + (*p == '+' || *p == '('), end, group);

	if (!plus)
		n = nanp_groups(group, n);
	while (n > 0)
	{
		const char *stop = group[n - 1].end;

		if (!goes_on(stop, end) && (n == 1 || !plus || group_len(&group[n - 1]) > 1) &&
			po_phone_e164(p, stop - p, phone))
			return stop;
		n = plus ? n - 1 : 0;
	}
	return NULL;
}

/*
 * Whether digits stand before p that could be its exit code, country code or
 * beginning: "011 52 415 555 2671".
 */
static bool
continues(const char *text, const char *p)
{
	const char *digits;

	if (p > text && (is_alnum(p[-1]) || strchr("@_+/:", p[-1]) != NULL))
		return true;
	for (int gap = 0; gap < GROUP_GAP_MOST && p > text && strchr(" ().-", p[-1]) != NULL; gap++)
		p--;
	digits = p;
	while (digits > text && p - digits < 2 && is_digit(digits[-1]))
		digits--;
	return p - digits == 2 || (p - digits == 1 && (*digits == '7' || *digits == '0'));
}

/*
 * po_find_phones finds the phone numbers in [text, end), behind which is a NUL, each
 * once, and returns how many; what could be read in two ways is none.
 */
int
po_find_phones(const char *text, const char *end, char (*phone)[PO_E164_SIZE], int most)
{
	const char *p = text;
	const char *last = text;	/* the end of the last one */
	int			n = 0;

	while (p < end && n < most)
	{
		const char *stop = NULL;
		int			k = 0;

		/* most of a text is none of these; at a NUL inside of it the walk only pauses */
		p += strcspn(p, "0123456789+(");
		if (p >= end)
			break;
		if (*p != '\0' && (*p == '+' || !continues(last, p)))
			stop = read_phone(p, end, phone[n]);
		if (stop == NULL)
		{
			p++;
			continue;
		}
		while (k < n && strcmp(phone[k], phone[n]) != 0)
			k++;
		n += k == n;
		p = last = stop;
	}
	return n;
}
