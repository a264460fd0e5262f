/*
 * twilio_webhook.c
 *		Twilio's webhooks: status callbacks of messages and calls, and replies.
 */
#define _GNU_SOURCE
#include "twilio.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

typedef struct Pair
{
	const char *name;
	const char *value;
} Pair;

static int
compare_pairs(const void *a, const void *b)
{
	return strcmp(((const Pair *) a)->name, ((const Pair *) b)->name);
}

/* The form and its signature over the URL, without the fragment, and the fields. */
static void
finish_webhook(Webhook *w, Pair *pair, size_t count, const char *secret)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len;
	Buffer		text = {0};
	char		token[48];
	const char *retries = strstr(w->url, "#rc=");

	if (config.twilio_signing != NULL)
		secret = config.twilio_signing;
	for (size_t i = 0; i < count; i++)
		buffer_field(&w->body, pair[i].name, pair[i].value);
	buffer_add(&text, w->url, strcspn(w->url, "#"));
	qsort(pair, count, sizeof(Pair), compare_pairs);
	for (size_t i = 0; i < count; i++)
	{
		if (pair[i].value != NULL)
			buffer_printf(&text, "%s%s", pair[i].name, pair[i].value);
	}
	if (secret != NULL)
	{
		HMAC(EVP_sha1(), secret, (int) strlen(secret), (unsigned char *) text.data, text.len, mac,
			 &mac_len);
		buffer_clear(&text);
		base64_encode(&text, mac, mac_len);
		webhook_header(w, "X-Twilio-Signature", text.data);
	}
	buffer_free(&text);
	snprintf(token, sizeof(token), "%016llx-%016llx", (unsigned long long) run_id(),
			 (unsigned long long) next_id());
	webhook_header(w, "I-Twilio-Idempotency-Token", token);
	w->content_type = "application/x-www-form-urlencoded";
	w->timeout_ms = 15000;
	w->attempts = 1 + (retries != NULL ? atoi(retries + 4) : 1);
	for (int i = 0; i < 4; i++)
		w->retry_ms[i] = 500;
}

/* A status callback of a message; webhook_free() when done. */
void
twilio_message_status(const Message *m, const char *status, int code, int nth, Webhook *w)
{
	char		error[16];
	char		done[16] = "";
	Pair		pair[] = {
		{"SmsSid", m->id},         {"SmsStatus", status},
		{"MessageStatus", status}, {"To", m->to},
		{"MessageSid", m->id},     {"AccountSid", m->account},
		{"From", m->from},         {"ApiVersion", "2010-04-01"},
		{"RawDlrDoneDate", NULL},  {"ErrorCode", NULL}
	};
	const char *at = format_time(now_us(), TIME_ISO_MS);

	(void) nth;
	snprintf(error, sizeof(error), "%d", code);
	snprintf(done, sizeof(done), "%.2s%.2s%.2s%.2s%.2s", at + 2, at + 5, at + 8, at + 11, at + 14);
	if (strcmp(status, "delivered") == 0)
		pair[8].value = done;
	if (code != 0)
		pair[9].value = error;
	w->url = copy_string(m->callback);
	finish_webhook(w, pair, sizeof(pair) / sizeof(pair[0]), m->secret);
}

/* The same of a call; nth is its place in the sequence. */
void
twilio_call_status(const Message *m, const char *status, int code, int nth, Webhook *w)
{
	char		sequence[16];
	char		error[16];
	bool		completed = strcmp(status, "completed") == 0;
	Pair		pair[] = {
		{"CallSid", m->id},
		{"AccountSid", m->account},
		{"ApiVersion", "2010-04-01"},
		{"Called", m->to},
		{"Caller", m->from},
		{"CallStatus", status},
		{"CallbackSource", "call-progress-events"},
		{"Direction", "outbound-api"},
		{"From", m->from},
		{"To", m->to},
		{"SequenceNumber", sequence},
		{"Timestamp", format_time(now_us(), TIME_RFC2822)},
		{"CallDuration", completed ? "7" : NULL},
		{"Duration", completed ? "1" : NULL},
		{"SipResponseCode", completed ? "200" : NULL},
		{"ErrorCode", code != 0 ? error : NULL}
	};

	snprintf(sequence, sizeof(sequence), "%d", nth);
	snprintf(error, sizeof(error), "%d", code);
	w->url = copy_string(m->callback);
	finish_webhook(w, pair, sizeof(pair) / sizeof(pair[0]), m->secret);
}

/* A message from a phone, to the URL that the webhook has. */
void
twilio_reply(const Reply *r, Webhook *w)
{
	char	   *sid = twilio_new_message_sid(NULL);
	char		segments[16];
	bool		stop = strcasecmp(r->body, "stop") == 0;
	Pair		pair[] = {
		{"ToCountry", "US"},
		{"SmsMessageSid", sid},
		{"NumMedia", "0"},
		{"SmsSid", sid},
		{"SmsStatus", "received"},
		{"Body", r->body},
		{"FromCountry", "US"},
		{"To", r->to},
		{"NumSegments", segments},
		{"MessageSid", sid},
		{"AccountSid", r->account},
		{"From", r->from},
		{"ApiVersion", "2010-04-01"},
		{"OptOutType", stop ? "STOP" : NULL}
	};

	snprintf(segments, sizeof(segments), "%d", count_segments(r->body));
	finish_webhook(w, pair, sizeof(pair) / sizeof(pair[0]), r->secret);
	free(sid);
}
