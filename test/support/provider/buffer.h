/*
 * buffer.h
 *		Growing byte strings, and the ways the provider writes into them: JSON,
 *		form fields, TSV columns, times.
 *
 * A Buffer of zeroes is empty.  The bytes are always followed by a NUL.  Whoever
 * declares one frees it.  Out of memory ends the program.
 */
#ifndef PROVIDER_BUFFER_H
#define PROVIDER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Buffer
{
	char	   *data;
	size_t		len;
	size_t		space;
} Buffer;

extern void *allocate(size_t size);
extern char *copy_bytes(const char *bytes, size_t len);
extern char *copy_string(const char *text);

extern void buffer_reserve(Buffer *b, size_t more);
extern void buffer_add(Buffer *b, const void *bytes, size_t len);
extern void buffer_puts(Buffer *b, const char *text);
extern void buffer_printf(Buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void buffer_clear(Buffer *b);
extern void buffer_free(Buffer *b);

extern void buffer_json_string(Buffer *b, const char *text);
extern void buffer_field(Buffer *b, const char *name, const char *value);
extern void buffer_tsv(Buffer *b, const char *text);

typedef enum TimeStyle
{
	TIME_ISO_MS,				/* 2026-10-08T15:00:00.010Z */
	TIME_ISO_US,				/* 2026-10-08 15:00:00.010000+00, for COPY */
	TIME_RFC2822,				/* Thu, 08 Oct 2026 15:00:00 +0000 */
	TIME_HTTP					/* Thu, 08 Oct 2026 15:00:00 GMT */
} TimeStyle;

extern int64_t now_us(void);
extern const char *format_time(int64_t us, TimeStyle style);
extern int64_t read_time(const char *text, bool *is_day);

extern char *url_decode(const char *text, size_t len);
extern bool base64_decode(const char *text, Buffer *into);
extern void base64_encode(Buffer *b, const unsigned char *bytes, size_t len);
extern void hex_encode(Buffer *b, const unsigned char *bytes, size_t len);

extern uint64_t random_u64(void);
extern double random_fraction(void);
extern void random_seed(uint64_t seed);

#endif
