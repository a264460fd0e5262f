# shellcheck shell=bash disable=SC2034
# The sends part of the bench; sourced after measure.sh.
#
# Each measurement starts from a fresh copy with all messages asked for, and sends to
# the test provider, which answers at once or after SLOW_MS. A rate is that from the
# first request, as the provider saw it, to the last row that says it was sent. What
# the rows say is held against the provider's log, message by message.

SENDS=${SENDS:-20000}				# messages, provider answers at once
SLOW_SENDS=${SLOW_SENDS:-5000}		# messages, provider takes its time
SLOW_MS=${SLOW_MS:-50}
IN_FLIGHT=${IN_FLIGHT:-50}
HANG_MS=${HANG_MS:-2000}			# until a request that hangs is given up
SEND_ROUNDS=${SEND_ROUNDS:-3}
SEND_PEERS=${SEND_PEERS-bullmq pgboss graphile}
CAMPAIGN=${CAMPAIGN:-$LEADS}		# messages of one campaign
SEND_TEXT="Hello Pat, this is a message of the usual length about the house that you asked for. Reply STOP to end."
SEND_TEMPLATE=${SEND_TEXT/Pat/\{\{firstName\}\}}
SENDERS="outreach curl curl-outbox $SEND_PEERS"
SEND_RAW=
SEND_LEAVES=

declare -A SENDER_LABEL=([outreach]="pg_outreach" [curl]="libcurl alone" [curl-outbox]="libcurl + outbox in C"
	[bullmq]="BullMQ, undici" [pgboss]="pg-boss, undici" [graphile]="graphile-worker, undici")

# ---- the provider ------------------------------------------------------------

start_provider() {
	make -s -C "$TOP/test/support/provider" BIN="$SCRATCH/bin" || die "the provider was not built"
	"$SCRATCH/bin/provider" --port-file "$SCRATCH/provider.port" --log "$SCRATCH/log/provider" \
		--set keep_raw=0 >"$SCRATCH/log/provider.err" 2>&1 &
	PROVIDER=$!
	STARTED+=("$PROVIDER")
	wait_for "the provider" test -s "$SCRATCH/provider.port"
	PROVIDER_PORT=$(cat "$SCRATCH/provider.port")
}

# provider PATH JSON
provider() { curl -sSf "http://127.0.0.1:$PROVIDER_PORT/control/$1" -d "$2" >/dev/null || die "the provider refuses $1"; }

provider_cpu() { awk -v hz="$(getconf CLK_TCK)" '{sub(/\(.*\) /, "x "); printf "%.2f", ($14 + $15) / hz}' "/proc/$PROVIDER/stat"; }

# Its log into the tables of the measurement.
load_provider_log() {
	q -d bench -c "TRUNCATE bench.accepted, bench.requests" \
		-c "COPY bench.accepted FROM '$SCRATCH/log/provider'" \
		-c "COPY bench.requests FROM '$SCRATCH/log/provider.requests'"
}

# ---- ours --------------------------------------------------------------------

make_sends_template() {
	start_provider
	q -c "ALTER SYSTEM SET outreach.allow_private_addresses = on" -c 'SELECT pg_reload_conf()' >/dev/null
	if [ "$SENDS" -gt "$((LEADS * 9 / 10))" ] || [ "$SLOW_SENDS" -gt "$SENDS" ] || [ "$CAMPAIGN" -gt "$LEADS" ]; then
		die "sends: too few leads"
	fi
	q -c 'CREATE DATABASE sends TEMPLATE outreach'
	q -d sends -v url="http://127.0.0.1:$PROVIDER_PORT" -v in_flight="$IN_FLIGHT" -v timeout_ms="$HANG_MS" \
		-f "$BENCH/sends.sql" >/dev/null
	q -d sends -c 'VACUUM ANALYZE'
	SEND_RAW=$SCRATCH/sends.tsv
	: >"$SEND_RAW"
}

# ask N [HANGING]: messages to the first leads, and of the leads behind them those
# that will hang, among the others in the order of their time.
ask() {
	local n=$1 hanging=${2:-0} part
	for part in 0 1 2 3 4 5 6 7 8 9; do
		q -d bench -c "CALL bench.enqueue($((n / 10 * part)), $((n / 10)), '+12125550101', '$SEND_TEMPLATE')"
		[ "$hanging" = 0 ] ||
			q -d bench -c "CALL bench.enqueue($((n + hanging / 10 * part)), $((hanging / 10)), '+12125550102', '$SEND_TEMPLATE')"
	done
}

unserved() { ! served; }

