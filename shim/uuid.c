/*
 * uuid.c
 *	  Random bytes and UUID version 7 (RFC 9562).
 *
 * Keeps a small store of random bytes, so that a request does not pay for a
 * call into the generator of its own.  Single-threaded.
 */
#include "postgres_fe.h"

#include "uuid.h"

static uint8 store[4096];
static size_t left = 0;

/*
 * Fill buf with up to sizeof(store) random bytes.  Without a source of
 * randomness there is nothing sensible to go on with: exits.
 */
void
po_random_bytes(void *buf, size_t len)
{
	if (left < len)
	{
		if (!pg_strong_random(store, sizeof(store)))
		{
			fputs("outreach-shim: no source of random bytes\n", stderr);
			exit(1);
		}
		left = sizeof(store);
	}
	left -= len;
	memcpy(buf, store + left, len);
	memset(store + left, 0, len);
}

/* A number in [0, limit); the bias of the modulus does not matter for jitter. */
uint32
po_random_below(uint32 limit)
{
	uint32		value;

	po_random_bytes(&value, sizeof(value));
	return limit == 0 ? 0 : value % limit;
}

/*
 * Write a version 7 UUID as text: milliseconds, twelve bits of a fraction of one
 * (method 3 of RFC 9562 section 6.2), then 62 random bits.
 */
void
po_uuid_v7(int64 wall_micros, char out[PO_UUID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	uint8		b[16];
	uint64		ms = (uint64) (wall_micros / 1000);
	uint32		fraction = (uint32) (wall_micros % 1000) * 4096 / 1000;
	char	   *p = out;

	po_random_bytes(b + 8, 8);
	for (int i = 0; i < 6; i++)
		b[i] = (uint8) (ms >> (40 - 8 * i));
	b[6] = (uint8) (0x70 | (fraction >> 8));
	b[7] = (uint8) fraction;
	b[8] = (uint8) (0x80 | (b[8] & 0x3f));

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[b[i] >> 4];
		*p++ = hex[b[i] & 15];
	}
	*p = '\0';
}
