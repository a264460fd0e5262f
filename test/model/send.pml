/*
 * One message of outreach.outbound_messages on its way to a provider, with two
 * workers that may stall or die anywhere, a provider, and the people around.
 *
 * Every option of a process is atomic: one transaction, or one act of the
 * provider.  What is not one option may be interleaved with anything.  A claim is
 * the only transaction of two options, because what it has read counts only while
 * its locks are held.  README.md says which file does which step, and what the
 * macros of the variants take away.
 *
 * Of the provider:	LOOKUP it can be asked; IDEM it honours a key
 */
#ifndef ATTEMPTS
#define ATTEMPTS	3		/* requests for one message */
#endif
#ifndef KILLS
#define KILLS		2		/* kill -9 of a worker, or of all with the postmaster */
#endif
#ifndef ABORTS
#define ABORTS	1		/* claims that fail */
#endif
#define W			2

/* The SQL enum, without review; spin numbers an mtype from its end. */
mtype = { dead, cancelled, blocked, read, delivered, failed, undelivered, sent,
	uncertain, unknown, sending, deferred, pending };

/* Where a worker stands with the message. */
mtype = { idle, claiming, written, claimed, waiting, answered, looking, looked };

/* How a request ended, or a look-up. */
mtype = { none, accepts, refuses, rejects, lost, found, absent };

#define NOBODY		0
#define GONE		(W + 1)	/* a session lock that is free: its process is dead */

/* The row.  failed is our own: a callback's failure is undelivered here. */
mtype status = pending;
byte fence, owner, attempts;
bool ambiguous;				/* ambiguous_since is set */
bool repeated;				/* by more than one request */
bool held;					/* held_by */
bool has_id;				/* provider_message_ids names the message */
mtype parked = none;		/* the status of a callback that waits there */
bool told;					/* that callback came, once */

/* The workers. */
mtype pc[W] = idle;
byte under[W];				/* the fence it works under */
mtype answer[W] = none;
bool saw_opt_out[W], saw_stop[W];

#ifdef LATE_ANSWER
byte given_up[W];			/* the fence of a request recorded as lost, that may yet answer */
#endif

/* The provider. */
byte wire;					/* requests it has not decided on */
byte accepted;				/* messages that the phone gets */
bool shown;					/* a look-up finds it */
bool expired;				/* by our count the key's life is over */
bool forgotten;				/* the provider knows the key no more */
bool restarted;				/* we count from a later request than the accepted one */

/* The people. */
bool opted_out, stopped, calm;
bool stopping, resuming;	/* its transaction is open and has its locks */
byte kills, acts, aborts;

#define SETTLED		(status >= uncertain && wire == 0)
#define FINAL(s)	(s >= sent)
#define ROW_FREE	(pc[0] != claiming && pc[1] != claiming && pc[0] != written && pc[1] != written)

/* Locks that a claim holds shared from its look to its commit. */
#ifdef CONSENT_UNLOCKED
#define PHONE_FREE	true
#else
#define PHONE_FREE	ROW_FREE
#endif
#ifdef STOP_UNLOCKED
#define STOPS_FREE	true
#define STOPPING_FREE	true
#else
#define STOPS_FREE	ROW_FREE
#define STOPPING_FREE	!stopping			/* a claim leaves what a stop under way has locked */
#endif
/* The row of a stop: shared by claims that hold something under it, deleted by a resumption. */
#ifdef RESUME_UNLOCKED
#define RESUME_FREE	true
#define STOP_ROW_FREE	true
#else
#define RESUME_FREE	(!(pc[0] == claiming && saw_stop[0]) && !(pc[1] == claiming && saw_stop[1]))
#define STOP_ROW_FREE	(!stopped || !resuming)
#endif

