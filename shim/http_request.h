/*
 * http_request.h
 *	  A request as the reader hands it over.
 *
 * All slices point into `head`, which does not move once the head is complete;
 * head, headers and body are freed together by po_http_request_free().
 */
#ifndef PO_SHIM_HTTP_REQUEST_H
#define PO_SHIM_HTTP_REQUEST_H

typedef struct PoSlice
{
	const char *data;
	size_t		len;
} PoSlice;

typedef struct PoHttpHeader
{
	PoSlice		name;			/* lower case */
	PoSlice		value;			/* without surrounding white space */
} PoHttpHeader;

typedef enum PoHttpMethod
{
	PO_METHOD_OTHER,
	PO_METHOD_GET,
	PO_METHOD_HEAD,
	PO_METHOD_POST
} PoHttpMethod;

typedef struct PoHttpRequest
{
	PoHttpMethod method;
	const char *method_name;
	PoSlice		path;			/* as sent, still percent-encoded */
	PoSlice		query;			/* without '?' */
	bool		has_query;
	int			minor_version;	/* of HTTP/1.x */
	bool		keep_alive;
	bool		chunked;
	int64		content_length; /* -1: none given */

	int			nheaders;
	PoHttpHeader *headers;

	char	   *head;
	size_t		head_len;
	size_t		head_size;

	char	   *body;
	size_t		body_len;
	size_t		body_size;
} PoHttpRequest;

/* Why a request is refused: the answer, and a fixed word for log and body. */
typedef struct PoHttpRefusal
{
	int			status;
	const char *reason;
} PoHttpRefusal;

static inline bool
po_slice_is(PoSlice slice, const char *text)
{
	return slice.len == strlen(text) && memcmp(slice.data, text, slice.len) == 0;
}

#endif							/* PO_SHIM_HTTP_REQUEST_H */
