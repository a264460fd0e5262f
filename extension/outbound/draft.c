/*
 * draft.c
 *	  Making a message out of what was asked for: its text, its number, its key,
 *	  and what the guards say of it.
 *
 * Needs SPI and the engine's owner as user; takes no lock.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "catalog/pg_type.h"
#include "common/address.h"
#include "common/hashfn.h"
#include "common/segments.h"
#include "common/template.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/ids.h"
#include "core/limits.h"
#include "core/spi_plan.h"
#include "lead/channel.h"
#include "lead/reach.h"
#include "outbound/account.h"
#include "outbound/draft.h"
#include "outbound/options.h"
#include "outbound/reject.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static PoPlan select_tenant = {
	.name = "outbox.tenant",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT time_zone FROM outreach.tenants WHERE tenant_id = $1",
	PO_ARGS(TEXTOID)
};

static PoPlan select_template = {
	.name = "outbox.template",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT version, channel, subject, body, html FROM outreach.templates"
	" WHERE tenant_id = $1 AND template = $2 ORDER BY version DESC LIMIT 1",
	PO_ARGS(TEXTOID, TEXTOID)
};

static PoPlan select_numbers = {
	.name = "outbox.numbers",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT n.phone, n.account, EXISTS (SELECT FROM outreach.sending_stops s"
	" WHERE s.tenant_id = n.tenant_id AND s.scope = 'number' AND s.id = n.phone)"
	" FROM outreach.numbers n WHERE n.tenant_id = $1 AND n.channel = $2"
	" AND n.account = coalesce($3, n.account) ORDER BY n.phone",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID)
};

static PoPlan select_account = {
	.name = "outbox.account",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT a.account FROM outreach.sending_accounts a WHERE a.tenant_id = $1"
	" AND a.channel = $2 AND a.account = coalesce($3, a.account) ORDER BY a.created_at, a.account LIMIT 1",
	PO_ARGS(TEXTOID, TEXTOID, TEXTOID)
};

/* A field of the lead, however its name is spelt: firstName, first_name, FirstName. */
static bool
is_name(const char *name, int len, const char *field)
{
	for (int i = 0; i < len; i++)
	{
		if (name[i] == '_')
			continue;
		if (pg_ascii_tolower((unsigned char) name[i]) != *field)
			return false;
		field++;
	}
	return *field == '\0';
}

static const char *
full_name(const PoDraft *draft)
{
	const char *first = draft->first_name != NULL ? draft->first_name : "";
	const char *last = draft->last_name != NULL ? draft->last_name : "";
	int			first_len = strlen(first);
	int			last_len = strlen(last);

	if (po_template_is_blank(first, first_len))
		return last;
	if (po_template_is_blank(last, last_len))
		return first;
	first = po_template_trim(first, &first_len);
	last = po_template_trim(last, &last_len);
	return psprintf("%.*s %.*s", first_len, first, last_len, last);
}

static const char *
field_of_lead(const PoDraft *draft, const char *name, int len)
{
	if (is_name(name, len, "firstname"))
		return draft->first_name;
	if (is_name(name, len, "lastname"))
		return draft->last_name;
	if (is_name(name, len, "fullname"))
		return full_name(draft);
	if (is_name(name, len, "companyname") || is_name(name, len, "company"))
		return draft->company;
	if (is_name(name, len, "email"))
		return draft->email;
	if (is_name(name, len, "phone"))
		return draft->phone;
	return NULL;
}

/*
 * The member of that name, or where a point is in it the member of a member; of
 * what is not there, or blank, NULL.
 */
static char *
text_at(Jsonb *object, const char *name, int len)
{
	char	   *text = po_jsonb_text(object, name, len);

	if (text != NULL)
		return po_template_is_blank(text, strlen(text)) ? NULL : text;
	for (int i = 1; i < len - 1 && object != NULL && JB_ROOT_IS_OBJECT(object); i++)
	{
		JsonbValue	value;

		if (name[i] == '.' && getKeyJsonValueFromContainer(&object->root, name, i, &value) != NULL &&
			value.type == jbvBinary)
			return text_at(JsonbValueToJsonb(&value), name + i + 1, len - i - 1);
	}
	return NULL;
}

