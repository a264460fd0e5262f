/*
 * addressee.c
 *	  Who messages go to that are asked for: leads, their addresses, and what the registry
 *	  says of these.
 *
 * Needs SPI and the engine's owner as user.  Leads are read without a lock.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/address.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/statement.h"
#include "lead/channel.h"
#include "miscadmin.h"
#include "outbound/draft.h"
#include "outbound/reject.h"
#include "utils/builtins.h"

/* So many addresses are looked up, and their leads made, at a time. */
#define MAX_ADDRESSES 1000

/* What a draft takes from the registry, of its address p. */
#define REGISTRY_FIELDS \
	PO_NAME_VALUE(PoDraft, consent, PoConsent, "coalesce(p.consent, 'unknown')", po_consent_names), \
	PO_VALUE(PoDraft, unreachable, "p.unreachable", JSONB)

static const PoField lead_field[] = {
	PO_FIELD(PoDraft, lead_id, TEXT, PO_TAKE),
	PO_FIELD(PoDraft, phone, TEXT, PO_GIVE),
	PO_FIELD(PoDraft, email, TEXT, PO_GIVE),
	PO_STATE_FIELD(PoDraft, state, PO_GIVE),
	PO_FIELD(PoDraft, first_name, TEXT, PO_GIVE),
	PO_FIELD(PoDraft, last_name, TEXT, PO_GIVE),
	PO_FIELD(PoDraft, company, TEXT, PO_GIVE),
	PO_FIELD(PoDraft, attributes, JSONB, PO_GIVE),
	PO_FIELD(PoDraft, business_phone, TEXT, PO_GIVE),
	REGISTRY_FIELDS
};

static PoStatement select_leads = {
	.name = "outbox.leads",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {l.*}, u.n FROM {rows} JOIN outreach.leads l ON l.tenant_id = $1 AND l.lead_id = u.lead_id"
	" LEFT JOIN outreach.addresses p ON p.tenant_id = l.tenant_id AND p.address = l.phone",
	.takes = PO_FIELDS(lead_field, PO_TAKE),
	.gives = PO_FIELDS(lead_field, PO_GIVE),
	PO_FIXED(TEXTOID),
	.numbered = true
};

static const PoField address_field[] = {
	PO_FIELD(PoDraft, address, TEXT, PO_TAKE),
	REGISTRY_FIELDS
};

static PoStatement select_addresses = {
	.name = "outbox.addresses",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT {p.*}, u.n FROM {rows} JOIN outreach.addresses p ON p.tenant_id = $1 AND p.address = u.address",
	.takes = PO_FIELDS(address_field, PO_TAKE),
	.gives = PO_FIELDS(address_field, PO_GIVE),
	PO_FIXED(TEXTOID),
	.numbered = true
};

/* The column u.n of both: behind what they give, which is all but the first field. */
#define N_OF_LEADS lengthof(lead_field)
#define N_OF_ADDRESSES lengthof(address_field)

static const PoField key_field[] = {
	PO_FIELD(PoAddressKey, address, TEXT, PO_TAKE)
};