/* Settle: every request that was given up is decided. */
#if defined(NO_QUIET)
#define QUIET		true
#elif defined(SETTLE_FROM_FIRST)
#define QUIET		(wire == 0 || repeated)
#else
#define QUIET		(wire == 0)
#endif
#ifdef NO_LAG
#define LAG_OVER	true
#else
#define LAG_OVER	(accepted == 0 || shown)
#endif
/* Another request could only repeat the one in doubt. */
#if !defined(IDEM)
#define MAY_BE_SENT	(!ambiguous)
#define REPEATABLE	false
#elif defined(KEY_UNCHECKED)
#define MAY_BE_SENT	true
#define REPEATABLE	(attempts < ATTEMPTS)
#else
#define MAY_BE_SENT	(!ambiguous || !expired)
#define REPEATABLE	(attempts < ATTEMPTS)
#endif

#define CLAIMABLE	((status == pending || status == deferred) && !held)

/* The properties: all of them, or the one that a variant must break. */
#if defined(CHECK_ALL) || defined(CHECK_ONCE)
#define ONCE(c)		assert(c)
#else
#define ONCE(c)		skip
#endif
#if defined(CHECK_ALL) || defined(CHECK_TRUTH)
#define TRUTH(c)	assert(c)
#else
#define TRUTH(c)	skip
#endif
#if defined(CHECK_ALL) || defined(CHECK_FINAL)
#define STAYS(c)	assert(c)
#else
#define STAYS(c)	skip
#endif
#if defined(CHECK_ALL) || defined(CHECK_OPT_OUT)
#define CONSENT(c)	assert(c)
#else
#define CONSENT(c)	skip
#endif
#if defined(CHECK_ALL) || defined(CHECK_STOP)
#define GOING(c)	assert(c)
#else
#define GOING(c)	skip
#endif
#if defined(CHECK_ALL) || defined(CHECK_END)
#define ENDED(c)	assert(c)
#else
#define ENDED(c)	skip
#endif

/* True at every moment: at most once, and no status says what is not so. */
inline check()
{
	ONCE(accepted <= 1);
	TRUTH(!(status == sent || status == undelivered || status == delivered || status == read) || accepted > 0);
	TRUTH(!(status == failed || status >= blocked) || accepted == 0)
}

#ifdef MOVES
/* Which status was left for which: printed at the end, by number. */
c_decl {
	static int left_status;
	static unsigned char moves[32][32];
	static void __attribute__((destructor)) print_moves(void)
	{
		int from, to;
		for (from = 0; from < 32; from++)
			for (to = 0; to < 32; to++)
				if (moves[from][to])
					fprintf(stderr, "move %d %d\n", from, to);
	}
};
#define LEAVES	c_code { left_status = now.status; }
#define ARRIVES	c_code { moves[left_status][now.status] = 1; }
#else
#define LEAVES	skip
#define ARRIVES	skip
#endif

/* A final status is left only upwards among those of which a provider tells. */
inline move(to)
{
	STAYS(!FINAL(status) || (to > status && to <= read));
	LEAVES;
	status = to;
	ARRIVES;
	if
	:: status != sending -> owner = NOBODY
	:: else
	fi;
	printf("\t\t\t\t\t\t-> %e, fence %d\n", status, fence);
	check()
}

/* The worker is done with the message, or dead. */
inline forget(w)
{
	pc[w] = idle; under[w] = 0; answer[w] = none;
	saw_opt_out[w] = false; saw_stop[w] = false
}

inline give_up(w)
{
#ifdef LATE_ANSWER
	given_up[w] = (answer[w] == lost -> under[w] : 0)
#else
	skip
#endif
}

/* Durable: what a crash of the cluster cannot take back. */
#ifdef SHADOW
mtype d_status = pending;
byte d_fence, d_attempts;
bool d_owned, d_ambiguous, d_held;

inline flush()
{
	d_status = status; d_fence = fence; d_attempts = attempts;
	d_owned = (owner != NOBODY); d_ambiguous = ambiguous; d_held = held
}
inline recover()
{
	status = d_status; fence = d_fence; attempts = d_attempts;
	owner = (d_owned -> GONE : NOBODY); ambiguous = d_ambiguous; held = d_held
}
#else
inline flush() { skip }
inline recover() { skip }
#endif