/* The caller's variables first, then what is known of the lead. */
static bool
find_variable(void *arg, const char *name, int name_len, const char **value, int *value_len)
{
	static const char of_lead[] = "lead.";
	const PoDraft *draft = arg;
	int			prefix = strlen(of_lead);

	*value = text_at(draft->variables, name, name_len);
	if (*value == NULL && name_len > prefix && memcmp(name, of_lead, prefix) == 0)
		return find_variable(arg, name + prefix, name_len - prefix, value, value_len);
	if (*value == NULL)
		*value = field_of_lead(draft, name, name_len);
	if (*value == NULL || po_template_is_blank(*value, strlen(*value)))
		*value = text_at(draft->attributes, name, name_len);
	if (*value == NULL && is_name(name, name_len, "name"))
		*value = full_name(draft);
	if (*value == NULL)
		return false;
	*value_len = strlen(*value);
	*value = po_template_trim(*value, value_len);
	return true;
}

/* Fills a text in; what keeps it from that is noted for the guard. */
static const char *
fill_in(PoDraft *draft, PoTemplateKind kind, const char *text)
{
	PoTemplateProblem problem;
	StringInfoData filled;

	if (text == NULL)
		return NULL;
	initStringInfo(&filled);
	switch (po_template_render(kind, text, strlen(text), find_variable, draft, &filled, &problem))
	{
		case PO_TEMPLATE_OK:
			return filled.data;
		case PO_TEMPLATE_MISSING:
			draft->missing = pnstrdup(problem.name, problem.name_len);
			break;
		case PO_TEMPLATE_MALFORMED:
			draft->malformed = true;
			break;
	}
	return NULL;
}

static const PoNumber *
find_number(const PoSending *sending, const char *phone)
{
	for (int i = 0; i < sending->nnumbers && phone != NULL; i++)
		if (strcmp(sending->number[i].phone, phone) == 0)
			return &sending->number[i];
	return NULL;
}

/*
 * The number a lead is written to from: the one asked for, the one it talks to,
 * or one that its id picks, so that without a lock the same lead always gets the
 * same one.
 */
static const PoNumber *
choose_number(const PoSending *sending, const PoDraft *draft)
{
	const PoNumber *number;
	uint32		hash = hash_bytes((const unsigned char *) draft->lead_id, strlen(draft->lead_id));
	int			running = 0;

	if (sending->from_phone != NULL)
		return find_number(sending, sending->from_phone);
	number = find_number(sending, draft->business_phone);
	if (number != NULL)
		return number;
	for (int i = 0; i < sending->nnumbers; i++)
		running += !sending->number[i].stopped;
	if (running == 0)
		return &sending->number[hash % sending->nnumbers];
	hash %= running;
	for (number = sending->number; number->stopped || hash-- > 0; number++)
		;
	return number;
}

static const char *
nothing_to_send_from(const PoSendRequest *request)
{
	return psprintf("tenant \"%s\" has nothing to send from in channel \"%s\"", request->tenant_id,
					request->channel);
}

static void
no_sender(const PoSendRequest *request, const char *hint)
{
	ereport(ERROR,
			(errcode(PO_ERRCODE_NO_SENDER),
			 errmsg_internal("%s", nothing_to_send_from(request)),
			 errhint("%s", hint)));
}

/* The caller's copies first, then those of each message of the account. */
static void
read_bcc(PoSending *sending)
{
	const PoSendRequest *request = sending->request;
	const PoAccount *account = po_find_account(request->tenant_id, sending->account);
	JsonbValue	value;
	const char **address;
	int			n = 0;

	sending->nbcc = request->nbcc;
	sending->bcc = request->bcc;
	if (account == NULL || getKeyJsonValueFromContainer(&account->settings->root, "bcc", 3, &value) == NULL ||
		value.type == jbvNull)
		return;
	n = po_read_addresses("settings.bcc", &value, &address);
	sending->bcc = palloc((request->nbcc + n) * sizeof(char *));
	for (int i = 0; i < request->nbcc; i++)
		sending->bcc[i] = request->bcc[i];
	for (int i = 0; i < n; i++)
		sending->nbcc = po_add_address(sending->bcc, sending->nbcc, address[i]);
}

