/*
 * call.c
 *	  Building the parameter of a call and reading its rows.
 *
 * Parameters go in binary: jsonb is a version byte and text, jsonb[] the array
 * format around it, so that nothing is quoted and no length is searched for.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>

#include "call.h"
#include "envelope.h"
#include "lane.h"
#include "log.h"

#define JSONB_OID		3802
#define JSONB_ARRAY_OID	3807
#define JSONB_VERSION	1

const PoStatement po_call_single = {
	"outreach_ingest_webhook",
	"SELECT outcome, receipt_id::text, http_status, content_type, body, lane"
	" FROM outreach.ingest_webhook($1::jsonb)",
	JSONB_OID, 6
};

const PoStatement po_call_batch = {
	"outreach_ingest_webhooks",
	"SELECT item, outcome, receipt_id::text, http_status, content_type, body, lane"
	" FROM outreach.ingest_webhooks($1::jsonb[])",
	JSONB_ARRAY_OID, 7
};

static void
append_int32(StringInfo out, int32 value)
{
	uint32		n = htonl((uint32) value);

	appendBinaryStringInfo(out, (const char *) &n, sizeof(n));
}

static void
set_int32(StringInfo out, int offset, int32 value)
{
	uint32		n = htonl((uint32) value);

	memcpy(out->data + offset, &n, sizeof(n));
}

static void
append_jsonb(StringInfo out, const PoWebhook *webhook)
{
	appendStringInfoChar(out, JSONB_VERSION);
	po_envelope_append(out, webhook->request, webhook->has_remote ? webhook->remote : NULL,
					   webhook->correlation_id);
}

/*
 * Build the parameter from the first webhooks of the list: all, unless the
 * batch becomes too large before.  Returns how many went in, at least one.
 */
int
po_call_build(StringInfo parameter, PoWebhook **webhooks, int count, bool batch)
{
	int			taken = 0;

	resetStringInfo(parameter);
	if (!batch)
	{
		append_jsonb(parameter, webhooks[0]);
		return 1;
	}
	append_int32(parameter, 1); /* dimensions */
	append_int32(parameter, 0); /* no NULLs */
	append_int32(parameter, JSONB_OID);
	append_int32(parameter, 0); /* elements, set below */
	append_int32(parameter, 1); /* lower bound */
	while (taken < count && parameter->len < PO_CALL_BYTES)
	{
		int			start = parameter->len;

		append_int32(parameter, 0);
		append_jsonb(parameter, webhooks[taken++]);
		set_int32(parameter, start, parameter->len - start - 4);
	}
	set_int32(parameter, 12, taken);
	return taken;
}

/* Something that may stand in a header line as it is. */
static bool
is_header_text(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < 0x20 || (unsigned char) *text > 0x7e)
			return false;
	}
	return true;
}

/* The answer in columns first.. of a row; false when it is none. */
static bool
read_answer(const PGresult *result, int row, int first, PoAnswer *answer)
{
	const char *status = PQgetvalue(result, row, first + 2);

	memset(answer, 0, sizeof(*answer));
	answer->outcome = PQgetvalue(result, row, first);
	answer->status = atoi(status);
	if (!PQgetisnull(result, row, first + 3))
		answer->content_type = PQgetvalue(result, row, first + 3);
	answer->body = PQgetvalue(result, row, first + 4);
	answer->body_len = (size_t) PQgetlength(result, row, first + 4);
	return answer->status >= 200 && answer->status <= 599 &&
		(answer->content_type == NULL || is_header_text(answer->content_type));
}

/*
 * Answer the webhooks from the rows of a committed call.  Answered ones are set
 * to NULL in the list; the number of those left without a usable row is
 * returned.
 */
int
po_call_answer(const PGresult *result, PoWebhook **webhooks, int count, bool batch)
{
	int			left = count;

	if (PQnfields(result) != (batch ? po_call_batch.columns : po_call_single.columns))
		return left;
	for (int row = 0; row < PQntuples(result); row++)
	{
		int			item = batch ? atoi(PQgetvalue(result, row, 0)) - 1 : row;
		PoAnswer	answer;
		PoWebhook  *webhook;

		if (item < 0 || item >= count || webhooks[item] == NULL ||
			!read_answer(result, row, batch ? 1 : 0, &answer))
			continue;
		if (answer.status == 503 || answer.status == 429)
			answer.retry_later = true;
		if (answer.status == 405)
			answer.allow = "POST";
		answer.batch = count;
		webhook = webhooks[item];
		webhooks[item] = NULL;
		if (!PQgetisnull(result, row, batch ? 6 : 5))
			po_lane_learn(webhook->request->path,
						  strtoll(PQgetvalue(result, row, batch ? 6 : 5), NULL, 10), webhook->lane);
		left--;
		po_webhook_answer(webhook, &answer);
	}
	return left;
}

/* The SQLSTATE of a result that is no success; "none" when it has none. */
const char *
po_call_sqlstate(const PGresult *error)
{
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);

	return sqlstate != NULL ? sqlstate : "none";
}

/* Log that a statement failed, without the message: it may quote data. */
void
po_call_log_error(const PGresult *error, int connection, const char *what)
{
	const char *severity = PQresultErrorField(error, PG_DIAG_SEVERITY_NONLOCALIZED);

	po_log(PO_LOG_WARNING, "database", "connection %d: %s failed: %s, SQLSTATE %s", connection,
		   what, severity != NULL ? severity : "ERROR", po_call_sqlstate(error));
}

/*
 * What an ERROR result asks for.  It means that nothing of the call is left, so
 * that trying again cannot double anything.
 */
PoCallRetry
po_call_retry(const PGresult *error)
{
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *source = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

	if (sqlstate == NULL)
		return PO_RETRY_NEVER;
	if (strncmp(sqlstate, "40", 2) == 0)
		return PO_RETRY_SAME;
	if (strcmp(sqlstate, "26000") == 0)
		return PO_RETRY_UNPREPARED;
	/* A read-only server was the primary once; a stale plan is prepared anew. */
	if (strcmp(sqlstate, "25006") == 0 ||
		(strcmp(sqlstate, "0A000") == 0 && source != NULL &&
		 strcmp(source, "RevalidateCachedQuery") == 0))
		return PO_RETRY_RECONNECT;
	if (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0 ||
		strncmp(sqlstate, "P0", 2) == 0 || strncmp(sqlstate, "XX", 2) == 0)
		return PO_RETRY_ALONE;
	return PO_RETRY_NEVER;
}