/* The provider takes one of the requests on the wire. */
inline accept()
{
	wire--;
#ifdef IDEM
	if
	:: accepted > 0 && !forgotten				/* answered from what it keeps */
	:: else -> accepted++
	fi;
#else
	accepted++;
#endif
	printf("\tprovider: accepts, %d now\n", accepted);
	check()
}

/* The request leaves. */
inline post(w)
{
#ifdef REPOST
	if
	:: wire++
	:: wire = wire + 2; printf("\tlibcurl: repeats the request\n")
	fi;
#else
	wire++;
#endif
	printf("worker %d: sends under fence %d\n", w, under[w])
}

#if defined(GUARD_FORGETS)
#define FORGOTTEN(to)	(to == blocked)
#elif defined(CANCEL_FORGETS)
#define FORGOTTEN(to)	(to == cancelled)
#else
#define FORGOTTEN(to)	false
#endif

/* It is sent no more; but what may have left is in doubt for ever. */
inline take_back(to)
{
	if
	:: ambiguous && !FORGOTTEN(to) -> move(uncertain)
	:: else -> move(to)
	fi
}

/* T1, its end: the row is the worker's, and committed before the first byte. */
inline take(w)
{
	CONSENT(!opted_out);
	GOING(!stopped);
	fence++;
	attempts++;
	under[w] = fence;
	owner = w + 1;
	printf("worker %d: claims, fence %d, attempt %d\n", w, fence, attempts);
	move(sending);
#ifndef ASYNC_CLAIM
	flush()
#endif
}

/* T1, where a guard says no: what may have left is not "blocked". */
inline refuse_claim(w)
{
	if
	:: saw_stop[w] -> held = true; move(deferred)
	:: else -> take_back(blocked)
	fi;
	flush()
}

/* One more request of which nobody knows what became. */
inline doubt()
{
	repeated = ambiguous;
	ambiguous = true
}

/* Tries are left, or not: surely not accepted. */
inline again()
{
	ambiguous = false;
	repeated = false;
	if
	:: attempts < ATTEMPTS ->
		expired = false;
		restarted = (accepted > 0 || wire > 0);
		move(pending)
	:: else -> move(dead)
	fi
}

#ifdef FENCE_ALONE
#define MINE(w)		(fence == under[w])
#elif defined(NO_GUARD)
#define MINE(w)		true
#elif defined(NO_FENCE)
#define MINE(w)		(status == sending)
#else
#define MINE(w)		(status == sending && fence == under[w])
#endif

/* The provider's name for the message is known: a callback may wait for it. */
#ifdef PARKED_FIRST
mtype saw_parked[W] = none;
bool sought[W];
#define WAITING(w)	saw_parked[w]
#define SOUGHT(w)	(answer[w] != accepts || sought[w])
#else
#define WAITING(w)	parked
#define SOUGHT(w)	true
#endif
inline name(waited)
{
	has_id = true;
	if
	:: waited != none && waited > status -> move(waited)
	:: else
	fi
}

#define REFUSED(w)	(answer[w] == refuses || answer[w] == rejects)
#ifdef REFUSAL_FORGETS
#define AMBIGUOUS	false
#else
#define AMBIGUOUS	ambiguous
#endif

/* T2 */
inline record(w)
{
	printf("worker %d: records %e of fence %d\n", w, answer[w], under[w]);
	if
	:: !MINE(w)
	:: MINE(w) && answer[w] == accepts -> move(sent)
	:: MINE(w) && answer[w] == lost -> doubt(); move(unknown)
	/* an earlier request may have been accepted, whatever became of this one */
	:: MINE(w) && REFUSED(w) && AMBIGUOUS ->
		if
		:: answer[w] == refuses && attempts < ATTEMPTS -> move(pending)
		:: else -> move(uncertain)
		fi
	:: MINE(w) && answer[w] == refuses && !AMBIGUOUS -> again()
	:: MINE(w) && answer[w] == rejects && !AMBIGUOUS -> move(failed)
	fi;
#ifdef BY_ID
	if
	:: answer[w] == accepts -> name(WAITING(w))
	:: else
	fi;
#endif
#ifndef ASYNC_RECORD
	flush();
#endif
	give_up(w);
	forget(w)
}

