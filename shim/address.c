/*
 * address.c
 *	  Addresses: parsing, formatting, membership, connections per address.
 *
 * Owns the table of connections per address: a hash table keyed with a secret,
 * so that nobody can pick addresses that collide.  IPv6 is counted by /64, the
 * smallest block a single customer gets.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "common/hashfn.h"

#include "address.h"
#include "uuid.h"

#define PO_PEER_BUCKETS 4096

static const uint8 v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

typedef struct AddressRange
{
	bool		is_unix;
	uint8		ip[16];
	int			bits;
} AddressRange;

struct PoAddressList
{
	int			count;
	AddressRange ranges[FLEXIBLE_ARRAY_MEMBER];
};

typedef struct PeerCount
{
	struct PeerCount *next;
	uint8		ip[16];
	int			count;
} PeerCount;

static PeerCount *buckets[PO_PEER_BUCKETS];
static uint64 hash_key;

/*
 * Parse host:port, [ipv6]:port or unix:/path.  Hosts are numeric addresses or
 * names the resolver knows; the first address is taken.
 */
bool
po_listen_address_parse(const char *text, PoListenAddress *address)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV
	};
	struct addrinfo *found;
	char		host[256];
	const char *colon = strrchr(text, ':');
	size_t		len;

	memset(address, 0, sizeof(*address));
	if (strncmp(text, "unix:", 5) == 0)
	{
		struct sockaddr_un *un = (struct sockaddr_un *) &address->addr;

		len = strlen(text + 5);
		if (text[5] != '/' || len >= sizeof(un->sun_path))
			return false;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, text + 5, len + 1);
		address->len = sizeof(*un);
		return true;
	}

	if (colon == NULL || colon == text || colon[1] == '\0')
		return false;
	len = (size_t) (colon - text);
	if (text[0] == '[' && colon[-1] == ']')
	{
		text++;
		len -= 2;
	}
	else if (memchr(text, ':', len) != NULL)
		return false;
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return false;
	memcpy(&address->addr, found->ai_addr, found->ai_addrlen);
	address->len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

/* The address with its port, or unix:/path. */
void
po_sockaddr_format(const struct sockaddr *addr, char *out, size_t size)
{
	char		text[INET6_ADDRSTRLEN] = "?";

	switch (addr->sa_family)
	{
		case AF_UNIX:
			snprintf(out, size, "unix:%s", ((const struct sockaddr_un *) addr)->sun_path);
			break;
		case AF_INET6:
			inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) addr)->sin6_addr, text, sizeof(text));
			snprintf(out, size, "[%s]:%d", text,
					 ntohs(((const struct sockaddr_in6 *) addr)->sin6_port));
			break;
		default:
			inet_ntop(AF_INET, &((const struct sockaddr_in *) addr)->sin_addr, text, sizeof(text));
			snprintf(out, size, "%s:%d", text,
					 ntohs(((const struct sockaddr_in *) addr)->sin_port));
	}
}

/* The address of an accepted socket. */
void
po_peer_from_sockaddr(const struct sockaddr *addr, PoPeer *peer)
{
	memset(peer, 0, sizeof(*peer));
	switch (addr->sa_family)
	{
		case AF_INET:
			memcpy(peer->ip, v4_prefix, sizeof(v4_prefix));
			memcpy(peer->ip + 12, &((const struct sockaddr_in *) addr)->sin_addr, 4);
			break;
		case AF_INET6:
			memcpy(peer->ip, &((const struct sockaddr_in6 *) addr)->sin6_addr, 16);
			break;
		default:
			peer->is_unix = true;
	}
}

/* Parse a bare IPv4 or IPv6 address. */
bool
po_peer_parse(const char *text, size_t len, PoPeer *peer)
{
	char		buf[INET6_ADDRSTRLEN];

	memset(peer, 0, sizeof(*peer));
	if (len == 0 || len >= sizeof(buf))
		return false;
	memcpy(buf, text, len);
	buf[len] = '\0';
	memcpy(peer->ip, v4_prefix, sizeof(v4_prefix));
	return inet_pton(AF_INET, buf, peer->ip + 12) == 1 || inet_pton(AF_INET6, buf, peer->ip) == 1;
}

