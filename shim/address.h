/*
 * address.h
 *	  Addresses: to listen on, to trust, to count connections by.
 */
#ifndef PO_SHIM_ADDRESS_H
#define PO_SHIM_ADDRESS_H

#include <sys/socket.h>

#define PO_ADDRESS_TEXT 64		/* room for an address as text */

typedef struct PoListenAddress
{
	struct sockaddr_storage addr;
	socklen_t	len;
} PoListenAddress;

/* A peer: an IPv6 address (IPv4 as ::ffff:a.b.c.d), or a unix socket. */
typedef struct PoPeer
{
	bool		is_unix;
	uint8		ip[16];
} PoPeer;

typedef struct PoAddressList PoAddressList;

extern bool po_listen_address_parse(const char *text, PoListenAddress *address);
extern void po_sockaddr_format(const struct sockaddr *addr, char *out, size_t size);

extern void po_peer_from_sockaddr(const struct sockaddr *addr, PoPeer *peer);
extern bool po_peer_parse(const char *text, size_t len, PoPeer *peer);
extern const char *po_peer_format(const PoPeer *peer, char *out, size_t size);

extern bool po_address_next_word(const char **cursor, char *word, size_t size);
extern PoAddressList *po_address_list_parse(const char *text);
extern bool po_address_list_has(const PoAddressList *list, const PoPeer *peer);
extern void po_address_list_free(PoAddressList *list);

extern bool po_peer_count_add(const PoPeer *peer, int limit);
extern void po_peer_count_remove(const PoPeer *peer);

#endif							/* PO_SHIM_ADDRESS_H */
