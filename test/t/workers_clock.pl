# The wall clock is moved by days, both ways, while timers are pending: none hangs,
# none is lost, none fires twice, and none before its time by the clock of that moment.
# A library that is preloaded into the server moves it (test/torture/wall_clock.c).

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use Cwd ();
use IPC::Run ();
use OutreachTest;
use Test::More;
use Timers;
use Time::HiRes qw(sleep);

my $db = 'postgres';
my $node = new_cluster(start => 0, conf => "max_worker_processes = 16\n");
my $base = Cwd::abs_path($node->basedir);

# sets it so many days beside the real time, in every process at once
sub moved
{
	my ($days) = @_;
	open(my $out, '+>', "$base/clock") or die $! unless -e "$base/clock";
	open($out, '+<', "$base/clock") or die $!;
	syswrite($out, pack('q', $days * 86400)) == 8 or die $!;
}

moved(0);
my $error = '';
IPC::Run::run([ $ENV{CC} || 'cc', '-shared', '-fPIC', '-O2', '-o', "$base/wall_clock.so", 'test/torture/wall_clock.c' ],
	'2>' => \$error) or plan skip_all => "wall_clock.c cannot be built: $error";
{
	local @ENV{qw(LD_PRELOAD WALL_CLOCK)} = ("$base/wall_clock.so", "$base/clock");
	$node->start;
}
timer_database($node, $db, 60);

moved(3);
is(sql($node, "SELECT round(extract(epoch FROM clock_timestamp() - to_timestamp(${\ time()})) / 86400)"), 3,
	'the clock of the server can be moved');
moved(0);

my $lead = 0;

# a timer so many seconds ahead by the clock of now; returns its lead
sub timer
{
	my ($seconds) = @_;
	set_timer($node, $db, ++$lead, 'FOLLOW_UP', "clock_timestamp() + '$seconds s'");
	return $lead;
}

sub fires
{
	my ($what, @leads) = @_;
	is(wait_fired($node, $db, $_, 'FOLLOW_UP'), 1, $what) for @leads;
}

sub sleeps
{
	my ($what, @leads) = @_;
	is(fired($node, $db, $_, 'FOLLOW_UP'), 0, $what) for @leads;
}

fires('without a jump', timer(0.2));

# a worker is there and waits
{
	my ($near, $far) = (timer(3), timer(86400));
	wait_worker($node, $db);
	moved(4);
	fires('days ahead, while a worker waits', $near, $far);
}
{
	my $near = timer(3);
	wait_worker($node, $db);
	moved(-4);
	fires('days back: a new one', timer(0.5));
	sleeps('days back: the one before waits for its time', $near);
	moved(5);
	fires('days ahead again', $near);
}

# nobody is there but the launcher
{
	my $far = timer(2 * 86400);
	wait_no_worker($node, $db);
	moved(8);
	fires('days ahead, while only the launcher waits', $far);
	my $later = timer(86400);
	wait_no_worker($node, $db);
	moved(-8);
	fires('days back, while only the launcher waits', timer(0.5));
	sleeps('the one of the time before waits', $later);
	moved(10);
	fires('until its time comes', $later);
}

# a worker that failed waits for its next start
{
	sql($node, 'REVOKE EXECUTE ON FUNCTION outreach.fire_timers(int, timestamptz) FROM outreach_worker');
	my $one = timer(0);
	wait_until(sub { status($node, $db, 'failures') >= 2 }, 'a worker to fail');
	moved(-10);
	sql($node, 'GRANT EXECUTE ON FUNCTION outreach.fire_timers(int, timestamptz) TO outreach_worker');
	fires('days back, while a worker waits to be started again', timer(0));
	sleeps('one that has to wait by this clock', $one);
	moved(12);
	fires('days ahead', $one);
}

# to and fro
for my $round (1 .. 10)
{
	timer(rand(2) + ($round % 3) * 86400);
	sleep(rand(0.5));
	moved(int(rand(21)) - 10);
}
moved(40);
wait_until(sub { sql($node, 'SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL') == 0 }, 'all to fire');
expect_once($node, $db, 'after all jumps', $lead);
unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
