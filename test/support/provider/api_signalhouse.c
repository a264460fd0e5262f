/*
 * api_signalhouse.c
 *		SignalHouse: SMS, the list of messages, and its webhooks.
 *
 * Numbers are digits with the country code.  Others are answered 202, as if all
 * were well, and nothing comes of them: so does the real one.
 */
#define _GNU_SOURCE
#include "api.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define DAY_US INT64_C(86400000000)

static void
refused(int http_status, int code, const char *text, Answer *answer)
{
	answer->status = http_status;
	buffer_puts(&answer->body, "{\"message\":");
	buffer_json_string(&answer->body, text);
	if (code != 0)
		buffer_printf(&answer->body, ",\"errorCode\":\"%d\"", code);
	buffer_puts(&answer->body, "}");
}

static bool
refuse(Answer *answer, int http_status, const char *text)
{
	refused(http_status, 0, text, answer);
	return false;
}

static char *
authenticate(const Request *request, Answer *answer)
{
	char	   *token = bearer_token(request);

	if (token != NULL &&
		(config.signalhouse_token == NULL || strcmp(token, config.signalhouse_token) == 0))
		return token;
	free(token);
	refuse(answer, 401, "Unauthorized");
	return NULL;
}

static bool
is_number(const char *phone)
{
	return phone[0] != '0' && is_digits(phone, 11, 15);
}

static bool
read_recipients(const Json *json, Send *send)
{
	const Json *to = json_member(json, "recipientPhoneNumber");

	if (to != NULL && to->type == JSON_STRING && to->text[0] != '\0')
		add_recipient(send, to->text, !is_number(to->text));
	else if (to != NULL && to->type == JSON_ARRAY)
	{
		for (const Json *m = to->first; m != NULL; m = m->next)
		{
			if (m->type != JSON_STRING)
				return false;
			add_recipient(send, m->text, !is_number(m->text));
		}
	}
	return send->recipients > 0;
}

static bool
read_send(const Request *request, Send *send, Answer *answer)
{
	Json	   *json;
	bool		good = true;

	send->account = authenticate(request, answer);
	if (send->account == NULL)
		return false;
	json = json_read(request->body, request->body_len);
	send->from = copy_string(json_text(json, "senderPhoneNumber"));
	send->body = copy_string(json_text(json, "messageBody"));
	send->callback = copy_string(json_text(json, "statusCallbackUrl"));
	if (send->callback != NULL && send->callback[0] == '\0')
	{
		free(send->callback);
		send->callback = NULL;
	}
	send->key = key_of_callback(send->callback);
	if (json == NULL || json->type != JSON_OBJECT)
		good = refuse(answer, 400, "The body is no JSON object");
	else if (send->from == NULL || send->body == NULL || send->body[0] == '\0' ||
			 !read_recipients(json, send))
		good = refuse(answer, 400,
					  "senderPhoneNumber, recipientPhoneNumber and messageBody are required");
	else if (!is_number(send->from) && !is_digits(send->from, 5, 6))
		good = refuse(answer, 400, "senderPhoneNumber is not a number of this account");
	json_free(json);
	return good;
}

/* Like a Mongo ObjectId: seconds, machine and process, count. */
static char *
new_id(const Send *send)
{
	char	   *id = NULL;

	(void) send;
	if (asprintf(&id, "%08llx%06llx%010llx",
				 (unsigned long long) (now_us() / 1000000) & 0xFFFFFFFFu,
				 (unsigned long long) (run_id() >> 40), (unsigned long long) next_id()) < 0)
		abort();
	return id;
}

static const char *
status_name(const char *status)
{
	if (strcmp(status, "sent") == 0)
		return "SENT";
	if (strcmp(status, "delivered") == 0 || strcmp(status, "read") == 0)
		return "DELIVERED";
	if (strcmp(status, "failed") == 0 || strcmp(status, "undelivered") == 0)
		return "FAILED";
	return "ENQUEUED";
}

