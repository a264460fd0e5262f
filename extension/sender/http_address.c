/*-------------------------------------------------------------------------
 * http_address.c
 *	  Which addresses a request may go to: those of the public internet.
 *
 * A URL that leads to the server's own network, by its host or by what the
 * name server says today, would let whoever writes the URL or the zone speak
 * to what trusts that network.  So the address is judged, never the name.
 *
 * From the registries of special-purpose addresses of IANA (RFC 6890 and
 * later).  No locks, no state, no allocation; nothing raises.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sender/http_address.h"

typedef struct Range
{
	uint8		prefix[6];
	int			bits;
} Range;

/* IPv4: all is public but these. */
static const Range closed_v4[] = {
	{{0}, 8},					/* this network, and the unspecified address */
	{{10}, 8},					/* private */
	{{100, 64}, 10},			/* carrier-grade NAT */
	{{127}, 8},					/* loopback */
	{{169, 254}, 16},			/* link-local; clouds keep their metadata here */
	{{172, 16}, 12},			/* private */
	{{192, 0, 0}, 24},			/* protocol assignments */
	{{192, 0, 2}, 24},			/* documentation */
	{{192, 88, 99}, 24},		/* 6to4 relays */
	{{192, 168}, 16},			/* private */
	{{198, 18}, 15},			/* benchmarks */
	{{198, 51, 100}, 24},		/* documentation */
	{{203, 0, 113}, 24},		/* documentation */
	{{224}, 4},					/* multicast */
	{{240}, 4}					/* reserved, and broadcast */
};

/*
 * IPv6: only 2000::/3 is public, but for these.  That leaves out the loopback,
 * unspecified, IPv4-mapped, unique local, link-local and multicast addresses.
 */
static const Range global_v6 = {{0x20}, 3};
static const Range closed_v6[] = {
	{{0x20, 0x01, 0x00}, 23},	/* protocol assignments, Teredo, ORCHID, benchmarks */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x20, 0x02}, 16},			/* 6to4: an IPv4 address in disguise */
	{{0x3f, 0xff}, 20}			/* documentation */
};

/*
 * A network without IPv4 reaches it through these addresses (NAT64), of which
 * the last four bytes are the IPv4 address.
 */
static const uint8 nat64[12] = {0x00, 0x64, 0xff, 0x9b};

static bool
within(const uint8 *address, const Range *range)
{
	int			whole = range->bits / 8;
	uint8		mask = 0xff00 >> range->bits % 8;

	return memcmp(address, range->prefix, whole) == 0 &&
		(range->bits % 8 == 0 || (address[whole] & mask) == range->prefix[whole]);
}

static bool
is_public_v4(const uint8 *address)
{
	for (int i = 0; i < (int) lengthof(closed_v4); i++)
	{
		if (within(address, &closed_v4[i]))
			return false;
	}
	return true;
}

static bool
is_public_v6(const uint8 *address)
{
	if (memcmp(address, nat64, sizeof(nat64)) == 0)
		return is_public_v4(address + sizeof(nat64));
	if (!within(address, &global_v6))
		return false;
	for (int i = 0; i < (int) lengthof(closed_v6); i++)
	{
		if (within(address, &closed_v6[i]))
			return false;
	}
	return true;
}

/* Whether an address belongs to the public internet; of no other family does any. */
bool
po_address_is_public(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	/* copied, since the bytes need not be aligned */
	switch (address->sa_family)
	{
		case AF_INET:
			memcpy(&v4, address, sizeof(v4));
			return is_public_v4((const uint8 *) &v4.sin_addr);
		case AF_INET6:
			memcpy(&v6, address, sizeof(v6));
			return is_public_v6((const uint8 *) &v6.sin6_addr);
		default:
			return false;
	}
}

/* The same for a numeric address as text; false if it is none. */
bool
po_address_text_is_public(const char *text)
{
	uint8		address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, text, address) == 1)
		return is_public_v4(address);
	if (inet_pton(AF_INET6, text, address) == 1)
		return is_public_v6(address);
	return false;
}
