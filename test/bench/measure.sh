# shellcheck shell=bash disable=SC2034
# The contenders and how each is measured; sourced after lib.sh.
#
# A measurement starts from a fresh copy of the contender's database, right after a
# checkpoint: first new webhooks, then the same ones again. Each part books one line in
# $RAW, and ends the run when the rows in the database are not those that were sent.

PEERS="peer-redis peer-call peer-batch"
HTTP="$PEERS outreach-http"
SQL="peer-single peer-array outreach-single outreach-array"
ONLY=${ONLY:-$HTTP $SQL timers sends}
SHARE=${SHARE:-$((SECS * 20000 * (CORES > 2 ? CORES : 2) / 100 / CLIENTS * 100))}
DOCUMENTS=$((SHARE * CLIENTS))

declare -A LABEL=(
	[peer-redis]="fastify + Redis, 5 statements" [peer-call]="fastify, one call"
	[peer-batch]="fastify, batched calls" [outreach-http]="outreach-shim"
	[peer-single]="plpgsql, single" [peer-array]="plpgsql, arrays of 100"
	[outreach-single]="ingest_webhook" [outreach-array]="ingest_webhooks, 100"
)

chosen() { [[ " $ONLY " == *" $1 "* ]]; }
any_chosen() { local c; for c in "$@"; do if chosen "$c"; then return 0; fi; done; return 1; }
is_sql() { [[ " $SQL " == *" $1 "* ]]; }
template_of() { [[ $1 = outreach-* ]] && echo outreach || echo peers; }
front_of() { [ "$1" = outreach-http ] && echo outreach || echo "${1#peer-}"; }
size_of() { [[ $1 = *-array ]] && echo 100 || echo 1; }

# ---- counters ----------------------------------------------------------------

# CPU seconds so far: "database front redis machine" (machine: all that ran).
cpu_now() {
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } |
		awk -v pm="$POSTMASTER" -v front="${FRONT:-0}" -v redis="${REDIS:-0}" -v hz="$(getconf CLK_TCK)" '
		{sub(/\(.*\) /, "x ")}
		$1 == pm {db += $14 + $15 + $16 + $17}
		$4 == pm {db += $14 + $15}
		$1 == front {f += $14 + $15}
		$1 == redis {r += $14 + $15}
		END {
			while ((getline line < "/proc/stat") > 0)
				if (split(line, c, " ") && c[1] == "cpu")
					busy = c[2] + c[3] + c[4] + c[7] + c[8] + c[9]
			printf "%.2f %.2f %.2f %.2f\n", db / hz, f / hz, r / hz, busy / hz
		}'
}

wal_now() { q -c "SELECT pg_current_wal_insert_lsn() - '0/0'"; }

clients_gone() { [ "$(q -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bench_ingress'")" = 0 ]; }

# What one webhook leaves, counted where it must be: every number is the same.
rows_of() {
	case $1 in
		peer*) q -d bench -c "SELECT (SELECT count(*) FROM receipt), (SELECT count(*) FROM inbox),
			(SELECT count(*) FROM event), (SELECT sum(version) FROM lead), (SELECT sum(gen) FROM timer)" ;;
		*) q -d bench -c "SELECT (SELECT count(*) FROM outreach.webhook_receipts),
			(SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'done'),
			(SELECT count(DISTINCT (lead_id, lead_version)) FROM outreach.events
				WHERE event_type = 'webhook.inbound.received' AND receipt_id IS NOT NULL)" ;;
	esac
}

prove() {
	local who=$1 what=$2 want=$3 got
	got=$(rows_of "$who")
	[ "$(tr '|' '\n' <<<"$got" | sort -u)" = "$want" ] ||
		die "$who, $what: $want webhooks were sent, and the database holds $got"
	[ "$(template_of "$who")" = peers ] ||
		[ "$(q -d bench -c 'SELECT count(*) FROM outreach.leads')" = "$LEADS" ] ||
		die "$who: webhooks did not find their leads"
}

# ---- one line of the raw results ---------------------------------------------

mark() { CPU0=$(cpu_now) WAL0=$(wal_now) TIME0=$EPOCHREALTIME; }

# record WHO WHAT RATE P50 P99 COUNT LOAD_CPU: since mark; CPU and WAL are of the
# whole load of COUNT webhooks, the rate of its counted part.
record() {
	local wal seconds
	wal=$(($(wal_now) - WAL0)) seconds=$(calc "$EPOCHREALTIME - $TIME0" 3)
	if is_sql "$1"; then wait_for "the end of the clients" clients_gone; fi
	awk -v OFS='\t' -v c0="$CPU0" -v c1="$(cpu_now)" -v s="$seconds" -v cores="$CORES" -v wal="$wal" \
		-v who="$1" -v what="$2" -v rate="$3" -v p50="$4" -v p99="$5" -v n="$6" -v load="$7" 'BEGIN {
			split(c0, a, " "); split(c1, b, " ")
			db = b[1] - a[1]; front = b[2] - a[2] + b[3] - a[3]
			other = (b[4] - a[4] - db - front - load) / (s * cores) * 100
			print who, what, rate, p50, p99, wal / n, front * 1e6 / n, db * 1e6 / n, (other > 0 ? other : 0)
		}' >> "$RAW"
	note "$1, $2: $(printf %.0f "$3")/s"
}