static void
put_inserted(Buffer *b, const Send *send, const char *id, const char *to, const char *status,
			 const char *error)
{
	buffer_puts(b, "{\"_id\":");
	buffer_json_string(b, id);
	buffer_puts(b, ",\"senderPhoneNumber\":");
	buffer_json_string(b, send->from);
	buffer_puts(b, ",\"messageType\":\"SMS\",\"direction\":\"OUTBOUND\",\"recipientPhoneNumber\":");
	buffer_json_string(b, to);
	buffer_puts(b, ",\"messageBody\":");
	buffer_json_string(b, send->body);
	buffer_printf(b,
				  ",\"segmentCount\":%d,\"status\":\"%s\",\"enableShortlink\":false,"
				  "\"createdAt\":\"%s\",\"errorCode\":",
				  count_segments(send->body), status, format_time(now_us(), TIME_ISO_MS));
	buffer_json_string(b, error);
	buffer_puts(b, "}");
}

static void
put_numbers(Buffer *b, const char *name, const Send *send, bool all)
{
	buffer_printf(b, ",\"%s\":[", name);
	for (int i = 0; all && i < send->recipients; i++)
	{
		buffer_puts(b, i > 0 ? "," : "");
		buffer_json_string(b, send->to[i]);
	}
	buffer_puts(b, "]");
}

static void
accepted(const Send *send, Message *const *messages, Answer *answer)
{
	Buffer	   *b = &answer->body;

	answer->status = 202;
	buffer_puts(b, "{\"insertedMessages\":[");
	for (int i = 0; i < send->recipients; i++)
	{
		char	   *id = messages[i] != NULL ? NULL : new_id(send);

		if (messages[i] != NULL)
			answer->status = 201;
		buffer_puts(b, i > 0 ? "," : "");
		put_inserted(b, send, id != NULL ? id : messages[i]->id, send->to[i], "ENQUEUED", NULL);
		free(id);
	}
	buffer_printf(b, "],\"requestedRecipientCount\":%d,\"enqueuedCount\":%d,\"failedCount\":0",
				  send->recipients, send->recipients);
	put_numbers(b, "dncBlockedNumbers", send, false);
	put_numbers(b, "filteredNumbers", send, false);
	buffer_puts(b, "}");
}

/* how: dnc (the account's list), out (opted out of the campaign), filtered (landline) */
static void
blocked(const Send *send, const char *how, Answer *answer)
{
	Buffer	   *b = &answer->body;
	bool		out = how != NULL && strcmp(how, "out") == 0;
	bool		filtered = how != NULL && strcmp(how, "filtered") == 0;

	answer->status = 201;
	buffer_puts(b, "{\"insertedMessages\":[");
	for (int i = 0; out && i < send->recipients; i++)
	{
		char	   *id = new_id(send);

		buffer_puts(b, i > 0 ? "," : "");
		put_inserted(b, send, id, send->to[i], "FAILED", "OUT");
		free(id);
	}
	buffer_printf(b, "],\"requestedRecipientCount\":%d,\"enqueuedCount\":0,\"failedCount\":%d",
				  send->recipients, out ? send->recipients : 0);
	put_numbers(b, "dncBlockedNumbers", send, !out && !filtered);
	put_numbers(b, "filteredNumbers", send, filtered);
	buffer_puts(b, "}");
}

/* ---- message documents --------------------------------------------------- */

