# shellcheck shell=bash disable=SC2034
# The timers part of the bench; sourced after measure.sh.
#
# Each contender starts from nothing or from a fresh copy. Ours fires for real: state,
# agent and events of the lead, one transaction a batch, and the rows are counted
# afterwards. The peers' handlers do nothing, and their lateness is that of the
# handler's start; ours is that of the commit, as another session sees it.

TIMERS=${TIMERS:-1000}				# spread over …
SPAN=${SPAN:-60}					# … so many seconds
PENDING=${PENDING:-200000}			# far ahead meanwhile
BURST=${BURST:-100000}				# due at one moment
SNAPSHOT=${SNAPSHOT:-20}			# seconds that timers fire beside a held snapshot
SNAPSHOT_RATE=${SNAPSHOT_RATE:-1000}
TIMER_PEERS=${TIMER_PEERS-bullmq pgboss graphile}
TIMER_LEADS=$((BURST > SNAPSHOT_RATE * SNAPSHOT ? BURST : SNAPSHOT_RATE * SNAPSHOT))
ACTION='{"to_state": "retargeting", "agent": "CATHY"}'

declare -A TIMER_LABEL=([outreach]="pg_outreach" [bullmq]="BullMQ" [pgboss]="pg-boss" [graphile]="graphile-worker")
declare -A SPREAD=() BURSTS=()

# A copy of the outreach template with touched leads and far timers, once.
make_timers_template() {
	note "touching $TIMER_LEADS leads, $PENDING timers far ahead"
	q -c 'CREATE DATABASE timers TEMPLATE outreach'
	if [ "$TIMER_LEADS" -gt "$LEADS" ]; then
		q -d timers -c "SELECT count(*) FROM generate_series($LEADS, $TIMER_LEADS - 1) i, LATERAL outreach.create_lead('bench', 'lead_' || i)" >/dev/null
	fi
	q -d timers -v leads="$TIMER_LEADS" -f "$BENCH/timers.sql" >/dev/null
	local left=$PENDING kind=0 part
	while [ "$left" -gt 0 ]; do
		part=$((left < TIMER_LEADS ? left : TIMER_LEADS)) kind=$((kind + 1)) left=$((left - part))
		q -d timers -c "CALL bench.set_timers($part, 'FAR_$kind', now() + interval '30 days', '1 ms', '{}')"
	done
	q -d timers -c 'VACUUM ANALYZE'
}

fresh_timers() {
	fresh_database timers
	q -d bench -c 'SELECT outreach.arm()' >/dev/null
	wait_for "a worker" served
}

served() { [ "$(q -c "SELECT count(*) FROM pg_stat_activity WHERE datname = 'bench' AND backend_type = 'outreach worker'")" = 1 ]; }

# prove_timers KIND N: fired once each, with their action, and none early.
prove_timers() {
	local got
	got=$(q -d bench -v kind="$1" <<-'SQL'
		SELECT count(*), count(*) FILTER (WHERE executed_at >= trigger_at AND attempts = 1),
			(SELECT count(*) FROM outreach.events WHERE event_type = 'timer.fired' AND payload ->> 'timer_type' = :'kind')
		FROM outreach.lead_timers WHERE timer_type = :'kind'
	SQL
	)
	[ "$got" = "$2|$2|$2" ] || die "timers $1: $2 were set, and the database holds $got"
}

spread_outreach() {
	fresh_timers
	q -d bench -c "CALL bench.set_timers($TIMERS, 'SPREAD', clock_timestamp() + interval '2 s', interval '$SPAN s' / $TIMERS, '$ACTION')" \
		-c "CALL bench.watch('SPREAD')"
	prove_timers SPREAD "$TIMERS"
	q -d bench -c 'SELECT figures FROM bench.lateness'
}

# due KIND: how many are yet to fire, by the index of those that are alive.
due() { q -d bench -c "SELECT count(*) FROM outreach.lead_timers WHERE due_at <= now() + interval '1 day'"; }

