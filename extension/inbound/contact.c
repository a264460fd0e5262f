/*
 * contact.c
 *	  What a provider tells of a contact's consent: a person has said elsewhere that
 *	  they are not to be written to.
 *
 * Which fields and values say so are rows (webhook_kinds.revoked_by).  It opts the
 * phone out, as the person's own STOP does.  Nothing that is told so opts a phone in:
 * a switch in somebody's system that is off is no act of the person.
 *
 * It is told late, or again.  What the person has agreed to since then stands: the
 * payload's own time is asked, as late as its digits allow.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "inbound/webhook.h"
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
reason_of(const PoWebhook *webhook, const PoCondition *condition, const char *value)
{
	const PoBytes *words = &webhook->value[PO_FIELD_SAID];
	const char *field = webhook->endpoint->map->field[condition->field].name;

	if (words->data == NULL)
		return psprintf("%s=%s", field, value);
	return psprintf("%s=%s: %.*s", field, value,
					pg_mbcliplen(words->data, words->len, Min(words->len, MAX_WORDS)), words->data);
}

/*
 * po_read_contact reads whether a payload tells that somebody's consent is revoked, of
 * which phone, and since when; its kind is known.
 */
void
po_read_contact(PoWebhook *webhook)
{
	const PoKind *kind = webhook->kind;
	const PoBytes *phone = &webhook->value[PO_FIELD_PHONE];
	TimestampTz received_at = webhook->stored ? webhook->received_at : po_now();

	if (kind == NULL || webhook->flaw != NULL)
		return;
	for (int c = 0; c < kind->nrevoked_by && webhook->revoked_by == NULL; c++)
	{
		const char *value = po_condition_value(&kind->revoked_by[c], webhook->value);

		if (value != NULL)
			webhook->revoked_by = reason_of(webhook, &kind->revoked_by[c], value);
	}
	if (webhook->revoked_by == NULL)
		return;
	/* It is told of somebody: a person has to find out of whom. */
	if (phone->data == NULL || !po_phone_e164(phone->data, phone->len, webhook->phone))
	{
		webhook->flaw = "it revokes a consent, and no phone can be read in it";
		webhook->unresolved = true;
		return;
	}
	webhook->is_revocation = true;
	if (!read_time(&webhook->value[PO_FIELD_SAID_AT], &webhook->said_at))
		webhook->said_at = received_at;
	webhook->said_at = Min(webhook->said_at, received_at);
}

/*
 * po_decide_contact opts the phone out, unless the person has agreed since; the phone
 * is locked.
 */
void
po_decide_contact(PoChangeSet *set, PoWebhook *webhook, const PoCause *cause)
{
	PoPhone    *phone = po_find_phone(set, webhook->endpoint->tenant_id, webhook->phone);

	webhook->overtaken = po_has_agreed_since(phone, webhook->said_at);
	if (!webhook->overtaken)
		po_decide_opt_out(set, webhook, phone, cause);
}
