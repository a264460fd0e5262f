/*
 * fuzz_http.c
 *	  libFuzzer target for the HTTP reader and the envelope.
 *
 * The input is what a client sends.  It is read twice, in one piece and in
 * pieces whose lengths the input itself gives, and both must end the same way.
 * Whatever is accepted must keep the promises of http_request.h, and must make
 * an envelope that is valid UTF-8.
 */
#include "postgres_fe.h"

#include "mb/pg_wchar.h"

#include "envelope.h"
#include "http_reader.h"
#include "http_rules.h"

#define PO_FUZZ_REQUESTS 8

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static const PoHttpLimits limits = {
	.request_line = 256,
	.header_bytes = 1024,
	.header_count = 16,
	.body = 4096,
};

typedef struct Run
{
	PoHttpProgress progress;
	size_t		used;
	int			nrequests;
	PoHttpRequest *requests[PO_FUZZ_REQUESTS];
} Run;

static void
require(bool condition, const char *what)
{
	if (!condition)
	{
		fprintf(stderr, "violated: %s\n", what);
		abort();
	}
}

/* Read all of the input; stride 0 means in one piece. */
static void
read_all(const char *data, size_t size, const uint8 *strides, Run *run)
{
	PoHttpReader reader;

	memset(run, 0, sizeof(*run));
	po_http_reader_init(&reader, &limits);
	for (int turn = 0; run->nrequests < PO_FUZZ_REQUESTS; turn++)
	{
		size_t		left = size - run->used;
		size_t		piece = strides == NULL ? left : Min(left, (size_t) strides[turn % 4] % 32 + 1);
		size_t		consumed;

		run->progress = po_http_read(&reader, data + run->used, piece, &consumed);
		require(consumed <= piece, "consumed no more than given");
		require(po_http_reader_memory(&reader) < 65536, "memory is bounded");
		run->used += consumed;
		if (run->progress == PO_HTTP_REFUSED)
			break;
		if (run->progress == PO_HTTP_COMPLETE)
			run->requests[run->nrequests++] = po_http_reader_take(&reader);
		else if (run->progress == PO_HTTP_MORE)
		{
			require(consumed == piece, "all bytes taken");
			if (run->used == size)
				break;
		}
	}
	po_http_reader_reset(&reader);
}

static void
check_request(const PoHttpRequest *request)
{
	StringInfoData out;

	require(request->path.len > 0 && request->path.data[0] == '/', "origin form");
	require(request->body_len <= limits.body, "body within its limit");
	require(request->nheaders <= limits.header_count, "headers within their limit");
	require(request->content_length < 0 || (size_t) request->content_length == request->body_len,
			"body as long as said");
	for (int i = 0; i < request->nheaders; i++)
	{
		PoSlice		value = request->headers[i].value;

		require(request->headers[i].name.len > 0, "header has a name");
		require(memchr(value.data, '\n', value.len) == NULL, "no line feed in a value");
		require(memchr(value.data, '\0', value.len) == NULL, "no NUL in a value");
	}
	initStringInfo(&out);
	po_envelope_append(&out, request, "192.0.2.1", "01900000-0000-7000-8000-000000000000");
	require(pg_encoding_verifymbstr(PG_UTF8, out.data, out.len) == out.len, "envelope is UTF-8");
	for (int i = 0; i < out.len; i++)
		require((unsigned char) out.data[i] >= 0x20, "no raw control character in JSON");
	free(out.data);
}

static void
require_same(const PoHttpRequest *a, const PoHttpRequest *b)
{
	StringInfoData x;
	StringInfoData y;

	initStringInfo(&x);
	initStringInfo(&y);
	po_envelope_append(&x, a, NULL, "");
	po_envelope_append(&y, b, NULL, "");
	require(x.len == y.len && memcmp(x.data, y.data, x.len) == 0, "same request in pieces");
	require(a->keep_alive == b->keep_alive, "same persistence in pieces");
	free(x.data);
	free(y.data);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Run			whole;
	Run			pieces;

	if (size < 4)
		return 0;
	read_all((const char *) data + 4, size - 4, NULL, &whole);
	read_all((const char *) data + 4, size - 4, data, &pieces);

	require(whole.nrequests == pieces.nrequests, "same number of requests in pieces");
	require((whole.progress == PO_HTTP_REFUSED) == (pieces.progress == PO_HTTP_REFUSED),
			"refused in pieces, too");
	for (int i = 0; i < whole.nrequests; i++)
	{
		check_request(whole.requests[i]);
		require_same(whole.requests[i], pieces.requests[i]);
		po_http_request_free(whole.requests[i]);
		po_http_request_free(pieces.requests[i]);
	}
	return 0;
}