/* Numbers or, in a channel that has none, the account. */
static void
read_senders(PoSending *sending)
{
	const PoSendRequest *request = sending->request;
	const char *account = po_jsonb_text(request->options, "account", 7);
	Datum		args[3] = {
		CStringGetTextDatum(request->tenant_id), CStringGetTextDatum(request->channel),
		account != NULL ? CStringGetTextDatum(account) : (Datum) 0
	};
	const char *nulls = account != NULL ? "   " : "  n";

	sending->to_phone = po_goes_to_phone(request->channel);
	if (!sending->to_phone)
	{
		if (po_exec(&select_account, args, nulls) == 0)
			no_sender(request, "Make an account with outreach.create_account().");
		sending->account = po_column_text(0, 1);
		read_bcc(sending);
		return;
	}
	sending->nnumbers = po_exec(&select_numbers, args, nulls);
	if (sending->nnumbers == 0)
		no_sender(request, "Name one of the tenant's numbers with outreach.add_number().");
	sending->number = palloc(sending->nnumbers * sizeof(PoNumber));
	for (int i = 0; i < sending->nnumbers; i++)
	{
		sending->number[i].phone = po_column_text(i, 1);
		sending->number[i].account = po_column_text(i, 2);
		sending->number[i].stopped = po_column_bool(i, 3);
	}
	if (request->from_phone != NULL)
	{
		char		e164[PO_E164_SIZE];

		if (!po_phone_e164(request->from_phone, strlen(request->from_phone), e164) ||
			find_number(sending, e164) == NULL)
			ereport(ERROR,
					(errcode(PO_ERRCODE_NO_SENDER),
					 errmsg("from_phone is not a number that tenant \"%s\" sends from in channel \"%s\"",
							request->tenant_id, request->channel),
					 errhint("Name it with outreach.add_number().")));
		sending->from_phone = pstrdup(e164);
	}
}

/* What is the caller's own can be read. */
static void
check_text(const char *name, const char *text)
{
	PoTemplateProblem problem;

	if (text != NULL &&
		po_template_check(PO_TEMPLATE_OF_MESSAGE, text, strlen(text), &problem) != PO_TEMPLATE_OK)
		ereport(ERROR,
				(errcode(PO_ERRCODE_INVALID_TEMPLATE),
				 errmsg("%s has a placeholder that cannot be read, at byte %d", name, problem.position + 1),
				 errdetail("%s", problem.reason)));
}

static void
read_text(PoSending *sending)
{
	const PoSendRequest *request = sending->request;
	Datum		args[2];

	sending->subject = po_jsonb_text(request->options, "subject", 7);
	sending->body = request->body;
	sending->html = request->html;
	check_text("body", request->body);
	check_text("options.html", request->html);
	if (request->template != NULL)
	{
		args[0] = CStringGetTextDatum(request->tenant_id);
		args[1] = CStringGetTextDatum(request->template);
		if (po_exec(&select_template, args, NULL) == 0)
			ereport(ERROR,
					(errcode(PO_ERRCODE_UNKNOWN_TEMPLATE),
					 errmsg("tenant \"%s\" has no template \"%s\"", request->tenant_id,
							request->template),
					 errhint("Make it with outreach.save_template().")));
		if (strcmp(po_column_text(0, 2), request->channel) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("template \"%s\" is for channel \"%s\"", request->template,
							po_column_text(0, 2))));
		sending->template_version = po_column_int(0, 1);
		if (sending->subject == NULL)
			sending->subject = po_column_text(0, 3);
		sending->body = po_column_text(0, 4);
		if (sending->html == NULL)
			sending->html = po_column_text(0, 5);
	}
	if (sending->html != NULL && po_template_is_blank(sending->html, strlen(sending->html)))
		sending->html = NULL;
}

/*
 * po_read_sending reads what holds for all messages of the request; its request
 * is set.  Needs po_profiles_begin.
 */
void
po_read_sending(PoSending *sending)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	JsonbValue	value;
	Jsonb	   *options = sending->request->options;

	if (po_exec(&select_tenant, &tenant, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no tenant \"%s\"", sending->request->tenant_id)));
	sending->time_zone = po_column_text(0, 1);
	if (options != NULL && getKeyJsonValueFromContainer(&options->root, "variables", 9, &value) != NULL &&
		value.type == jbvBinary)
		sending->variables = JsonbValueToJsonb(&value);
	read_text(sending);
	read_senders(sending);
}

