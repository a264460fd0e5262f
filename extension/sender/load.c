/*
 * load.c
 *	  How much is under way of what has a limit, and whether there is room for more.
 *
 * An account has its max_in_flight, a host outreach.max_sends_per_host, and all
 * together outreach.max_sends.  Of that a tenant has what it likes as long as an
 * eighth as much is free: however many accounts it has, and however long they keep
 * us waiting, there is room for another tenant.
 *
 * No more requests are in the air, of an account or to a host, than it has.  Claimed
 * are as many, and ahead of them what has landed lately in AHEAD_MS: a request leaves
 * when another's answer is there, and not when that is recorded and a claim has
 * committed.  Where answers are slow that is nothing, so that what is claimed leaves at
 * once.
 *
 * The state of a worker's process.  Flights count from when they are begun until
 * they are done; what a claim plans to begin counts until the next claim.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi_plan.h"
#include "sender/http_transfer.h"
#include "sender/load.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define NAME_SIZE (2 * PO_MAX_ID_BYTES + 32)
#define TENANT_OF_FREE 8		/* a tenant has less than so many times what is free */
#define MOST_ROOMS 64			/* accounts whose room a look is told */
#define AHEAD_MS 50

typedef enum Kind
{
	ACCOUNT,
	HOST,
	TENANT
} Kind;

/* Hosts that are cut off share their room. */
typedef struct Key
{
	Kind		kind;
	char		name[NAME_SIZE];	/* of the host, else the tenant's id */
	char		account[PO_MAX_ID_BYTES + 1];	/* of an account, else "" */
} Key;

typedef struct PoLoad
{
	Key			key;
	int			under_way;
	int			in_air;			/* of those, requests without an answer */
	int			landed;			/* since then, */
	int64		since;			/* by the monotonic clock in milliseconds */
	int			ahead;			/* so many landed in AHEAD_MS before */
	int			planned;		/* by the claim that is open */
	int			let;			/* parts of the room that are promised */
	uint64		last_let;		/* of a tenant, by a count: when it was promised one last */
} PoLoad;

static HTAB *loads = NULL;
static uint64 nlet = 0;
static int	free_room = 0;		/* of all, less what is planned */

/*
 * po_load_start makes ready; to be called once.
 */
void
po_load_start(void)
{
	HASHCTL		control = {
		.keysize = sizeof(Key),
		.entrysize = sizeof(PoLoad),
		.hcxt = TopMemoryContext
	};

	if (loads == NULL)
		loads = hash_create("outreach loads", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static PoLoad *
load_of(Kind kind, const char *tenant_id, const char *account, const char *host)
{
	Key			key;
	PoLoad	   *load;
	bool		found;

	/* Its padding counts, too. */
	memset(&key, 0, sizeof(key));
	key.kind = kind;
	strlcpy(key.name, kind == HOST ? host : tenant_id, sizeof(key.name));
	if (kind == ACCOUNT)
		strlcpy(key.account, account, sizeof(key.account));
	load = hash_search(loads, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) load + sizeof(Key), 0, sizeof(PoLoad) - sizeof(Key));
		load->since = po_monotonic_ms();
	}
	return load;
}

/*
 * po_load_begin counts a flight that begins; po_load_end() is to follow.
 */
void
po_load_begin(PoLoads *of, const PoAccount *account)
{
	of->account = load_of(ACCOUNT, account->tenant_id, account->account, NULL);
	of->host = load_of(HOST, NULL, NULL, account->origin);
	of->tenant = load_of(TENANT, account->tenant_id, NULL, NULL);
	of->max_in_flight = account->profile->max_in_flight;
	of->account->under_way++;
	of->host->under_way++;
	of->tenant->under_way++;
}

/*
 * po_load_end counts it no more; it is not in the air.  Never raises.
 */
void
po_load_end(PoLoads *of)
{
	of->account->under_way--;
	of->host->under_way--;
	of->tenant->under_way--;
}

/*
 * po_load_departs counts its request in the air, unless there are as many as there may
 * be: then it returns false.  Never raises.
 */
bool
po_load_departs(PoLoads *of)
{
	if (of->account->in_air >= of->max_in_flight || of->host->in_air >= po_setting_max_sends_per_host)
		return false;
	of->account->in_air++;
	of->host->in_air++;
	return true;
}

static void
land(PoLoad *load)
{
	load->in_air--;
	load->landed++;
}

/*
 * po_load_lands ends that.  Never raises.
 */
void
po_load_lands(PoLoads *of)
{
	land(of->account);
	land(of->host);
}

/* How many more than may be in the air may be claimed. */
static int
ahead_of(PoLoad *load)
{
	int64		now = po_monotonic_ms();
	int64		passed = now - load->since;

	if (passed >= AHEAD_MS)
	{
		load->ahead = load->landed * AHEAD_MS / passed;
		load->landed = 0;
		load->since = now;
	}
	return load->ahead;
}

/*
 * po_load_plan_begins forgets what was planned; room is what is free of all.
 */
void
po_load_plan_begins(int room)
{
	HASH_SEQ_STATUS scan;
	PoLoad	   *load;

	free_room = room;
	hash_seq_init(&scan, loads);
	while ((load = hash_seq_search(&scan)) != NULL)
	{
		load->planned = load->let = 0;
		if (load->under_way == 0 && ahead_of(load) == 0 && load->landed == 0)
			(void) hash_search(loads, &load->key, HASH_REMOVE, NULL);
	}
}

