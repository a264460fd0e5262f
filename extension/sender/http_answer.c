/*-------------------------------------------------------------------------
 * http_answer.c
 *	  What comes back from a provider, as it is gathered piece by piece.
 *
 * The two gathering functions are callbacks of libcurl: they return what they
 * were given, or less to make it end the transfer.  They allocate with malloc,
 * never more than http_call.h allows, and raise nothing.  What was gathered may be
 * personal or a secret, and is wiped when it is freed.
 *
 * No locks; no state but the caller's.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <ctype.h>
#include <time.h>

#include <curl/curl.h>

#include "sender/http_answer.h"
#include "sender/http_call.h"

#define FIRST_BODY_SIZE		1024

/* What tells libcurl to give a transfer up: never what it handed over. */
#define REFUSED				0

static size_t
refuse(PoHttpGathered *gathered, const char *problem)
{
	gathered->problem = problem;
	return REFUSED;
}

/*
 * The value of a header line if its name is `name`, without the blanks around
 * it; NULL if it is another header.
 */
static const char *
value_of(const char *line, int len, const char *name, int *value_len)
{
	int			from = strlen(name);

	if (len <= from || line[from] != ':' || pg_strncasecmp(line, name, from) != 0)
		return NULL;
	from++;
	while (from < len && isspace((unsigned char) line[from]))
		from++;
	while (len > from && isspace((unsigned char) line[len - 1]))
		len--;
	*value_len = len - from;
	return line + from;
}

/* Keeps the value of a header, if the line is of it, it fits and is the first. */
static void
keep_short(const char *line, int len, const char *name, char out[PO_HTTP_DATE_SIZE])
{
	int			value_len;
	const char *value = value_of(line, len, name, &value_len);

	if (value == NULL || value_len >= PO_HTTP_DATE_SIZE || out[0] != '\0')
		return;
	memcpy(out, value, value_len);
	out[value_len] = '\0';
}

/* Keeps the value of the header that is wanted.  False: no memory. */
static bool
keep_wanted(PoHttpGathered *gathered, const char *line, int len)
{
	int			value_len;
	const char *value;

	if (gathered->wanted == NULL || gathered->value != NULL)
		return true;
	value = value_of(line, len, gathered->wanted, &value_len);
	if (value == NULL)
		return true;
	gathered->value = malloc(value_len + 1);
	if (gathered->value == NULL)
		return false;
	memcpy(gathered->value, value, value_len);
	gathered->value[value_len] = '\0';
	return true;
}

/*
 * Notes how the body ends.  False: there are two lengths, and the next answer on
 * the connection might begin anywhere.
 */
static bool
note_length(PoHttpGathered *gathered, const char *line, int len)
{
	char		length[PO_HTTP_DATE_SIZE] = "";
	int			coding_len;
	const char *coding = value_of(line, len, "Transfer-Encoding", &coding_len);
	int			chunked_len = strlen("chunked");

	keep_short(line, len, "Content-Length", length);
	keep_short(line, len, "Content-Length", gathered->length);
	if (length[0] != '\0' ||
		(coding != NULL && coding_len >= chunked_len &&
		 pg_strncasecmp(coding + coding_len - chunked_len, "chunked", chunked_len) == 0))
		gathered->length_known = true;
	return length[0] == '\0' || strcmp(length, gathered->length) == 0;
}

static void
wipe_string(char *string)
{
	if (string != NULL)
		explicit_bzero(string, strlen(string));
	free(string);
}

/* An interim answer: another header section follows. */
static void
forget_header(PoHttpGathered *gathered)
{
	wipe_string(gathered->value);
	gathered->value = NULL;
	gathered->status = 0;
	gathered->length[0] = '\0';
	gathered->length_known = false;
	gathered->date[0] = '\0';
	gathered->retry_after[0] = '\0';
}

/*
 * Takes a line of the header, as CURLOPT_HEADERFUNCTION hands them over: the
 * status line and an empty line at the end among them, and after the body the
 * trailers, which only count.
 */
