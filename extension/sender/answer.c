/*
 * answer.c
 *	  What a provider's answer means for a message: bytes to an outcome.
 *
 * Whatever is not surely a refusal may have been an acceptance.  Nothing here
 * writes, waits or raises for what a provider said.
 *
 * Whatever of an answer is kept anywhere goes through keep(): what tells the
 * secret of its request is not kept, for rows, events and reasons are read by
 * people who may not know it.
 */
#include "postgres.h"

#include <ctype.h>

#include <curl/curl.h>

#include "common/document.h"
#include "common/echo.h"
#include "core/compat.h"
#include "mb/pg_wchar.h"
#include "sender/answer.h"
#include "utils/datetime.h"

#define MAX_ERROR_BYTES 500
#define MAX_EXCERPT_BYTES 2000
#define MAX_ID_BYTES 255
#define SHORTEST_RETRY_AFTER 1
#define LONGEST_RETRY_AFTER 3600

/* By so much may times of providers, in whole seconds, be off; and so far is it not sure. */
#define CLOCK_SECONDS 2
#define DOUBT_SECONDS 60

/* What is kept in place of an answer that tells the secret. */
static const char withheld[] = "the answer is not kept: it tells the account's secret";

/* What is taken of an answer, with the request it is for. */
typedef struct Reader
{
	const PoHttpCall *call;
	PoDocument	document;
	bool		told;			/* something of it told the secret */
} Reader;

/* A copy of a text of an answer, cut; NULL when all of it tells the secret. */
static char *
keep(const PoHttpCall *call, const char *text, int len, int max)
{
	if (call->secret != NULL && po_tells_secret(call->secret, text, len))
		return NULL;
	return pnstrdup(text, pg_mbcliplen(text, len, max));
}

static const char *
text_at(Reader *reader, const PoTexts *path, int max)
{
	const PoDocument *document = &reader->document;
	const char *text;
	const char *kept;
	int			len;

	if (path->n == 0 || document->error != NULL ||
		!po_document_scalar(document, po_document_path(document, path->text, path->n), &text, &len))
		return NULL;
	kept = keep(reader->call, text, len, max);
	reader->told |= kept == NULL;
	return kept;
}

static void
apply(PoRequestOutcome *outcome, const PoProviderOutcome *row)
{
	outcome->kind = row->kind;
	outcome->effect = row->effect;
	outcome->delay = row->delay;
	outcome->max_attempts = row->max_attempts;
	outcome->error = row->meaning;
}

static void
unknown(PoRequestOutcome *outcome, const char *error)
{
	outcome->kind = PO_REQUEST_UNKNOWN;
	outcome->effect = PO_OUTCOME_EFFECT_NONE;
	outcome->error = error;
}

/* A 2xx is an acceptance only if it says so. */
static void
check_acceptance(const PoAccount *account, const PoHttpAnswer *answer, Reader *reader,
				 PoRequestOutcome *outcome)
{
	const PoProfile *profile = account->profile;

	if (profile->accepted_path.n > 0)
	{
		const char *accepted = text_at(reader, &profile->accepted_path, 32);

		if (accepted == NULL)
		{
			unknown(outcome, "the answer does not say how many were accepted");
			return;
		}
		if (strtod(accepted, NULL) <= 0)
		{
			if (outcome->code == NULL)
				outcome->code = "not_enqueued";
			apply(outcome, po_find_outcome(account, answer->http_status, outcome->code));
			if (outcome->kind == PO_REQUEST_SENT)
				apply(outcome, po_find_outcome(account, answer->http_status, "not_enqueued"));
			if (outcome->kind == PO_REQUEST_SENT)
				outcome->kind = PO_REQUEST_FAILED;
			return;
		}
	}
	outcome->provider_message_id = text_at(reader, &profile->id_path, MAX_ID_BYTES);
	if (outcome->provider_message_id == NULL && profile->id_header != NULL &&
		answer->header_value != NULL &&
		pg_verify_mbstr(PG_UTF8, answer->header_value, strlen(answer->header_value), true))
	{
		outcome->provider_message_id = keep(reader->call, answer->header_value,
											strlen(answer->header_value), MAX_ID_BYTES);
		reader->told |= outcome->provider_message_id == NULL;
	}
	if (outcome->provider_message_id == NULL &&
		(profile->id_path.n > 0 || profile->id_header != NULL))
		unknown(outcome, reader->told ? withheld
				: reader->document.error != NULL ? "the answer cannot be read"
				: "the answer has no message id");
	else
		outcome->error = NULL;
}

/*
 * po_read_answer fills in what the end of a request means, the call that it is
 * the answer to.  answer NULL: it was never begun.  Texts are palloc'd.
 */