/* What the caller asked for; with attributes that change meanwhile it is still the same. */
static void
hash_content(const PoSending *sending, PoDraft *draft)
{
	const PoSendRequest *request = sending->request;
	const char *part[] = {
		draft->lead_id, request->channel, request->template == NULL ? draft->text : NULL,
		request->template, sending->from_phone,
		draft->options != NULL
		? JsonbToCString(NULL, &draft->options->root, VARSIZE(draft->options)) : NULL
	};
	StringInfoData content;
	uint8		digest[EVP_MAX_MD_SIZE];

	initStringInfo(&content);
	for (int i = 0; i < lengthof(part); i++)
	{
		appendStringInfo(&content, "%d:", part[i] != NULL ? (int) strlen(part[i]) : -1);
		if (part[i] != NULL)
			appendStringInfoString(&content, part[i]);
	}
	if (EVP_Digest(content.data, content.len, digest, NULL, EVP_sha256(), NULL) != 1)
		elog(ERROR, "could not compute a digest");
	memcpy(draft->content_hash.data, digest, UUID_LEN);
}

/* lead:template:day, the day being the lead's. */
static const char *
default_key(const PoSending *sending, const PoDraft *draft)
{
	const char *name = po_jsonb_text(draft->attributes, "timeZone", 8);
	pg_tz	   *zone = name != NULL ? pg_tzset(name) : NULL;
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	const char *what = sending->request->template;

	if (zone == NULL)
		zone = pg_tzset(sending->time_zone);
	if (timestamp2tm(po_now(), &offset, &tm, &fsec, NULL, zone) != 0)
		elog(ERROR, "the time is out of range");
	if (what == NULL)
		what = psprintf("text-%02x%02x%02x%02x%02x%02x", draft->content_hash.data[0],
						draft->content_hash.data[1], draft->content_hash.data[2],
						draft->content_hash.data[3], draft->content_hash.data[4],
						draft->content_hash.data[5]);
	return psprintf("%s:%s:%04d-%02d-%02d", draft->lead_id, what, tm.tm_year, tm.tm_mon, tm.tm_mday);
}

static void
require_place(const PoSending *sending, PoDraft *draft, const char *placeholder, const char *path)
{
	const char *hint;
	const char *problem = po_has_no_place(draft->account->profile, placeholder, path, &hint);

	if (problem != NULL && !draft->outcome->rejected)
		po_reject(sending->request, draft->outcome, ERRCODE_INVALID_PARAMETER_VALUE, problem, NULL, hint);
}

/* What the caller, its template or the account wants sent gets into the request. */
static void
require_places(const PoSending *sending, PoDraft *draft)
{
	const PoSendRequest *request = sending->request;

	if (sending->html != NULL)
		require_place(sending, draft, "html", request->html != NULL ? "options.html"
					  : psprintf("html of template \"%s\"", request->template));
	if (request->nbcc > 0)
		require_place(sending, draft, "bcc", "options.bcc");
	else if (sending->nbcc > 0)
		require_place(sending, draft, "bcc", psprintf("settings.bcc of account \"%s\"", draft->account->account));
	if (request->nmedia > 0)
		require_place(sending, draft, "media_urls", "options.mediaUrls");
}

/* The account that it leaves by, which must have what its profile needs; else it is rejected. */
static void
choose_sender(const PoSending *sending, PoDraft *draft)
{
	const PoSendRequest *request = sending->request;
	const PoNumber *number = sending->to_phone ? choose_number(sending, draft) : NULL;
	const char *account = number != NULL ? number->account : sending->account;
	const char *lacks;

	draft->account = po_find_account(request->tenant_id, account);
	if (draft->account == NULL || draft->account->profile == NULL)
	{
		po_reject(request, draft->outcome, PO_ERRCODE_NO_SENDER,
				  nothing_to_send_from(request), NULL,
				  "Its account is gone: make it again with outreach.create_account().");
		return;
	}
	draft->from = number != NULL ? number->phone
		: po_jsonb_text(draft->account->settings, "from", 4);
	lacks = po_account_lacks(draft->account);
	if (lacks != NULL)
		po_reject(request, draft->outcome, PO_ERRCODE_NO_SENDER,
				  psprintf("account \"%s\" of tenant \"%s\" cannot send: %s is missing", account,
						   request->tenant_id, lacks),
				  psprintf("Its profile \"%s\" needs it.", draft->account->profile->profile),
				  "Make it anew with outreach.drop_account() and outreach.create_account().");
	require_places(sending, draft);
}

