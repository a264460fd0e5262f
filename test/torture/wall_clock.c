/*
 * wall_clock.c
 *	  A wall clock that tests can move, for a server and all its processes.
 *
 * Preloaded; the file that WALL_CLOCK names holds, as a native 64-bit integer, by
 * how many seconds the clock is off, and a write to it is seen at once.  The
 * monotonic clocks are left alone.  libfaketime would not do: the postmaster starts
 * workers from a signal handler in the midst of a call that it intercepts, and the
 * clock of a process that begins there is never faked.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset = NULL;

__attribute__((constructor)) static void
map_offset(void)
{
	const char *path = getenv("WALL_CLOCK");
	int			file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *mapped;

	if (file < 0)
		return;
	mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
	close(file);
	if (mapped != MAP_FAILED)
		offset = mapped;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && offset != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *offset;
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (result != NULL)
		*result = now.tv_sec;
	return now.tv_sec;
}