# Sends what was asked for; the hanging account's rest is given up.
send_outreach() {
	q -d bench -c 'SELECT outreach.arm()' -c "CALL bench.wait('works')" >/dev/null
	sleep 0.2
	SEND_CPU=$(calc "$(cut -d' ' -f1 <<<"$(cpu_now)") - ${CPU0%% *}" 3)
	q -d bench -c "SELECT outreach.disarm('measured')" >/dev/null
	wait_for "the worker's end" unserved
}

# Every message has one delivery and one line in the provider's log, of the same id.
prove_outreach() {
	local got
	got=$(q -d bench <<-'SQL'
		SELECT count(*), count(*) FILTER (WHERE m.status = 'sent' AND m.attempts = 1), count(d.outcome = 'sent' OR NULL),
			count(a.id), (SELECT count(*) FROM bench.accepted WHERE account = 'works'),
			(SELECT count(*) FROM bench.requests WHERE account = 'works'),
			(SELECT count(*) FROM outreach.events WHERE event_type = 'message.outbound.sent')
		FROM outreach.outbound_messages m
		LEFT JOIN outreach.message_deliveries d USING (tenant_id, message_id)
		LEFT JOIN bench.accepted a ON a.id = m.provider_message_id AND '+' || a.recipient = m.phone AND a.body = m.body
		WHERE m.account = 'works'
	SQL
	)
	[ "$(tr '|' '\n' <<<"$got" | sort -u)" = "$1" ] || die "sends: $1 were asked for, and database and provider hold $got"
}

# ---- the others --------------------------------------------------------------

# Rows of an outbox to the phones of the first N leads.
make_outbox() {
	q -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS bench' -c 'CREATE DATABASE bench'
	q -d bench -c 'CREATE SCHEMA bench' -c "$(sed -n '/^CREATE TABLE/,$p' "$BENCH/sends.sql")" \
		-c "CREATE TABLE outbox (id int PRIMARY KEY, phone text NOT NULL, body text NOT NULL, state int NOT NULL DEFAULT 0,
			provider_id text, done_at timestamptz) WITH (fillfactor = 80)" \
		-c "INSERT INTO outbox (id, phone, body) SELECT i, format('1%s%s%s', 305 + i / 900000, 220 + i / 10000 % 90,
			lpad((i % 10000)::text, 4, '0')), '$SEND_TEXT' FROM generate_series(0, $1 - 1) i" \
		-c 'CREATE INDEX outbox_state ON outbox (state, id) WHERE state = 0' -c 'VACUUM ANALYZE outbox'
}

prove_outbox() {
	local got
	got=$(q -d bench -c "SELECT count(*), count(o.state = 2 OR NULL), count(a.id), (SELECT count(*) FROM bench.accepted),
		(SELECT count(*) FROM bench.requests)
		FROM outbox o LEFT JOIN bench.accepted a ON a.id = o.provider_id AND a.recipient = o.phone")
	[ "$(tr '|' '\n' <<<"$got" | sort -u)" = "$2" ] || die "$1: $2 were to be sent, and database and provider hold $got"
}

send_peer() {
	local who=$1 n=$2 answer
	redis_cli flushall || true
	answer=$(PROVIDER_PORT=$PROVIDER_PORT IN_FLIGHT=$IN_FLIGHT TOKEN=works FROM=12125550101 \
		REDIS_SOCKET=$SCRATCH/redis/sock PGDATABASE=bench NODE_PATH=$SCRATCH/peers/node_modules \
		timeout 300 "$NODE" "$BENCH/peers/sends.mjs" "$who" 2>>"$SCRATCH/log/sends") ||
		die "$who: $(tail -3 "$SCRATCH/log/sends")"
	SEND_CPU=$(field cpu "$answer")
}

send_curl() {
	local answer
	answer=$(PGDATABASE=bench "$SCRATCH/bin/sends" -p "$PROVIDER_PORT" -c "$IN_FLIGHT" -n "$1" -t works -f 12125550101 -b "$SEND_TEXT" "${@:2}") ||
		die "libcurl: it failed"
	[ "$(field accepted "$answer")" = "$1" ] || die "libcurl: $answer"
	SEND_CPU=$(field cpu "$answer")
}

# ---- measuring ---------------------------------------------------------------

# Before what is measured: what was started for it is to be gone.
begin_send() {
	q -c CHECKPOINT
	sleep 0.5
	CPU0=$(cpu_now) PROVIDER0=$(provider_cpu) TIME0=$EPOCHREALTIME
}

# Percent of the machine that programs outside the bench had since then, while
# sender and database took so many seconds; a little of it is this script's.
others_share() {
	awk -v a="${CPU0##* }" -v b="$(cut -d' ' -f4 <<<"$(cpu_now)")" -v ours="$1" -v p0="$PROVIDER0" -v p1="$(provider_cpu)" \
		-v s="$(calc "$EPOCHREALTIME - $TIME0" 3)" -v cores="$CORES" 'BEGIN {
			other = (b - a - ours - (p1 - p0)) / (s * cores) * 100
			printf "%.0f", (other > 0 ? other : 0)}'
}

