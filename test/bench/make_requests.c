/*
 * make_requests.c
 *		Prints webhooks 0 .. count - 1 of a series as input of COPY: number,
 *		tab, JSON document.
 *
 * Usage: make_requests payload|envelope SEED COUNT LEADS.  "payload" prints the
 * webhook's body, "envelope" the JSON object that the shim would send for it.
 */
#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes text as the inside of a JSON string, each backslash doubled for COPY. */
static void
put_json_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '"' || text[i] == '\\')
			fputs("\\\\", stdout);
		putchar_unlocked(text[i]);
	}
}

/* Prints one envelope; the headers are those that the load maker sends. */
static void
put_envelope(const BenchRequest *request, uint64_t n)
{
	printf("{\"method\":\"POST\",\"path\":\"" BENCH_PATH "\",\"headers\":{"
		   "\"host\":\"127.0.0.1\",\"user-agent\":\"texting-webhooks/1.0\","
		   "\"content-type\":\"application/json\",\"x-texting-signature\":\"%s\","
		   "\"content-length\":\"%zu\"},\"remote_addr\":\"127.0.0.1\","
		   "\"correlation_id\":\"01930000-0000-7000-8000-%012" PRIx64 "\",\"body\":\"",
		   request->signature, request->body_len, n);
	put_json_text(request->body, request->body_len);
	fputs("\"}", stdout);
}

int
main(int argc, char **argv)
{
	BenchSeries series;
	BenchRequest request;
	uint64_t	count;
	int			as_envelope;

	if (argc != 5)
	{
		fprintf(stderr, "usage: make_requests payload|envelope SEED COUNT LEADS\n");
		return 2;
	}
	as_envelope = strcmp(argv[1], "envelope") == 0;
	bench_series_open(&series, strtoull(argv[2], NULL, 10), (uint32_t) strtoul(argv[4], NULL, 10));
	count = strtoull(argv[3], NULL, 10);
	for (uint64_t n = 0; n < count; n++)
	{
		bench_request_make(&series, n, &request);
		printf("%" PRIu64 "\t", n);
		if (as_envelope)
			put_envelope(&request, n);
		else
			fwrite(request.body, 1, request.body_len, stdout);
		putchar_unlocked('\n');
	}
	bench_series_close(&series);
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