proctype worker(byte w)
{
end:
	do
	/* T1 */
	:: atomic { pc[w] == idle && CLAIMABLE && ROW_FREE && STOPPING_FREE && STOP_ROW_FREE ->
#ifdef CONSENT_AT_ENQUEUE
		saw_opt_out[w] = false;
#else
		saw_opt_out[w] = opted_out;
#endif
		saw_stop[w] = stopped;
		printf("worker %d: begins to claim\n", w);
		pc[w] = claiming }
	:: atomic { pc[w] == claiming && !saw_opt_out[w] && !saw_stop[w] && !MAY_BE_SENT ->
		move(uncertain);
		flush();
		forget(w) }
	:: atomic { pc[w] == claiming && !saw_opt_out[w] && !saw_stop[w] && MAY_BE_SENT ->
#ifdef COMMIT_LATE
		post(w);
		pc[w] = written }
	:: atomic { pc[w] == written ->
		take(w);
		pc[w] = waiting }
#else
		take(w);
		pc[w] = claimed }
#endif
	:: atomic { pc[w] == claiming && (saw_opt_out[w] || saw_stop[w]) ->
		refuse_claim(w);
		forget(w) }
	/* an error in T1, and the process lives on: nothing is claimed, nothing may leave */
	:: atomic { pc[w] == claiming && aborts < ABORTS ->
		aborts++;
		printf("worker %d: its claim aborts\n", w);
#ifdef ABORT_KEEPS
		under[w] = fence + 1;
		pc[w] = claimed }
#else
		forget(w) }
#endif

	/* the request: it may have been stalled for long */
	:: atomic { pc[w] == claimed ->
		if
#if defined(IDEM) && !defined(KEY_AT_CLAIM) && !defined(KEY_UNCHECKED)
		:: expired -> answer[w] = refuses; pc[w] = answered
		:: !expired -> post(w); pc[w] = waiting
#else
		:: post(w); pc[w] = waiting
#endif
		fi }
	:: atomic { pc[w] == waiting && wire > 0 ->
		accept();
		answer[w] = accepts; pc[w] = answered }
	:: atomic { pc[w] == waiting && wire > 0 && !calm ->
		wire--;
		if
		:: answer[w] = refuses
		:: answer[w] = rejects
		fi;
		printf("\tprovider: %e\n", answer[w]);
		pc[w] = answered }
#ifndef NO_TIMEOUT
	/* an answer that never came, a 5xx, what cannot be read */
	:: atomic { pc[w] == waiting ->
#ifdef ERROR_IS_REFUSAL
		answer[w] = refuses;
#else
		answer[w] = lost;
#endif
		pc[w] = answered }
#endif
#ifdef PARKED_FIRST
	:: atomic { pc[w] == answered && answer[w] == accepts && !sought[w] -> sought[w] = true; saw_parked[w] = parked }
#endif
	/* T2 */
	:: atomic { pc[w] == answered && ROW_FREE && SOUGHT(w) -> record(w) }

#ifdef LATE_ANSWER
	:: atomic { pc[w] == idle && given_up[w] > 0 && accepted == 0 && wire == 0 ->
		under[w] = given_up[w]; given_up[w] = 0;
		answer[w] = refuses; pc[w] = answered }
#endif

	/* takeover */
