/*
 * config.c
 *		The provider's settings, see config.h.
 */
#define _GNU_SOURCE
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "fault.h"

Config		config;

typedef struct Setting
{
	const char *name;
	int		   *number;
	char	  **text;
	const char *otherwise;
} Setting;

#define NUMBER(name, value)              \
	{                                    \
#name, &config.name, NULL, value \
	}
#define TEXT(name, value)                \
	{                                    \
#name, NULL, &config.name, value \
	}

static const Setting settings[] = {
	/* before every answer to a message, and up to so many more at random */
	NUMBER(latency_ms, "0"),
	NUMBER(latency_jitter_ms, "0"),
	/* 1: no answer leaves until it is 0 again */
	NUMBER(hold_answers, "0"),
	/* a connection is closed so long after an answer; -1: kept */
	NUMBER(idle_close_ms, "-1"),
	/* a look-up finds a message only when it is so old */
	NUMBER(lookup_lag_ms, "0"),
	/* a list shows messages as so much older than they are */
	NUMBER(listed_age_ms, "0"),
	/* Twilio: until then a message that no callback was about has no date of sending */
	NUMBER(twilio_queue_ms, "0"),
	/* for how long an Idempotency-Key is known: 24 hours */
	NUMBER(idempotency_life_ms, "86400000"),
	/* requests whose bytes are kept for /control/raw */
	NUMBER(keep_raw, "1000"),
	/* at most so many webhooks are on their way at once */
	NUMBER(callback_connections, "32"),
	/* instead of the provider's own tries (0), and with such pauses (-1: its own) */
	NUMBER(callback_attempts, "0"),
	NUMBER(callback_retry_ms, "-1"),
	/* HOST:PORT that stands in for the host of every webhook's URL; the signature
	   is still that of the URL */
	TEXT(callback_to, NULL),
	/* who honours Idempotency-Key: names of APIs */
	TEXT(idempotent, "generic"),
	/* what a request must authenticate with; none: anything */
	TEXT(twilio_token, NULL),
	TEXT(signalhouse_token, NULL),
	TEXT(sendgrid_token, NULL),
	TEXT(generic_token, NULL),
	/* what webhooks are signed with; Twilio without: the password of the request */
	TEXT(twilio_signing, NULL),
	TEXT(signalhouse_signing, "test-signing-secret"),
	TEXT(generic_signing, NULL),
	TEXT(generic_signature_header, "X-Signature"),
	/* the member of a SignalHouse list that holds the messages; empty: a bare array */
	TEXT(signalhouse_list_member, "messages"),
	/* where "reply" in a plan of callbacks goes */
	TEXT(reply_url, NULL),
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static void
set_text(char **place, const char *value)
{
	free(*place);
	*place = copy_string(value);
}

/* Sets all to what they are when nobody says otherwise. */
void
config_default(void)
{
	for (size_t i = 0; i < SETTINGS; i++)
	{
		if (settings[i].number != NULL)
			*settings[i].number = atoi(settings[i].otherwise);
		else
			set_text(settings[i].text, settings[i].otherwise);
	}
}

/* Sets one from a text (NULL: none); returns NULL, or what is wrong. */
const char *
config_set(const char *name, const char *value)
{
	for (size_t i = 0; i < SETTINGS; i++)
	{
		char	   *end;
		long		number;

		if (strcmp(settings[i].name, name) != 0)
			continue;
		if (settings[i].text != NULL)
		{
			set_text(settings[i].text, value);
			return NULL;
		}
		number = value == NULL ? 0 : strtol(value, &end, 10);
		if (value == NULL || end == value || *end != '\0')
			return "not a number";
		*settings[i].number = (int) number;
		return NULL;
	}
	return "no such setting";
}

/*
 * Sets what the object names: settings, "faults", "rules" and "callbacks".
 * Returns NULL, or what is wrong, for the caller to free; what stands before it
 * is set then.
 */
char *
config_merge(const Json *json)
{
	for (const Json *m = json->first; m != NULL; m = m->next)
	{
		const char *wrong;
		char	   *text = NULL;

		if (strcmp(m->name, "faults") == 0)
			wrong = fault_set_shares(m);
		else if (strcmp(m->name, "rules") == 0)
			wrong = fault_set_rules(m);
		else if (strcmp(m->name, "callbacks") == 0)
			wrong = callback_set_plans(m, false);
		else if (strcmp(m->name, "call_callbacks") == 0)
			wrong = callback_set_plans(m, true);
		else
			wrong = config_set(m->name, m->text);
		if (wrong == NULL)
			continue;
		if (asprintf(&text, "%s: %s", m->name, wrong) < 0)
			abort();
		return text;
	}
	return NULL;
}

/* All of them as a JSON object. */
void
config_show(Buffer *b)
{
	for (size_t i = 0; i < SETTINGS; i++)
	{
		buffer_printf(b, "%s\"%s\":", i > 0 ? "," : "{", settings[i].name);
		if (settings[i].number != NULL)
			buffer_printf(b, "%d", *settings[i].number);
		else
			buffer_json_string(b, *settings[i].text);
	}
	buffer_puts(b, "}");
}