size_t
po_gather_header(char *line, size_t size, size_t n, void *arg)
{
	PoHttpGathered *gathered = arg;
	size_t		len = size * n;

	if (len > (size_t) (PO_HTTP_MAX_HEADER - gathered->header_len))
		return refuse(gathered, "the header of the answer is too long");
	gathered->header_len += len;

	if (gathered->header_complete)
		return len;
	if (len > 0 && (line[0] == '\r' || line[0] == '\n'))
	{
		if (gathered->status >= 200)
			gathered->header_complete = true;
		else
			forget_header(gathered);
	}
	else if (gathered->status == 0)
	{
		/* the buffer ends without a NUL: count the digits, do not scan for them */
		const char *blank = memchr(line, ' ', len);

		if (strncmp(line, "HTTP/1.", Min(len, 7)) != 0 || blank == NULL || line + len - blank < 4)
			return refuse(gathered, "the answer is not HTTP");
		for (int i = 1; i <= 3; i++)
		{
			if (!isdigit((unsigned char) blank[i]))
				return refuse(gathered, "the answer is not HTTP");
			gathered->status = gathered->status * 10 + (blank[i] - '0');
		}
	}
	else
	{
		if (!note_length(gathered, line, len))
			return refuse(gathered, "the answer has two lengths");
		keep_short(line, len, "Date", gathered->date);
		keep_short(line, len, "Retry-After", gathered->retry_after);
		if (!keep_wanted(gathered, line, len))
			return refuse(gathered, "out of memory");
	}
	return len;
}

/* Takes a piece of the body, as CURLOPT_WRITEFUNCTION hands them over. */
size_t
po_gather_body(char *bytes, size_t size, size_t n, void *arg)
{
	PoHttpGathered *gathered = arg;
	size_t		len = size * n;
	int			end;

	if (len > (size_t) (PO_HTTP_MAX_BODY - gathered->body_len))
		return refuse(gathered, "the answer is too long");
	end = gathered->body_len + (int) len;

	if (end >= gathered->body_size)
	{
		int			grown = Max(gathered->body_size, FIRST_BODY_SIZE);
		char	   *body;

		while (grown <= end)
			grown *= 2;
		body = malloc(grown);
		if (body == NULL)
			return refuse(gathered, "out of memory");
		if (gathered->body != NULL)
		{
			memcpy(body, gathered->body, gathered->body_len);
			explicit_bzero(gathered->body, gathered->body_len);
			free(gathered->body);
		}
		gathered->body = body;
		gathered->body_size = grown;
	}
	memcpy(gathered->body + gathered->body_len, bytes, len);
	gathered->body[end] = '\0';
	gathered->body_len = end;
	return len;
}

/*
 * In how many seconds the answer asks to be called again: by a number, or by a
 * date, which is read against the answer's own date so that no clock but the
 * provider's counts.  -1: it does not say, or not in the form of RFC 9110.
 */
long
po_gathered_retry_after(const PoHttpGathered *gathered)
{
	const char *text = gathered->retry_after;
	int			digits = strspn(text, "0123456789");
	time_t		from;
	time_t		until;

	if (digits > 0)
	{
		if (text[digits] != '\0')
			return -1;
		return digits > 8 ? PO_HTTP_MAX_RETRY_AFTER : Min(atol(text), PO_HTTP_MAX_RETRY_AFTER);
	}

	/* curl_getdate() reads many forms; all three of HTTP begin with the weekday */
	if (!isalpha((unsigned char) text[0]) || (until = curl_getdate(text, NULL)) == -1)
		return -1;
	from = curl_getdate(gathered->date, NULL);
	if (from == -1)
		from = time(NULL);
	return until <= from ? 0 : Min(until - from, PO_HTTP_MAX_RETRY_AFTER);
}

/*
 * When the provider says that it made the answer, in seconds since 1970; -1: it does
 * not say, or not in the form of RFC 9110.
 */
long long
po_gathered_date(const PoHttpGathered *gathered)
{
	return isalpha((unsigned char) gathered->date[0]) ? (long long) curl_getdate(gathered->date, NULL) : -1;
}

/* Wipes and frees what was gathered; the struct is empty afterwards. */
void
po_free_gathered(PoHttpGathered *gathered)
{
	wipe_string(gathered->value);
	if (gathered->body != NULL)
		explicit_bzero(gathered->body, gathered->body_len);
	free(gathered->body);
	free(gathered->wanted);
	memset(gathered, 0, sizeof(*gathered));
}
