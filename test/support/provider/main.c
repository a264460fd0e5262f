/*
 * main.c
 *		A messaging provider to test against.
 *
 *	provider [--port N] [--port-file FILE] [--log FILE] [--seed N]
 *			 [--set NAME=VALUE]… [--config JSON]
 *
 * Listens on 127.0.0.1 alone and speaks as SignalHouse, Twilio, SendGrid and a
 * generic JSON receiver do (api_*.c); keeps what it accepted (ledger.h); answers
 * badly on request (fault.h); posts status callbacks (callback.h); is asked and
 * told by /control/… (control.c).
 *
 * --log writes one line for each accepted message to FILE, for each request to
 * FILE.requests, and for each webhook at its end to FILE.callbacks, all for
 * COPY; the columns are those of ledger.c.  --port-file is written when it
 * listens.  It ends on SIGTERM and SIGINT, and with the process that started it.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config.h"
#include "json.h"
#include "ledger.h"
#include "server.h"
#include "service.h"

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	event_base_loopbreak(event_base);
}

static void
end_on(int number)
{
	struct event *event = evsignal_new(event_base, number, on_signal, NULL);

	event_add(event, NULL);
}

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "provider: %s: %s\n", what, why);
	exit(1);
}

static void
set_option(char *text)
{
	char	   *value = strchr(text, '=');
	const char *wrong;

	if (value == NULL)
		fail(text, "--set needs NAME=VALUE");
	*value++ = '\0';
	wrong = config_set(text, value);
	if (wrong != NULL)
		fail(text, wrong);
}

static void
set_config(const char *text)
{
	Json	   *json = json_read(text, strlen(text));
	char	   *wrong;

	if (json == NULL || json->type != JSON_OBJECT)
		fail("--config", "no JSON object");
	wrong = config_merge(json);
	if (wrong != NULL)
		fail("--config", wrong);
	json_free(json);
}

/* Whole at once: who waits for the file never reads half of it. */
static void
write_port(const char *path, int port)
{
	char	   *temporary = NULL;
	FILE	   *out;

	if (asprintf(&temporary, "%s.new", path) < 0)
		abort();
	out = fopen(temporary, "w");
	if (out == NULL || fprintf(out, "%d\n", port) < 0 || fclose(out) != 0 ||
		rename(temporary, path) != 0)
		fail(path, "cannot be written");
	free(temporary);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'},
		{"port-file", required_argument, NULL, 'f'},
		{"log", required_argument, NULL, 'l'},
		{"seed", required_argument, NULL, 's'},
		{"set", required_argument, NULL, 'S'},
		{"config", required_argument, NULL, 'c'},
		{NULL, 0, NULL, 0}
	};
	pid_t		parent = getppid();
	struct rlimit files;
	const char *port_file = NULL;
	int			port = 0;
	int			option;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	config_default();
	random_seed((uint64_t) now_us());
	event_base = event_base_new();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'p':
				port = atoi(optarg);
				break;
			case 'f':
				port_file = optarg;
				break;
			case 'l':
				if (!ledger_open(optarg))
					return 1;
				break;
			case 's':
				random_seed(strtoull(optarg, NULL, 10));
				break;
			case 'S':
				set_option(optarg);
				break;
			case 'c':
				set_config(optarg);
				break;
			default:
				return 2;
		}
	}
	end_on(SIGTERM);
	end_on(SIGINT);
	port = server_start(port, service_handle);
	if (port < 0)
		fail("127.0.0.1", "cannot listen");
	if (port_file != NULL)
		write_port(port_file, port);
	else
	{
		printf("%d\n", port);
		fflush(stdout);
	}
	event_base_dispatch(event_base);
	return 0;
}
