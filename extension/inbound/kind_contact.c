/*
 * kind_contact.c
 *	  What a provider tells of an address: a person has said elsewhere that they are not
 *	  to be written to, or nothing can be delivered there.
 *
 * Which fields and values say so are rows (webhook_kinds.revoked_by, unreachable_by).
 * The one opts the address out, as the person's own STOP does; the other marks it, as
 * the refusal of a message does.  Nothing that is told so opts an address in: a switch
 * in somebody's system that is off is no act of the person.
 *
 * It is told late, or again.  What the person has agreed to since then stands: the
 * payload's own time is asked, as late as its digits allow.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "inbound/kinds.h"
#include "lead/change.h"
#include "lead/channel.h"
#include "lead/reach.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* So much of the words is kept as the reason. */
#define MAX_WORDS 200

/* Reads up to that many digits; how many there were. */
static int
read_digits(const char **at, const char *end, int most, int64 *number)
{
	int			n = 0;

	*number = 0;
	while (*at < end && n < most && **at >= '0' && **at <= '9')
	{
		*number = 10 * *number + (*(*at)++ - '0');
		n++;
	}
	return n;
}

static bool
read_char(const char **at, const char *end, const char *wanted)
{
	if (*at == end || **at == '\0' || strchr(wanted, **at) == NULL)
		return false;
	(*at)++;
	return true;
}

/* Z, UTC, +hh, +hhmm or +hh:mm, or nothing, which is UTC; how far east it is. */
static bool
read_zone(const char **at, const char *end, int64 *offset)
{
	int64		hours;
	int64		minutes = 0;
	int			sign = 1;

	*offset = 0;
	(void) read_char(at, end, " ");
	if (end - *at == 3 && memcmp(*at, "UTC", 3) == 0)
		*at = end;
	if (*at == end || read_char(at, end, "Zz"))
		return true;
	if (read_char(at, end, "-"))
		sign = -1;
	else if (!read_char(at, end, "+"))
		return false;
	if (read_digits(at, end, 2, &hours) != 2)
		return false;
	(void) read_char(at, end, ":");
	if (*at < end && read_digits(at, end, 2, &minutes) != 2)
		return false;
	*offset = sign * (hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE) * USECS_PER_SEC;
	return hours < 16 && minutes < 60;
}

