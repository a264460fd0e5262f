/*
 * http_names.c
 *	  For the tests of sender/http.c: the answers of name servers.  libcurl calls
 *	  this getaddrinfo() and not the system's.
 */
#include "postgres_fe.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

/* private.test is 127.0.0.1, nowhere.test is nothing. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
			struct addrinfo **found)
{
	static int	(*real) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (real == NULL)
		real = (int (*) (const char *, const char *, const struct addrinfo *,
						 struct addrinfo **)) dlsym(RTLD_NEXT, "getaddrinfo");
	if (name != NULL && strcmp(name, "nowhere.test") == 0)
		return EAI_NONAME;
	if (name != NULL && strcmp(name, "private.test") == 0)
		name = "127.0.0.1";
	return real(name, service, hints, found);
}
