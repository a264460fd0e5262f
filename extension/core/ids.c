/*
 * ids.c
 *	  Identifiers made in the server.
 *
 * Both kinds begin with the time, so that they are inserted at the right end of
 * an index, and grow within one process.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "core/ids.h"
#include "utils/timestamp.h"

#define UNIX_EPOCH_OFFSET_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* A system call for each id would cost more than the rest of making it. */
static uint8 random_pool[512];
static int	random_left = 0;

static const uint8 *
random_bytes(int n)
{
	if (random_left < n)
	{
		if (!pg_strong_random(random_pool, sizeof(random_pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		random_left = sizeof(random_pool);
	}
	random_left -= n;
	return random_pool + random_left;
}

/*
 * po_uuid_v7 makes a version 7 UUID: milliseconds, then 12 bits of the
 * millisecond's fraction (RFC 9562, method 3), then random bits.
 */
void
po_uuid_v7(pg_uuid_t *uuid)
{
	static int64 last = 0;
	int64		us = po_now() + UNIX_EPOCH_OFFSET_US;
	int64		ticks = us / 1000 * 4096 + us % 1000 * 4096 / 1000;
	int64		ms;
	int			fraction;

	/* The clock stood still or went back: count on from the last. */
	if (ticks <= last && last - ticks < (int64) 10 * 1000 * 4096)
		ticks = last + 1;
	last = ticks;
	ms = ticks / 4096;
	fraction = ticks % 4096;

	for (int i = 0; i < 6; i++)
		uuid->data[i] = (uint8) (ms >> (40 - 8 * i));
	uuid->data[6] = 0x70 | (fraction >> 8);
	uuid->data[7] = fraction & 0xff;
	memcpy(uuid->data + 8, random_bytes(8), 8);
	uuid->data[8] = 0x80 | (uuid->data[8] & 0x3f);
}

/*
 * po_time_of_id returns the millisecond in which such a UUID was made.
 */
TimestampTz
po_time_of_id(const pg_uuid_t *uuid)
{
	int64		ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | uuid->data[i];
	return ms * 1000 - UNIX_EPOCH_OFFSET_US;
}

/*
 * po_ulid returns prefix followed by a ULID, palloc'd.
 */
char *
po_ulid(const char *prefix)
{
	static const char digits[] = PO_ULID_DIGITS;
	int			plen = strlen(prefix);
	char	   *id = palloc(plen + PO_ULID_LEN + 1);
	char	   *out = id + plen;
	uint64		ms = (uint64) ((po_now() + UNIX_EPOCH_OFFSET_US) / 1000);
	const uint8 *bytes = random_bytes(PO_ULID_LEN - 10);

	memcpy(id, prefix, plen);
	for (int i = 9; i >= 0; i--, ms >>= 5)
		out[i] = digits[ms & 31];
	for (int i = 10; i < PO_ULID_LEN; i++)
		out[i] = digits[bytes[i - 10] & 31];
	out[PO_ULID_LEN] = '\0';
	return id;
}