/* How many more an account may have claimed; less than none where what it may have has shrunk. */
static int
room_of(PoLoad *of_account, const PoAccount *account)
{
	return account->profile->max_in_flight + ahead_of(of_account) - of_account->under_way - of_account->planned;
}

static bool
tenant_has_room(const PoLoad *tenant)
{
	return tenant->under_way + tenant->planned < TENANT_OF_FREE * free_room;
}

static bool
has_room(const PoAccount *account)
{
	PoLoad	   *of_account = load_of(ACCOUNT, account->tenant_id, account->account, NULL);
	PoLoad	   *to_host = load_of(HOST, NULL, NULL, account->origin);

	return room_of(of_account, account) > 0 &&
		to_host->under_way + to_host->planned + to_host->let - of_account->let <
		po_setting_max_sends_per_host + ahead_of(to_host) &&
		tenant_has_room(load_of(TENANT, account->tenant_id, NULL, NULL));
}

/*
 * po_load_may_plan tells whether an account that had no room has some again; of a
 * host's room each account that is told so has a part, which no other takes.  first:
 * it must be the first of its tenant.
 */
bool
po_load_may_plan(const PoAccount *account, bool first)
{
	PoLoad	   *of_tenant = load_of(TENANT, account->tenant_id, NULL, NULL);

	if (!has_room(account) || (first && of_tenant->let > 0))
		return false;
	load_of(HOST, NULL, NULL, account->origin)->let++;
	load_of(ACCOUNT, account->tenant_id, account->account, NULL)->let++;
	of_tenant = load_of(TENANT, account->tenant_id, NULL, NULL);
	of_tenant->let++;
	of_tenant->last_let = ++nlet;
	return true;
}

/*
 * po_load_turn tells when a tenant had a part of a host's room last: the lower, the longer
 * ago, among those of which something is under way; 0 of others.
 */
uint64
po_load_turn(const char *tenant_id)
{
	return load_of(TENANT, tenant_id, NULL, NULL)->last_let;
}

/*
 * po_load_plan takes room for a message of the account; false: there is none.
 */
bool
po_load_plan(const PoAccount *account)
{
	PoLoad	   *of_account;
	PoLoad	   *to_host;

	if (!has_room(account))
		return false;
	of_account = load_of(ACCOUNT, account->tenant_id, account->account, NULL);
	of_account->planned++;
	to_host = load_of(HOST, NULL, NULL, account->origin);
	to_host->planned++;
	if (of_account->let > 0)
	{
		of_account->let--;
		to_host->let--;
	}
	load_of(TENANT, account->tenant_id, NULL, NULL)->planned++;
	free_room--;
	return true;
}

/*
 * po_load_may_begin tells whether a request of the account may begin at once; room is
 * what is free of all.  Nothing may be planned: see po_load_plan_begins().
 */
bool
po_load_may_begin(const PoAccount *account, int room)
{
	free_room = room;
	return has_room(account);
}

/*
 * po_loaded_tenants returns the tenants that have no room, as text[].
 */
Datum
po_loaded_tenants(bool *any)
{
	HASH_SEQ_STATUS scan;
	PoArray		tenants;
	PoLoad	   *load;

	po_array_init(&tenants, TEXTOID, 4);
	hash_seq_init(&scan, loads);
	while ((load = hash_seq_search(&scan)) != NULL)
		if (load->key.kind == TENANT && !tenant_has_room(load))
			po_array_add_text(&tenants, load->key.name);
	*any = tenants.n > 0;
	return po_array_datum(&tenants);
}

/*
 * po_load_rooms returns how much room accounts have that something is under way of, as
 * arrays, in the current context: a look need not find more of them, nor lock their
 * leads.  It may find one more, so that the account is known to have no room.
 */
void
po_load_rooms(Datum array[PO_ROOMS_COLUMNS])
{
	static const Oid element[PO_ROOMS_COLUMNS] = {TEXTOID, TEXTOID, INT4OID};
	HASH_SEQ_STATUS scan;
	PoArray		column[PO_ROOMS_COLUMNS];
	PoLoad	   *load;

	for (int i = 0; i < PO_ROOMS_COLUMNS; i++)
		po_array_init(&column[i], element[i], MOST_ROOMS);
	hash_seq_init(&scan, loads);
	while ((load = hash_seq_search(&scan)) != NULL)
	{
		const PoAccount *account;

		if (load->key.kind != ACCOUNT || load->under_way + load->planned == 0)
			continue;
		account = po_find_account(load->key.name, load->key.account);
		if (account == NULL || account->profile == NULL)
			continue;
		po_array_add_text(&column[0], load->key.name);
		po_array_add_text(&column[1], load->key.account);
		po_array_add(&column[2], Int32GetDatum(Max(room_of(load, account), 0)));
		if (column[0].n == MOST_ROOMS)
		{
			hash_seq_term(&scan);
			break;
		}
	}
	for (int i = 0; i < PO_ROOMS_COLUMNS; i++)
		array[i] = po_array_datum(&column[i]);
}
