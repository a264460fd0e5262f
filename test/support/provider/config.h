/*
 * config.h
 *		The provider's settings: by --set NAME=VALUE at the start, later by the
 *		control interface.  What each means stands in config.c.
 */
#ifndef PROVIDER_CONFIG_H
#define PROVIDER_CONFIG_H

#include "buffer.h"
#include "json.h"

typedef struct Config
{
	int			latency_ms;
	int			latency_jitter_ms;
	int			hold_answers;
	int			idle_close_ms;
	int			lookup_lag_ms;
	int			listed_age_ms;
	int			twilio_queue_ms;
	int			idempotency_life_ms;
	int			keep_raw;
	int			callback_connections;
	int			callback_attempts;
	int			callback_retry_ms;
	char	   *callback_to;
	char	   *idempotent;
	char	   *twilio_token;
	char	   *signalhouse_token;
	char	   *sendgrid_token;
	char	   *generic_token;
	char	   *twilio_signing;
	char	   *signalhouse_signing;
	char	   *generic_signing;
	char	   *generic_signature_header;
	char	   *signalhouse_list_member;
	char	   *reply_url;
} Config;

extern Config config;

extern void config_default(void);
extern const char *config_set(const char *name, const char *value);
extern char *config_merge(const Json *json);
extern void config_show(Buffer *b);

#endif
