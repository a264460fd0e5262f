/*
 * One message to a lead whose person says STOP, while an address becomes another
 * person's: who locks what, and reads it again.
 *
 * People are rows of outreach.contacts, addresses belong to one of them, the lead to
 * one as well.  What a transaction writes others see when it commits, which is one
 * step; what it has read it has read before, and another may have changed it unless a
 * lock keeps them from it.  README.md says which file does which step, and what the
 * macros of the variants take away.
 */
#define PEOPLE		3
#define ADDRESSES	2
#define STAYS		0
#define MOVES_ON	1		/* whose it is changes */

#ifndef MOVERS
#define MOVERS		2
#endif

/* The rows. */
byte whose[ADDRESSES];			/* addresses.contact_id */
bool said[ADDRESSES];			/* addresses.consent is opted_out */
bool refused[PEOPLE];			/* contacts.phones_opted_out_at is set */
byte lead_person;				/* leads.contact_id */
byte lead_address;				/* where it is written to */
bool by_phone;					/* that is its phone: then the lead goes with it */

/* Their locks. */
byte shares[PEOPLE];
bool held[PEOPLE];
bool address_held[ADDRESSES];
bool lead_held;

/* What has committed. */
bool person_out[PEOPLE];
bool address_out[ADDRESSES];
bool decided;					/* the message is claimed, or blocked */

#define FREE(person)	(!held[person] && shares[person] == 0)

/* The properties: all of them, or the one that a variant must break. */
#if defined(CHECK_ALL) || defined(CHECK_OPT_OUT)
#define CONSENT(c)	assert(c)
#else
#define CONSENT(c)	skip
#endif
#if defined(CHECK_ALL) || defined(CHECK_JOINS)
#define JOINS(c)	assert(c)
#else
#define JOINS(c)	skip
#endif

/* An address of a person who has opted out has opted out. */
inline check()
{
	JOINS(!person_out[whose[STAYS]] || said[STAYS]);
	JOINS(!person_out[whose[MOVES_ON]] || said[MOVES_ON])
}

inline share(person)
{
#ifndef CLAIM_UNLOCKED
	shares[person]++
#else
	skip
#endif
}

inline unshare(person)
{
#ifndef CLAIM_UNLOCKED
	shares[person]--
#else
	skip
#endif
}

/* The claim's locks are gone. */
inline let_go()
{
	if
	:: has_people ->
		unshare(owner);
		if
		:: person != owner -> unshare(person)
		:: else
		fi;
		has_people = false
	:: else
	fi;
	if
	:: has_lead -> lead_held = false; has_lead = false
	:: else
	fi;
	owner = 0; person = 0; to = 0; sees = false
}

