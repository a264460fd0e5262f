/*
 * log.c
 *	  Structured log lines and the two clocks.
 *
 * Owns one buffer for the lines of the current pass of the event loop.
 * Single-threaded, except that nothing here is called by the short-lived
 * thread that cancels a statement.
 */
#include "postgres_fe.h"

#include <time.h>
#include <unistd.h>

#include "lib/stringinfo.h"

#include "envelope.h"
#include "log.h"

#define PO_LOG_FLUSH_BYTES	65536

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static PoLogLevel current_level = PO_LOG_INFO;
static StringInfoData pending;
static bool plain = false;

/* Microseconds since 1970; may jump, so never used for a deadline. */
int64
po_wall_micros(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Microseconds since some fixed point; never jumps. */
int64
po_monotonic_micros(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Lines above this level are dropped from now on. */
void
po_log_set_level(PoLogLevel level)
{
	current_level = level;
}

/* Lines about the program are for a person from now on: "level: text", at once. */
void
po_log_plain(void)
{
	plain = true;
}

/* Would a line of this level be written? */
bool
po_log_wanted(PoLogLevel level)
{
	return level <= current_level;
}

static void
begin_line(PoLogLevel level)
{
	int64		now = po_wall_micros();
	time_t		seconds = (time_t) (now / 1000000);
	struct tm	tm;

	if (pending.data == NULL)
		initStringInfo(&pending);
	gmtime_r(&seconds, &tm);
	appendStringInfo(&pending,
					 "{\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"level\":\"%s\"",
					 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec,
					 (int) (now % 1000000 / 1000), level_names[level]);
}

static void
add_string(const char *name, const char *value, size_t len)
{
	appendStringInfo(&pending, ",\"%s\":", name);
	po_json_append_string(&pending, value, len);
}

static void
end_line(PoLogLevel level)
{
	appendStringInfoString(&pending, "}\n");
	if (level <= PO_LOG_WARNING || pending.len >= PO_LOG_FLUSH_BYTES)
		po_log_flush();
}

/*
 * One line about the program itself.  The text must be free of payload: callers
 * pass fixed formats with numbers, addresses, SQLSTATEs and file names.
 */
void
po_log(PoLogLevel level, const char *component, const char *fmt, ...)
{
	char		text[1024];
	va_list		args;

	if (!po_log_wanted(level))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);

	if (plain)
	{
		fflush(stdout);
		fprintf(stderr, "%s: %s\n", level_names[level], text);
		return;
	}
	begin_line(level);
	add_string("component", component, strlen(component));
	add_string("message", text, strlen(text));
	end_line(level);
}

/* One line about a request; 5xx at level warning, the rest at info. */
void
po_log_request(const PoLogRequest *request)
{
	PoLogLevel	level = request->status >= 500 ? PO_LOG_WARNING : PO_LOG_INFO;

	if (!po_log_wanted(level))
		return;
	begin_line(level);
	add_string("correlation_id", request->correlation_id, strlen(request->correlation_id));
	if (request->remote != NULL)
		add_string("remote", request->remote, strlen(request->remote));
	if (request->method != NULL)
		add_string("method", request->method, strlen(request->method));
	if (request->path != NULL)
		add_string("path", request->path, request->path_len);
	add_string("outcome", request->outcome, strlen(request->outcome));
	appendStringInfo(&pending, ",\"status\":%d,\"bytes\":%zu,\"ms\":%.3f",
					 request->status, request->bytes, (double) request->micros / 1000.0);
	if (request->batch > 0)
		appendStringInfo(&pending, ",\"batch\":%d", request->batch);
	/* A flood of refused requests must not become a flood of small writes. */
	end_line(PO_LOG_INFO);
}

/*
 * Write what is pending.  A full or closed stderr loses lines rather than
 * stopping the service.
 */
void
po_log_flush(void)
{
	int			done = 0;

	while (done < pending.len)
	{
		ssize_t		n = write(STDERR_FILENO, pending.data + done, pending.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (int) n;
	}
	if (pending.data != NULL)
		resetStringInfo(&pending);
}