/* NULL for what a reader would see nothing of. */
static const char *
if_seen(const char *text)
{
	return text != NULL && po_template_is_blank(text, strlen(text)) ? NULL : text;
}

static void
write_texts(const PoSending *sending, PoDraft *draft)
{
	int			most = po_limit_of("subject");

	draft->subject = if_seen(fill_in(draft, PO_TEMPLATE_OF_MESSAGE, sending->subject));
	/* Templates are shorter than a body may be, but not than a subject. */
	if (draft->subject != NULL && strlen(draft->subject) > most)
		po_reject(sending->request, draft->outcome, ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
				  psprintf("subject is longer than %d bytes", most),
				  psprintf("With its variables filled in it has %zu bytes.", strlen(draft->subject)),
				  "outreach.limits() has all limits.");
	draft->html = if_seen(fill_in(draft, PO_TEMPLATE_OF_HTML, sending->html));
	draft->body = fill_in(draft, PO_TEMPLATE_OF_MESSAGE, draft->text);
	draft->body_len = if_seen(draft->body) != NULL ? strlen(draft->body) : 0;
}

/* Who gets the mail anyway gets no copy: providers refuse an address that is there twice. */
static void
write_bcc(const PoSending *sending, PoDraft *draft)
{
	bool		is_mail = po_goes_to_email(sending->request->channel) && draft->address != NULL;

	draft->bcc = palloc(Max(sending->nbcc, 1) * sizeof(char *));
	for (int i = 0; i < sending->nbcc; i++)
		if (!is_mail || strcmp(sending->bcc[i], draft->address) != 0)
			draft->bcc[draft->nbcc++] = sending->bcc[i];
}

/* What media cost is not known, and they are one message however long its text is. */
static void
count_segments(const PoSending *sending, PoDraft *draft, int *of_text)
{
	bool		in_segments = po_has_segments(sending->request->channel);
	bool		has_media = sending->request->nmedia > 0;
	bool		ucs2;

	*of_text = draft->body == NULL ? 0
		: in_segments ? po_segments(draft->body, strlen(draft->body), &ucs2) : 1;
	draft->segments = draft->body != NULL && has_media ? 1 : *of_text;
	draft->price_micros = has_media ? 0 : draft->segments * draft->account->profile->price_micros;
}

/* The path of what its profile needs and the message has not, or NULL. */
static const char *
lacking(const PoSending *sending, const PoDraft *draft)
{
	const PoNeeds *needs = draft->account->profile->needs;

	if (draft->subject == NULL && po_needs(needs, "subject"))
		return "options.subject";
	if (draft->html == NULL && po_needs(needs, "html"))
		return "options.html";
	if (draft->nbcc == 0 && po_needs(needs, "bcc"))
		return "options.bcc";
	return sending->request->nmedia == 0 && po_needs(needs, "media_urls") ? "options.mediaUrls" : NULL;
}

/*
 * po_write_draft fills in a message whose lead has been read, and judges it, or rejects it.
 */
void
po_write_draft(const PoSending *sending, PoDraft *draft)
{
	const PoSendRequest *request = sending->request;
	PoGuardInput input = {
		.moment = PO_AT_REQUEST,
		.address = draft->address,
		.channel = request->channel,
		.consent = draft->consent,
		.copy_blocked = sending->copy_blocked,
		.lead_state = draft->state,
		.unreachable = po_unreachable_reason(draft->unreachable, request->channel)
	};

	hash_content(sending, draft);
	if (draft->send_key == NULL)
		draft->send_key = default_key(sending, draft);
	po_uuid_v7(&draft->message_id);
	choose_sender(sending, draft);
	if (draft->outcome->rejected)
		return;
	write_texts(sending, draft);
	write_bcc(sending, draft);
	count_segments(sending, draft, &input.segments);
	input.missing = draft->missing;
	input.malformed = draft->malformed;
	input.lacks = lacking(sending, draft);
	input.body_len = draft->body_len;
	input.may_be_empty = request->nmedia > 0 && !po_needs(draft->account->profile->needs, "body");
	input.max_segments = draft->account->profile->max_segments;
	draft->result = po_judge(&input);
}
