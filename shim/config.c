/*
 * config.c
 *	  The table of settings, the file, the environment, reload.
 *
 * Order of precedence: environment variable OUTREACH_<NAME>, then the file,
 * then the table's default.
 */
#include "postgres_fe.h"

#include <limits.h>
#include <unistd.h>

#include "address.h"
#include "config.h"
#include "log.h"

#define HOUR_MS		3600000

PoConfig	po_config;

#define ITEM(name, type, min, max, initial, reloadable, doc) \
	{#name, PO_CONFIG_##type, offsetof(PoConfig, name), min, max, initial, reloadable, doc}

/* In alphabetical order; --show-config prints it in this order. */
static const PoConfigItem items[] = {
	ITEM(batch_threshold, INT, 1, 1000, "3", true,
		 "more webhooks waiting than this go to the database as one call"),
	ITEM(body_limit, BYTES, 1024, PO_BODY_LIMIT_MAX, "1MB", false,
		 "largest request body; a longer one is answered 413"),
	ITEM(connection_limit, INT, 1, 1000000, "10000", true,
		 "client connections at a time; at the limit accepting pauses"),
	ITEM(connections_per_address, INT, 1, 1000000, "256", true,
		 "client connections at a time of one IPv4 address or IPv6 /64; trusted proxies are exempt"),
	ITEM(database, CONNINFO, 0, 0, "", false,
		 "libpq connection string; use an address, not a name, where looking up names can be slow"),
	ITEM(database_call_timeout, MS, 10, HOUR_MS, "10s", true,
		 "a statement that takes longer is cancelled and answered 503"),
	ITEM(database_check_interval, MS, 10, HOUR_MS, "5s", true,
		 "an idle database connection is tried this often"),
	ITEM(database_connect_timeout, MS, 10, HOUR_MS, "5s", true,
		 "for connecting to the database, including the first check"),
	ITEM(database_connections, INT, 1, 64, "2", false,
		 "connections to the database"),
	ITEM(database_prepare, BOOL, 0, 0, "on", false,
		 "use prepared statements; off for a transaction pooler that does not track them"),
	ITEM(database_retry_max, MS, 10, HOUR_MS, "10s", true,
		 "longest pause between two attempts to connect"),
	ITEM(drain_timeout, MS, 0, HOUR_MS, "15s", true,
		 "at a stop, requests in progress get this long to finish"),
	ITEM(handshake_timeout, MS, 10, HOUR_MS, "5s", true,
		 "for the TLS handshake"),
	ITEM(header_bytes_limit, BYTES, 256, 65536, "8kB", false,
		 "all header lines of a request together"),
	ITEM(header_count_limit, INT, 4, 1000, "64", false,
		 "header lines of a request"),
	ITEM(header_timeout, MS, 10, HOUR_MS, "5s", true,
		 "from the first byte of a request (or the accept) to the end of its headers"),
	ITEM(idle_timeout, MS, 10, HOUR_MS, "15s", true,
		 "a kept connection without a request is closed after this"),
	ITEM(listen, STRING, 0, 0, "127.0.0.1:8080", false,
		 "host:port, [ipv6]:port or unix:/path, separated by commas; port 0 takes a free one"),
	ITEM(listen_backlog, INT, 1, 65535, "511", false,
		 "connections that the kernel keeps waiting to be accepted"),
	ITEM(log_level, LOG_LEVEL, 0, 0, "info", true,
		 "error, warning, info or debug; requests are logged at info, 5xx at warning"),
	ITEM(max_batch, INT, 1, 1000, "100", true,
		 "webhooks in one call"),
	ITEM(memory_limit, BYTES, 1048576, INT_MAX, "128MB", true,
		 "of requests being read or waiting; over it requests are answered 503"),
	ITEM(queue_limit, INT, 1, 1000000, "2000", true,
		 "webhooks waiting for a database connection; over it requests are answered 503"),
	ITEM(queue_timeout, MS, 10, HOUR_MS, "5s", true,
		 "a webhook that waits longer is answered 503"),
	ITEM(reply_timeout, MS, 10, HOUR_MS, "10s", true,
		 "for the client to take the answer"),
	ITEM(request_line_limit, BYTES, 64, 65536, "2kB", false,
		 "the request line, with the query"),
	ITEM(request_timeout, MS, 10, HOUR_MS, "10s", true,
		 "from the first byte of a request to its last"),
	ITEM(retry_after, MS, 1000, HOUR_MS, "2s", true,
		 "a 503 asks for a retry after this long, or up to twice this long"),
	ITEM(tls_certificate, STRING, 0, 0, "", true,
		 "file with the certificate chain for tls_listen, PEM"),
	ITEM(tls_key, STRING, 0, 0, "", true,
		 "file with its private key, PEM"),
	ITEM(tls_listen, STRING, 0, 0, "", false,
		 "like listen, with TLS 1.2 or later"),
	ITEM(trusted_proxies, STRING, 0, 0, "", true,
		 "addresses, networks or 'unix' whose X-Forwarded-For is believed, last entry"),
	ITEM(unix_socket_mode, OCTAL, 0, 0777, "0660", false,
		 "permissions of unix sockets"),
};

static void *
field(PoConfig *config, const PoConfigItem *item)
{
	return (char *) config + item->offset;
}

static bool
is_string(const PoConfigItem *item)
{
	return item->type == PO_CONFIG_STRING || item->type == PO_CONFIG_CONNINFO;
}

static const PoConfigItem *
find_item(const char *name)
{
	for (size_t i = 0; i < lengthof(items); i++)
	{
		if (strcmp(items[i].name, name) == 0)
			return &items[i];
	}
	return NULL;
}

/* Cut white space off both ends of text, in place. */
static char *
trim(char *text)
{
	size_t		len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	return text;
}

static bool
read_file(const char *name, PoConfig *config)
{
	char		line[8192];
	char		error[256];
	int			number = 0;
	bool		ok = true;
	FILE	   *file = fopen(name, "r");

	if (file == NULL)
	{
		po_log(PO_LOG_ERROR, "config", "cannot open \"%s\": %s", name, strerror(errno));
		return false;
	}
	while (ok && fgets(line, sizeof(line), file) != NULL)
	{
		bool		too_long = strchr(line, '\n') == NULL && !feof(file);
		char	   *text = trim(line);
		char	   *equals = strchr(text, '=');
		const PoConfigItem *item;

		number++;
		if (*text == '\0' || *text == '#')
			continue;
		if (equals == NULL || too_long)
		{
			po_log(PO_LOG_ERROR, "config", "%s:%d: expected \"name = value\"", name, number);
			ok = false;
			break;
		}
		*equals = '\0';
		item = find_item(trim(text));
		if (item == NULL)
		{
			po_log(PO_LOG_ERROR, "config", "%s:%d: no such setting", name, number);
			ok = false;
		}
		else if (!po_config_parse_value(item, trim(equals + 1), field(config, item),
										error, sizeof(error)))
		{
			po_log(PO_LOG_ERROR, "config", "%s:%d: %s", name, number, error);
			ok = false;
		}
	}
	if (ferror(file))
	{
		po_log(PO_LOG_ERROR, "config", "cannot read \"%s\"", name);
		ok = false;
	}
	fclose(file);
	return ok;
}

/* The item whose name in capitals is the text before "=". */
static const PoConfigItem *
find_capitals(const char *text)
{
	for (size_t i = 0; i < lengthof(items); i++)
	{
		const char *name = items[i].name;
		size_t		n = 0;

		while (name[n] != '\0' && (char) pg_ascii_toupper((unsigned char) name[n]) == text[n])
			n++;
		if (name[n] == '\0' && text[n] == '=')
			return &items[i];
	}
	return NULL;
}

/* The prefix is ours: a variable that names no setting is a mistake. */
static bool
read_environment(PoConfig *config)
{
	static const char prefix[] = "OUTREACH_";

	for (char **variable = environ; *variable != NULL; variable++)
	{
		const char *text = *variable + strlen(prefix);
		const PoConfigItem *item;
		char		error[256];

		if (strncmp(*variable, prefix, strlen(prefix)) != 0)
			continue;
		item = find_capitals(text);
		if (item == NULL)
			snprintf(error, sizeof(error), "%.*s: no such setting",
					 (int) Min(strcspn(*variable, "="), 64), *variable);
		else if (po_config_parse_value(item, strchr(text, '=') + 1, field(config, item), error, sizeof(error)))
			continue;
		po_log(PO_LOG_ERROR, "config", "environment: %s", error);
		return false;
	}
	return true;
}

static bool
fail(const char *text)
{
	po_log(PO_LOG_ERROR, "config", "%s", text);
	return false;
}

static bool
listen_list_is_valid(const char *list)
{
	char		word[256];
	PoListenAddress address;

	while (po_address_next_word(&list, word, sizeof(word)))
	{
		if (!po_listen_address_parse(word, &address))
			return false;
	}
	return true;
}

/* What concerns more than one setting, or the inside of a list. */
static bool
check_whole(const PoConfig *config)
{
	PoAddressList *proxies;

	if (config->listen[0] == '\0' && config->tls_listen[0] == '\0')
		return fail("listen and tls_listen are both empty");
	if (!listen_list_is_valid(config->listen))
		return fail("listen must be a list of host:port, [ipv6]:port or unix:/path");
	if (!listen_list_is_valid(config->tls_listen))
		return fail("tls_listen must be a list of host:port, [ipv6]:port or unix:/path");
	if (config->tls_listen[0] != '\0' &&
		(config->tls_certificate[0] == '\0' || config->tls_key[0] == '\0'))
		return fail("tls_listen needs tls_certificate and tls_key");
	proxies = po_address_list_parse(config->trusted_proxies);
	if (proxies == NULL)
		return fail("trusted_proxies must be a list of addresses, networks or \"unix\"");
	po_address_list_free(proxies);
	return true;
}

/*
 * Read defaults, file (may be NULL) and environment into *config, which the
 * caller has zeroed.  Logs what is wrong and returns false; the caller frees
 * *config in either case.
 */
bool
po_config_load(const char *file, PoConfig *config)
{
	for (size_t i = 0; i < lengthof(items); i++)
	{
		char		error[256];

		if (!po_config_parse_value(&items[i], items[i].initial, field(config, &items[i]),
								   error, sizeof(error)))
			return fail(error);
	}
	return (file == NULL || read_file(file, config)) &&
		read_environment(config) &&
		check_whole(config);
}

/* Is there what serving needs and no default can give?  Logs what is missing. */
bool
po_config_is_complete(void)
{
	return po_config.database[0] != '\0' ||
		fail("database is not set; give a connection string, in the file or as OUTREACH_DATABASE");
}

/*
 * Read everything again and take over what may change while running; warn about
 * the rest.  False for a configuration with an error, which changes nothing.
 */
bool
po_config_reload(const char *file)
{
	PoConfig	fresh = {0};

	if (!po_config_load(file, &fresh))
	{
		po_log(PO_LOG_ERROR, "config", "configuration not reloaded");
		po_config_free(&fresh);
		return false;
	}
	for (size_t i = 0; i < lengthof(items); i++)
	{
		const PoConfigItem *item = &items[i];
		void	   *old_value = field(&po_config, item);
		void	   *new_value = field(&fresh, item);
		size_t		size = is_string(item) ? sizeof(char *) :
			item->type == PO_CONFIG_BOOL ? sizeof(bool) : sizeof(int);
		char		swap[sizeof(char *)];
		bool		same = is_string(item) ?
			strcmp(*(char **) old_value, *(char **) new_value) == 0 :
			memcmp(old_value, new_value, size) == 0;

		if (same)
			continue;
		if (!item->reloadable)
		{
			po_log(PO_LOG_WARNING, "config", "%s cannot be changed without a restart", item->name);
			continue;
		}
		memcpy(swap, old_value, size);
		memcpy(old_value, new_value, size);
		memcpy(new_value, swap, size);
		po_log(PO_LOG_INFO, "config", "%s changed", item->name);
	}
	po_config_free(&fresh);
	return true;
}

/* Print po_config as a file that can be read again, passwords left out. */
void
po_config_show(void)
{
	for (size_t i = 0; i < lengthof(items); i++)
	{
		const PoConfigItem *item = &items[i];
		char	   *value = po_config_format_value(item, field(&po_config, item));

		printf("# %s (default %s%s)\n%s = %s\n\n", item->doc,
			   item->initial[0] != '\0' ? item->initial : "empty",
			   item->reloadable ? "; reloadable" : "", item->name, value);
		free(value);
	}
}

/* Free the strings of a configuration. */
void
po_config_free(PoConfig *config)
{
	for (size_t i = 0; i < lengthof(items); i++)
	{
		if (is_string(&items[i]))
		{
			free(*(char **) field(config, &items[i]));
			*(char **) field(config, &items[i]) = NULL;
		}
	}
}
