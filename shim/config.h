/*
 * config.h
 *	  Every setting of the program, in one struct and one sorted table.
 *
 * po_config is read by everybody and written by po_config_load() and
 * po_config_reload() alone.  Strings belong to it and may be replaced by a
 * reload: keep no pointer to one across the event loop.
 */
#ifndef PO_SHIM_CONFIG_H
#define PO_SHIM_CONFIG_H

#define PO_BODY_LIMIT_MAX	1048576	/* what the database functions take */

typedef struct PoConfig
{
	int			batch_threshold;
	int			body_limit;
	int			connection_limit;
	int			connections_per_address;
	char	   *database;
	int			database_call_timeout;
	int			database_check_interval;
	int			database_connect_timeout;
	int			database_connections;
	bool		database_prepare;
	int			database_retry_max;
	int			drain_timeout;
	int			handshake_timeout;
	int			header_bytes_limit;
	int			header_count_limit;
	int			header_timeout;
	int			idle_timeout;
	char	   *listen;
	int			listen_backlog;
	int			log_level;
	int			max_batch;
	int			memory_limit;
	int			queue_limit;
	int			queue_timeout;
	int			reply_timeout;
	int			request_line_limit;
	int			request_timeout;
	int			retry_after;
	char	   *tls_certificate;
	char	   *tls_key;
	char	   *tls_listen;
	char	   *trusted_proxies;
	int			unix_socket_mode;
} PoConfig;

typedef enum PoConfigType
{
	PO_CONFIG_BOOL,
	PO_CONFIG_INT,
	PO_CONFIG_MS,				/* a duration, kept in milliseconds */
	PO_CONFIG_BYTES,
	PO_CONFIG_OCTAL,
	PO_CONFIG_LOG_LEVEL,
	PO_CONFIG_STRING,
	PO_CONFIG_CONNINFO			/* a string whose passwords are never shown */
} PoConfigType;

typedef struct PoConfigItem
{
	const char *name;
	PoConfigType type;
	size_t		offset;			/* in PoConfig */
	int			min;
	int			max;
	const char *initial;
	bool		reloadable;
	const char *doc;
} PoConfigItem;

extern PoConfig po_config;

/* config.c */
extern bool po_config_load(const char *file, PoConfig *config);
extern bool po_config_is_complete(void);
extern bool po_config_reload(const char *file);
extern void po_config_show(void);
extern void po_config_free(PoConfig *config);

/* config_value.c */
extern bool po_config_parse_value(const PoConfigItem *item, const char *text, void *target,
								  char *error, size_t error_size);
extern char *po_config_format_value(const PoConfigItem *item, const void *value);

#endif							/* PO_SHIM_CONFIG_H */