/* The members from phoneNumber on that a webhook and the list have in common. */
static void
put_document(Buffer *b, const char *id, const char *ours, const char *from, const char *to,
			 const char *body, const char *callback, const char *direction, const char *status,
			 int64_t at)
{
	buffer_puts(b, "{\"_id\":");
	buffer_json_string(b, id);
	buffer_puts(b, ",\"groupId\":\"G7Q2M9XK\",\"subgroupId\":\"S4T8W1ZP\",\"brandId\":\"B1A2B3C4\","
				"\"campaignId\":\"C9D8E7F6\",\"phoneNumber\":");
	buffer_json_string(b, ours);
	buffer_printf(b,
				  ",\"carrier\":\"AT&T Wireless\",\"carrierFamily\":\"ATT\",\"carrierRegion\":\"US\","
				  "\"plmn\":\"310410\",\"messageType\":\"SMS\",\"direction\":\"%s\","
				  "\"senderPhoneNumber\":",
				  direction);
	buffer_json_string(b, from);
	buffer_puts(b, ",\"recipientPhoneNumber\":");
	buffer_json_string(b, to);
	buffer_puts(b, ",\"messageBody\":");
	buffer_json_string(b, body);
	buffer_printf(b, ",\"segmentCount\":%d,\"statusCallbackUrl\":", count_segments(body));
	buffer_json_string(b, callback != NULL ? callback : "");
	buffer_printf(b,
				  ",\"status\":\"%s\",\"statusHistory\":[{\"timestamp\":\"%s\",\"status\":\"%s\"}],"
				  "\"dcaBulkId\":\"\",\"externalMediaUrls\":[],\"uploadedFileReferences\":[],"
				  "\"isGroupMessage\":false,\"enableCompression\":false,"
				  "\"successOrFailureReason\":\"%s\",\"enableShortlink\":false,\"shortlinkCount\":0,"
				  "\"createdAt\":\"%s\",\"updatedAt\":\"%s\"",
				  status, format_time(now_us(), TIME_ISO_MS), status,
				  strcmp(status, "FAILED") == 0 ? "Carrier rejected message" : "",
				  format_time(at, TIME_ISO_MS), format_time(now_us(), TIME_ISO_MS));
}

static void
put_message(Buffer *b, const Message *m, const char *status)
{
	put_document(b, m->id, m->from, m->from, m->to, m->body, m->callback, "OUTBOUND",
				 status_name(status), m->at);
}

typedef struct Query
{
	const char *from;
	const char *to;
	const char *status;
	int64_t		since;
	int64_t		until;
} Query;

static bool
matches(const Message *m, const Query *q)
{
	return strcmp(m->api, "signalhouse") == 0 &&
		(q->from == NULL || strcmp(m->from, q->from) == 0) &&
		(q->to == NULL || strcmp(m->to, q->to) == 0) &&
		(q->status == NULL || strcmp(status_name(m->status), q->status) == 0) &&
		m->at >= q->since && m->at < q->until &&
		m->at + (int64_t) config.lookup_lag_ms * 1000 <= now_us();
}

/* startDate and endDate: whole UTC days, both included, whatever they are precise to. */
static bool
read_dates(const Form *form, Query *q)
{
	const char *start = form_get(form, "startDate");
	const char *end = form_get(form, "endDate");
	bool		day;

	q->until = INT64_MAX;
	if (form_get(form, "id") != NULL)
		return true;
	if (form_get(form, "groupId") == NULL || start == NULL || end == NULL)
		return false;
	q->since = read_time(start, &day);
	q->until = read_time(end, &day);
	if (q->since < 0 || q->until < 0)
		return false;
	q->since -= q->since % DAY_US;
	q->until += DAY_US - q->until % DAY_US;
	return true;
}

static void
put_list(const Form *form, const Query *q, Answer *answer)
{
	const char *id = form_get(form, "id");
	const char *value = form_get(form, "limit");
	int			limit = value != NULL ? atoi(value) : 50;
	int			page = (value = form_get(form, "page")) != NULL ? atoi(value) : 1;
	const char *name = config.signalhouse_list_member;
	bool		bare = name == NULL || name[0] == '\0';
	int			found = 0;
	int			put = 0;
	uint64_t	number = ledger_counters.accepted;
	Message    *m = id != NULL ? ledger_by_id(id)
		: q->to != NULL ? ledger_latest_to(q->to)
		: ledger_message(number);

	answer->status = 200;
	if (bare)
		buffer_puts(&answer->body, "[");
	else
		buffer_printf(&answer->body, "{\"%s\":[", name);
	for (; m != NULL; m = id != NULL ? NULL
		 : q->to != NULL ? m->older_to
		 : ledger_message(--number))
	{
		if (!matches(m, q))
			continue;
		if (found++ < (page - 1) * limit || put >= limit)
			continue;
		buffer_puts(&answer->body, put++ > 0 ? "," : "");
		put_message(&answer->body, m, m->status);
		buffer_puts(&answer->body, "}");
	}
	if (bare)
		buffer_puts(&answer->body, "]");
	else
		buffer_printf(&answer->body, "],\"totalCount\":%d,\"page\":%d,\"limit\":%d}", found, page,
					  limit);
}

