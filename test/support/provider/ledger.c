/*
 * ledger.c
 *		What the provider received and accepted, see ledger.h.
 *
 * Each line is written by a write() of its own before the client hears of it, so
 * that a reader who has seen an answer finds the line, and a killed provider
 * leaves all of them.
 */
#define _GNU_SOURCE
#include "ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

LedgerCounters ledger_counters;

static struct
{
	Message   **message;		/* by number, from 1 */
	uint64_t	space;
	Table		by_id;
	Table		by_to;			/* the latest */
	Table		by_key;			/* the first */
}			ledger;

static struct
{
	int			accepted;
	int			requests;
	int			callbacks;
}			file = {-1, -1, -1};

static struct
{
	Buffer	   *ring;
	uint64_t   *number;
	int			space;
}			raw;

static int
open_log(const char *path, const char *suffix)
{
	char		name[4096];
	int			fd;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		perror(name);
	return fd;
}

/* The log and its companions for requests and callbacks; lines are appended. */
bool
ledger_open(const char *path)
{
	file.accepted = open_log(path, "");
	file.requests = open_log(path, ".requests");
	file.callbacks = open_log(path, ".callbacks");
	return file.accepted >= 0 && file.requests >= 0 && file.callbacks >= 0;
}

static void
write_line(int fd, Buffer *line)
{
	buffer_add(line, "\n", 1);
	if (fd >= 0 && write(fd, line->data, line->len) != (ssize_t) line->len)
	{
		/* a log with holes would make a test lie */
		perror("provider: log");
		abort();
	}
	buffer_clear(line);
}

static void
put_number(Buffer *b, uint64_t n)
{
	char		text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long) n);
	buffer_tsv(b, text);
}

/* The message as a line of the log, without its end. */
void
ledger_row(Buffer *b, const Message *m)
{
	put_number(b, m->number);
	put_number(b, m->request);
	buffer_tsv(b, format_time(m->at, TIME_ISO_US));
	buffer_tsv(b, m->api);
	buffer_tsv(b, m->account);
	buffer_tsv(b, m->to);
	buffer_tsv(b, m->from);
	buffer_tsv(b, m->body);
	buffer_tsv(b, m->id);
	buffer_tsv(b, m->key);
	buffer_tsv(b, m->idempotency_key);
	buffer_tsv(b, m->callback);
	buffer_tsv(b, m->fault);
	buffer_tsv(b, m->html);
	buffer_tsv(b, m->bcc);
	buffer_tsv(b, m->media_urls);
}

/* The message as a JSON object. */
void
ledger_json(Buffer *b, const Message *m)
{
	const struct
	{
		const char *name;
		const char *value;
	}			member[] = {
		{"accepted_at", format_time(m->at, TIME_ISO_US)},
		{"api", m->api},
		{"account", m->account},
		{"recipient", m->to},
		{"sender", m->from},
		{"body", m->body},
		{"id", m->id},
		{"key", m->key},
		{"idempotency_key", m->idempotency_key},
		{"callback_url", m->callback},
		{"fault", m->fault},
		{"html", m->html},
		{"bcc", m->bcc},
		{"media_urls", m->media_urls},
		{"status", m->status}
	};

	buffer_printf(b, "{\"number\":%llu,\"request\":%llu,\"segments\":%d",
				  (unsigned long long) m->number, (unsigned long long) m->request, m->segments);
	for (size_t i = 0; i < sizeof(member) / sizeof(member[0]); i++)
	{
		buffer_printf(b, ",\"%s\":", member[i].name);
		buffer_json_string(b, member[i].value);
	}
	buffer_puts(b, "}");
}

/* Takes the message, with its strings, into the ledger and numbers it. */
void
ledger_accept(Message *m)
{
	static Buffer line;
	void	  **slot;

	m->number = ++ledger_counters.accepted;
	m->at = now_us();
	if (m->number >= ledger.space)
	{
		ledger.space = ledger.space > 0 ? ledger.space * 2 : 1024;
		ledger.message = realloc(ledger.message, ledger.space * sizeof(Message *));
		if (ledger.message == NULL)
			abort();
	}
	ledger.message[m->number] = m;
	*table_slot(&ledger.by_id, m->id) = m;
	slot = table_slot(&ledger.by_to, m->to);
	m->older_to = *slot;
	*slot = m;
	if (m->key != NULL)
	{
		slot = table_slot(&ledger.by_key, m->key);
		m->doubled = *slot != NULL && ((Message *) *slot)->request != m->request;
		ledger_counters.doubled += m->doubled;
		if (*slot == NULL)
			*slot = m;
	}
	ledger_row(&line, m);
	write_line(file.accepted, &line);
}

