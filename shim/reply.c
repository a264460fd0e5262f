/*
 * reply.c
 *	  Answers as HTTP responses.
 *
 * The program does not say who it is, and its own errors say no more than a
 * fixed word.  Owns no memory.
 */
#include "postgres_fe.h"

#include "config.h"
#include "reply.h"
#include "uuid.h"

typedef struct Reason
{
	int			status;
	const char *text;
} Reason;

static const Reason reasons[] = {
	{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
	{304, "Not Modified"},
	{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
	{405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
	{411, "Length Required"}, {413, "Content Too Large"}, {414, "URI Too Long"},
	{415, "Unsupported Media Type"}, {417, "Expectation Failed"}, {422, "Unprocessable Content"},
	{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
	{504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
};

/* Every own error, with the body that it has: {"error":"<reason>"}. */
static const char *
error_body(const char *reason, size_t *len)
{
	static char body[128];

	*len = (size_t) snprintf(body, sizeof(body), "{\"error\":\"%s\"}", reason);
	return body;
}

/*
 * An error of our own; reason is a fixed word, safe to show and to log.  The
 * body lives until the next call.
 */
void
po_answer_error(PoAnswer *answer, int status, const char *reason)
{
	memset(answer, 0, sizeof(*answer));
	answer->status = status;
	answer->content_type = "application/json";
	answer->body = error_body(reason, &answer->body_len);
	answer->outcome = reason;
}

/* 503 with Retry-After: nothing is wrong with the request. */
void
po_answer_retry(PoAnswer *answer, const char *reason)
{
	po_answer_error(answer, 503, reason);
	answer->retry_later = true;
}

static const char *
reason_text(int status)
{
	for (size_t i = 0; i < lengthof(reasons); i++)
	{
		if (reasons[i].status == status)
			return reasons[i].text;
	}
	return "Status";
}

/* Spread retries over [retry_after, 2 * retry_after], in whole seconds. */
static int
retry_seconds(void)
{
	int			base = po_config.retry_after / 1000;

	return base + (int) po_random_below((uint32) base + 1);
}

/*
 * Append a complete response.  Nothing may be kept by a cache: a repeated GET is
 * another webhook, and must come.  head_only leaves the body out but says how long
 * it would be.
 */
void
po_reply_append(struct evbuffer *out, const PoAnswer *answer, const char *correlation_id,
				bool head_only, int minor_version, bool keep_alive)
{
	bool		bodiless = answer->status == 204 || answer->status == 304;
	char		head[1024];
	char		date[64];
	int			len;

	(void) evutil_date_rfc1123(date, sizeof(date), NULL);
	len = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\nDate: %s\r\nCache-Control: no-store\r\n"
				   "X-Correlation-Id: %s\r\n",
				   answer->status, reason_text(answer->status), date, correlation_id);
	if (!bodiless)
		len += snprintf(head + len, sizeof(head) - len, "Content-Length: %zu\r\n", answer->body_len);
	if (answer->content_type != NULL && !bodiless)
		len += snprintf(head + len, sizeof(head) - len, "Content-Type: %.256s\r\n",
						answer->content_type);
	if (answer->allow != NULL)
		len += snprintf(head + len, sizeof(head) - len, "Allow: %s\r\n", answer->allow);
	if (answer->retry_later)
		len += snprintf(head + len, sizeof(head) - len, "Retry-After: %d\r\n", retry_seconds());
	if (!keep_alive)
		len += snprintf(head + len, sizeof(head) - len, "Connection: close\r\n");
	else if (minor_version == 0)
		len += snprintf(head + len, sizeof(head) - len, "Connection: keep-alive\r\n");
	len += snprintf(head + len, sizeof(head) - len, "\r\n");

	evbuffer_add(out, head, len);
	if (!head_only && !bodiless && answer->body_len > 0)
		evbuffer_add(out, answer->body, answer->body_len);
}
