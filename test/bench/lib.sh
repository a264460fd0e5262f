# shellcheck shell=bash disable=SC2034
# Ground of test/bench/run and test/bench/profile; sourced, not run.
#
# Needs the staged installation of test/support/private, in which reexec_staged
# calls the script again. Owns a scratch directory with everything in it: a
# cluster, a Redis, the Node peers, the built programs. Nothing listens but on Unix
# sockets and 127.0.0.1. What was started is remembered by pid and ended by
# bench_end, which also removes the scratch.

TOP=$(cd "$BENCH/../.." && pwd -P)
SECS=${SECS:-8}						# length of one measurement
ROUNDS=${ROUNDS:-3}
CONNS=${CONNS:-64}					# HTTP connections
CLIENTS=${CLIENTS:-8}				# SQL clients
LEADS=${LEADS:-100000}
REPLAYS=${REPLAYS:-20}				# of a thousand HTTP requests
CORES=$(nproc)
WARMUP=${WARMUP:-1.5}
# The shim's own way of choosing is what is measured; this only adds settings.
SHIM_SETTINGS=${SHIM_SETTINGS:-}
unset MAKEFLAGS MFLAGS MAKELEVEL

STARTED=()
FRONT=

say() { printf '%s\n' "$*"; }
note() { printf '  … %s\n' "$*" >&2; }
die() { printf 'bench: %s\n' "$*" >&2; exit 1; }

# ---- scratch, packages -------------------------------------------------------

# Called by a person or make: installs what is missing, then starts over in the
# staged installation, where nothing is root.
reexec_staged() {
	[ -z "${PO_STAGE:-}" ] || return 0
	install_packages
	"$TOP/test/support/install-packages" test
	exec "$TOP/test/support/private" "test/bench/$(basename "$0")" "$@"
}

# Debian packages of the peers and the load maker.
install_packages() {
	local missing=()
	command -v npm >/dev/null || missing+=(npm)
	# redis-tools holds the server program, under another name, and starts no service.
	command -v redis-server >/dev/null || command -v redis-check-rdb >/dev/null || missing+=(redis-tools)
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "missing: ${missing[*]} (as root they are installed)"
	note "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
		die "could not install ${missing[*]}"
}

bench_begin() {
	umask 022
	SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/outreach-bench.XXXXXX")
	trap bench_end EXIT
	trap 'exit 130' INT TERM
	trap 'printf "bench: %s, line %s: failed\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR
	mkdir -p "$SCRATCH"/{bin,log,peers,redis,sock}
	RAW=$SCRATCH/raw.tsv
	: > "$RAW"
	make -s -C "$BENCH" BIN="$SCRATCH/bin"
}

bench_end() {
	local status=$? i
	trap - EXIT INT TERM
	set +e
	for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
		stop "${STARTED[i]}"
	done
	if [ "${KEEP:-0}" = 1 ]; then
		say "kept: $SCRATCH"
	else
		rm -rf "$SCRATCH"
	fi
	exit "$status"
}

# Ends one process of ours: SIGINT for the server (fast shutdown), SIGTERM for others.
stop() {
	local pid=$1 i
	[ -d "/proc/$pid" ] || return 0
	if [ "$pid" = "${POSTMASTER:-}" ]; then kill -INT "$pid"; else kill -TERM "$pid"; fi 2>/dev/null
	for i in $(seq 300); do
		[ -d "/proc/$pid" ] || return 0
		if grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; then break; fi
		sleep 0.1
	done
	[ -d "/proc/$pid" ] && kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null || true
}

# The peers, at exact versions, and Node from npm: no files outside the scratch.
install_peers() {
	note "npm install"
	cp "$BENCH/peers/package.json" "$SCRATCH/peers/"
	(cd "$SCRATCH/peers" && npm install --no-audit --no-fund --loglevel=error \
		--cache "$SCRATCH/npm" >"$SCRATCH/log/npm" 2>&1) ||
		die "npm install failed: $(tail -3 "$SCRATCH/log/npm")"
	NODE=$SCRATCH/peers/node_modules/node/bin/node
	[ -x "$NODE" ] || NODE=$(command -v node)
}

# ---- PostgreSQL --------------------------------------------------------------

q() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# Durable settings as in production; preload is a list of libraries.
start_server() {
	local preload=$1 buffers
	buffers=$(awk '/MemTotal/ {mb = $2 / 4096; print (mb > 4096 ? 4096 : int(mb))}' /proc/meminfo)
	initdb -D "$SCRATCH/data" -U postgres -A trust --locale=C.UTF-8 -E UTF8 >"$SCRATCH/log/initdb" ||
		die "initdb failed"
	(umask 077; head -c 32 /dev/urandom > "$SCRATCH/secret.key")
	cat >> "$SCRATCH/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$SCRATCH/sock'
shared_preload_libraries = '$preload'
max_connections = 100
shared_buffers = ${buffers}MB
wal_buffers = 16MB
max_wal_size = 16GB
checkpoint_timeout = 15min
fsync = on
synchronous_commit = on
full_page_writes = on
autovacuum = on
jit = off
random_page_cost = 1.1
CONF
	[[ $preload != *pg_outreach* ]] ||
		echo "outreach.secret_key_file = '$SCRATCH/secret.key'" >> "$SCRATCH/data/postgresql.conf"
	pg_ctl -D "$SCRATCH/data" -l "$SCRATCH/log/postgres" -w start </dev/null >/dev/null ||
		die "the server does not start: $(tail -3 "$SCRATCH/log/postgres")"
	POSTMASTER=$(head -1 "$SCRATCH/data/postmaster.pid")
	STARTED+=("$POSTMASTER")
	export PGHOST=$SCRATCH/sock PGUSER=postgres PGDATABASE=postgres
	q -c 'CREATE ROLE bench_ingress LOGIN'
}