void
po_read_answer(const PoAccount *account, const PoHttpCall *call, const PoHttpAnswer *answer,
			   PoRequestOutcome *outcome)
{
	Reader		reader = {.call = call};

	memset(outcome, 0, sizeof(*outcome));
	if (answer == NULL)
	{
		outcome->kind = PO_REQUEST_LATER;
		outcome->delay = USECS_PER_SEC;
		outcome->error = "it did not leave in time";
		return;
	}
	if (answer->outcome == PO_HTTP_NOT_SENT)
	{
		outcome->kind = PO_REQUEST_RETRY;
		outcome->error = answer->error;
		outcome->outage = true;
		return;
	}
	if (answer->outcome == PO_HTTP_LOST)
	{
		unknown(outcome, answer->error);
		outcome->outage = true;
		return;
	}
	(void) po_document_parse_json(&reader.document, answer->body, answer->body_len, &po_document_limits);
	outcome->code = text_at(&reader, &account->profile->code_path, 64);
	apply(outcome, po_find_outcome(account, answer->http_status, outcome->code));
	if (outcome->kind == PO_REQUEST_SENT && answer->http_status / 100 != 2)
		unknown(outcome, "only a 2xx can be an acceptance");
	else if (outcome->kind == PO_REQUEST_SENT)
		check_acceptance(account, answer, &reader, outcome);
	else
	{
		const char *error = text_at(&reader, &account->profile->error_path, MAX_ERROR_BYTES);

		if (error != NULL)
			outcome->error = error;
	}
	outcome->outage = answer->http_status >= 500;
	outcome->too_many = answer->http_status == 429 || outcome->kind == PO_REQUEST_LATER ||
		outcome->kind == PO_REQUEST_MIDNIGHT_PACIFIC;
	if (answer->retry_after_s >= 0 &&
		(outcome->kind == PO_REQUEST_RETRY || outcome->kind == PO_REQUEST_LATER))
		outcome->delay = Min(Max(answer->retry_after_s, SHORTEST_RETRY_AFTER), LONGEST_RETRY_AFTER) *
			USECS_PER_SEC;
}

/* The value at one name of a listed message. */
static bool
listed_value(const PoDocument *document, int item, const PoTexts *path, const char **text, int *len)
{
	return path->n > 0 &&
		po_document_scalar(document, po_document_find(document, item, path->text[0], strlen(path->text[0])),
						   text, len) && *len > 0;
}

/* A sender may be shown by a name. */
static bool
has_digits(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (isdigit((unsigned char) text[i]))
			return true;
	return false;
}

/* Whether both are the same digits, however they are written. */
static bool
same_number(const char *ours, const char *text, int len)
{
	const char *end = text + len;

	for (;;)
	{
		while (*ours != '\0' && !isdigit((unsigned char) *ours))
			ours++;
		while (text < end && !isdigit((unsigned char) *text))
			text++;
		if (*ours == '\0' || text == end)
			return *ours == '\0' && text == end;
		if (*ours++ != *text++)
			return false;
	}
}

/* So many digits as a number, and what follows them. */
static const char *
read_digits(const char *c, int n, int *value)
{
	*value = 0;
	for (int i = 0; i < n && c != NULL; i++, c++)
	{
		if (!isdigit((unsigned char) *c))
			return NULL;
		*value = *value * 10 + (*c - '0');
	}
	return c;
}

/*
 * A time as providers write it, in seconds since 1970: 2026-11-30T23:59:59.5+01:00, or
 * in the words of e-mail.  -1: none that says of which zone it is.
 */
static int64
read_time(const char *text, int len)
{
	char		buffer[64];
	const char *c = buffer;
	int			part[6];
	int			hours = 0;
	int			minutes = 0;
	int64		seconds;

	if (len >= (int) sizeof(buffer))
		return -1;
	memcpy(buffer, text, len);
	buffer[len] = '\0';
	if (!isdigit((unsigned char) buffer[0]) || strlen(buffer) < 5 || buffer[4] != '-')
		return isalpha((unsigned char) buffer[0]) ? (int64) curl_getdate(buffer, NULL) : -1;
	for (int i = 0; i < lengthof(part); i++)
	{
		static const char *const before[] = {"", "-", "-", "Tt ", ":", ":"};

		if (i > 0 && (*c == '\0' || strchr(before[i], *c++) == NULL))
			return -1;
		c = read_digits(c, i == 0 ? 4 : 2, &part[i]);
		if (c == NULL)
			return -1;
	}
	if (*c == '.')
		for (c++; isdigit((unsigned char) *c); c++)
			;
	if (*c == '+' || *c == '-')
	{
		int			sign = *c == '-' ? -1 : 1;

		c = read_digits(c + 1, 2, &hours);
		if (c != NULL && *c == ':')
			c++;
		c = c != NULL ? read_digits(c, 2, &minutes) : NULL;
		if (c == NULL || *c != '\0')
			return -1;
		hours *= sign;
		minutes *= sign;
	}
	else if ((*c != 'Z' && *c != 'z') || c[1] != '\0')
		return -1;
	if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31)
		return -1;
	seconds = ((int64) date2j(part[0], part[1], part[2]) - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	return seconds + (part[3] - hours) * SECS_PER_HOUR + (part[4] - minutes) * SECS_PER_MINUTE + part[5];
}