# measure_send WHO WHAT N: one line of the raw results: rate, processor
# microseconds a message of the sender and the database, and the others' share.
measure_send() {
	local who=$1 what=$2 n=$3 hanging=0 last rate db others wal
	provider forget '{}'
	provider config "{\"latency_ms\": $([ "$what" = slow ] && echo "$SLOW_MS" || echo 0), \"rules\": [$(
		[ "$what" != hang ] || echo '{"fault": "hang", "account": "hangs"}')]}"
	case $who in
		outreach)
			[ "$what" != hang ] || hanging=$((n / 90 * 10))
			fresh_database sends
			ask "$n" "$hanging"
			begin_send
			wal=$(wal_now)
			send_outreach
			[ "$what" != fast ] || SEND_LEAVES="$(calc "($(wal_now) - $wal) / $n" 0) bytes of WAL; HOT of all updates: $(hot_updates)"
			last="SELECT max(sent_at) FROM outreach.outbound_messages WHERE account = 'works'" ;;
		*)
			make_outbox "$n"
			begin_send
			last="SELECT max(done_at) FROM outbox"
			case $who in
				curl) send_curl "$n" ; last="SELECT max(accepted_at) FROM bench.accepted" ;;
				curl-outbox) send_curl "$n" -o ;;
				*) send_peer "$who" "$n" ;;
			esac
			db=$(cpu_now)
			SEND_CPU=$(calc "$SEND_CPU + ${db%% *} - ${CPU0%% *}" 3) ;;
	esac
	others=$(others_share "$SEND_CPU")
	load_provider_log
	case $who in
		outreach) prove_outreach "$n" ;;
		curl) [ "$(q -d bench -c 'SELECT count(DISTINCT recipient) FROM bench.accepted')" = "$n" ] || die "libcurl: not all were accepted" ;;
		*) prove_outbox "$who" "$n" ;;
	esac
	rate=$(q -d bench -c "SELECT round($n / extract(epoch FROM ($last) - (SELECT min(received_at) FROM bench.requests WHERE account = 'works')))")
	printf '%s\t%s\t%s\t%s\t%s\n' "$who" "$what" "$rate" "$(calc "$SEND_CPU * 1e6 / $n" 0)" "$others" >>"$SEND_RAW"
	note "$who, $what: $rate/s, $others % of the machine taken by others"
}

hot_updates() {
	q -d bench -c "SELECT string_agg(format('%s %s %%', relname, n_tup_hot_upd * 100 / n_tup_upd), ', ' ORDER BY n_tup_upd DESC)
		FROM pg_stat_user_tables WHERE n_tup_upd >= $SENDS / 100 AND schemaname = 'outreach'"
}

# One campaign in one call, one lead in a hundred opted out; then single calls.
measure_enqueue() {
	local start seconds got calls tps
	fresh_database sends
	q -d bench -c "SELECT count(*) FROM outreach.leads l, LATERAL outreach.opt_out('bench', l.phone) o
		WHERE right(l.lead_id, 2) = '99'" -c CHECKPOINT >/dev/null
	start=$EPOCHREALTIME
	q -d bench -c "SELECT count(*) FROM outreach.send_messages('bench', ARRAY(SELECT 'lead_' || i FROM generate_series(0, $CAMPAIGN - 1) i),
		body => '$SEND_TEMPLATE', from_phone => '+12125550101')" >/dev/null
	seconds=$(calc "$EPOCHREALTIME - $start" 3)
	got=$(q -d bench -c "SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'blocked'),
		count(DISTINCT lead_id), (SELECT count(*) FROM outreach.events WHERE event_type = 'message.outbound.blocked')
		FROM outreach.outbound_messages")
	[ "$got" = "$((CAMPAIGN - CAMPAIGN / 100))|$((CAMPAIGN / 100))|$CAMPAIGN|$((CAMPAIGN / 100))" ] ||
		die "enqueue: $CAMPAIGN were asked for, and the database holds $got"
	printf 'enqueue\tcampaign\t%s\t0\n' "$(calc "$CAMPAIGN / $seconds" 0)" >>"$SEND_RAW"
	note "enqueue, campaign: $(calc "$CAMPAIGN / $seconds" 0)/s"

	fresh_database sends
	(cd "$SCRATCH/log" && pgbench -n -M prepared -c "$CLIENTS" -j 2 -T "$SECS" -D n=0 -D share="$((LEADS / CLIENTS))" \
		-f "$BENCH/pgbench/outreach-send.sql" bench >"$SCRATCH/log/pgbench" 2>&1) ||
		die "enqueue: $(grep -m2 -i -E 'error|fatal' "$SCRATCH/log/pgbench")"
	read -r calls tps < <(awk '/actually processed/ {n = $NF} /^tps/ {tps = $3} END {print n, tps}' "$SCRATCH/log/pgbench")
	[ "$(q -d bench -c "SELECT count(*) FROM outreach.outbound_messages WHERE status = 'pending'")" = "$calls" ] ||
		die "enqueue: not $calls messages"
	printf 'enqueue\tsingle\t%s\t0\n' "$(calc "$tps" 0)" >>"$SEND_RAW"
	note "enqueue, single: $(calc "$tps" 0)/s"
}