# burst N: seconds from the moment that N timers are due to the last one committed.
burst_of() {
	local n=$1 kind=$2 at
	q -d bench -c "CALL bench.set_timers($n, '$kind', date_trunc('second', clock_timestamp()) + interval '$((10 + n / 10000)) s', '0', '$ACTION')" \
		-c CHECKPOINT
	at=$(q -d bench -c "SELECT extract(epoch FROM min(trigger_at)) FROM outreach.lead_timers WHERE timer_type = '$kind'")
	[ "$(calc "$EPOCHREALTIME < $at" 0)" = 1 ] || die "timers: they came due before all of them were there"
	while [ "$(due)" != 0 ]; do sleep 0.1; done
	calc "$EPOCHREALTIME - $at" 3
	prove_timers "$kind" "$n" >&2
}

burst_outreach() {
	local seconds
	fresh_timers
	seconds=$(burst_of "$BURST" BURST)
	echo "n=$BURST rate=$(calc "$BURST / $seconds" 0)"
}

timers_peer() {
	local peer=$1 what=$2
	redis_cli flushall || true
	q -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS bench' -c 'CREATE DATABASE bench' -c CHECKPOINT
	TIMERS=$TIMERS SPAN=$SPAN PENDING=$PENDING BURST=$BURST REDIS_SOCKET=$SCRATCH/redis/sock PGDATABASE=bench \
		NODE_PATH=$SCRATCH/peers/node_modules "$NODE" "$BENCH/peers/timers.mjs" "$peer" "$what" 2>>"$SCRATCH/log/timers" ||
		die "$peer: $(tail -3 "$SCRATCH/log/timers")"
}

# steady: SNAPSHOT_RATE timers a second; lateness up to executed_at, just before commit.
steady() {
	local n=$((SNAPSHOT_RATE * SNAPSHOT))
	q -d bench -c "CALL bench.set_timers($n, '$1', clock_timestamp() + interval '3 s', interval '1 s' / $SNAPSHOT_RATE, '{\"agent\": \"$1\"}')"
	sleep "$((SNAPSHOT + 2))"
	while [ "$(due)" != 0 ]; do sleep 0.1; done
	prove_timers "$1" "$n"
	q -d bench -c 'TRUNCATE bench.seen' -c "INSERT INTO bench.seen
		SELECT extract(epoch FROM executed_at - trigger_at) * 1000 FROM outreach.lead_timers WHERE timer_type = '$1'" \
		-c "SELECT figures || (SELECT ' rate=' || round($n / extract(epoch FROM max(executed_at) - min(trigger_at)))
			FROM outreach.lead_timers WHERE timer_type = '$1') FROM bench.lateness"
}

# The same without and with a snapshot that keeps every dead row of the time.
measure_snapshot() {
	local mode holder
	for mode in free held; do
		fresh_timers
		if [ "$mode" = held ]; then
			psql -XqAt -d bench -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT 1' \
				-c "SELECT pg_sleep(86400)" >/dev/null 2>&1 &
			holder=$!
			STARTED+=("$holder")
			wait_for "the snapshot" holding
		fi
		SPREAD[$mode]=$(steady STEADY)
		BURSTS[$mode]=$(calc "20000 / $(burst_of 20000 BURST)" 0)
		note "snapshot $mode: ${SPREAD[$mode]}, then ${BURSTS[$mode]}/s"
	done
	q -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(86400)%' AND pid <> pg_backend_pid()" >/dev/null
	wait "$holder" 2>/dev/null || true
	unset 'STARTED[-1]'
}