/* The address as text in out; NULL for a unix socket. */
const char *
po_peer_format(const PoPeer *peer, char *out, size_t size)
{
	if (peer->is_unix)
		return NULL;
	if (memcmp(peer->ip, v4_prefix, sizeof(v4_prefix)) == 0)
		return inet_ntop(AF_INET, peer->ip + 12, out, (socklen_t) size);
	return inet_ntop(AF_INET6, peer->ip, out, (socklen_t) size);
}

static bool
parse_range(const char *word, AddressRange *range)
{
	const char *slash = strchr(word, '/');
	size_t		len = slash ? (size_t) (slash - word) : strlen(word);
	PoPeer		peer;
	bool		v4;
	char	   *end;
	long		bits;

	memset(range, 0, sizeof(*range));
	if (strcmp(word, "unix") == 0)
	{
		range->is_unix = true;
		return true;
	}
	if (!po_peer_parse(word, len, &peer))
		return false;
	memcpy(range->ip, peer.ip, sizeof(range->ip));
	range->bits = 128;
	if (slash == NULL)
		return true;
	v4 = memchr(word, ':', len) == NULL;
	bits = strtol(slash + 1, &end, 10);
	if (end == slash + 1 || *end != '\0' || bits < 0 || bits > (v4 ? 32 : 128))
		return false;
	range->bits = (int) bits + (v4 ? 96 : 0);
	return true;
}

/*
 * The next word of a list of addresses, whose separators are commas and white space.  False
 * at the end; a word that does not fit comes out empty, which parses as nothing.
 */
bool
po_address_next_word(const char **cursor, char *word, size_t size)
{
	const char *p = *cursor + strspn(*cursor, ", \t");
	size_t		len = strcspn(p, ", \t");

	*cursor = p + len;
	if (len == 0)
		return false;
	if (len >= size)
		len = 0;
	memcpy(word, p, len);
	word[len] = '\0';
	return true;
}

/* Parse a list of addresses, networks and the word "unix"; NULL when malformed. */
PoAddressList *
po_address_list_parse(const char *text)
{
	PoAddressList *list = pg_malloc0(sizeof(*list));
	char		word[PO_ADDRESS_TEXT];

	while (po_address_next_word(&text, word, sizeof(word)))
	{
		list = pg_realloc(list, offsetof(PoAddressList, ranges) +
						  sizeof(AddressRange) * (list->count + 1));
		if (!parse_range(word, &list->ranges[list->count++]))
		{
			free(list);
			return NULL;
		}
	}
	return list;
}

/* Is the peer in the list? */
bool
po_address_list_has(const PoAddressList *list, const PoPeer *peer)
{
	for (int i = 0; i < list->count; i++)
	{
		const AddressRange *range = &list->ranges[i];
		int			bytes = range->bits / 8;
		int			rest = range->bits % 8;

		if (range->is_unix || peer->is_unix)
		{
			if (range->is_unix && peer->is_unix)
				return true;
			continue;
		}
		if (memcmp(range->ip, peer->ip, bytes) == 0 &&
			(rest == 0 || (range->ip[bytes] ^ peer->ip[bytes]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

/* Free a list. */
void
po_address_list_free(PoAddressList *list)
{
	free(list);
}

static PeerCount **
find_count(const PoPeer *peer, uint8 key[16])
{
	PeerCount **link;

	memcpy(key, peer->ip, 16);
	if (memcmp(key, v4_prefix, sizeof(v4_prefix)) != 0)
		memset(key + 8, 0, 8);
	if (hash_key == 0)
		po_random_bytes(&hash_key, sizeof(hash_key));
	link = &buckets[hash_bytes_extended(key, 16, hash_key) % PO_PEER_BUCKETS];
	while (*link != NULL && memcmp((*link)->ip, key, 16) != 0)
		link = &(*link)->next;
	return link;
}

/* Count one more connection of this peer; false when it has `limit` already. */
bool
po_peer_count_add(const PoPeer *peer, int limit)
{
	uint8		key[16];
	PeerCount **link = find_count(peer, key);

	if (*link == NULL)
	{
		*link = pg_malloc0(sizeof(PeerCount));
		memcpy((*link)->ip, key, 16);
	}
	if ((*link)->count >= limit)
		return false;
	(*link)->count++;
	return true;
}

/* Undo one successful po_peer_count_add(). */
void
po_peer_count_remove(const PoPeer *peer)
{
	uint8		key[16];
	PeerCount **link = find_count(peer, key);
	PeerCount  *entry = *link;

	if (entry == NULL || --entry->count > 0)
		return;
	*link = entry->next;
	free(entry);
}