measure_sends() {
	local round who
	for round in $(seq "$SEND_ROUNDS"); do
		for who in $SENDERS; do measure_send "$who" fast "$SENDS"; done
		for who in $SENDERS; do measure_send "$who" slow "$SLOW_SENDS"; done
		measure_send outreach hang "$((SENDS / 90 * 90))"
		measure_enqueue
	done
}

# ---- what is printed ---------------------------------------------------------

# send_median WHO WHAT COLUMN; nothing when it was not measured.
send_median() {
	awk -F'\t' -v who="$1" -v what="$2" -v col="$3" '$1 == who && $2 == what {print $col}' "$SEND_RAW" | sort -g |
		awk '{v[NR] = $1} END {if (NR) printf "%.0f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# reached NAME RATIO WANTED TEXT
reached() {
	awk -v n="$1" -v r="$2" -v want="$3" -v text="$4" \
		'BEGIN {printf "%-3s %-58s %5.2f  target %-5s %s\n", n, text, r, want, (r + 0 >= want + 0 ? "reached" : "not reached")}'
}

sends_table() {
	local who what mine ceiling
	ceiling=$(calc "$IN_FLIGHT * 1000 / $SLOW_MS" 0)
	say "Sends, $IN_FLIGHT in flight: $SENDS to a provider that answers at once, $SLOW_SENDS to one that takes $SLOW_MS ms"
	printf '%-26s %9s %8s %8s   %9s %8s %8s\n' "" "0 ms, /s" "ours ×" "µs CPU" "$SLOW_MS ms, /s" "ours ×" "µs CPU"
	for who in $SENDERS; do
		printf '%-26s' "${SENDER_LABEL[$who]}"
		for what in fast slow; do
			mine=$(send_median outreach "$what" 3)
			printf ' %9s %8s %8s  ' "$(send_median "$who" "$what" 3)" "$(times "$(send_median "$who" "$what" 3)" "$mine")" "$(send_median "$who" "$what" 4)"
		done
		say
	done
	say
	say "Of $((SENDS / 90 * 100)) messages every tenth hangs for $HANG_MS ms, at an account of its own; the others: $(send_median outreach hang 3)/s"
	say "A message to a provider that answers at once, from its claim on: $SEND_LEAVES"
	say "Enqueue: $CAMPAIGN messages in one call $(send_median enqueue campaign 3)/s; one in a call, $CLIENTS clients, $(send_median enqueue single 3)/s"
	say
	awk -F'\t' 'NF == 5 {all++} $5 >= 10 {n++} END {if (n) printf "Other programs took 10 %% of the machine or more in " \
		"%d of %d measurements: their rates are low and the ratios rough.\n\n", n, all}' "$SEND_RAW"
	mine=$(send_median outreach fast 3)
	reached T5 "$(times "$(send_median curl-outbox fast 3)" "$mine")" 0.85 "0 ms, of libcurl + outbox in C"
	reached T5 "$(times "$(send_median curl fast 3)" "$mine")" 0.85 "0 ms, of libcurl alone"
	reached T5 "$(times "$ceiling" "$(send_median outreach slow 3)")" 0.95 "$SLOW_MS ms, of the ceiling of $ceiling/s"
	reached T5 "$(times "$mine" "$(send_median outreach hang 3)")" 0.95 "every tenth hanging, of the others without"
	reached T6 "$(send_median enqueue campaign 3)" 20000 "messages enqueued a second in one call"
	say
	cat <<-END
		A rate is from the first request that the provider saw to the last row that says it was sent (libcurl
		alone: to the last that was accepted). Ours with all guards, a durable claim and delivery row before each
		request, and after it the lead's state, timer and events; libcurl + outbox claims 500 and records 200 in a
		transaction; the peers' jobs post with undici and update one row. µs CPU: of sender and database for one message.
	END
}