# Before duplicates: vacuum, so that its WAL is not booked to them. No checkpoint: what
# they cost is wanted without full-page images of the pages their rows land on.
vacuum() { q -d bench -c VACUUM; }

# ---- HTTP --------------------------------------------------------------------

http_load() { "$SCRATCH/bin/load" -p "$PORT" -c "$CONNS" -l "$LEADS" "$@"; }

# Shows what the front and the server have to say.
front_failed() {
	tail -n 5 "$SCRATCH/log/$(front_of "$who")" "$SCRATCH/log/postgres" >&2
	return 1
}

measure_http() {
	local who=$1 what answer new=0
	fresh_database "$(template_of "$who")"
	redis_cli flushall || true
	start_front "$(front_of "$who")"
	for what in new dup; do
		if [ "$what" = new ]; then
			mark
			answer=$(http_load -r "$REPLAYS" -w "$WARMUP" -d "$SECS")
			new=$(field new "$answer")
		else
			vacuum
			mark
			answer=$(http_load -D "$new" -w 0.5 -d "$(calc "$SECS / 2")")
		fi
		record "$who" "$what" "$(field rate "$answer")" "$(field p50 "$answer")" "$(field p99 "$answer")" \
			"$(field sent "$answer")" "$(field cpu "$answer")"
		[ "$(field refused "$answer")$(field lost "$answer")" = 00 ] || front_failed ||
			die "$who, $what: not every webhook was answered with 2xx: $answer"
		prove "$who" "$what" "$new"
	done
	stop_front
}

# ---- SQL ---------------------------------------------------------------------

# sql_load SCRIPT LIMIT SECONDS: one pgbench run in which each client takes its
# first LIMIT calls, round and round, from FIRST on. Prints calls, calls a second and pgbench's own
# CPU seconds, and leaves the latency of each call in $SCRATCH/log/tx.*.
sql_load() {
	local script=$1 limit=$2 seconds=$3 TIMEFORMAT='%U %S'
	rm -f "$SCRATCH"/log/tx.*
	{
		time (cd "$SCRATCH/log" && pgbench -U bench_ingress -n -M prepared -c "$CLIENTS" -j 2 -T "$seconds" \
			-D n="${FIRST:-0}" -D share="$SHARE" -D limit="$limit" -l --log-prefix=tx \
			-f "$BENCH/pgbench/$script.sql" bench >"$SCRATCH/log/pgbench" 2>&1)
	} 2>"$SCRATCH/log/time" || die "$script: $(grep -m2 -i -E 'error|fatal' "$SCRATCH/log/pgbench")"
	awk '/actually processed/ {n = $NF} /^tps/ {tps = $3} FILENAME ~ /time$/ {cpu = $1 + $2}
		END {print n, tps, cpu}' "$SCRATCH/log/pgbench" "$SCRATCH/log/time"
}

# Fewest and most calls that one client of the last run made.
calls_per_client() {
	awk '{n[$1]++}
		END {for (c in n) {if (min == "" || n[c] < min) min = n[c]; if (n[c] > max) max = n[c]} print min, max}' \
		"$SCRATCH"/log/tx.*
}

# Median and 99th percentile of the last run's calls, in milliseconds.
call_times() {
	sort -n -k3,3 "$SCRATCH"/log/tx.* |
		awk '{v[NR] = $3 / 1000} END {print v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.5)]}'
}

measure_sql() {
	local who=$1 what size limit calls rate cpu min max new=0
	size=$(size_of "$who")
	limit=$((SHARE / size))
	fresh_database "$(template_of "$who")_sql"
	for what in new dup; do
		if [ "$what" = new ]; then
			mark
			sql_load "$who" "$limit" "$SECS" >"$SCRATCH/log/result"
		else
			vacuum
			mark
			sql_load "$who" "$min" $(((SECS + 1) / 2)) >"$SCRATCH/log/result"
		fi
		read -r calls rate cpu <"$SCRATCH/log/result"
		# shellcheck disable=SC2046
		record "$who" "$what" "$(calc "$rate * $size")" $(call_times) $((calls * size)) "$cpu"
		if [ "$what" = new ]; then
			new=$((calls * size))
			read -r min max < <(calls_per_client)
			[ "$max" -le "$limit" ] || die "$who: ran out of documents; raise SHARE above $((max * size))"
		fi
		prove "$who" "$what" "$new"
	done
}
