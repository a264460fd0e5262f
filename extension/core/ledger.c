/*
 * ledger.c
 *	  Keys of what must be known to be used for ever.
 *
 * A ledger has a row for each text that was ever a key: no text but 16 bytes, made from
 * it.  They are a digest, of the tenant and of what the text is the key of too.  Where a time stands
 * in the text, the first six bytes are that time: keys of one time are beside each other
 * in the index, and who inserts one writes to a page that others have just written to.  Of the
 * digest 80 bits are left then.
 *
 * A time is one of a UUID of version 7 or of a ULID at the end of the text, or a date
 * there.  Keys are stored: how they are made must never change.
 */
#include "postgres.h"

#include "common/signature.h"
#include "core/ids.h"
#include "core/ledger.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#define TIME_BYTES 6
#define UUID_TEXT_LEN 36
#define DATE_LEN 10
/* Times that are taken for one, from 2000 to 2100. */
#define FIRST_MS INT64CONST(946684800000)
#define LAST_MS INT64CONST(4102444800000)

/* The value of a digit of a base of at most 32; -1: it is none. */
static int
digit_of(char c, const char *digits)
{
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? at - digits : -1;
}

/* n digits, of so many bits each; -1: they are no number. */
static int64
number_at(const char *text, int n, int bits, const char *digits)
{
	int64		number = 0;

	for (int i = 0; i < n; i++)
	{
		int			digit = digit_of(text[i], digits);

		if (digit < 0)
			return -1;
		number = number << bits | digit;
	}
	return number;
}

static int64
time_of_uuid(const char *text)
{
	static const char digits[] = "0123456789abcdef";
	int64		high = number_at(text, 8, 4, digits);
	int64		low = number_at(text + 9, 4, 4, digits);

	return text[8] == '-' && text[13] == '-' && text[14] == '7' && high >= 0 && low >= 0 ? high << 16 | low : -1;
}

static int64
time_of_ulid(const char *text)
{
	for (int i = 10; i < PO_ULID_LEN; i++)
		if (digit_of(text[i], PO_ULID_DIGITS) < 0)
			return -1;
	return text[0] <= '7' ? number_at(text, 10, 5, PO_ULID_DIGITS) : -1;
}

static int64
time_of_date(const char *text)
{
	static const int start[] = {0, 5, 8};
	static const int len[] = {4, 2, 2};
	int			part[3];

	if (text[4] != '-' || text[7] != '-')
		return -1;
	for (int p = 0; p < 3; p++)
	{
		part[p] = 0;
		for (int i = start[p]; i < start[p] + len[p]; i++)
		{
			int			digit = digit_of(text[i], "0123456789");

			if (digit < 0)
				return -1;
			part[p] = part[p] * 10 + digit;
		}
	}
	if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31)
		return -1;
	return ((int64) date2j(part[0], part[1], part[2]) - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

/* The time that stands at the end of a text, in milliseconds; -1: none does. */
static int64
ending_time(const char *text, int len)
{
	int64		ms = len >= UUID_TEXT_LEN ? time_of_uuid(text + len - UUID_TEXT_LEN) : -1;

	if (ms < 0 && len >= PO_ULID_LEN)
		ms = time_of_ulid(text + len - PO_ULID_LEN);
	if (ms < 0 && len >= DATE_LEN)
		ms = time_of_date(text + len - DATE_LEN);
	return ms >= FIRST_MS && ms <= LAST_MS ? ms : -1;
}

/*
 * po_ledger_key returns the key of a text.  A scope has no colon.
 */
pg_uuid_t
po_ledger_key(const char *tenant_id, const char *scope, const char *text)
{
	char	   *named = psprintf("%zu:%s%s:%s", strlen(tenant_id), tenant_id, scope, text);
	int64		ms = ending_time(text, strlen(text));
	uint8		digest[PO_SHA256_LEN];
	pg_uuid_t	key;
	int			from = 0;

	if (!po_sha256(po_bytes(named), digest))
		elog(ERROR, "could not compute a digest");
	pfree(named);
	if (ms >= 0)
		for (; from < TIME_BYTES; from++)
			key.data[from] = (unsigned char) (ms >> (8 * (TIME_BYTES - 1 - from)));
	memcpy(key.data + from, digest, UUID_LEN - from);
	return key;
}

/*
 * po_provider_key returns the key of a text that is a provider's, in whose name is no
 * colon: its scope is the words, a space, and that name.
 */
pg_uuid_t
po_provider_key(const char *tenant_id, const char *word, const char *provider, const char *text)
{
	char	   *scope = psprintf("%s %s", word, provider);
	pg_uuid_t	key = po_ledger_key(tenant_id, scope, text);

	pfree(scope);
	return key;
}
