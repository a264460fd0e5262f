/*
 * buffer.c
 *		Growing byte strings, see buffer.h; also the clock and the random numbers.
 */
#define _GNU_SOURCE
#include "buffer.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t random_state = 88172645463325252u;

/* Zeroed memory; does not return without. */
void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
	{
		fputs("provider: out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* A copy with a NUL behind it; the caller frees it. */
char *
copy_bytes(const char *bytes, size_t len)
{
	char	   *copy = allocate(len + 1);

	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

/* The same of a string; of NULL it is NULL. */
char *
copy_string(const char *text)
{
	return text == NULL ? NULL : copy_bytes(text, strlen(text));
}

/* Makes room for so many bytes more, and a NUL. */
void
buffer_reserve(Buffer *b, size_t more)
{
	size_t		space = b->space > 0 ? b->space : 256;

	if (b->len + more + 1 <= b->space)
		return;
	while (space < b->len + more + 1)
		space *= 2;
	b->data = realloc(b->data, space);
	if (b->data == NULL)
		abort();
	b->space = space;
}

/* Appends bytes. */
void
buffer_add(Buffer *b, const void *bytes, size_t len)
{
	buffer_reserve(b, len);
	if (len > 0)
		memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

/* Appends a string. */
void
buffer_puts(Buffer *b, const char *text)
{
	buffer_add(b, text, strlen(text));
}

/* Appends what printf() would print. */
void
buffer_printf(Buffer *b, const char *format, ...)
{
	va_list		args;
	int			len;

	buffer_reserve(b, 128);
	va_start(args, format);
	len = vsnprintf(b->data + b->len, b->space - b->len, format, args);
	va_end(args);
	if ((size_t) len >= b->space - b->len)
	{
		buffer_reserve(b, (size_t) len);
		va_start(args, format);
		vsnprintf(b->data + b->len, b->space - b->len, format, args);
		va_end(args);
	}
	b->len += (size_t) len;
}

/* Empties it and keeps the memory. */
void
buffer_clear(Buffer *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

/* Empties it and frees the memory; it can be used again. */
void
buffer_free(Buffer *b)
{
	free(b->data);
	*b = (Buffer) {0};
}

/* As a JSON string with its quotes; NULL becomes null. */
void
buffer_json_string(Buffer *b, const char *text)
{
	const char *run;

	if (text == NULL)
	{
		buffer_puts(b, "null");
		return;
	}
	buffer_add(b, "\"", 1);
	for (run = text; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buffer_add(b, run, (size_t) (text - run));
		if (c == '"' || c == '\\')
			buffer_printf(b, "\\%c", c);
		else if (c == '\n')
			buffer_puts(b, "\\n");
		else
			buffer_printf(b, "\\u%04x", c);
		run = text + 1;
	}
	buffer_add(b, run, (size_t) (text - run));
	buffer_add(b, "\"", 1);
}

/* As a field of a form, with & before it unless it is the first; not for NULL. */
void
buffer_field(Buffer *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	if (b->len > 0)
		buffer_add(b, "&", 1);
	buffer_puts(b, name);
	buffer_add(b, "=", 1);
	for (; *value != '\0'; value++)
	{
		unsigned char c = (unsigned char) *value;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			c == '-' || c == '.' || c == '_')
			buffer_add(b, value, 1);
		else if (c == ' ')
			buffer_add(b, "+", 1);
		else
			buffer_printf(b, "%%%02X", c);
	}
}

/* As a column of COPY's text format, with a tab before it unless it is the first. */
void
buffer_tsv(Buffer *b, const char *text)
{
	const char *run;

	if (b->len > 0 && b->data[b->len - 1] != '\n')
		buffer_add(b, "\t", 1);
	if (text == NULL)
	{
		buffer_add(b, "\\N", 2);
		return;
	}
	for (run = text; *text != '\0'; text++)
	{
		const char *escape = *text == '\t' ? "\\t"
			: *text == '\n' ? "\\n"
			: *text == '\r' ? "\\r"
			: *text == '\\' ? "\\\\"
			: NULL;

		if (escape == NULL)
			continue;
		buffer_add(b, run, (size_t) (text - run));
		buffer_puts(b, escape);
		run = text + 1;
	}
	buffer_add(b, run, (size_t) (text - run));
}

/* Microseconds since 1970 */
int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Valid until it was called four times more. */
const char *
format_time(int64_t us, TimeStyle style)
{
	static char ring[4][48];
	static int	next = 0;
	static const char *const pattern[] = {
		"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
		"%a, %d %b %Y %H:%M:%S +0000",
		"%a, %d %b %Y %H:%M:%S GMT"
	};
	char	   *out = ring[next++ & 3];
	time_t		seconds = (time_t) (us / 1000000);
	struct tm	tm;
	size_t		len;

	gmtime_r(&seconds, &tm);
	len = strftime(out, sizeof(ring[0]), pattern[style], &tm);
	if (style == TIME_ISO_MS)
		snprintf(out + len, sizeof(ring[0]) - len, ".%03dZ", (int) (us / 1000 % 1000));
	else if (style == TIME_ISO_US)
		snprintf(out + len, sizeof(ring[0]) - len, ".%06d+00", (int) (us % 1000000));
	return out;
}

/*
 * Reads YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS taken as UTC whatever follows; tells
 * which it was.  -1 for anything else.
 */
int64_t
read_time(const char *text, bool *is_day)
{
	struct tm	tm = {0};
	const char *rest = strptime(text, "%Y-%m-%d", &tm);

	if (rest == NULL)
		return -1;
	*is_day = *rest == '\0';
	if (!*is_day && strptime(rest + 1, "%H:%M:%S", &tm) == NULL)
		return -1;
	return (int64_t) timegm(&tm) * 1000000;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes a part of a form or query; the caller frees it. */
char *
url_decode(const char *text, size_t len)
{
	char	   *out = allocate(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 &&
			hex_digit(text[i + 2]) >= 0)
		{
			out[n++] = (char) (hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
			i += 2;
		}
		else
			out[n++] = text[i] == '+' ? ' ' : text[i];
	}
	return out;
}

/* Appends what it decodes to; false if it is not base64. */
bool
base64_decode(const char *text, Buffer *into)
{
	size_t		len = strlen(text);
	int			got;

	if (len % 4 != 0)
		return false;
	buffer_reserve(into, len);
	got = EVP_DecodeBlock((unsigned char *) into->data + into->len, (const unsigned char *) text,
						  (int) len);
	if (got < 0)
		return false;
	/* it counts the padding as bytes */
	for (size_t i = len; i > 0 && text[i - 1] == '='; i--)
		got--;
	into->len += (size_t) got;
	into->data[into->len] = '\0';
	return true;
}

/* Appends the bytes as base64. */
void
base64_encode(Buffer *b, const unsigned char *bytes, size_t len)
{
	buffer_reserve(b, len * 4 / 3 + 4);
	b->len += (size_t) EVP_EncodeBlock((unsigned char *) b->data + b->len, bytes, (int) len);
}

/* Appends the bytes as lower-case hexadecimal digits. */
void
hex_encode(Buffer *b, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buffer_printf(b, "%02x", bytes[i]);
}

/* Of any value but 0; not for secrets. */
uint64_t
random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* From 0 up to, but not, 1. */
double
random_fraction(void)
{
	return (double) (random_u64() >> 11) / (double) (1ull << 53);
}

/* Begins the series that belongs to this seed. */
void
random_seed(uint64_t seed)
{
	random_state = (seed + 1) * 0x9E3779B97F4A7C15u;
	for (int i = 0; i < 8; i++)
		random_u64();
}
