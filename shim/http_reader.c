/*
 * http_reader.c
 *	  The strict HTTP/1.x reader: llhttp inside, a byte-level guard around it.
 *
 * Two machines read the same bytes.  The guard looks at every byte that is not
 * body: line ends must be CRLF, no control characters, no folded lines, bounded
 * lines and counts, chunk sizes of one to six hexadecimal digits without
 * extension.  llhttp finds methods, headers and body.  A message passes only
 * when both accept it and agree on where its parts end.
 *
 * The head is collected first, checked byte by byte as it comes, and given to
 * llhttp in one piece, so that headers are slices of one block.  The body is
 * given to llhttp as it comes; what llhttp does not report as body is framing,
 * and goes through the guard.
 */
#include "postgres_fe.h"

#include "http_reader.h"
#include "http_rules.h"

#define PO_HEAD_FIRST_SIZE	1024
#define PO_BODY_FIRST_SIZE	2048
#define PO_CHUNK_SIZE_DIGITS 6

static int	on_header_field(llhttp_t *parser, const char *at, size_t len);
static int	on_header_value(llhttp_t *parser, const char *at, size_t len);
static int	on_headers_complete(llhttp_t *parser);
static int	on_chunk_header(llhttp_t *parser);
static int	on_body(llhttp_t *parser, const char *at, size_t len);
static int	on_message_complete(llhttp_t *parser);

static const llhttp_settings_t callbacks = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_chunk_header = on_chunk_header,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* Prepare for the first request; the limits must outlive the reader. */
void
po_http_reader_init(PoHttpReader *reader, const PoHttpLimits *limits)
{
	memset(reader, 0, sizeof(*reader));
	reader->limits = limits;
}

/* Drop what was read and prepare for the next request. */
void
po_http_reader_reset(PoHttpReader *reader)
{
	if (reader->request != NULL)
		po_http_request_free(reader->request);
	po_http_reader_init(reader, reader->limits);
}

/* Bytes of memory that the request being read holds. */
size_t
po_http_reader_memory(const PoHttpReader *reader)
{
	const PoHttpRequest *request = reader->request;

	return request == NULL ? 0 : request->head_size + request->body_size +
		(size_t) request->nheaders * sizeof(PoHttpHeader);
}

/* Free a request and all it points to. */
void
po_http_request_free(PoHttpRequest *request)
{
	free(request->headers);
	free(request->head);
	free(request->body);
	free(request);
}

/* Hand the complete request over to the caller, who frees it. */
PoHttpRequest *
po_http_reader_take(PoHttpReader *reader)
{
	PoHttpRequest *request = reader->request;

	Assert(reader->phase == PO_PHASE_DONE);
	reader->request = NULL;
	po_http_reader_reset(reader);
	return request;
}

static bool
refuse(PoHttpReader *reader, int status, const char *reason)
{
	/* The first reason counts. */
	if (reader->phase != PO_PHASE_REFUSED)
	{
		reader->phase = PO_PHASE_REFUSED;
		reader->refusal.status = status;
		reader->refusal.reason = reason;
	}
	return false;
}

/*
 * One byte of head or trailer.  *end is set at the line feed of the empty line.
 * In a trailer `lines` and the byte count go on from the head's, so that both
 * together keep within the limits.
 */
