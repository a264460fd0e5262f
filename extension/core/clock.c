/*
 * clock.c
 *	  The one function that tells the time, so that tests and simulations can
 *	  set it with outreach.clock.
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* 0 while the real time is used: no timestamp a test wants is 2000-01-01. */
static TimestampTz fixed_now = 0;

/*
 * po_now returns the time, to the microsecond.
 */
TimestampTz
po_now(void)
{
	return fixed_now != 0 ? fixed_now : GetCurrentTimestamp();
}

/*
 * po_clock_check parses a new value of outreach.clock.
 */
bool
po_clock_check(char **newval, void **extra, GucSource source)
{
	TimestampTz value = 0;
	TimestampTz *result;

	if ((*newval)[0] != '\0')
	{
		struct pg_tm tm;
		fsec_t		fsec;
		int			tz;
		int			dtype;
		int			nf;
		char	   *field[MAXDATEFIELDS];
		int			ftype[MAXDATEFIELDS];
		char		workbuf[MAXDATELEN + MAXDATEFIELDS];

		/* timestamptz_in would raise, which a check hook must not. */
		if (ParseDateTime(*newval, workbuf, sizeof(workbuf), field, ftype,
						  MAXDATEFIELDS, &nf) != 0 ||
			po_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0 ||
			dtype != DTK_DATE ||
			tm2timestamp(&tm, fsec, &tz, &value) != 0)
		{
			GUC_check_errdetail("The value must be a timestamp with time zone.");
			return false;
		}
	}
	result = guc_malloc(LOG, sizeof(TimestampTz));
	if (result == NULL)
		return false;
	*result = value;
	*extra = result;
	return true;
}

/*
 * po_clock_assign takes over a checked value.
 */
void
po_clock_assign(const char *newval, void *extra)
{
	fixed_now = extra ? *(TimestampTz *) extra : 0;
}
