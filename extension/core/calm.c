/*
 * calm.c
 *	  Whether the wall clock goes as the monotonic one does.
 *
 * Launcher and workers look once a second at least, and note in shared memory
 * when it was last seen to jump.  A spinlock guards the one value.
 */
#include "postgres.h"

#include "core/calm.h"
#include "core/compat.h"
#include "portability/instr_time.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define CLOCK_JUMP_USECS (2 * USECS_PER_SEC)

typedef struct Calm
{
	slock_t		lock;
	instr_time	since;
} Calm;

static Calm *calm = NULL;

/*
 * po_calm_size returns what is wanted of shared memory.
 */
Size
po_calm_size(void)
{
	return MAXALIGN(sizeof(Calm));
}

/*
 * po_calm_startup finds its place there; the caller holds AddinShmemInitLock.
 */
void
po_calm_startup(void)
{
	bool		found;

	calm = ShmemInitStruct("pg_outreach clock", po_calm_size(), &found);
	if (!found)
	{
		memset(calm, 0, sizeof(Calm));
		SpinLockInit(&calm->lock);
	}
}

/*
 * po_shared_watch_clock notes a jump of the wall clock since this process has
 * looked at it last; begins: nobody has looked before.  To be called once a
 * second at least.
 */
void
po_shared_watch_clock(bool begins)
{
	static TimestampTz wall_before = 0;
	static instr_time before;
	TimestampTz wall = GetCurrentTimestamp();
	instr_time	now;
	instr_time	passed;
	bool		jumped = false;

	INSTR_TIME_SET_CURRENT(now);
	if (wall_before != 0)
	{
		int64		drift;

		passed = now;
		INSTR_TIME_SUBTRACT(passed, before);
		drift = wall - wall_before - (int64) INSTR_TIME_GET_MICROSEC(passed);
		jumped = drift > CLOCK_JUMP_USECS || drift < -CLOCK_JUMP_USECS;
	}
	wall_before = wall;
	before = now;
	if (!begins && !jumped)
		return;
	SpinLockAcquire(&calm->lock);
	calm->since = now;
	SpinLockRelease(&calm->lock);
}

/*
 * po_shared_calm_for tells for how many microseconds the wall clock has been seen
 * to go as the monotonic one does: times in rows can be trusted that far back.
 */
int64
po_shared_calm_for(void)
{
	instr_time	passed;
	instr_time	since;

	SpinLockAcquire(&calm->lock);
	since = calm->since;
	SpinLockRelease(&calm->lock);
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, since);
	return INSTR_TIME_GET_MICROSEC(passed);
}
