# Workers where something is missing or in the way: no preloading, no processes, an
# error, a signal, a shutdown; and their memory after many firings.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use List::Util qw(max min);
use OutreachTest;
use Test::More;
use Timers;

my $db = 'postgres';

# Keeps a worker where it is: it waits for the lead that the session has.  A lead
# beyond those that the test uses.
sub pin
{
	my ($node) = @_;
	set_timer($node, $db, 1, 'CALLBACK', "now() + '1 s'");
	my $holder = $node->background_psql($db, on_error_stop => 0);
	$holder->query_safe("BEGIN; SELECT FROM outreach.leads WHERE lead_id = '1' FOR NO KEY UPDATE");
	wait_worker($node, $db);
	return $holder;
}

# ---- not preloaded, none wanted -----------------------------------------------

{
	my $node = new_cluster(name => 'bare', preload => 0);
	timer_database($node, $db, 1);
	like(set_timer($node, $db, 1, 'FOLLOW_UP', 'now()'), qr/^\(1,FOLLOW_UP,/, 'without preloading set_timer works');
	is(sql_error($node, 'SELECT * FROM outreach.worker_status'), '55000', 'worker_status says that there are no workers');
	my ($rc, $out, $error) = $node->psql($db, 'SELECT * FROM outreach.worker_status');
	like($error, qr/no background workers.*shared_preload_libraries.*run_once/s, 'why, and what to do');
	is(sql($node, 'SELECT * FROM outreach.run_once()', user => 'test_scheduler'), '1|0', 'run_once does their work');
	expect_once($node, $db, 'without preloading', 1);
	$node->stop;

	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_outreach'\noutreach.max_workers = 0\n");
	$node->start;
	set_timer($node, $db, 1, 'CALLBACK', 'now()');
	is(launcher($node), '', 'with max_workers = 0 there is no launcher');
	is(sql($node, 'SELECT count(*) FROM outreach.worker_status WHERE worker_pid IS NOT NULL'), 0, 'and no worker');
	is(sql($node, 'SELECT * FROM outreach.run_once()', user => 'test_scheduler'), '1|0', 'run_once does their work');
	sql($node, 'CREATE DATABASE copy TEMPLATE template0; ALTER DATABASE copy RENAME TO copied; DROP DATABASE copied');
	$node->stop;

	# the launcher of logical replication has one of them, and ours another
	$node->append_conf('postgresql.conf', "outreach.max_workers = 4\nmax_worker_processes = 2\n");
	$node->start;
	my $start = mark($node);
	my $began = time();
	set_timer($node, $db, 1, 'TIMER_30D', 'now()') for 1 .. 20;
	my $warning = qr/WARNING:  out of background worker slots\n.*HINT:  Raise max_worker_processes/;
	wait_until(sub { log_since($node, $start) =~ $warning }, 'a warning');
	set_timer($node, $db, 1, 'TIMER_30D', 'now()') for 1 .. 20;
	my @warnings = log_since($node, $start - 2000 < 0 ? 0 : $start - 2000) =~ /$warning/g;
	cmp_ok(scalar(@warnings), '<=', 3 + (time() - $began) / 10, 'too few processes: a warning that says what to do, and no flood of them');
	$node->stop;

	$node->append_conf('postgresql.conf', "max_worker_processes = 3\n");
	$node->start;
	is(wait_fired($node, $db, 1, 'TIMER_30D'), 1, 'with one to be had it fires');
	expect_once($node, $db, 'after restarts', 3);
	$node->stop;
}

my $node = new_cluster(conf => "max_worker_processes = 16\n");
timer_database($node, $db, 4000);

# ---- an error -----------------------------------------------------------------

{
	my $start = mark($node);
	sql($node, 'REVOKE EXECUTE ON FUNCTION outreach.fire_timers(int, timestamptz) FROM outreach_worker');
	set_timer($node, $db, 2, 'FOLLOW_UP', 'now()');
	wait_until(sub { status($node, $db, 'failures') >= 3 }, 'the worker to fail three times');
	is(status($node, $db, 'last_sqlstate, last_failed IS NOT NULL, worker_pid IS NOT NULL'), '42501|t|t',
		'an activity that fails: worker_status says when and with what, and the worker stays');
	my @times = log_since($node, $start) =~
		/^\S+ (\d+:\d+:\d+\.\d+) UTC \[\d+\] LOG:  firing timers failed with SQLSTATE 42501: permission denied/mg;
	cmp_ok(scalar(@times), '>=', 3, 'it is tried again');
	@times = map { my ($h, $m, $s) = split /:/; $h * 3600 + $m * 60 + $s } @times;
	cmp_ok($times[1] - $times[0], '>=', 0.9, 'not before a second');
	cmp_ok($times[2] - $times[1], '>=', 1.9, 'and then two');
	is(fired($node, $db, 2, 'FOLLOW_UP'), 0, 'nothing fired meanwhile');
	sql($node, 'GRANT EXECUTE ON FUNCTION outreach.fire_timers(int, timestamptz) TO outreach_worker');
	is(wait_fired($node, $db, 2, 'FOLLOW_UP'), 1, 'when the cause is gone it fires');
	wait_until(sub { worker($node, $db) eq '' || status($node, $db, 'failures') == 0 }, 'calm');
	set_timer($node, $db, 3, 'FOLLOW_UP', 'now()');
	wait_fired($node, $db, 3, 'FOLLOW_UP');
	sql($node, "SELECT pg_terminate_backend($_)") for wait_worker($node, $db), launcher($node);
	set_timer($node, $db, 4, 'FOLLOW_UP', 'now()');
	is(wait_fired($node, $db, 4, 'FOLLOW_UP'), 1, 'after pg_terminate_backend of both they are there again');
}

# ---- SIGHUP -------------------------------------------------------------------

{
	my $holder = pin($node);
	my $worker = worker($node, $db);
	sql($node, "ALTER SYSTEM SET outreach.clock = '2030-01-01 00:00+00'");
	$node->reload;
	set_timer($node, $db, 5, 'FOLLOW_UP', "'2029-12-31 00:00+00'");
	is(wait_fired($node, $db, 5, 'FOLLOW_UP'), 1, 'SIGHUP: a worker takes the new settings');
	is(sql($node, "SELECT executed_at = '2030-01-01 00:00+00' FROM outreach.lead_timers WHERE lead_id = '5'"), 't',
		'and the time is outreach.clock');
	is(worker($node, $db), $worker, 'it is the same worker');
	sql($node, 'ALTER SYSTEM RESET outreach.clock');
	$node->reload;
	wait_until(sub { sql($node, 'SELECT outreach.clock FROM current_setting($$outreach.clock$$) AS outreach(clock)') eq '' },
		'the real time');
	$holder->query_safe('COMMIT');
	$holder->quit;
	wait_fired($node, $db, 1, 'CALLBACK');
}

# ---- memory -------------------------------------------------------------------

# What the system gives a process depends, by some megabytes, on how its batches fell;
# what it holds in PostgreSQL's memory contexts does not.
sub resident
{
	my ($pid) = @_;
	return PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die;
}

sub held
{
	my ($pid) = @_;
	my $start = mark($node);
	my $kb;
	sql($node, "SELECT pg_log_backend_memory_contexts($pid)");
	wait_until(sub { ($kb) = map { int($_ / 1024) } log_since($node, $start) =~ /Grand total: .*; (\d+) used$/m }, 'the totals');
	return $kb;
}

{
	my $holder = pin($node);
	my $worker = worker($node, $db);
	my (@kb, @resident);
	my $rounds = 9;

	for my $round (1 .. $rounds)
	{
		sql($node, "INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at,
				action, action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
			SELECT 'team_a', gen_random_uuid(), i::text, 'MEMORY_$round', now(), now(), 'test',
				'{\"agent\": \"A$round\"}', true, 3, now(), now() FROM generate_series(101, 3900) i");
		wait_until(sub { sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL AND lead_id <> '1'") == 0 },
			"round $round");
		push @kb, held($worker);
		push @resident, resident($worker);
	}
	is(worker($node, $db), $worker, 'one worker fired ' . 3800 * $rounds . ' timers');
	note("its memory after each 3800 firings, kB: @kb, anonymous: @resident");
	cmp_ok(min(@kb[-3 .. -1]), '<=', $kb[4] + 64, 'and its memory stayed what it was after the first ones');
	cmp_ok(min(@resident[-3 .. -1]), '<=', max(@resident[0 .. 4]) + 4096, 'also that which the system gave it');
	$holder->query_safe('COMMIT');
	$holder->quit;
	wait_until(sub { sql($node, 'SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL') == 0 }, 'the last');
}

# ---- shutdown, and a statement that wants the database ------------------------

sql($node, q{
	CREATE FUNCTION public.slow(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql
		AS 'SELECT pg_sleep(3600)';
	SELECT outreach.register_timer_function('slow', 'public.slow(text, text, jsonb)')});
my $slow = q{{"call": "slow"}};
set_timer($node, $db, 6, 'FOLLOW_UP', 'now()', $slow);
wait_until(sub { sql($node, "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'outreach functions worker'") eq 'PgSleep' },
	'the worker to be in a long call');
my $postmaster = $node->{_pid};
kill 'INT', $postmaster;
ok(wait_until(sub { !kill(0, $postmaster) }, 'the server to stop'), 'a long call does not delay a fast shutdown');
$node->_update_pid(0);

$node->append_conf('postgresql.conf', "outreach.max_workers = 0\n");
$node->start;
sql($node, "UPDATE outreach.lead_timers SET due_at = '2100-01-01' WHERE lead_id = '6' AND due_at IS NOT NULL; CREATE DATABASE copy TEMPLATE template0");
is(fired($node, $db, 6, 'FOLLOW_UP'), 0, 'and what was not committed did not happen');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
