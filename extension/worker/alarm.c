/*
 * alarm.c
 *	  Waking up on the microsecond: WaitLatch() counts milliseconds, and a timer that fires
 *	  a part of one early has not come due.
 */
#include "postgres.h"

#include <sys/timerfd.h>

#include "storage/fd.h"
#include "worker/alarm.h"

/*
 * po_alarm_in returns a descriptor that becomes readable in so many microseconds, the same
 * at each call; PGINVALID_SOCKET where there can be none.  It is the process's.
 */
pgsocket
po_alarm_in(int64 us)
{
	static int	fd = -1;
	struct itimerspec at = {{0}};

	if (fd < 0)
	{
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (fd < 0)
			return PGINVALID_SOCKET;
		ReserveExternalFD();
	}
	us = Max(us, 1);			/* 0 would be never */
	at.it_value.tv_sec = us / 1000000;
	at.it_value.tv_nsec = us % 1000000 * 1000;
	return timerfd_settime(fd, 0, &at, NULL) == 0 ? fd : PGINVALID_SOCKET;
}