#ifdef TIME_LEASE
	:: atomic { pc[w] == idle && status == sending && owner != w + 1 && ROW_FREE ->
#else
	:: atomic { pc[w] == idle && status == sending && owner == GONE && ROW_FREE ->
#endif
		fence++;
		doubt();
#ifdef KEY_FROM_TAKEOVER
		expired = false;
		restarted = (accepted > 0 || wire > 0);
#endif
		printf("worker %d: takes over\n", w);
		move(unknown);
		flush() }

	/* what became of an unknown one */
#if defined(BLIND)
	:: atomic { pc[w] == idle && status == unknown && QUIET && ROW_FREE -> again(); flush() }
#else
#ifdef IDEM
	:: atomic { pc[w] == idle && status == unknown && QUIET && REPEATABLE && ROW_FREE -> move(pending); flush() }
#endif
#ifdef LOOKUP
	:: atomic { pc[w] == idle && status == unknown && QUIET && LAG_OVER && !REPEATABLE ->
		under[w] = fence;
		pc[w] = looking }
	:: atomic { pc[w] == looking ->
		answer[w] = (shown -> found : absent);
		printf("worker %d: a look-up finds %e under fence %d\n", w, answer[w], under[w]);
		pc[w] = looked }
	:: atomic { pc[w] == looking && !calm -> forget(w) }
	:: atomic { pc[w] == looked && ROW_FREE ->
		if
#ifdef LOOKUP_UNFENCED
		:: status == unknown
#else
		:: status == unknown && fence == under[w]
#endif
			->
			if
			:: answer[w] == found ->
				move(sent);
#if defined(BY_ID) && !defined(LOOKUP_UNNAMED)
				name(parked)
#endif
			:: else -> again()
			fi;
			flush()
		:: else
		fi;
		forget(w) }
#else
	:: atomic { pc[w] == idle && status == unknown && QUIET && !REPEATABLE && ROW_FREE ->
		move(uncertain);
		flush() }
#endif
#endif
	od
}

#ifdef KEY_NO_MARGIN
#define DECIDED		true
#else
#define DECIDED		(wire == 0)
#endif

proctype provider()
{
end:
	do
	:: atomic { wire > 0 -> accept() }
	:: atomic { wire > 0 -> wire-- }
#ifdef LOOKUP
	:: atomic { accepted > 0 && !shown -> shown = true }
#endif
#ifdef IDEM
	/* with a margin, nothing that was sent inside the life arrives after it */
	:: atomic { attempts > 0 && !expired && DECIDED -> expired = true; printf("\tthe key's life is over\n") }
	:: atomic { accepted > 0 && !forgotten && (expired || restarted) && DECIDED ->
		forgotten = true; printf("\tprovider: forgets the key\n") }
#endif
	od
}

#define CALLBACK(s)	atomic { accepted > 0 && ROW_FREE && s > status && status <= read -> \
						printf("\tcallback: %e\n", s); move(s); flush() }

/* Early, late, in any order; one that repeats or comes too late changes nothing. */
proctype callbacks()
{
end:
	do
#ifdef BY_ID
	:: atomic { accepted > 0 && ROW_FREE && !told && !has_id ->
		told = true; parked = delivered; printf("\tcallback: waits for its message\n") }
	:: atomic { accepted > 0 && ROW_FREE && !told && has_id ->
		told = true; printf("\tcallback: delivered\n");
		if
		:: status < delivered -> move(delivered)
		:: else
		fi;
		flush() }
#else
	:: CALLBACK(sent)
	:: CALLBACK(undelivered)
	:: CALLBACK(delivered)
	:: CALLBACK(read)
#endif
#ifdef CALLBACK_OVERWRITES
	:: atomic { accepted > 0 && ROW_FREE && status != sent -> move(sent) }
#endif
	od
}

proctype opt_out()
{
	atomic { PHONE_FREE -> opted_out = true; printf("\topt-out\n") }
}

#ifdef CANCEL_SENDING
#define CANCELLABLE	(status == pending || status == deferred || status == sending)
#else
#define CANCELLABLE	(status == pending || status == deferred)
#endif
proctype cancel()
{
end:
	atomic { CANCELLABLE && ROW_FREE -> printf("\tcancel\n"); take_back(cancelled); flush() }
}

