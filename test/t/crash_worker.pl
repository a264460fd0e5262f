# Worker, launcher and postmaster are killed with SIGKILL, at each step of a firing
# and at random while timers come due: each timer fires once, none is lost, none is
# early.  TORTURE_SECONDS makes the random part longer.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use Cwd ();
use OutreachTest;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Timers;

my $seconds = $ENV{TORTURE_SECONDS} || 20;
my $db = 'postgres';
my $batch = 20;
# commits can be made to wait for a standby only where there could be one
my $node = new_cluster(conf => "wal_level = replica\nmax_wal_senders = 2\nmax_worker_processes = 16\n");
timer_database($node, $db, $batch);

sub back
{
	wait_until(sub { ($node->psql($db, 'SELECT 1', timeout => 10))[0] == 0 }, 'the server to be back');
}

my %kill = (
	worker => sub { kill9($_[0]) },
	launcher => sub { kill9(wait_until(sub { launcher($node) }, 'the launcher')) },
	postmaster => sub {
		my @others = backend_pids($node, 'true');
		$node->kill9;
		wait_until(sub { !grep { kill(0, $_) } @others }, 'its children to end');
		$node->start;
	},
	# it stands longer than a batch has time, and then than one timer has
	nobody => sub { sleep 4 });

# ---- at each step -------------------------------------------------------------

# Where a firing can be made to stand still: a trigger there waits until this lock is
# free.  It asks again and again, for a worker gives up waiting for a lock.
my $held = 'SELECT pg_advisory_lock(42)';
$node->safe_psql($db, q{
	CREATE FUNCTION public.stand_still() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT pg_try_advisory_xact_lock_shared(42) LOOP
			PERFORM pg_sleep(0.1);
		END LOOP;
		RETURN NEW;
	END $$});
my $fires = 'FOR EACH ROW WHEN (NEW.executed_at IS NOT NULL) EXECUTE FUNCTION public.stand_still()';
my @steps = (
	[ 'before its row is written', "CREATE TRIGGER stand_still BEFORE INSERT ON outreach.lead_timers $fires" ],
	[ 'after its row is written', "CREATE TRIGGER stand_still AFTER INSERT ON outreach.lead_timers $fires" ],
	[ 'with its lead', 'CREATE TRIGGER stand_still AFTER UPDATE ON outreach.leads FOR EACH ROW
		WHEN (NEW.assigned_agent IS DISTINCT FROM OLD.assigned_agent) EXECUTE FUNCTION public.stand_still()' ],
	[ 'with its event', "CREATE TRIGGER stand_still AFTER INSERT ON outreach.events FOR EACH ROW
		WHEN (NEW.event_type = 'timer.fired') EXECUTE FUNCTION public.stand_still()" ],
	[ 'in COMMIT, before its record', 'CREATE CONSTRAINT TRIGGER stand_still AFTER INSERT ON outreach.lead_timers
		DEFERRABLE INITIALLY DEFERRED ' . $fires ]);
my $timers = 0;
my $standing = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach worker' AND wait_event =";

for my $step (@steps)
{
	my ($what, $trigger) = @$step;

	$node->safe_psql($db, $trigger);
	for my $victim (qw(worker launcher postmaster), $what eq 'with its event' ? 'nobody' : ())
	{
		my $holder = $node->background_psql($db, on_error_stop => 0);
		my $type = 'STEP_' . ++$timers;

		$holder->query_safe($held);
		set_timer($node, $db, 1, $type, 'now()', qq({"agent": "$type"}));
		my $worker = wait_until(sub { sql($node, "$standing 'PgSleep'") }, "a firing to stand still $what");
		is(fired($node, $db, 1, $type), 0, "$what: nothing is to be seen");
		$kill{$victim}->($worker);
		eval { $holder->quit };
		back();
		is(wait_fired($node, $db, 1, $type), 1, "$victim killed $what: it fires, once");
	}
	$node->safe_psql($db, 'DROP TRIGGER stand_still ON ' . ($trigger =~ /ON (outreach\.\w+)/)[0]);
}

# in COMMIT, after its record is on disk: it waits for a standby that is not there
for my $victim (qw(worker launcher postmaster))
{
	my $what = 'in COMMIT, after its record';
	my $type = 'STEP_' . ++$timers;
	my $worker;

	$node->safe_psql($db, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	# processes begin to wait a moment after the setting is seen; each try is a timer more
	wait_until(
		sub {
			sql($node, 'SET synchronous_commit = local; '
				. timer_sql(1, $type, 'now()', qq({"agent": "$type"})));
			$worker = wait_until(sub { sql($node, "$standing 'SyncRep'")
				|| (fired($node, $db, 1, $type) ? 'fired' : '') }, "a firing to stand still $what");
			$type = 'STEP_' . ++$timers if $worker eq 'fired';
			$worker ne 'fired';
		},
		'commits to wait');
	$node->safe_psql($db, 'ALTER SYSTEM RESET synchronous_standby_names');
	$kill{$victim}->($worker);
	back();
	is(wait_fired($node, $db, 1, $type), 1, "$victim killed $what: it has fired, once");
}
expect_once($node, $db, 'at each step', $timers);

# ---- at random ----------------------------------------------------------------

# Sets timers that come due within two seconds until it is told to stop, and
# notes what was committed for certain.
my $acked = $node->basedir . '/acked';
my $parent = $$;
my $feeder = fork() // die "fork: $!";
if ($feeder == 0)
{
	my $running = 1;
	my $n = 0;
	local $SIG{TERM} = sub { $running = 0 };
	open(my $out, '>', $acked) or POSIX::_exit(1);
	while ($running && getppid() == $parent)
	{
		my $type = 'RANDOM_' . ++$n;
		my ($rc) = eval {
			$node->psql($db, qq[SELECT count(*) FROM generate_series(1, $batch) i, LATERAL outreach.set_timer('team_a',
				i::text, '$type', clock_timestamp() + random() * '2 s'::interval, 'test', '{"agent": "$type"}')], timeout => 20);
		};
		syswrite($out, "$type\n") if defined $rc && $rc == 0;
		sleep(0.05);
	}
	POSIX::_exit(0);
}

my %kills = (worker => 0, launcher => 0, postmaster => 0);
my $end = time() + $seconds;
while (time() < $end || grep { !$_ } values %kills)
{
	my $victim = (qw(worker worker worker launcher postmaster))[ rand(5) ];
	my $worker;

	sleep(rand(0.7));
	next if $victim eq 'worker' && !($worker = eval { worker($node, $db) });
	$kill{$victim}->($worker);
	$kills{$victim}++;
	back();
}
kill 'TERM', $feeder;
waitpid($feeder, 0);
is($?, 0, 'the process that sets timers ended well');
wait_until(sub { sql($node, 'SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL') == 0 }, 'all to fire');

chmod(0644, $acked);
is(sql($node, "CREATE TEMP TABLE acked (timer_type text);
		COPY acked FROM '" . Cwd::abs_path($acked) . "';
		SELECT count(*) FROM acked LEFT JOIN (SELECT timer_type, count(*) AS n FROM outreach.lead_timers GROUP BY timer_type) t
			USING (timer_type) WHERE n IS DISTINCT FROM $batch"),
	0, 'no timer is lost that was committed');
my $total = sql($node, 'SELECT count(*) FROM outreach.lead_timers');
expect_once($node, $db, 'at random', $total);
unlike(log_since($node, 0), qr/PANIC:|TRAP:|signal 11|signal 6/, 'no panic, no failed assertion');
note("figures timers=$total ", join ' ', map { "$_=$kills{$_}" } sort keys %kills);
done_testing();
