/*-------------------------------------------------------------------------
 * http_call.c
 *	  A call of a provider: whether it can be made.
 *
 * No locks, no state.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "sender/http_call.h"

/*
 * Why a call cannot be made, as a fixed phrase, or NULL.  A line break in a
 * header would begin a header, or a request, that nobody wrote.  How long the
 * request is and whether the connection goes on is for libcurl to say.
 */
const char *
po_http_call_problem(const PoHttpCall *call)
{
	static const char *const framing[] = {
		"Connection:", "Content-Length:", "Expect:", "TE:", "Trailer:",
		"Transfer-Encoding:", "Upgrade:"
	};

	if (strcmp(call->method, "HEAD") == 0)
		return "the method cannot be used";
	for (int i = 0; i < call->nheaders; i++)
	{
		const char *line = call->header[i];
		size_t		name_len = strcspn(line, ":");

		if (line[name_len] == '\0' || name_len == 0 || strcspn(line, " \t;") < name_len)
			return "a header is not of the form Name: value";
		for (const char *c = line; *c != '\0'; c++)
		{
			if ((unsigned char) *c < ' ' || *c == 0x7f)
				return "a header holds a control character";
		}
		for (int j = 0; j < (int) lengthof(framing); j++)
		{
			if (pg_strncasecmp(line, framing[j], strlen(framing[j])) == 0)
				return "a header is not the caller's to set";
		}
	}
	return NULL;
}