static bool
check_line_byte(PoHttpReader *reader, unsigned char c, bool *end)
{
	const PoHttpLimits *limits = reader->limits;

	*end = false;
	if (reader->lines > 0 && ++reader->header_bytes > limits->header_bytes + 2)
		return refuse(reader, 431, "headers_too_large");
	if (c == '\n')
	{
		if (!reader->after_cr)
			return refuse(reader, 400, "bare_line_feed");
		reader->after_cr = false;
		if (reader->line_len == 0)
		{
			if (reader->lines == 0)
				return refuse(reader, 400, "invalid_request_line");
			*end = true;
			return true;
		}
		if (reader->lines == 0)
			reader->request_line_len = reader->line_len;
		reader->lines++;
		reader->line_len = 0;
		if (reader->lines - 1 > limits->header_count)
			return refuse(reader, 431, "too_many_headers");
		return true;
	}
	if (reader->after_cr)
		return refuse(reader, 400, "bare_carriage_return");
	if (c == '\r')
	{
		reader->after_cr = true;
		return true;
	}
	if ((c < 0x20 && c != '\t') || c == 0x7f)
		return refuse(reader, 400, "control_character");
	if (reader->line_len == 0 && (c == ' ' || c == '\t'))
		return refuse(reader, 400, reader->lines == 0 ? "invalid_request_line" : "folded_header");
	if (reader->lines == 0 && c == '\t')
		return refuse(reader, 400, "invalid_request_line");
	reader->line_len++;
	if (reader->lines == 0 && reader->line_len > limits->request_line)
		return refuse(reader, 414, "request_line_too_long");
	return true;
}

static void
append_head(PoHttpRequest *request, const char *data, size_t len)
{
	if (request->head_len + len > request->head_size)
	{
		size_t		size = Max(request->head_size * 2, PO_HEAD_FIRST_SIZE);

		while (size < request->head_len + len)
			size *= 2;
		request->head = pg_realloc(request->head, size);
		request->head_size = size;
	}
	memcpy(request->head + request->head_len, data, len);
	request->head_len += len;
}

/* The complete head: request line by our rules, headers by llhttp, then our rules. */
static bool
parse_head(PoHttpReader *reader)
{
	PoHttpRequest *request = reader->request;
	PoSlice		line = {request->head, reader->request_line_len};
	PoHttpRefusal refusal;
	llhttp_errno_t error;

	if (!po_http_check_request_line(line, request, &refusal))
		return refuse(reader, refusal.status, refusal.reason);

	if (reader->lines > 1)
		request->headers = pg_malloc0(sizeof(PoHttpHeader) * (reader->lines - 1));
	llhttp_init(&reader->parser, HTTP_REQUEST, &callbacks);
	reader->parser.data = reader;
	error = llhttp_execute(&reader->parser, request->head, request->head_len);
	if (reader->phase == PO_PHASE_REFUSED)
		return false;
	/* A message without a body has ended with its head. */
	if (error == HPE_PAUSED && reader->phase == PO_PHASE_DONE)
	{
		if (llhttp_get_error_pos(&reader->parser) == request->head + request->head_len)
			return true;
		return refuse(reader, 400, "invalid_request");
	}
	if (error != HPE_OK || reader->phase == PO_PHASE_HEAD)
		return refuse(reader, 400, error == HPE_INVALID_METHOD ? "invalid_method" : "invalid_header");
	return true;
}

static int
on_header_field(llhttp_t *parser, const char *at, size_t len)
{
	PoHttpReader *reader = parser->data;
	PoHttpRequest *request = reader->request;
	PoHttpHeader *header;

	/* Trailers are checked for form and dropped. */
	if (reader->phase != PO_PHASE_HEAD)
		return 0;
	if (request->nheaders >= reader->lines - 1)
	{
		refuse(reader, 400, "invalid_header");
		return -1;
	}
	header = &request->headers[request->nheaders++];
	header->name.data = at;
	header->name.len = len;
	for (size_t i = 0; i < len; i++)
	{
		char	   *c = request->head + (at - request->head) + i;

		*c = (char) pg_ascii_tolower((unsigned char) *c);
	}
	return 0;
}

static int
on_header_value(llhttp_t *parser, const char *at, size_t len)
{
	PoHttpReader *reader = parser->data;
	PoHttpRequest *request = reader->request;
	PoSlice    *value;

	if (reader->phase != PO_PHASE_HEAD)
		return 0;
	value = request->nheaders > 0 ? &request->headers[request->nheaders - 1].value : NULL;
	/* The head is one block, so that a value comes in one piece. */
	if (value == NULL || value->data != NULL)
	{
		refuse(reader, 400, "invalid_header");
		return -1;
	}
	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	value->data = at;
	value->len = len;
	return 0;
}

