/*
 * request.h
 *		The webhooks that every contender of the bench is given.
 *
 * Webhook number n of a series is a pure function of (seed, n): the same
 * number is the same bytes, so a replay needs no memory and a second program
 * can make the same set.  Ids of different numbers differ.
 */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_BODY_MAX 1024
#define BENCH_PATH "/w/bench"
#define BENCH_SECRET "bench-texting-secret"

/* One webhook: raw body and its signature in hexadecimal. */
typedef struct BenchRequest
{
	char		body[BENCH_BODY_MAX];
	size_t		body_len;
	char		signature[65];
} BenchRequest;

/* What a series of webhooks is made from. */
typedef struct BenchSeries
{
	uint64_t	seed;
	uint32_t	leads;			/* senders are the phones of leads 0 .. leads - 1 */
	void	   *mac;			/* keyed HMAC context, owned by bench_series_open */
} BenchSeries;

extern void bench_series_open(BenchSeries *series, uint64_t seed, uint32_t leads);
extern void bench_series_close(BenchSeries *series);
extern void bench_request_make(BenchSeries *series, uint64_t n, BenchRequest *request);

#endif
