/*
 * query.c
 *	  The pairs of a form, and a GET whose form is its query.
 *
 * What a GET says is kept as the body that a POST would have had, so that it is
 * read, keyed, deferred, retried and replayed like one.  Kept is what the provider
 * says: not the parameters of the endpoint's own address, nor a credential, nor the
 * engine's reference, which has a column.  Nothing raises but lack of memory.
 */
#include "postgres.h"

#include "common/document.h"
#include "common/url.h"
#include "inbound/webhook.h"
#include "mb/pg_wchar.h"

/* One key or value of a form, decoded to *out. */
static void
decode_part(const char *from, const char *to, char **out, PoBytes *part)
{
	char	   *stop = po_form_decode(from, to, *out);

	*part = (PoBytes) {*out, stop - *out};
	*out = stop;
}

/*
 * po_form_pairs decodes the pairs of a form, as Twilio signs them: the bytes that
 * were sent, whatever they are; whether they can be read is not for the proof to say.
 * Returns how many, palloc'd, one more than can be signed at most.
 */
int
po_form_pairs(PoBytes body, PoFormPair **pairs)
{
	const char *end = body.data + body.len;
	const char *next;
	char	   *out = palloc(body.len + 1);
	int			most = 1;
	int			n = 0;

	for (const char *p = body.data; p < end && most <= PO_MAX_SIGNED_PAIRS; p++)
		most += *p == '&';
	*pairs = palloc(most * sizeof(PoFormPair));
	for (const char *p = body.data; p < end && n < most; p = next + 1)
	{
		const char *equals;

		next = memchr(p, '&', end - p);
		next = next != NULL ? next : end;
		if (next == p)
			continue;
		equals = memchr(p, '=', next - p);
		equals = equals != NULL ? equals : next;
		decode_part(p, equals, &out, &(*pairs)[n].key);
		decode_part(Min(equals + 1, next), next, &out, &(*pairs)[n].value);
		n++;
	}
	return n;
}

/*
 * Whether it says the same as one of the address's own, which may be spelt
 * otherwise; scratch has room for it.
 */
static bool
is_own(PoBytes parameter, const PoFormPair *own, int nown, char *scratch)
{
	const char *end = parameter.data + parameter.len;
	const char *equals = memchr(parameter.data, '=', parameter.len);
	PoFormPair	pair;
	bool		found = false;

	equals = equals != NULL ? equals : end;
	if (nown == 0)
		return false;
	decode_part(parameter.data, equals, &scratch, &pair.key);
	decode_part(Min(equals + 1, end), end, &scratch, &pair.value);
	for (int i = 0; i < nown && !found; i++)
		found = po_same_bytes(pair.key, own[i].key) && po_same_bytes(pair.value, own[i].value);
	return found;
}

/*
 * po_query_body returns what the query of an authenticated GET says, as a body.
 */
PoBytes
po_query_body(PoBytes query, const PoCredential *credential)
{
	char	   *body = palloc(query.len + 1);
	char	   *scratch = palloc(query.len + 1);
	PoFormPair *own = NULL;
	int			nown = 0;
	int			len = 0;
	PoUrl		url;

	if (po_split_url(credential->url, &url))
		nown = po_form_pairs(url.query, &own);
	for (int from = 0; from < query.len;)
	{
		int			to = po_find_any(query, from, "&");
		PoBytes		parameter = po_slice(query, from, to);
		PoBytes		rest = parameter;

		from = to + 1;
		if (parameter.len == 0 || is_own(parameter, own, nown, scratch) ||
			po_is_reference(parameter) ||
			(credential->scheme == PO_SCHEME_TOKEN && po_strip_prefix(&rest, "token=")))
			continue;
		if (len > 0)
			body[len++] = '&';
		memcpy(body + len, parameter.data, parameter.len);
		len += parameter.len;
	}
	return (PoBytes) {body, len};
}

/*
 * po_signed_query returns what of the query has to be kept with the payload, so that
 * it is read as when it came: the query of a form whose signature does not hold the
 * two apart.  One that is too long to be kept is as long as to be known as that.
 */
PoBytes
po_signed_query(const PoWebhookRequest *request, const PoCredential *credential)
{
	if (credential->scheme != PO_SCHEME_TWILIO || !request->form_encoded || request->is_get)
		return po_bytes("");
	return po_slice(request->query, 0,
					pg_mbcliplen(request->query.data, request->query.len,
								 PO_SIGNED_QUERY_MAX + MAX_MULTIBYTE_CHAR_LEN));
}
