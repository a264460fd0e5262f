/*
 * lane.c
 *	  Who shares what: the requests of one tenant are a lane.
 *
 * Which tenant a path leads to is not known here; the answers of the database
 * tell which paths are one tenant's, by a number.  Until then each path is a lane
 * of its own.  What was learned is a table of fixed size, in which a path may take
 * another's place, and lanes are counted in another: two tenants that meet in a
 * place share what is one's, which costs them their share and nothing else.
 * Numbers are mixed with random bytes, so that nobody chooses whom to meet.
 */
#include "postgres_fe.h"

#include "common/hashfn.h"

#include "lane.h"
#include "log.h"
#include "uuid.h"

#define KNOWN_PATHS 8192

#define SLOW_CALL_MS	200
#define SLOW_FOR_MS		5000	/* unless a quick call comes before */

typedef struct KnownPath
{
	uint64		path;			/* its hash; 0: none */
	int			lane;
} KnownPath;

static KnownPath known[KNOWN_PATHS];
static PoLane lane[PO_LANES];
static PoLanesInCall *under_way = NULL;

static uint64
mix(const void *bytes, size_t len)
{
	static uint64 seed = 0;

	while (seed == 0)
		po_random_bytes(&seed, sizeof(seed));
	return hash_bytes_extended(bytes, (int) len, seed);
}

/* A lane by its number; the counters in it are whoever's who changes what they count. */
PoLane *
po_lane(int number)
{
	return &lane[number];
}

/* The lane of a request, by its path. */
int
po_lane_of(PoSlice path)
{
	uint64		hash = mix(path.data, path.len);
	const KnownPath *entry = &known[hash % KNOWN_PATHS];

	return entry->path == hash ? entry->lane : (int) ((hash >> 32) % PO_LANES);
}

/* The path is that tenant's; so is what is known of the lane its request was in. */
void
po_lane_learn(PoSlice path, int64 tenant, int was)
{
	uint64		hash = mix(path.data, path.len);
	KnownPath  *entry = &known[hash % KNOWN_PATHS];

	entry->path = hash;
	entry->lane = (int) (mix(&tenant, sizeof(tenant)) % PO_LANES);
	if (lane[entry->lane].slow_until < lane[was].slow_until)
		lane[entry->lane].slow_until = lane[was].slow_until;
}

/* The lane of which most webhooks wait. */
int
po_lane_longest(void)
{
	int			longest = 0;

	for (int i = 1; i < PO_LANES; i++)
	{
		if (lane[i].waiting > lane[longest].waiting)
			longest = i;
	}
	return longest;
}

/* Did its last calls take long? */
bool
po_lane_is_slow(int number, int64 now)
{
	return lane[number].slow_until > now;
}

static void
set_slow(const PoLanesInCall *call, bool slow)
{
	for (int i = 0; i < call->n; i++)
		lane[call->lane[i]].slow_until = !slow ? 0
			: po_monotonic_micros() + SLOW_FOR_MS * INT64CONST(1000);
}

static bool
takes_long(const PoLanesInCall *call)
{
	return po_monotonic_micros() - call->began > SLOW_CALL_MS * INT64CONST(1000);
}

/* A call begins with these webhooks. */
void
po_lanes_begin_call(PoLanesInCall *call, PoWebhook **webhooks, int count)
{
	if (count > call->room)
	{
		call->lane = pg_realloc(call->lane, sizeof(int) * count);
		call->room = count;
	}
	call->began = po_monotonic_micros();
	call->n = 0;
	for (int i = 0; i < count; i++)
	{
		int			number = webhooks[i]->lane;
		int			l = 0;

		while (l < call->n && call->lane[l] != number)
			l++;
		if (l < call->n)
			continue;
		call->lane[call->n++] = number;
		lane[number].calls++;
	}
	call->next = under_way;
	under_way = call;
}

/* The lanes of calls that take long are slow from then on. */
void
po_lanes_note_slow(void)
{
	for (PoLanesInCall *call = under_way; call != NULL; call = call->next)
	{
		if (takes_long(call))
			set_slow(call, true);
	}
}

/* The connection is free of the call, or gone; nothing when there is none. */
void
po_lanes_end_call(PoLanesInCall *call)
{
	PoLanesInCall **link = &under_way;

	while (*link != NULL && *link != call)
		link = &(*link)->next;
	if (*link == NULL)
		return;
	*link = call->next;
	set_slow(call, takes_long(call));
	for (int i = 0; i < call->n; i++)
		lane[call->lane[i]].calls--;
	call->n = 0;
}