/* E-mail addresses stand in leads as they were given. */
static PoStatement select_leads_of = {
	.name = "outbox.leads_of",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT u.n, (SELECT l.lead_id FROM (SELECT d.lead_id, d.last_activity_at FROM outreach.leads d"
	" WHERE d.tenant_id = $1 AND d.phone = u.address UNION ALL"
	" SELECT d.lead_id, d.last_activity_at FROM outreach.leads d"
	" WHERE d.tenant_id = $1 AND lower(d.email) = u.address) l"
	" ORDER BY l.last_activity_at DESC, l.lead_id LIMIT 1) FROM {rows}",
	.takes = PO_FIELDS(key_field, PO_TAKE),
	PO_FIXED(TEXTOID),
	.numbered = true
};

/* The e-mail addresses of the leads, folded, and what the registry says of them. */
static void
read_emails(const PoSending *sending, PoDraft *draft, int n)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	int		   *position = palloc(Max(n, 1) * sizeof(int));
	PoRows		rows = po_rows(&select_addresses, n);
	uint64		known;

	for (int i = 0; i < n; i++)
	{
		const char *given = draft[i].email;
		char		email[PO_ADDRESS_SIZE];

		if (given == NULL || !po_email_fold(given, strlen(given), email))
			continue;
		draft[i].address = pstrdup(email);
		position[rows.n] = i;
		po_rows_add(&rows, &draft[i]);
	}
	known = po_rows_exec(&rows, &tenant);
	for (uint64 r = 0; r < known; r++)
		po_read_row(&select_addresses, r, &draft[position[po_column_int(r, N_OF_ADDRESSES) - 1]]);
}

/* The address as the registry has it, or NULL. */
static const char *
fold_for(const char *channel, const char *given)
{
	char		folded[PO_ADDRESS_SIZE];
	int			len = strlen(given);

	return (po_goes_to_email(channel) ? po_email_fold(given, len, folded) : po_phone_e164(given, len, folded))
		? pstrdup(folded) : NULL;
}

/* The leads that have addresses whose rows are locked; where none has, one is made. */
static void
leads_of_addresses(PoUnit *unit, const PoAddressKey *key, int n, const char **lead_id)
{
	PoCause		cause = {.source = "outbound"};
	Datum		tenant = CStringGetTextDatum(key[0].tenant_id);
	uint64		found = po_exec_rows(&select_leads_of, &tenant, key, n);

	for (uint64 r = 0; r < found; r++)
		lead_id[po_column_int(r, 1) - 1] = po_column_text(r, 2);
	for (int i = 0; i < n; i++)
	{
		if (lead_id[i] == NULL)
			lead_id[i] = po_create_lead(unit, key[i].tenant_id, NULL, key[i].address, &cause)->lead_id;
	}
}

/*
 * po_find_or_make_leads sets the leads of a request that names addresses: of those that
 * have one, the lead touched last, and a new one where none has.  Locks the addresses, all
 * of them in their order, so that no two calls make a lead each.
 */
void
po_find_or_make_leads(const PoSendRequest *request, PoSendResult *result)
{
	PoAddressKey *key = palloc(Max(request->n, 1) * sizeof(PoAddressKey));
	const char **folded = palloc0(Max(request->n, 1) * sizeof(char *));
	const char **lead_id;
	bool		is_email = po_goes_to_email(request->channel);
	int			n = 0;

	for (int i = 0; i < request->n; i++)
	{
		if (result[i].rejected)
			continue;
		folded[i] = fold_for(request->channel, request->address[i]);
		if (folded[i] != NULL)
			key[n++] = (PoAddressKey) {request->tenant_id, folded[i]};
		else
			po_reject(request, &result[i], PO_ERRCODE_INVALID_ADDRESS,
					  is_email ? "the address is not an e-mail address" : "the address is not a phone number",
					  psprintf("It has %zu bytes.", strlen(request->address[i])),
					  is_email ? "Give the bare address, such as ann@example.com."
					  : "Give it as + and country code, or as a 10-digit number of the United States or Canada.");
	}
	n = po_address_keys_sort(key, n);
	lead_id = palloc0(Max(n, 1) * sizeof(char *));
	for (int first = 0; first < n; first += MAX_ADDRESSES)
	{
		PoUnit		unit = {0};
		PoWants		wants = {0};
		int			m = Min(n - first, MAX_ADDRESSES);

		for (int i = first; i < first + m; i++)
			po_want(&wants, PO_WANT_ADDRESS, i, key[i].tenant_id, key[i].address);
		po_unit_lock(&unit, &wants, PO_LOCK_WAITS, NULL);
		leads_of_addresses(&unit, key + first, m, lead_id + first);
		po_unit_write(&unit);
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < request->n; i++)
	{
		PoAddressKey wanted = {request->tenant_id, folded[i]};

		if (folded[i] != NULL)
			request->lead_id[i] = lead_id[po_address_keys_find(key, n, &wanted)];
	}
}

/*
 * po_read_copies reads what the registry says of the addresses that get copies.
 */
void
po_read_copies(PoSending *sending)
{
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	PoRows		rows = po_rows(&select_addresses, sending->nbcc);
	uint64		known;

	for (int i = 0; i < sending->nbcc; i++)
		po_rows_add(&rows, &(PoDraft) {.address = sending->bcc[i]});
	known = po_rows_exec(&rows, &tenant);
	for (uint64 r = 0; r < known; r++)
	{
		PoDraft		copy;

		po_read_row(&select_addresses, r, &copy);
		sending->copy_blocked |= po_consent_blocks(copy.consent);
	}
}

/*
 * po_read_addressees reads the leads of drafts and where these go; the draft of a lead that
 * there is not is rejected.
 */
void
po_read_addressees(const PoSending *sending, PoDraft *draft, int n)
{
	const char *channel = sending->request->channel;
	Datum		tenant = CStringGetTextDatum(sending->request->tenant_id);
	uint64		found = po_exec_rows(&select_leads, &tenant, draft, n);

	for (uint64 r = 0; r < found; r++)
	{
		PoDraft    *d = &draft[po_column_int(r, N_OF_LEADS) - 1];

		po_read_row(&select_leads, r, d);
		d->found = true;
		if (sending->to_phone)
			d->address = d->phone;
		else
		{
			d->consent = PO_CONSENT_UNKNOWN;
			d->unreachable = NULL;
		}
	}
	for (int i = 0; i < n; i++)
		if (!draft[i].found)
			po_reject(sending->request, draft[i].outcome, PO_ERRCODE_UNKNOWN_LEAD,
					  psprintf("tenant \"%s\" has no lead \"%s\"", sending->request->tenant_id, draft[i].lead_id),
					  NULL, "Make it with outreach.create_lead().");
	if (po_goes_to_email(channel))
		read_emails(sending, draft, n);
	else if (!sending->to_phone)
		for (int i = 0; i < n; i++)
			draft[i].address = draft[i].lead_id;
}