static bool
read_date(const char **at, const char *end, TimestampTz *midnight)
{
	int64		year;
	int64		month;
	int64		day;
	int			y;
	int			m;
	int			d;

	if (read_digits(at, end, 4, &year) != 4 || year < 1970 || !read_char(at, end, "-") ||
		read_digits(at, end, 2, &month) != 2 || month < 1 || month > 12 || !read_char(at, end, "-") ||
		read_digits(at, end, 2, &day) != 2 || day < 1)
		return false;
	j2date(date2j(year, month, day), &y, &m, &d);
	*midnight = (TimestampTz) (date2j(year, month, day) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	return m == month && d == day;
}

/*
 * A time as providers write it, ISO 8601 or seconds or milliseconds since 1970: the
 * last moment that it may mean.
 */
static bool
read_time(const PoBytes *value, TimestampTz *time)
{
	const char *at = value->data;
	const char *end = at + value->len;
	int64		number;
	int64		offset;
	int64		unit = USECS_PER_DAY;
	int			digits;

	if (value->data == NULL)
		return false;
	digits = read_digits(&at, end, 13, &number);
	if (at == end && (digits == 10 || digits == 13))
	{
		unit = digits == 10 ? USECS_PER_SEC : INT64CONST(1000);
		*time = number * unit - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY + unit - 1;
		return true;
	}
	at = value->data;
	if (!read_date(&at, end, time))
		return false;
	if (read_char(&at, end, "Tt "))
	{
		unit = USECS_PER_MINUTE;
		if (read_digits(&at, end, 2, &number) != 2 || number > 23)
			return false;
		*time += number * USECS_PER_HOUR;
		if (!read_char(&at, end, ":") || read_digits(&at, end, 2, &number) != 2 || number > 59)
			return false;
		*time += number * USECS_PER_MINUTE;
		if (read_char(&at, end, ":"))
		{
			unit = USECS_PER_SEC;
			if (read_digits(&at, end, 2, &number) != 2 || number > 60)
				return false;
			*time += number * USECS_PER_SEC;
		}
		if (unit == USECS_PER_SEC && read_char(&at, end, ".,"))
		{
			while (unit > 1 && read_digits(&at, end, 1, &number) == 1)
			{
				unit /= 10;
				*time += number * unit;
			}
			while (read_digits(&at, end, 1, &number) == 1)
				;
		}
	}
	if (!read_zone(&at, end, &offset) || at != end)
		return false;
	*time += unit - 1 - offset;
	return true;
}

/* The field that says it and its value, with the words where there are any. */
static char *
reason_of(const PoFieldMap *field, const char *value, const PoBytes *words)
{
	if (words == NULL || words->data == NULL || (words->len == strlen(value) && memcmp(words->data, value,
																					   words->len) == 0))
		return psprintf("%s=%s", field->name, value);
	return psprintf("%s=%s: %.*s", field->name, value,
					pg_mbcliplen(words->data, words->len, Min(words->len, MAX_WORDS)), words->data);
}

/* What of a list of conditions holds, or NULL. */
static const char *
find_reason(const PoProviderMap *map, const PoBytes *field, const PoCondition *condition, int n, const PoBytes *words)
{
	for (int c = 0; c < n; c++)
	{
		const char *value = po_condition_value(&condition[c], field);

		if (value != NULL)
			return reason_of(&map->field[condition[c].field], value, words);
	}
	return NULL;
}

/* The e-mail address is asked where it is meant, and of providers that have no phones. */
static bool
read_address(const PoProviderMap *map, const PoBytes *value, bool email, char folded[PO_ADDRESS_SIZE])
{
	bool		has_phones = map->field[PO_FIELD_PHONE].npaths > 0;
	const PoBytes *address = &value[has_phones && !email ? PO_FIELD_PHONE : PO_FIELD_EMAIL];

	return address->data != NULL && po_address_fold(address->data, address->len, folded);
}

/* Whether something is told of an address, of which, and since when. */
static bool
read_contact(const PoWebhook *webhook, PoWebhookReading *reading)
{
	const PoKind *kind = reading->kind;
	const PoProviderMap *map = webhook->endpoint->map;
	const PoBytes *value = reading->value;
	const PoBytes *words = &value[PO_FIELD_SAID];
	TimestampTz received_at = webhook->request.stored ? webhook->request.received_at : po_now();
	char		email[PO_ADDRESS_SIZE];
	bool		told;

	reading->revoked_by = find_reason(map, value, kind->revoked_by, kind->nrevoked_by, words);
	reading->unreachable_by = find_reason(map, value, kind->unreachable_by, kind->nunreachable_by, words);
	reading->email_revoked_by = find_reason(map, value, kind->email_revoked_by, kind->nemail_revoked_by, NULL);
	told = reading->revoked_by != NULL || reading->unreachable_by != NULL;
	if (!told && reading->email_revoked_by == NULL)
		return false;
	told = told && read_address(map, value, false, reading->phone);
	if (!told && reading->email_revoked_by != NULL)
	{
		reading->revoked_by = reading->email_revoked_by;
		reading->unreachable_by = NULL;
		told = read_address(map, value, true, reading->phone);
	}
	else if (reading->revoked_by != NULL && reading->email_revoked_by != NULL && read_address(map, value, true, email))
		reading->email = pstrdup(email);
	/* It is told of somebody: a person has to find out of whom. */
	if (!told)
	{
		reading->flaw = reading->revoked_by != NULL ? "it revokes a consent, and no address can be read in it"
			: "it tells that an address cannot be reached, and none can be read in it";
		reading->unresolved = true;
		return false;
	}
	reading->is_revocation = reading->revoked_by != NULL;
	if (reading->is_revocation)
	{
		reading->reason = reading->revoked_by;
		if (!read_time(&value[PO_FIELD_SAID_AT], &reading->said_at))
			reading->said_at = received_at;
		reading->said_at = Min(reading->said_at, received_at);
	}
	return true;
}

static void
want_address(const PoWebhook *webhook, PoWants *wants, int member)
{
	const char *tenant_id = webhook->endpoint->tenant_id;
	const PoWebhookReading *reading = &webhook->reading;

	(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, reading->phone);
	if (reading->email != NULL)
		(void) po_want(wants, PO_WANT_ADDRESS, member, tenant_id, reading->email);
	(void) po_want(wants, PO_WANT_LEADS_OF, member, tenant_id, reading->phone);
}

static void
decide_bounce(PoUnit *unit, const PoWebhook *webhook, PoAddress *phone, const PoCause *cause)
{
	const PoWebhookReading *reading = &webhook->reading;
	const PoBytes *code = &reading->value[PO_FIELD_ERROR_CODE];
	PoUnreachable mark = {
		.channel = po_is_email(reading->phone) ? PO_CHANNEL_EMAIL : PO_CHANNEL_SMS,
		.code = code->data != NULL ? pnstrdup(code->data, Min(code->len, PO_MAX_CODE)) : NULL,
		.reason = reading->unreachable_by,
		.message_id = webhook->subject.lead_id != NULL ? &webhook->subject.message_id : NULL
	};

	po_mark_unreachable(unit, phone, &mark, cause);
}

/* With the phone's consent that of the address is revoked. */
static void
decide_email(PoUnit *unit, PoAddress *email, const PoWebhookReading *reading, const PoCause *cause)
{
	PoCause		of_email = *cause;

	of_email.reason = reading->email_revoked_by;
	if (!po_has_agreed_since(email, reading->said_at))
		(void) po_change_consent(unit, email, PO_CONSENT_OPTED_OUT, &of_email);
}

/* Opts the addresses out, unless the person has agreed since, and marks them. */
static bool
decide_contact(PoSubjects *subjects, PoWebhook *webhook, const PoCause *cause)
{
	PoUnit	   *unit = &subjects->unit;
	const char *tenant_id = webhook->endpoint->tenant_id;
	const PoWebhookReading *reading = &webhook->reading;
	PoAddress  *phone = po_find_address(unit, tenant_id, reading->phone);

	if (reading->unreachable_by != NULL)
		decide_bounce(unit, webhook, phone, cause);
	if (!reading->is_revocation)
		return false;
	if (reading->email != NULL)
		decide_email(unit, po_find_address(unit, tenant_id, reading->email), reading, cause);
	webhook->subject.overtaken = po_has_agreed_since(phone, reading->said_at);
	if (!webhook->subject.overtaken)
		po_decide_opt_out(unit, &webhook->result, phone, cause);
	return false;
}

static const char *
opts_address_out(const PoWebhook *webhook)
{
	return webhook->reading.is_revocation ? webhook->reading.phone : NULL;
}

const PoHandler po_contact_handler = {
	.is = PO_IS_CONTACT,
	.effects = 1 << PO_KIND_EFFECT_LOG | 1 << PO_KIND_EFFECT_STATUS,
	.read = read_contact,
	.want = want_address,
	.decide = decide_contact,
	.opts_out = opts_address_out,
	.is_told_late = true
};