/* T1: what it cannot lock it leaves for the next time. */
proctype claim()
{
	byte to, owner, person;
	bool has_lead, has_people, sees;

	do
	:: atomic { !decided && !lead_held ->
#ifndef LEAD_UNLOCKED
		lead_held = true; has_lead = true;
#endif
		to = lead_address; person = lead_person };
		atomic { owner = whose[to];
#ifdef CLAIM_STALE
		sees = said[to];
#endif
		printf("claim: of a lead of %d, to address %d of %d\n", person, to, owner) };
		if
#ifdef CLAIM_UNLOCKED
		:: atomic { true -> has_people = true;
#else
		:: atomic { !held[owner] && !held[person] ->
			has_people = true;
			share(owner);
			if
			:: person != owner -> share(person)
			:: else
			fi;
#endif
#ifndef PEOPLE_UNASKED
			sees = sees || refused[owner] || refused[person]
#endif
			}
		:: atomic { held[owner] || held[person] -> let_go(); goto next }
		fi;
#ifndef CLAIM_STALE
		if
		:: atomic { whose[to] == owner -> sees = sees || said[to] }
		:: atomic { whose[to] != owner -> let_go(); goto next }
		fi;
#endif
		if
		:: atomic { sees -> printf("claim: blocked\n"); decided = true; let_go() }
		:: atomic { !sees ->
			printf("claim: commits\n");
			CONSENT(!address_out[to]);
			CONSENT(!person_out[whose[to]]);
			CONSENT(!person_out[lead_person]);
			decided = true;
			let_go() }
		fi;
next:	skip
	:: atomic { decided -> break }
	od
}

/* A STOP from one of the addresses. */
proctype opt_out()
{
	byte from, person;
	bool mine[ADDRESSES];

	if
	:: from = STAYS
	:: from = MOVES_ON
	fi;
again:
	person = whose[from];
#ifndef ADDRESS_ALONE
	atomic { FREE(person) -> held[person] = true; printf("STOP: locks person %d\n", person) };
#endif
	atomic { (whose[STAYS] != person || !address_held[STAYS]) && (whose[MOVES_ON] != person || !address_held[MOVES_ON]) ->
		mine[STAYS] = (whose[STAYS] == person);
		mine[MOVES_ON] = (whose[MOVES_ON] == person);
		address_held[STAYS] = address_held[STAYS] || mine[STAYS];
		address_held[MOVES_ON] = address_held[MOVES_ON] || mine[MOVES_ON] };
	if
#ifndef STOP_STALE
	:: atomic { whose[from] != person ->
		if
		:: mine[STAYS] -> address_held[STAYS] = false
		:: else
		fi;
		if
		:: mine[MOVES_ON] -> address_held[MOVES_ON] = false
		:: else
		fi;
#ifndef ADDRESS_ALONE
		held[person] = false;
#endif
		goto again }
	:: atomic { whose[from] == person ->
#else
	:: atomic { true ->
#endif
		/* of whoever the address is now */
		person_out[whose[from]] = true;
		address_out[STAYS] = address_out[STAYS] || whose[STAYS] == whose[from];
		address_out[MOVES_ON] = address_out[MOVES_ON] || whose[MOVES_ON] == whose[from];
		refused[person] = true;
		said[from] = true;
		if
		:: mine[STAYS] -> said[STAYS] = true; address_held[STAYS] = false
		:: else
		fi;
		if
		:: mine[MOVES_ON] -> said[MOVES_ON] = true; address_held[MOVES_ON] = false
		:: else
		fi;
#ifndef ADDRESS_ALONE
		held[person] = false;
#endif
		printf("STOP: commits, from address %d, of person %d\n", from, person);
		check() }
	fi
}

/* Two people, in the order of locks. */
inline lock_people(one, other)
{
	atomic { FREE((one < other -> one : other)) -> held[(one < other -> one : other)] = true };
	if
	:: one != other -> atomic { FREE((one < other -> other : one)) -> held[(one < other -> other : one)] = true }
	:: else
	fi
}

inline unlock_people(one, other)
{
	held[one] = false;
	held[other] = false
}

/* Whose it is, is locked. */
#ifdef MOVE_STALE
#define UNCHANGED	true
#else
#define UNCHANGED	(whose[MOVES_ON] == person || whose[MOVES_ON] == target)
#endif

/* The address becomes another person's, and the lead whose phone it is. */
proctype mover()
{
	byte target, person;
	bool has_lead;

	if
	:: target = 0
	:: target = 1
	:: target = 2
	fi;
	person = whose[MOVES_ON];
#ifndef MOVE_UNLOCKED
	lock_people(person, target);
#endif
	atomic { !address_held[MOVES_ON] -> address_held[MOVES_ON] = true };
	if
	:: atomic { !by_phone || lead_address != MOVES_ON }
	:: atomic { by_phone && lead_address == MOVES_ON && !lead_held -> lead_held = true; has_lead = true }
	fi;
	atomic {
		if
		:: true										/* it fails, or has to be tried again */
		:: UNCHANGED && has_lead == (by_phone && lead_address == MOVES_ON) ->
			whose[MOVES_ON] = target;
#ifndef NOT_INHERITED
			said[MOVES_ON] = said[MOVES_ON] || refused[target];
#endif
			if
			:: has_lead -> lead_person = target
			:: else
			fi;
			printf("move: to person %d\n", target);
			check()
		fi;
		if
		:: has_lead -> lead_held = false
		:: else
		fi;
		address_held[MOVES_ON] = false;
#ifndef MOVE_UNLOCKED
		unlock_people(person, target);
#endif
		has_lead = false; person = 0; target = 0
	}
}

/* The lead gets the other phone, and is its person's then. */
proctype update_lead()
{
	byte to, person, owner;

	if
	:: by_phone ->
		atomic { to = 1 - lead_address; person = lead_person; owner = whose[to] };
		lock_people(person, owner);
		atomic { !lead_held -> lead_held = true };
		atomic {
			if
			:: lead_person == person && whose[to] == owner ->
				lead_person = owner;
				lead_address = to;
				printf("update: the lead is person %d's, at address %d\n", owner, to)
			:: else
			fi;
			lead_held = false;
			unlock_people(person, owner) }
	:: else
	fi
}

init
{
	byte n;

	atomic {
		whose[STAYS] = 0;
		if
		:: whose[MOVES_ON] = 0
		:: whose[MOVES_ON] = 1
		fi;
		if
		:: lead_address = STAYS
		:: lead_address = MOVES_ON
		fi;
		/* by e-mail a lead may be written to at an address of somebody else */
		if
		:: by_phone = true; lead_person = whose[lead_address]
		:: lead_person = 0
		:: lead_person = 1
		:: lead_person = 2
		fi;
		run claim();
		run opt_out();
		run update_lead();
		for (n : 1 .. MOVERS) {
			run mover()
		}
	}
}