holding() { [ "$(q -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_xmin IS NOT NULL")" = 1 ]; }

measure_timers() {
	local who
	SPREAD[outreach]=$(spread_outreach)
	note "outreach, spread: ${SPREAD[outreach]}"
	BURSTS[outreach]=$(burst_outreach)
	note "outreach, burst: ${BURSTS[outreach]}"
	for who in $TIMER_PEERS; do
		SPREAD[$who]=$(timers_peer "$who" spread)
		BURSTS[$who]=$(timers_peer "$who" burst)
		note "$who: ${SPREAD[$who]}; ${BURSTS[$who]}"
	done
	measure_snapshot
}

# times A B: how many times B is A
times() { awk -v a="$1" -v b="$2" 'BEGIN {if (a > 0) printf "%.2f", b / a; else printf "-"}'; }

timers_table() {
	local who s b p99 rate mine99 mine_rate
	mine99=$(field p99 "${SPREAD[outreach]}") mine_rate=$(field rate "${BURSTS[outreach]}")
	say "Timers: $TIMERS over $SPAN s with $PENDING far ahead; $BURST due at one moment"
	printf '%-20s %9s %9s %9s %8s   %9s %8s\n' "" "p50 ms" "p99 ms" "max ms" "× ours" "burst/s" "ours ×"
	for who in outreach $TIMER_PEERS; do
		s=${SPREAD[$who]} b=${BURSTS[$who]} p99=$(field p99 "${SPREAD[$who]}") rate=$(field rate "${BURSTS[$who]}")
		printf '%-20s %9s %9s %9s %8s   %9s %8s\n' "${TIMER_LABEL[$who]}" "$(field p50 "$s")" "$p99" "$(field max "$s")" \
			"$(times "$mine99" "$p99")" "$rate" "$(times "$rate" "$mine_rate")"
		[ "$(field n "$s")" = "$TIMERS" ] && [ "$(field n "$b")" = "$BURST" ] || say "  not all of them fired: $s; $b"
	done
	say
	say "Snapshot held open while $SNAPSHOT_RATE timers a second fire for $SNAPSHOT s, then 20000 due at one moment"
	printf '%-20s %9s %9s %9s %9s   %9s\n' "" "p50 ms" "p99 ms" "max ms" "steady/s" "burst/s"
	for who in free held; do
		printf '%-20s %9s %9s %9s %9s   %9s\n' "$([ $who = free ] && echo none || echo held)" \
			"$(field p50 "${SPREAD[$who]}")" "$(field p99 "${SPREAD[$who]}")" "$(field max "${SPREAD[$who]}")" \
			"$(field rate "${SPREAD[$who]}")" "${BURSTS[$who]}"
	done
	printf '%-20s %9s %9s %9s %9s   %9s\n' "held / none" "$(times "$(field p50 "${SPREAD[free]}")" "$(field p50 "${SPREAD[held]}")")" \
		"$(times "$(field p99 "${SPREAD[free]}")" "$(field p99 "${SPREAD[held]}")")" \
		"$(times "$(field max "${SPREAD[free]}")" "$(field max "${SPREAD[held]}")")" \
		"$(times "$(field rate "${SPREAD[free]}")" "$(field rate "${SPREAD[held]}")")" "$(times "${BURSTS[free]}" "${BURSTS[held]}")"
	say
	awk -v p99="$mine99" -v rate="$mine_rate" 'BEGIN {
		printf "T4  p99 lateness %s ms, target 3: %s\n", p99, (p99 <= 3 ? "reached" : "not reached")
		printf "T4  burst %s a second, target 50000: %s\n", rate, (rate >= 50000 ? "reached" : "not reached")}'
	awk -v r="$(times "$(field rate "${SPREAD[free]}")" "$(field rate "${SPREAD[held]}")")" 'BEGIN {
		printf "T8  steady rate with a snapshot held %s of that without, target 0.95: %s\n", r, (r >= 0.95 ? "reached" : "not reached")}'
	say
	cat <<-END
		Lateness: ours from the timer's time to when another session, looking every 0.2 ms, sees its row committed;
		of the peers to when the handler begins, whose job is not yet done. Beside the snapshot: to executed_at, just
		before commit. Burst: from that moment to the last one; ours with its effects (state, agent, three events of
		the lead), the peers' with a handler that does nothing. pg-boss polls each 0.5 s, its least; graphile-worker
		each second, its default, in the burst each 0.2 s.
	END
}