proctype stop()
{
	atomic { STOPS_FREE -> stopping = true; printf("\tstop_sending\n") };
	atomic { stopping = false; stopped = true; printf("\tstop\n") };
	/* the row goes, then what it holds is released */
	atomic { RESUME_FREE -> resuming = true; printf("\tresume_sending\n") };
	atomic { !held || ROW_FREE -> resuming = false; stopped = false; held = false; flush(); printf("\tresume\n") }
}

/* resolve_message(): what the person says is true when it is taken. */
#ifndef ACTS
#define ACTS	1
#endif
#ifdef RESOLVE_EARLY
#define ABSENT	(accepted == 0)					/* but what is still on the wire? */
#else
#define ABSENT	(accepted == 0 && wire == 0)
#endif
inline resolve()
{
	if
	:: attempts < ATTEMPTS -> printf("\tperson: retry\n"); again()
	:: printf("\tperson: failed\n"); ambiguous = false; repeated = false; move(failed)
	fi;
	flush()
}

#define IN_DOUBT	(status == unknown || status == uncertain)

proctype person()
{
end:
	do
#ifdef RESOLVE_STALE
	:: atomic { IN_DOUBT && ABSENT && acts < ACTS -> acts++; printf("\tperson: finds nothing\n") };
end2:	atomic { IN_DOUBT && ROW_FREE -> resolve() }
#else
	:: atomic { IN_DOUBT && ABSENT && acts < ACTS && ROW_FREE -> acts++; resolve() }
#endif
	:: atomic { (status == failed || status == dead) && attempts < ATTEMPTS && acts < ACTS && ROW_FREE ->
		acts++; printf("\tperson: retry after all\n"); LEAVES; status = pending; ARRIVES; again(); flush() }
	:: atomic { IN_DOUBT && accepted > 0 && acts < ACTS && ROW_FREE ->
		acts++; printf("\tperson: sent\n"); move(sent); flush() }
	od
}

/* An end of a process: its transaction is undone, its locks are free. */
inline kill(w)
{
	forget(w);
	give_up(w);
	if
	:: owner == w + 1 ->
#ifndef OWNER_REUSED
		owner = GONE
#endif
	:: else
	fi
}

proctype killer()
{
end:
	do
	:: atomic { kills < KILLS && pc[0] != idle -> kills++; printf("kill: worker 0\n"); kill(0) }
	:: atomic { kills < KILLS && pc[1] != idle -> kills++; printf("kill: worker 1\n"); kill(1) }
	:: atomic { kills < KILLS -> kills++; printf("kill: the postmaster\n"); kill(0); kill(1); recover() }
#ifdef LOCK_LOST
	/* the session lock is let go while its process lives */
	:: atomic { kills < KILLS && owner != NOBODY && owner != GONE -> kills++; owner = GONE }
#endif
#ifdef SHADOW
	:: atomic { d_status != status || d_fence != fence -> flush() }
#endif
	od
}

/* Nobody else moves the message, so that what is stuck stays so. */
#ifdef ALONE
#define NO_CALLBACKS
#define NO_CANCEL
#define NO_PERSON
#endif

#ifdef LIVE
proctype weather() { calm = true }
ltl settles { <> SETTLED }
#else
/* Nothing can move any more, and the message has not ended. */
proctype the_end()
{
	timeout -> atomic {
		ENDED(SETTLED);
		ENDED(!told || status != sent)
	}
}
#endif

init
{
	atomic {
		run worker(0);
		run worker(1);
		run provider();
		run killer();
#ifndef NO_CALLBACKS
		run callbacks();
#endif
#ifndef NO_OPT_OUT
		run opt_out();
#endif
#ifndef NO_CANCEL
		run cancel();
#endif
#ifndef NO_STOP
		run stop();
#endif
#ifndef NO_PERSON
		run person();
#endif
#ifdef LIVE
		run weather()
#else
		run the_end()
#endif
	}
}
