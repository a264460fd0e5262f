/*
 * api.h
 *		The interfaces of the providers that are imitated: how a request to send
 *		is read and checked, what it is answered, what webhooks follow.
 *
 * An Api does not decide anything about a message: service.c accepts it, and
 * chooses the fault.
 */
#ifndef PROVIDER_API_H
#define PROVIDER_API_H

#include "ledger.h"
#include "server.h"

/* What a request asks to be sent.  Owns its strings. */
typedef struct Send
{
	uint64_t	request;
	char	   *account;
	char	   *from;
	char	   *body;
	char	   *html;			/* or NULL, as the two that follow, which have one a line */
	char	   *bcc;
	char	   *media_urls;
	char	   *callback;		/* URL, or NULL */
	char	   *key;
	char	   *idempotency_key;
	char	   *secret;			/* that it came with */
	char	   *service;		/* Twilio: MessagingServiceSid */
	char	  **to;
	bool	   *silent;			/* this one will be taken and never sent */
	int			recipients;
	unsigned char digest[32];	/* of the body of the request, with an idempotency key */
} Send;

/* A webhook that is to be posted. */
typedef struct Webhook
{
	char	   *url;
	const char *content_type;
	Buffer		headers;		/* whole lines */
	Buffer		body;
	int			timeout_ms;
	int			attempts;
	int			retry_ms[4];	/* before the second attempt, the third … */
} Webhook;

/* A reply from a phone. */
typedef struct Reply
{
	const char *account;
	const char *from;			/* the phone */
	const char *to;				/* our number */
	const char *body;
	const char *secret;			/* that the message replied to came with, or NULL */
} Reply;

typedef struct Api
{
	const char *name;
	/* fills send, or says in answer why not */
	bool		(*read) (const Request *request, Send *send, Answer *answer);
	char	   *(*new_id) (const Send *send);
	/* messages[i] is what became of recipient i; NULL when it is silent */
	void		(*accepted) (const Send *send, Message *const *messages, Answer *answer);
	void		(*refused) (int http_status, int code, const char *text, Answer *answer);
	/* 2xx without any message; NULL: the provider has no such thing */
	void		(*blocked) (const Send *send, const char *how, Answer *answer);
	void		(*status) (const Message *message, const char *status, int code, int nth, Webhook *webhook);
	void		(*reply) (const Reply *reply, Webhook *webhook);
} Api;

extern const Api signalhouse_api;
extern const Api twilio_api;
extern const Api twilio_call_api;
extern const Api sendgrid_api;
extern const Api generic_api;

extern const Api *api_by_name(const char *name);
extern bool twilio_lookup(const Request *request, Answer *answer, char **to);
extern bool signalhouse_lookup(const Request *request, Answer *answer, char **to);
extern bool twilio_path(const char *path, const char *resource, char sid[64]);

/* names and values of a form or query, decoded */
typedef struct Form
{
	struct
	{
		char	   *name;
		char	   *value;
	}			field[64];
	int			fields;
} Form;

extern void form_read(Form *form, const char *text);
extern void form_free(Form *form);
extern const char *form_get(const Form *form, const char *name);

extern bool is_e164(const char *phone);
extern bool is_digits(const char *text, size_t least, size_t most);
extern int	count_segments(const char *body);
extern uint64_t next_id(void);
extern uint64_t run_id(void);
extern char *key_of_callback(const char *url);
extern char *bearer_token(const Request *request);
extern void add_line(char **lines, const char *line);
extern int	count_lines(const char *lines);
extern bool has_line(const char *lines, const char *line);
extern void add_recipient(Send *send, const char *to, bool silent);
extern void send_free(Send *send);
extern void webhook_free(Webhook *webhook);
extern void webhook_header(Webhook *webhook, const char *name, const char *value);

#endif
