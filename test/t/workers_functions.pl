# Functions that timers call: they have a worker of their own, whatever they raise is
# their own, none hangs for others, none leaves anything behind, and none is tried
# for ever, whatever becomes of its process.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Timers;

my $node = new_cluster(conf => "max_worker_processes = 16\noutreach.function_timeout = '1 h'\n");
my $db = 'postgres';
timer_database($node, $db, 90);
sql($node, q{
	SELECT outreach.create_tenant('team_b', 'B'), outreach.create_lead('team_b', '1');
	CREATE TABLE public.seen (n serial, lead_id text, pid int, name text, value text);
	GRANT INSERT ON public.seen TO outreach_functions;
	GRANT USAGE ON SEQUENCE public.seen_n_seq TO outreach_functions;
	CREATE FUNCTION public.look(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.seen (lead_id, pid, name, value)
		VALUES (lead_id, pg_backend_pid(), 'users', current_user || ' ' || session_user);
		INSERT INTO public.seen (lead_id, pid, name, value) SELECT look.lead_id, pg_backend_pid(), s, current_setting(s, true)
		  FROM jsonb_array_elements_text(payload -> 'names') s;
	END $$;
	CREATE FUNCTION public.raise(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'no' USING ERRCODE = payload ->> 'state'; END $$;
	CREATE FUNCTION public.hang(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(36000)';
	CREATE FUNCTION public.cling(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN PERFORM pg_sleep(36000); EXCEPTION WHEN query_canceled OR others THEN NULL; END;
		END LOOP;
	END $$;
	CREATE FUNCTION public.run(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		result text := 'done';
	BEGIN
		BEGIN EXECUTE payload ->> 'sql'; EXCEPTION WHEN others THEN result := SQLSTATE; END;
		INSERT INTO public.seen (lead_id, pid, name, value) VALUES (lead_id, pg_backend_pid(), payload ->> 'sql', result);
	END $$;
	SELECT outreach.register_timer_function(f, format('public.%s(text, text, jsonb)', f)::regprocedure)
	  FROM unnest('{look,raise,hang,cling,run}'::text[]) f});

sub functions_worker
{
	return sql($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach functions worker' AND datname = '$db'");
}

sub hanging { return wait_until(sub { sql($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach functions worker'
	AND wait_event = 'PgSleep'") }, 'a function to hang') }

sub timer { my ($lead, $columns) = @_; return sql($node, "SELECT $columns FROM outreach.lead_timers WHERE tenant_id = 'team_a' AND lead_id = '$lead'
	AND timer_type = 'CALL'"); }

sub call { my ($lead, $payload, $at) = @_; return set_timer($node, $db, $lead, 'CALL', $at // 'now()', $payload); }

# Another tenant's timer, while something is in the way of whoever would fire it
my $others = 0;
sub others_fire
{
	my ($what) = @_;
	my $type = 'OTHER_' . ++$others;
	sql($node, "SELECT outreach.set_timer('team_b', '1', '$type', now(), 'test', '{}')");
	wait_until(sub { sql($node, "SELECT 1 FROM outreach.lead_timers WHERE timer_type = '$type' AND executed_at IS NOT NULL") },
		"a timer of another tenant, $what");
	pass("another tenant's timer fires, $what");
}

sub pin { return pin_worker($node, $db, 60); }

sub unpin { my ($holder) = @_; $holder->query_safe('COMMIT'); $holder->quit; }

# ---- a process of their own ---------------------------------------------------

call(1, q({"call": "look"}));
is(wait_fired($node, $db, 1, 'CALL'), 1, 'a timer that calls a function fires');
is(sql($node, "SELECT value FROM public.seen WHERE name = 'users'"), 'outreach_functions outreach_worker',
	"its function runs as outreach_functions");
is(sql($node, "SELECT value FROM public.seen WHERE pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach worker')"), '',
	'and not in the process that fires other timers');
is(timer(1, 'attempts, last_error, executed_at IS NOT NULL'), '1||t', 'with one attempt');
wait_until(sub { functions_worker() eq '' }, 'the process to leave');
pass('that process is there only while there is something to call');

# ---- whatever they raise ------------------------------------------------------

{
	my @states = qw(53200 53100 53300 58P01 58030 57014 57P01 57P03 40001 40P01 55P03 55000 25006 25P02 XX000 XX001 XX002 0A000 P0001 OR101);
	my $holder = pin();
	my $worker = wait_worker($node, $db);
	my $lead = 2;
	my $sql = '';
	$sql .= timer_sql($lead++, 'CALL', 'now()', qq({"call": "raise", "state": "$_"})) . '; ' for @states;
	sql($node, "BEGIN; $sql COMMIT");
	others_fire('while functions fail');
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'CALL' AND attempts = 1 AND last_error IS NOT NULL") == @states },
		'all of them to have failed');
	is(sql($node, "SELECT string_agg(right(last_error, 5), ' ' ORDER BY lead_id::int) FROM outreach.lead_timers
			WHERE timer_type = 'CALL' AND last_error IS NOT NULL"), "@states", 'each has its SQLSTATE and one attempt');
	is(sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'CALL' AND last_error IS NOT NULL
			AND (due_at IS NULL OR due_at < now() + '30 s')"), 0, 'and its next try');
	is(status($node, $db, 'failures, last_failed IS NULL'), '0|t', 'no worker has failed for it');
	is(sql($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker"), 1, 'and the other goes on');
	sql($node, "UPDATE outreach.lead_timers SET due_at = NULL WHERE timer_type = 'CALL'");
	unpin($holder);
}

# ---- those that hang ----------------------------------------------------------

{
	call(30, q({"call": "hang"}));
	my $pid = hanging();
	sql($node, q{SELECT outreach.create_endpoint('team_b', '/w/later', 'generic', 'none', mode => 'deferred')});
	others_fire('while a function hangs');
	ingest($node, { method => 'POST', path => '/w/later', headers => { 'content-type' => 'application/json' },
		body => '{"event":"message.received","id":"1","from":"+12125550101","body":"hello"}' });
	wait_until(sub { sql($node, "SELECT 1 FROM outreach.inbound_payloads WHERE status = 'done'") }, 'a payload to be processed');
	pass('and payloads are processed');
	is(timer(30, 'attempts, due_at > now()'), '1|t', 'the attempt is counted before the call');
	sql($node, "SELECT pg_cancel_backend($pid)");
	wait_until(sub { timer(30, 'last_error') }, 'the cancelled call to end');
	is(timer(30, 'attempts, last_error'), '1|the action failed with SQLSTATE 57014', 'a person who cancels it ends its attempt');

	sql($node, "ALTER SYSTEM SET outreach.function_timeout = '200 ms'");
	$node->reload;
	wait_until(sub { sql($node, 'SHOW outreach.function_timeout') eq '200ms' }, 'the setting');
	call(31, q({"call": "hang"}));
	wait_until(sub { timer(31, 'last_error') }, 'a hanging function to be ended');
	is(timer(31, 'attempts, last_error'), '1|the action failed with SQLSTATE 57014', 'outreach.function_timeout does by itself');

	call(32, q({"call": "cling"}));
	hanging();
	others_fire('while one clings to its process');
	my $before = functions_worker();
	call(33, q({"call": "look"}));
	is(wait_fired($node, $db, 33, 'CALL'), 1, 'one that catches every cancel is ended with its process, and others are called');
	isnt(functions_worker(), $before, 'in another one');
	is(timer(32, 'attempts, executed_at IS NULL'), '1|t', 'it has had its attempt');
	sql($node, "ALTER SYSTEM RESET outreach.function_timeout");
	$node->reload;
	# their next tries would come between, on a busy machine
	sql($node, "UPDATE outreach.lead_timers SET due_at = NULL WHERE timer_type = 'CALL' AND due_at > now()");
}

# ---- processes that end -------------------------------------------------------

{
	call(34, q({"call": "hang"}));
	kill9(hanging());
	wait_until(sub { eval { sql($node, 'SELECT 1') } }, 'the server to be back');
	is(timer(34, 'attempts, due_at > now(), last_error'), '1|t|', 'killed in its function: an attempt, and a pause');
	sql($node, "UPDATE outreach.lead_timers SET max_attempts = 1, due_at = now() WHERE lead_id = '34' AND due_at IS NOT NULL");
	wait_until(sub { timer(34, 'due_at IS NULL') eq 't' }, 'it to be given up');
	is(timer(34, 'attempts, executed_at IS NULL, last_error'), '1|t|the process ended while its function ran',
		'after its last one it is not called again');
	is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'timer.failed' AND lead_id = '34'"), 1,
		'which its event tells');

	# what is written at the end takes a while
	sql($node, q{CREATE FUNCTION public.given_back() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE LOG 'given back';
			PERFORM pg_sleep(1);
			RETURN NEW;
		END $$;
		CREATE TRIGGER given_back BEFORE UPDATE ON outreach.lead_timers FOR EACH ROW
			WHEN (NEW.attempts < OLD.attempts) EXECUTE FUNCTION public.given_back()});
	call(35, q({"call": "hang"}));
	hanging();
	$node->restart;
	my $pid = hanging();
	is(timer(35, 'attempts'), 1, 'a shutdown costs no attempt: it is the first again');

	my $start = mark($node);
	kill 'TERM', $pid;
	wait_until(sub { log_since($node, $start) =~ /given back/ }, 'the end of the process');
	kill 'TERM', $pid;
	wait_until(sub { kill(0, $pid) == 0 }, 'the process to be gone');
	$pid = hanging();
	is(timer(35, 'attempts'), 1, 'nor does a process that is asked to end twice');
	sql($node, "SELECT pg_cancel_backend($pid)");
	wait_until(sub { timer(35, 'last_error') }, 'it to end');
}

# ---- what they leave behind ---------------------------------------------------

my $names = join ', ', map { qq("$_") } my @names = qw(lock_timeout row_security synchronous_commit search_path work_mem my.thing
  default_transaction_read_only outreach.tenant_id role);

sub settings
{
	my ($lead) = @_;
	call($lead, qq({"call": "look", "names": [$names]}));
	wait_until(sub { timer($lead, 'attempts') > 0 }, 'the call');
	is(timer($lead, 'last_error'), '', "lead $lead: the function can look");
	wait_fired($node, $db, $lead, 'CALL');
	return sql($node, "SELECT string_agg(name || '=' || coalesce(value, ''), ' ' ORDER BY n) FROM public.seen WHERE lead_id = '$lead' AND name <> 'users'");
}

{
	my $sql = q{
		SELECT set_config('lock_timeout', '7', false), set_config('row_security', 'off', false), set_config('synchronous_commit', 'off', false),
			set_config('search_path', 'public', false), set_config('work_mem', '64', false), set_config('my.thing', 'left', false);
		SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY};
	$sql =~ s/\s+/ /g;
	$sql =~ s/'/''/g;
	# on a busy machine the process may have left meanwhile, and another came
	my ($first, $before, $after) = (60);
	while (1)
	{
		$before = settings($first);
		call($first + 1, qq({"call": "run", "sql": "$sql"}));
		wait_fired($node, $db, $first + 1, 'CALL');
		($after = settings($first + 2)) =~ s/my\.thing=/my.thing=/;
		last if sql($node, "SELECT count(DISTINCT pid) FROM public.seen WHERE lead_id IN ('$first', '@{[$first + 1]}', '@{[$first + 2]}')") == 1;
		$first += 3;
	}
	like($before, qr/row_security=on synchronous_commit=on search_path=pg_catalog, pg_temp/, 'what a function finds');
	is($after, $before, 'settings for the session that a function has made are not there for the next, which the same process calls');

	my $lead = 43;
	my %expected = (
		'SELECT pg_advisory_lock(1)' => 'done', 'RESET ALL' => 'done',
		'RESET ROLE' => '42501', 'SET ROLE outreach_owner' => '42501', 'SET ROLE outreach_worker' => '42501', 'RESET SESSION AUTHORIZATION' => '42501',
		'RESET outreach.tenant_id' => '42501', 'CREATE TEMP TABLE x ()' => '42501', 'PREPARE x AS SELECT 1' => '42501',
		'DECLARE x CURSOR WITH HOLD FOR SELECT 1' => '42501', 'LISTEN x' => '42501', 'DISCARD ALL' => '42501',
		'CREATE TABLE public.x ()' => '42501', q{ALTER ROLE outreach_worker PASSWORD 'x'} => '42501',
		'ALTER ROLE outreach_worker SET row_security = off' => '42501', 'SELECT outreach.fire_timers()' => '42501',
		'SELECT outreach.run_call()' => '42501', 'SELECT outreach.claim_messages()' => '42501', 'SELECT count(*) FROM outreach.leads' => '42501',
		q{SELECT outreach.enter_tenant('team_b')} => '42501', 'COMMIT' => '0A000',
		'SELECT pg_terminate_backend(pg_backend_pid())' => '42501', 'SELECT pg_cancel_backend(pg_backend_pid())' => '42501');
	# some name another worker
	my $holder = pin();
	$expected{"SELECT $_(" . worker($node, $db) . ')'} = $expected{"SELECT $_(" . launcher($node) . ')'} = '42501'
	  for 'pg_terminate_backend', 'pg_cancel_backend';
	my $calls = '';
	for my $statement (sort keys %expected)
	{
		(my $quoted = $statement) =~ s/'/''/g;
		$calls .= timer_sql($lead, 'C' . $others++, 'now()', qq({"call": "run", "sql": "$quoted"})) . ';';
	}
	sql($node, "BEGIN; $calls COMMIT");
	wait_until(sub { sql($node, "SELECT count(*) FROM public.seen WHERE lead_id = '$lead'") == keys %expected }, 'all statements');
	my %got = map { split /\|/ } split /\n/, sql($node, "SELECT name, value FROM public.seen WHERE lead_id = '$lead'");
	is_deeply(\%got, \%expected, 'what a function may do and what not');
	unpin($holder);
	wait_until(sub { sql($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0 }, 'no advisory lock');
	pass('an advisory lock of its session is let go');
	is(settings(44), $before, 'and settings are as before');
}

# Triggers that would run at the commit, when nobody has switched the role
{
	sql($node, q{
		CREATE TABLE public.later (a int);
		GRANT INSERT ON public.later TO outreach_functions;
		CREATE FUNCTION public.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.seen (lead_id, name, value) VALUES ('later', current_user, session_user);
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON public.later DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION public.at_commit()});
	call(45, q({"call": "run", "sql": "INSERT INTO public.later VALUES (1)"}));
	wait_fired($node, $db, 45, 'CALL');
	call(46, q({"call": "run", "sql": "SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO public.later VALUES (1)"}));
	wait_fired($node, $db, 46, 'CALL');
	is(sql($node, "SELECT string_agg(value, ' ' ORDER BY n) FROM public.seen WHERE lead_id IN ('45', '46')"), '42501 done',
		'a trigger that is put off to the commit is refused, one that is not goes');
	is(sql($node, "SELECT string_agg(name, ' ') FROM public.seen WHERE lead_id = 'later'"), 'outreach_functions', 'and runs as the function does');
}

# A worker that is asked to end in a call: what it was at is the next one's
{
	sql($node, 'CREATE TABLE public.hold AS SELECT 1 AS x; GRANT SELECT ON public.hold TO outreach_functions');
	call(47, q({"call": "run", "sql": "SELECT pg_sleep(600) FROM public.hold"}));
	wait_until(sub { sql($node, "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'outreach functions worker'") eq 'PgSleep' }, 'a long call');
	call(48, q({"call": "look"}));
	# its main worker knows of nothing more then
	wait_until(sub { worker($node, $db) eq '' }, 'the main worker to leave');
	sql($node, 'DELETE FROM public.hold');
	sql($node, 'SELECT pg_terminate_backend(' . functions_worker() . ')');
	is(wait_fired($node, $db, 47, 'CALL'), 1, 'a functions worker is ended in a call: the next one makes it again');
	is(wait_fired($node, $db, 48, 'CALL'), 1, 'and what waited behind it');
	is(sql($node, q{SELECT string_agg(attempts::text, ' ' ORDER BY lead_id) FROM outreach.lead_timers WHERE lead_id IN ('47', '48')}), '1 1',
		'no attempt is counted for it');
}

# ---- who else fires -----------------------------------------------------------

sql($node, "SELECT outreach.disarm('a test')");
wait_until(sub { functions_worker() eq '' && worker($node, $db) eq '' }, 'no worker');
call(50, q({"call": "look"}), "now() - '1 s'::interval");
set_timer($node, $db, 51, 'CALL', "now() - '1 s'::interval");
is(sql($node, 'SELECT timers FROM outreach.run_once()', user => 'test_scheduler'), 2, 'run_once fires both kinds in its session');
is(sql($node, "SELECT value FROM public.seen WHERE lead_id = '50' AND name = 'users'"), 'outreach_functions test_scheduler', 'with the rights of functions');
is(sql_error($node, 'SELECT outreach.take_call(now())'), '55000', 'which takes none as a worker does');

is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'the log agrees with the leads');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|ERRORDATA_STACK/, 'no process crashed by itself');

# ---- in all databases together ------------------------------------------------

{
	$node->append_conf('postgresql.conf', "outreach.max_workers = 1\noutreach.max_function_workers = 1\n");
	$node->restart;
	sql($node, 'SELECT outreach.arm()');
	call(52, q({"call": "hang"}));
	hanging();
	sql($node, 'CREATE DATABASE second');
	timer_database($node, 'second', 1);
	set_timer($node, 'second', 1, 'FOLLOW_UP', 'now()');
	is(wait_fired($node, 'second', 1, 'FOLLOW_UP'), 1, 'hanging functions take no worker from timers, with one of each');

	# the one that hangs is ended; then many that take a while, and one in the other database
	sql($node, 'SELECT pg_cancel_backend(' . functions_worker() . ')');
	sql($node, q{SELECT outreach.set_timer('team_a', i::text, 'SLOW', now(), 'test', '{"call": "run", "sql": "SELECT pg_sleep(0.2)"}')
		FROM generate_series(1, 50) i});
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'SLOW' AND executed_at IS NOT NULL") > 0 }, 'the first call');
	sql($node, q{CREATE FUNCTION public.nothing(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS '';
		SELECT outreach.register_timer_function('nothing', 'public.nothing(text, text, jsonb)')}, db => 'second');
	set_timer($node, 'second', 1, 'CALL', 'now()', '{"call": "nothing"}');
	is(wait_fired($node, 'second', 1, 'CALL'), 1, "another database's function is called");
	cmp_ok(sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'SLOW' AND executed_at IS NOT NULL"), '<', 40,
		'before a database with many slow ones is done with them');
}
done_testing();