static int
on_headers_complete(llhttp_t *parser)
{
	PoHttpReader *reader = parser->data;
	PoHttpRequest *request = reader->request;
	PoHttpRefusal refusal;

	switch (parser->method)
	{
		case HTTP_GET:
			request->method = PO_METHOD_GET;
			break;
		case HTTP_HEAD:
			request->method = PO_METHOD_HEAD;
			break;
		case HTTP_POST:
			request->method = PO_METHOD_POST;
			break;
		default:
			request->method = PO_METHOD_OTHER;
	}
	request->method_name = llhttp_method_name(parser->method);

	for (int i = 0; i < request->nheaders; i++)
	{
		if (request->headers[i].value.data == NULL)
			request->headers[i].value.data = "";
	}
	if (request->nheaders != reader->lines - 1)
	{
		refuse(reader, 400, "invalid_header");
		return -1;
	}
	if (!po_http_check_headers(request, reader->limits->body, &refusal))
	{
		refuse(reader, refusal.status, refusal.reason);
		return -1;
	}
	/* Both readers must see the same framing. */
	if (parser->upgrade || request->chunked != ((parser->flags & F_CHUNKED) != 0) ||
		parser->http_major != 1 || parser->http_minor != request->minor_version ||
		(!request->chunked &&
		 parser->content_length != (uint64) Max(request->content_length, 0)))
	{
		refuse(reader, 400, "invalid_request");
		return -1;
	}
	reader->phase = request->chunked ? PO_PHASE_CHUNK_SIZE : PO_PHASE_BODY;
	return 0;
}

/*
 * Bytes of a chunked body that are not data.  The data itself lies between
 * PO_PHASE_CHUNK_SIZE_LF and PO_PHASE_CHUNK_DATA_LF and is skipped by on_body.
 */
static bool
check_framing(PoHttpReader *reader, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) data[i];
		bool		end;

		switch (reader->phase)
		{
			case PO_PHASE_CHUNK_SIZE:
				if (isxdigit(c) && reader->size_digits < PO_CHUNK_SIZE_DIGITS)
				{
					reader->size_digits++;
					reader->size_nonzero |= c != '0';
				}
				else if (c == '\r' && reader->size_digits > 0)
					reader->phase = PO_PHASE_CHUNK_SIZE_LF;
				else
					return refuse(reader, 400, "invalid_chunk_size");
				break;
			case PO_PHASE_CHUNK_SIZE_LF:
				if (c != '\n')
					return refuse(reader, 400, "invalid_chunk_size");
				reader->phase = reader->size_nonzero ? PO_PHASE_CHUNK_DATA : PO_PHASE_TRAILER;
				reader->size_nonzero = false;
				reader->size_digits = 0;
				reader->line_len = 0;
				break;
			case PO_PHASE_CHUNK_DATA:
				if (c != '\r')
					return refuse(reader, 400, "invalid_chunk");
				reader->phase = PO_PHASE_CHUNK_DATA_LF;
				break;
			case PO_PHASE_CHUNK_DATA_LF:
				if (c != '\n')
					return refuse(reader, 400, "invalid_chunk");
				reader->phase = PO_PHASE_CHUNK_SIZE;
				break;
			case PO_PHASE_TRAILER:
				if (!check_line_byte(reader, c, &end))
					return false;
				if (end)
					reader->phase = PO_PHASE_DONE;
				break;
			default:
				return refuse(reader, 400, "invalid_request");
		}
	}
	return true;
}

static int
on_chunk_header(llhttp_t *parser)
{
	PoHttpReader *reader = parser->data;

	if (parser->content_length > reader->limits->body - reader->request->body_len)
	{
		refuse(reader, 413, "body_too_large");
		return -1;
	}
	return 0;
}