/* By number; NULL when there is no such message, also for the two that follow. */
Message *
ledger_message(uint64_t number)
{
	return number > 0 && number <= ledger_counters.accepted ? ledger.message[number] : NULL;
}

/* By the id that its sender was given. */
Message *
ledger_by_id(const char *id)
{
	return table_find(&ledger.by_id, id);
}

/* The latest to this number; from there on older_to leads to the others. */
Message *
ledger_latest_to(const char *to)
{
	return table_find(&ledger.by_to, to);
}

/* Writes a request to the log. */
void
ledger_request(const Request *request, const Entry *entry)
{
	static Buffer line;

	put_number(&line, entry->number);
	buffer_tsv(&line, format_time(request->at, TIME_ISO_US));
	put_number(&line, request->connection_number);
	put_number(&line, (uint64_t) request->nth);
	buffer_tsv(&line, request->method);
	if (request->query == NULL)
		buffer_tsv(&line, request->path);
	else
	{
		char	   *target = NULL;

		if (asprintf(&target, "%s?%s", request->path, request->query) < 0)
			abort();
		buffer_tsv(&line, target);
		free(target);
	}
	buffer_tsv(&line, entry->api);
	buffer_tsv(&line, entry->account);
	buffer_tsv(&line, entry->to);
	buffer_tsv(&line, entry->key);
	buffer_tsv(&line, entry->idempotency_key);
	buffer_tsv(&line, entry->fault);
	if (entry->message > 0)
		put_number(&line, entry->message);
	else
		buffer_tsv(&line, NULL);
	put_number(&line, (uint64_t) entry->messages);
	buffer_tsv(&line, entry->answer);
	write_line(file.requests, &line);
}

/* Writes the end of a callback to the log. */
void
ledger_callback(const Message *m, const char *what, int attempts, int http_status,
				const char *outcome)
{
	static Buffer line;

	if (m != NULL)
		put_number(&line, m->number);
	else
		buffer_tsv(&line, NULL);
	buffer_tsv(&line, format_time(now_us(), TIME_ISO_US));
	buffer_tsv(&line, m != NULL ? m->id : NULL);
	buffer_tsv(&line, m != NULL ? m->key : NULL);
	buffer_tsv(&line, what);
	put_number(&line, (uint64_t) attempts);
	put_number(&line, (uint64_t) http_status);
	buffer_tsv(&line, outcome);
	write_line(file.callbacks, &line);
}

/* Keeps the bytes of a request as they came, for the last so many requests. */
void
ledger_keep_raw(uint64_t number, const Request *request, int keep)
{
	int			i;

	if (keep != raw.space)
	{
		for (i = 0; i < raw.space; i++)
			buffer_free(&raw.ring[i]);
		free(raw.ring);
		free(raw.number);
		raw.space = keep;
		raw.ring = allocate((size_t) keep * sizeof(Buffer) + 1);
		raw.number = allocate((size_t) keep * sizeof(uint64_t) + 1);
	}
	if (keep == 0)
		return;
	i = (int) (number % (uint64_t) keep);
	buffer_clear(&raw.ring[i]);
	buffer_add(&raw.ring[i], request->raw, request->raw_len);
	raw.number[i] = number;
}

/* NULL when it is not kept. */
const Buffer *
ledger_raw(uint64_t number)
{
	int			i;

	if (raw.space == 0 || number == 0)
		return NULL;
	i = (int) (number % (uint64_t) raw.space);
	return raw.number[i] == number ? &raw.ring[i] : NULL;
}

/*
 * Forgets all messages and counters, and empties the log.  The messages' memory
 * stays: callbacks of them may be under way.
 */
void
ledger_forget(void)
{
	const int	fds[] = {file.accepted, file.requests, file.callbacks};

	table_clear(&ledger.by_id);
	table_clear(&ledger.by_to);
	table_clear(&ledger.by_key);
	ledger_counters = (LedgerCounters) {0};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
	{
		if (fds[i] >= 0 && ftruncate(fds[i], 0) != 0)
			perror("provider: log");
	}
}
