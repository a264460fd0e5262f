/*
 * route.c
 *	  The routes, first match, and the two answers that need no database.
 */
#include "postgres_fe.h"

#include "armed.h"
#include "pool.h"
#include "route.h"

#define METHOD(m) (1u << (m))

static void
answer_fixed(PoAnswer *answer, int status, const char *outcome, const char *body)
{
	memset(answer, 0, sizeof(*answer));
	answer->status = status;
	answer->content_type = "application/json";
	answer->body = body;
	answer->body_len = strlen(body);
	answer->outcome = outcome;
}

/* Alive: whoever gets this answer has it from the event loop. */
static void
answer_health(PoAnswer *answer)
{
	answer_fixed(answer, 200, "health", "{\"status\":\"ok\"}");
}

/* Ready: a webhook that comes now would reach the extension, armed or not. */
static void
answer_ready(PoAnswer *answer)
{
	static const char *const body[] = {
		[PO_ARMED_UNKNOWN] = "{\"status\":\"ready\",\"armed\":null}",
		[PO_ARMED_NO] = "{\"status\":\"ready\",\"armed\":false}",
		[PO_ARMED_YES] = "{\"status\":\"ready\",\"armed\":true}"
	};
	const char *problem = po_pool_problem();

	if (problem == NULL)
		answer_fixed(answer, 200, "ready", body[po_armed()]);
	else
		po_answer_retry(answer, problem);
}

static const PoRoute routes[] = {
	{"/healthz", true, METHOD(PO_METHOD_GET) | METHOD(PO_METHOD_HEAD), "GET, HEAD", answer_health},
	{"/readyz", true, METHOD(PO_METHOD_GET) | METHOD(PO_METHOD_HEAD), "GET, HEAD", answer_ready},
	/* Which paths take a GET, their endpoints say, and to whoever proves something. */
	{"/", false, METHOD(PO_METHOD_POST) | METHOD(PO_METHOD_GET), "POST", NULL},
};

/* The route of a request, or NULL with *refusal set. */
const PoRoute *
po_route_find(const PoHttpRequest *request, PoAnswer *refusal)
{
	for (size_t i = 0; i < lengthof(routes); i++)
	{
		const PoRoute *route = &routes[i];

		if (route->exact ? !po_slice_is(request->path, route->path) :
			strncmp(request->path.data, route->path, strlen(route->path)) != 0)
			continue;
		if (route->methods & METHOD(request->method))
			return route;
		po_answer_error(refusal, 405, "method_not_allowed");
		refusal->allow = route->allow;
		return NULL;
	}
	po_answer_error(refusal, 404, "not_found");
	return NULL;
}
