/*
 * main.c
 *	  outreach-shim: takes webhooks over HTTP and hands them to PostgreSQL.
 *
 * One thread, one event loop.  Signals are events: the handlers below are
 * ordinary code.
 *
 *	  SIGHUP			read configuration and certificate again
 *	  SIGTERM, SIGINT	finish what was begun and stop; the second one stops now
 *
 * Exit codes: 0 stopped in order, 1 cannot start or told twice to stop.
 */
#include "postgres_fe.h"

#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "check.h"
#include "config.h"
#include "log.h"
#include "pool.h"
#include "server.h"

#define PO_SPARE_DESCRIPTORS	64	/* database, listeners, log, libraries */

static struct event_base *base;
static const char *config_file = NULL;
static struct event *drain_timer;
static bool stopping = false;
static int	exit_code = 0;

static void
usage(FILE *out)
{
	fputs("usage: outreach-shim [--config FILE] [--check | --show-config | --version]\n"
		  "  --config FILE   settings, one \"name = value\" a line\n"
		  "  --check         connect, say what is found and whether it could serve, and exit\n"
		  "  --show-config   print every setting with its meaning, and exit\n"
		  "  --version       print the version, and exit\n"
		  "A setting can also come from the environment, as OUTREACH_<NAME>.\n", out);
}

static void
stop_now(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	po_log(PO_LOG_WARNING, "main", "drain_timeout is over, closing what is left");
	event_base_loopbreak(base);
}

static void
drained(void)
{
	event_base_loopbreak(base);
}

static void
on_stop_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct timeval tv = {po_config.drain_timeout / 1000, po_config.drain_timeout % 1000 * 1000};

	(void) what;
	(void) arg;
	if (stopping)
	{
		po_log(PO_LOG_WARNING, "main", "stopping at once");
		exit_code = 1;
		event_base_loopbreak(base);
		return;
	}
	stopping = true;
	po_log(PO_LOG_INFO, "main", "stopping on signal %d", (int) signal_number);
	event_add(drain_timer, &tv);
	po_server_drain(drained);
}

static void
on_reload_signal(evutil_socket_t signal_number, short what, void *arg)
{
	(void) signal_number;
	(void) what;
	(void) arg;
	if (stopping)
		return;
	if (!po_config_reload(config_file))
		return;
	po_log_set_level(po_config.log_level);
	po_server_reload();
	po_log(PO_LOG_INFO, "main", "reloaded");
}

/* Room for connection_limit descriptors, or a lower limit that fits. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;
	int			wanted = po_config.connection_limit + PO_SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < (rlim_t) wanted)
	{
		limit.rlim_cur = Min((rlim_t) wanted, limit.rlim_max);
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < (rlim_t) wanted)
		po_log(PO_LOG_WARNING, "main",
			   "the limit of %llu open files allows fewer connections than connection_limit",
			   (unsigned long long) limit.rlim_cur);
}

static struct event *
add_signal(int number, event_callback_fn handler)
{
	struct event *event = evsignal_new(base, number, handler, NULL);

	event_add(event, NULL);
	return event;
}

static int
serve(void)
{
	struct event *signals[3];

	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	base = event_base_new();
	if (base == NULL)
	{
		po_log(PO_LOG_ERROR, "main", "cannot make an event loop");
		return 1;
	}
	drain_timer = evtimer_new(base, stop_now, NULL);
	signals[0] = add_signal(SIGHUP, on_reload_signal);
	signals[1] = add_signal(SIGTERM, on_stop_signal);
	signals[2] = add_signal(SIGINT, on_stop_signal);

	if (po_server_start(base))
	{
		po_pool_start(base);
		po_log_flush();
		/* One pass at a time, so that its log lines go out together. */
		while (event_base_loop(base, EVLOOP_ONCE) == 0 && !event_base_got_break(base))
			po_log_flush();
		po_log(PO_LOG_INFO, "main", "stopped");
		po_server_stop();
		po_pool_stop();
	}
	else
	{
		exit_code = 1;
		po_server_stop();
	}

	for (size_t i = 0; i < lengthof(signals); i++)
		event_free(signals[i]);
	event_free(drain_timer);
	event_base_free(base);
	libevent_global_shutdown();
	return exit_code;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"show-config", no_argument, NULL, 's'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	bool		check = false;
	bool		show = false;
	int			option;
	int			result = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'c':
				config_file = optarg;
				break;
			case 'k':
				check = true;
				break;
			case 's':
				show = true;
				break;
			case 'v':
				puts("outreach-shim " PO_VERSION);
				return 0;
			case 'h':
				usage(stdout);
				return 0;
			default:
				usage(stderr);
				return 1;
		}
	}
	if (optind < argc)
	{
		usage(stderr);
		return 1;
	}

	if (check || show)
		po_log_plain();
	if (!po_config_load(config_file, &po_config))
		result = 1;
	else if (show)
		po_config_show();
	else if (!po_config_is_complete() || !po_server_check())
		result = 1;
	else if (check)
		result = po_check() ? 0 : 1;
	else
	{
		po_log_set_level(po_config.log_level);
		result = serve();
	}
	po_log_flush();
	po_config_free(&po_config);
	return result;
}
