/*
 * request.c
 *		Makes the signed webhooks of the bench; see request.h.
 *
 * A context belongs to one thread.  Signing costs about a microsecond, so the
 * load maker signs as it goes and needs no file of prepared requests.
 */
#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

/* Thirty times twelve letters bring the body to about 600 bytes. */
#define TEN                                                        \
	"lorem ipsum lorem ipsum lorem ipsum lorem ipsum lorem ipsum " \
	"lorem ipsum lorem ipsum lorem ipsum lorem ipsum lorem ipsum "
#define TEXT TEN TEN TEN

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

/* A bijection of 64 bits (the finisher of splitmix64): no two inputs meet. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/*
 * Prepares a series with its keyed HMAC context.  The caller frees it with
 * bench_series_close.
 */
void
bench_series_open(BenchSeries *series, uint64_t seed, uint32_t leads)
{
	EVP_MAC    *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	OSSL_PARAM	params[2];

	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) "SHA256", 0);
	params[1] = OSSL_PARAM_construct_end();
	if (mac == NULL ||
		!EVP_MAC_init(mac, (const unsigned char *) BENCH_SECRET, strlen(BENCH_SECRET), params))
		fail("cannot make an HMAC context");
	EVP_MAC_free(hmac);

	series->seed = seed;
	series->leads = leads;
	series->mac = mac;
}

/* Frees what bench_series_open made. */
void
bench_series_close(BenchSeries *series)
{
	EVP_MAC_CTX_free(series->mac);
	series->mac = NULL;
}

/*
 * Fills *request with webhook n of the series.  Phones are +1 305 NXX XXXX with
 * exchanges from 220 on, which number plans accept; sql/leads.sql and
 * peers/schema.sql make the same ones.
 */
void
bench_request_make(BenchSeries *series, uint64_t n, BenchRequest *request)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t	id = mix(n + 1);
	uint64_t	lead = mix(n ^ series->seed) % series->leads;
	unsigned char digest[32];
	size_t		digest_len = 0;
	int			len;

	len = snprintf(request->body, sizeof(request->body),
				   "{\"type\":\"message.received\",\"message\":{"
				   "\"id\":\"tx_%016" PRIx64 "%016" PRIx64 "\","
				   "\"conversationId\":\"cv_%06" PRIu64 "\",\"direction\":\"inbound\","
				   "\"from\":\"+1%03" PRIu64 "%03" PRIu64 "%04" PRIu64 "\",\"to\":\"+13055550142\","
				   "\"body\":\"" TEXT "\","
				   "\"timestamp\":\"2026-10-08T15:04:05Z\",\"status\":\"received\"}}",
				   id, series->seed, lead, 305 + lead / 900000, 220 + lead / 10000 % 90,
				   lead % 10000);
	if (len < 0 || (size_t) len >= sizeof(request->body))
		fail("webhook body does not fit");
	request->body_len = (size_t) len;

	/* A null key keeps the key and starts a new message. */
	if (!EVP_MAC_init(series->mac, NULL, 0, NULL) ||
		!EVP_MAC_update(series->mac, (const unsigned char *) request->body, request->body_len) ||
		!EVP_MAC_final(series->mac, digest, &digest_len, sizeof(digest)))
		fail("cannot sign");
	for (size_t i = 0; i < digest_len; i++)
	{
		request->signature[2 * i] = hex[digest[i] >> 4];
		request->signature[2 * i + 1] = hex[digest[i] & 15];
	}
	request->signature[2 * digest_len] = '\0';
}