/*
 * GET /message.  False when it is refused; to is the phone that was asked for,
 * if one was, for the caller to free.
 */
bool
signalhouse_lookup(const Request *request, Answer *answer, char **to)
{
	char	   *token = authenticate(request, answer);
	Form		form = {.fields = 0};
	Query		q = {0};
	bool		good = true;

	if (token == NULL)
		return false;
	free(token);
	form_read(&form, request->query);
	q.from = form_get(&form, "senderPhoneNumber");
	q.to = form_get(&form, "recipientPhoneNumber");
	q.status = form_get(&form, "status");
	*to = copy_string(q.to);
	if (read_dates(&form, &q))
		put_list(&form, &q, answer);
	else
		good = refuse(answer, 400, "groupId, startDate and endDate are required without id");
	form_free(&form);
	return good;
}

/* ---- webhooks ------------------------------------------------------------ */

/* The signature over timestamp and body, and the provider's patience. */
static void
finish_webhook(Webhook *w)
{
	const char *secret = config.signalhouse_signing;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len;
	Buffer		text = {0};
	char		ms[24];
	char		id[48];
	uint64_t	a = random_u64();
	uint64_t	b = random_u64();

	snprintf(ms, sizeof(ms), "%lld", (long long) (now_us() / 1000));
	if (secret != NULL)
	{
		buffer_printf(&text, "%s.%s", ms, w->body.data);
		HMAC(EVP_sha256(), secret, (int) strlen(secret), (unsigned char *) text.data, text.len, mac,
			 &mac_len);
		buffer_clear(&text);
		hex_encode(&text, mac, mac_len);
		webhook_header(w, "X-SignalHouse-Signature", text.data);
		webhook_header(w, "X-SignalHouse-Timestamp", ms);
		buffer_free(&text);
	}
	snprintf(id, sizeof(id), "%08x-%04x-4%03x-8%03x-%012llx", (unsigned) (a >> 32),
			 (unsigned) (a >> 16) & 0xFFFF, (unsigned) a & 0xFFF, (unsigned) (b >> 48) & 0xFFF,
			 (unsigned long long) b & 0xFFFFFFFFFFFFu);
	webhook_header(w, "X-SignalHouse-Delivery-Id", id);
	w->content_type = "application/json";
	w->timeout_ms = 3000;
	w->attempts = 3;
	w->retry_ms[0] = 500 + (int) (random_fraction() * 125);
	w->retry_ms[1] = 1000 + (int) (random_fraction() * 250);
}

static void
put_event(Webhook *w, const char *event, const char *id)
{
	buffer_printf(&w->body,
				  "{\"timestamp\":\"%s\",\"event\":\"%s\",\"identifier\":\"%s\",\"metaData\":",
				  format_time(now_us(), TIME_ISO_MS), event, id);
}

static void
status(const Message *m, const char *name, int code, int nth, Webhook *w)
{
	const char *upper = status_name(name);

	(void) nth;
	put_event(w,
			  strcmp(upper, "DELIVERED") == 0 ? "MESSAGE_DELIVERED"
			  : strcmp(upper, "FAILED") == 0 ? "MESSAGE_FAILED"
			  : strcmp(upper, "SENT") == 0 ? "SMS_SENT"
			  : "MESSAGE_ENQUEUED",
			  m->id);
	put_message(&w->body, m, name);
	if (code != 0)
		buffer_printf(&w->body, ",\"errorCode\":\"%d\"", code);
	buffer_puts(&w->body, "}}");
	w->url = copy_string(m->callback);
	finish_webhook(w);
}

static void
reply(const Reply *r, Webhook *w)
{
	char	   *id = new_id(NULL);

	put_event(w, "MESSAGE_RECEIVED", id);
	buffer_puts(&w->body, "{\"Message\":");
	put_document(&w->body, id, r->to, r->from, r->to, r->body, NULL, "INBOUND", "RECEIVED",
				 now_us());
	buffer_puts(&w->body, "}}}");
	finish_webhook(w);
	free(id);
}

const Api	signalhouse_api = {
	.name = "signalhouse",
	.read = read_send,
	.new_id = new_id,
	.accepted = accepted,
	.refused = refused,
	.blocked = blocked,
	.status = status,
	.reply = reply
};
