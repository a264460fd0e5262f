/*
 * ledger.h
 *		What the provider received and accepted.
 *
 * Accepting is one act: the message gets its number, stands in the log file and
 * can be found, all before ledger_accept() returns.  Nothing else makes a
 * message.  Messages are never freed.
 */
#ifndef PROVIDER_LEDGER_H
#define PROVIDER_LEDGER_H

#include "buffer.h"
#include "server.h"

typedef struct Message
{
	uint64_t	number;			/* of the messages, from 1 */
	uint64_t	request;		/* that brought it */
	int64_t		at;
	const char *api;			/* signalhouse, twilio, twilio_call, sendgrid, generic */
	char	   *account;
	char	   *to;
	char	   *from;
	char	   *body;
	char	   *html;			/* or NULL, as the two that follow, which have one a line */
	char	   *bcc;
	char	   *media_urls;
	char	   *id;				/* what the client was given, or would have been */
	char	   *key;			/* the client's own name for it, or NULL */
	char	   *idempotency_key;	/* as the header had it, or NULL */
	char	   *callback;		/* URL, or NULL */
	char	   *secret;			/* that the request came with */
	char	   *fault;			/* what was done to the answer, or NULL */
	int			segments;
	const char *status;			/* the last one that a callback told */
	int			error;
	struct Message *older_to;	/* the one before it to the same number */
	bool		doubled;		/* its key had been accepted before */
} Message;

typedef struct LedgerCounters
{
	uint64_t	requests;
	uint64_t	lookups;
	uint64_t	accepted;
	uint64_t	doubled;
	uint64_t	refused;
	uint64_t	replayed;
} LedgerCounters;

extern LedgerCounters ledger_counters;

extern bool ledger_open(const char *path);
extern void ledger_forget(void);
extern void ledger_accept(Message *message);
extern Message *ledger_message(uint64_t number);
extern Message *ledger_by_id(const char *id);
extern Message *ledger_latest_to(const char *to);
extern void ledger_row(Buffer *b, const Message *m);
extern void ledger_json(Buffer *b, const Message *m);
extern void ledger_callback(const Message *m, const char *what, int attempts, int http_status,
							const char *outcome);

/* One request and what was done to it; a line of the log, not kept. */
typedef struct Entry
{
	uint64_t	number;
	const char *api;
	const char *account;
	const char *to;
	const char *key;
	const char *idempotency_key;
	const char *fault;
	uint64_t	message;		/* the first that it made; 0: none */
	int			messages;
	const char *answer;			/* an HTTP status, or what was done instead */
} Entry;

extern void ledger_request(const Request *request, const Entry *entry);
extern void ledger_keep_raw(uint64_t number, const Request *request, int keep);
extern const Buffer *ledger_raw(uint64_t number);

#endif