static int
on_body(llhttp_t *parser, const char *at, size_t len)
{
	PoHttpReader *reader = parser->data;
	PoHttpRequest *request = reader->request;

	if (request->chunked)
	{
		if (!check_framing(reader, reader->framing, at - reader->framing))
			return -1;
		reader->framing = at + len;
		if (reader->phase != PO_PHASE_CHUNK_DATA)
		{
			refuse(reader, 400, "invalid_chunk");
			return -1;
		}
	}
	if (len > reader->limits->body - request->body_len)
	{
		refuse(reader, 413, "body_too_large");
		return -1;
	}
	if (request->body_len + len > request->body_size)
	{
		size_t		size = Max(request->body_size * 2, PO_BODY_FIRST_SIZE);

		while (size < request->body_len + len)
			size *= 2;
		/* Room for what is known to come, if it is not much more. */
		if (request->content_length >= 0)
			size = Min(size, (size_t) request->content_length);
		size = Min(size, reader->limits->body);
		request->body = pg_realloc(request->body, size);
		request->body_size = size;
	}
	memcpy(request->body + request->body_len, at, len);
	request->body_len += len;
	return 0;
}

static int
on_message_complete(llhttp_t *parser)
{
	PoHttpReader *reader = parser->data;

	/* A chunked message is done when the guard says so too; see read_body. */
	if (!reader->request->chunked)
		reader->phase = PO_PHASE_DONE;
	return HPE_PAUSED;
}

static PoHttpProgress
read_head(PoHttpReader *reader, const char *data, size_t len, size_t *consumed)
{
	size_t		used = 0;
	bool		end = false;

	if (reader->request == NULL)
	{
		reader->request = pg_malloc0(sizeof(PoHttpRequest));
		reader->request->content_length = -1;
	}
	while (used < len && !end)
	{
		if (!check_line_byte(reader, (unsigned char) data[used], &end))
			return PO_HTTP_REFUSED;
		used++;
	}
	append_head(reader->request, data, used);
	*consumed = used;
	if (!end)
		return PO_HTTP_MORE;
	return parse_head(reader) ? PO_HTTP_HEAD : PO_HTTP_REFUSED;
}

static PoHttpProgress
read_body(PoHttpReader *reader, const char *data, size_t len, size_t *consumed)
{
	const char *end = data + len;
	llhttp_errno_t error;

	if (len == 0)
		return PO_HTTP_MORE;
	reader->framing = data;
	error = llhttp_execute(&reader->parser, data, len);
	if (reader->phase == PO_PHASE_REFUSED)
		return PO_HTTP_REFUSED;
	if (error == HPE_PAUSED)
		end = llhttp_get_error_pos(&reader->parser);
	if (reader->request->chunked &&
		!check_framing(reader, reader->framing, end - reader->framing))
		return PO_HTTP_REFUSED;
	*consumed = (size_t) (end - data);
	if (error == HPE_PAUSED && reader->phase == PO_PHASE_DONE)
		return PO_HTTP_COMPLETE;
	if (error != HPE_OK || reader->phase == PO_PHASE_DONE)
	{
		refuse(reader, 400, "invalid_body");
		return PO_HTTP_REFUSED;
	}
	return PO_HTTP_MORE;
}

/*
 * Feed bytes; *consumed says how many were used.  len may be 0 to ask what is
 * known already, which is how a message without a body
 * completes after PO_HTTP_HEAD.
 */
PoHttpProgress
po_http_read(PoHttpReader *reader, const char *data, size_t len, size_t *consumed)
{
	*consumed = 0;
	switch (reader->phase)
	{
		case PO_PHASE_REFUSED:
			return PO_HTTP_REFUSED;
		case PO_PHASE_DONE:
			return PO_HTTP_COMPLETE;
		case PO_PHASE_HEAD:
			return len == 0 ? PO_HTTP_MORE : read_head(reader, data, len, consumed);
		default:
			return read_body(reader, data, len, consumed);
	}
}