static int64
unix_seconds(TimestampTz time)
{
	return time / USECS_PER_SEC + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

/*
 * Whether a message is of the time in which ours may have been accepted.  That is told
 * by the provider's clock, which its answer shows beside ours; where it does not, what
 * lies outside may be ours all the same, for a clock may be wrong.
 */
static PoLikeness
compare_time(const PoSought *sought, const PoHttpAnswer *answer, int64 time)
{
	bool		dated = answer->date >= 0;
	int64		first = unix_seconds(sought->since);
	int64		last = unix_seconds(sought->until);

	if (dated)
	{
		first += answer->date - unix_seconds(sought->answered_at);
		last += answer->date - unix_seconds(sought->asked_at);
	}
	if (time >= first - CLOCK_SECONDS && time <= last + CLOCK_SECONDS)
		return PO_THE_SAME;
	return dated && (time < first - DOUBT_SECONDS || time > last + DOUBT_SECONDS) ? PO_ANOTHER : PO_PERHAPS;
}

static PoLikeness
compare(const PoProfile *profile, const PoDocument *document, int item, const PoHttpAnswer *answer,
		const PoSought *sought)
{
	PoLikeness	likeness = PO_THE_SAME;
	const PoTexts *const number_path[] = {&profile->lookup_to, &profile->lookup_from};
	const char *const number[] = {sought->to, sought->from};
	const char *text;
	int			len;
	int64		time;

	for (int i = 0; i < lengthof(number); i++)
	{
		if (number[i] == NULL || !listed_value(document, item, number_path[i], &text, &len) ||
			!has_digits(text, len))
			likeness = PO_PERHAPS;
		else if (!same_number(number[i], text, len))
			return PO_ANOTHER;
	}
	time = listed_value(document, item, &profile->lookup_time, &text, &len) ? read_time(text, len) : -1;
	likeness = Min(likeness, time < 0 ? PO_PERHAPS : compare_time(sought, answer, time));
	/* One with another text may be it, changed on the way. */
	if (!listed_value(document, item, &profile->lookup_body, &text, &len) ||
		len != strlen(sought->body) || memcmp(text, sought->body, len) != 0)
		likeness = Min(likeness, PO_PERHAPS);
	return likeness;
}

/*
 * po_read_lookup reads the messages that a look-up listed, palloc'd, compares each
 * with the one that is sought, and returns how many; -1 when the answer tells
 * nothing.
 */
int
po_read_lookup(const PoProfile *profile, const PoHttpCall *call, const PoHttpAnswer *answer,
			   const PoSought *sought, PoListed **listed)
{
	PoDocument	document;
	int			list;
	int			n = 0;

	if (answer == NULL || answer->outcome != PO_HTTP_ANSWERED || answer->http_status / 100 != 2 ||
		profile->lookup_id.n == 0 || profile->lookup_body.n == 0 ||
		!po_document_parse_json(&document, answer->body, answer->body_len, &po_document_limits))
		return -1;
	list = po_document_path(&document, profile->lookup_list.text, profile->lookup_list.n);
	if (list < 0 || document.node[list].type != PO_NODE_ARRAY)
		return -1;
	*listed = palloc(Max(document.node[list].count, 1) * sizeof(PoListed));
	for (int item = document.node[list].child; item >= 0; item = document.node[item].next)
	{
		const char *id;
		int			id_len;

		if (!listed_value(&document, item, &profile->lookup_id, &id, &id_len))
			return -1;
		(*listed)[n].id = keep(call, id, id_len, MAX_ID_BYTES);
		if ((*listed)[n].id == NULL)
			return -1;
		(*listed)[n++].likeness = compare(profile, &document, item, answer, sought);
	}
	return n;
}

/*
 * po_answer_excerpt returns the start of an answer's body, palloc'd; NULL for
 * what is no text, a fixed phrase for what tells the secret of its request.
 */
const char *
po_answer_excerpt(const PoHttpCall *call, const PoHttpAnswer *answer)
{
	const char *kept;

	if (answer == NULL || answer->body_len == 0 ||
		!pg_verify_mbstr(PG_UTF8, answer->body, answer->body_len, true))
		return NULL;
	kept = keep(call, answer->body, answer->body_len, MAX_EXCERPT_BYTES);
	return kept != NULL ? kept : withheld;
}