# Loads numbered documents ("payload" or "envelope") for the SQL contenders.
load_documents() {
	local db=$1 kind=$2
	note "preparing $DOCUMENTS documents ($kind)"
	q -d "$db" -c 'SET client_min_messages = warning' -c 'CREATE SCHEMA IF NOT EXISTS bench' \
		-c 'CREATE UNLOGGED TABLE bench.document (id int PRIMARY KEY, doc jsonb NOT NULL) WITH (autovacuum_enabled = off)' \
		-c 'GRANT USAGE ON SCHEMA bench TO bench_ingress' \
		-c 'GRANT SELECT ON bench.document TO bench_ingress'
	"$SCRATCH/bin/make_requests" "$kind" 1 "$DOCUMENTS" "$LEADS" |
		q -d "$db" -c 'COPY bench.document FROM STDIN'
	q -d "$db" -c 'VACUUM ANALYZE'
}

# Templates: peers, peers_sql, outreach, outreach_sql. A measurement starts from a copy.
make_template() {
	case $1 in
		peers)
			q -c 'CREATE DATABASE peers'
			q -d peers -c 'CREATE EXTENSION pg_prewarm'
			q -d peers -v leads="$LEADS" -f "$BENCH/peers/schema.sql"
			q -d peers -c 'VACUUM ANALYZE' ;;
		outreach)
			note "making $LEADS leads"
			q -c 'CREATE DATABASE outreach'
			q -d outreach -c 'CREATE EXTENSION pg_prewarm'
			q -d outreach -v leads="$LEADS" -f "$BENCH/outreach.sql" >/dev/null
			q -d outreach -c 'VACUUM ANALYZE' ;;
		peers_sql)
			q -c 'CREATE DATABASE peers_sql TEMPLATE peers'
			load_documents peers_sql payload ;;
		outreach_sql)
			q -c 'CREATE DATABASE outreach_sql TEMPLATE outreach'
			load_documents outreach_sql envelope ;;
	esac
}

# Database "bench" anew from a template, in memory, just after a checkpoint.
fresh_database() {
	q -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS bench' \
		-c "CREATE DATABASE bench TEMPLATE $1 STRATEGY file_copy" -c CHECKPOINT
	q -d bench -c "SELECT sum(pg_prewarm(oid::regclass)) FROM pg_class WHERE relkind IN ('r', 'i') AND oid >= 16384" >/dev/null
}

# ---- Redis, fronts -----------------------------------------------------------

start_redis() {
	local program
	program=$(command -v redis-server || command -v redis-check-rdb)
	ln -s "$program" "$SCRATCH/bin/redis-server"
	"$SCRATCH/bin/redis-server" --port 0 --unixsocket "$SCRATCH/redis/sock" --dir "$SCRATCH/redis" \
		--appendonly yes --appendfsync everysec --save '' --daemonize no >"$SCRATCH/log/redis" 2>&1 &
	REDIS=$!
	STARTED+=("$REDIS")
	wait_for "Redis" redis_cli ping
}

redis_cli() { redis-cli -s "$SCRATCH/redis/sock" "$@" >/dev/null 2>&1; }

# Waits up to 20 s until a command succeeds.
wait_for() {
	local what=$1 i
	shift
	for i in $(seq 200); do
		"$@" && return 0
		sleep 0.1
	done
	die "$what does not answer"
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
	local port
	for port in $(shuf -i 20000-30000 -n 50); do
		listening "$port" || { echo "$port"; return 0; }
	done
	die "no free port"
}

# Starts what answers HTTP: sets FRONT (pid) and PORT.
start_front() {
	PORT=$(free_port)
	case $1 in
		redis | call | batch)
			MODE=$1 PORT=$PORT REDIS_SOCKET=$SCRATCH/redis/sock NODE_PATH=$SCRATCH/peers/node_modules \
				PGDATABASE=bench PGUSER=bench_ingress "$NODE" "$BENCH/peers/server.mjs" >"$SCRATCH/log/$1" 2>&1 & ;;
		outreach)
			{
				echo "listen = 127.0.0.1:$PORT"
				echo "database = host=$SCRATCH/sock dbname=bench user=bench_ingress"
				[ -z "$SHIM_SETTINGS" ] || printf '%s\n' "$SHIM_SETTINGS" | tr ';' '\n'
			} > "$SCRATCH/shim.conf"
			"$PO_SHIM" --config "$SCRATCH/shim.conf" >"$SCRATCH/log/outreach" 2>&1 & ;;
	esac
	FRONT=$!
	STARTED+=("$FRONT")
	wait_for "$1" listening "$PORT"
	sleep 0.5
}

stop_front() {
	stop "$FRONT"
	wait "$FRONT" 2>/dev/null || true
	unset 'STARTED[-1]'
	FRONT=
}

# field NAME "a=1 b=2"
field() { sed -n "s/.*\b$1=\([0-9.]*\).*/\1/p" <<<"$2"; }

calc() { awk "BEGIN {printf \"%.${2:-1}f\", $1}"; }
