# Many databases with the extension and few workers: all timers fire, while databases
# come and go; who has nothing due has no process.  What the launcher costs when
# nothing happens is printed.  DATABASES says how many, IDLE_SECONDS how long that is measured.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Timers;

my $n = $ENV{DATABASES} || 200;
my $idle = $ENV{IDLE_SECONDS} || 5;
my $pool = 4;
my $node = new_cluster(conf => "outreach.max_workers = $pool\nmax_worker_processes = 16\nautovacuum = off\n");

sub make
{
	for my $db (@_)
	{
		sql($node, "CREATE DATABASE $db TEMPLATE model STRATEGY file_copy", db => 'template1');
		sql($node, 'SELECT outreach.arm()', db => $db);
	}
}

# one due now, one in a while, and one that is far
sub set_timers
{
	for my $db (@_)
	{
		sql($node, join('; ', timer_sql(1, 'NOW', 'now()', '{"agent": "A"}'),
				timer_sql(2, 'SOON', "now() + random() * '15 s'::interval", '{"agent": "B"}'),
				timer_sql(3, 'FAR', "'2100-01-01 00:00+00'")), db => $db);
	}
}

sql($node, 'CREATE DATABASE plain');
sql($node, 'CREATE DATABASE model');
timer_database($node, 'model', 3);
my @databases = map { "d$_" } 1 .. $n;
my $began = time();
make(@databases);
note(sprintf('%d databases made in %.0f s', $n, time() - $began));

my @later = map { "later$_" } 1 .. 10;
my @gone = map { "gone$_" } 1 .. 10;
make(@gone);
set_timers(@gone);
my $most = 0;
for my $i (0 .. $#databases)
{
	set_timers($databases[$i]);
	next if $i % 20;
	make($later[ $i / 20 ]), set_timers($later[ $i / 20 ]) if $i / 20 < @later;
	sql($node, 'DROP DATABASE ' . pop @gone, db => 'template1') if @gone;
	my $now = sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outreach worker'");
	$most = $now if $now > $most;
}
cmp_ok($most, '<=', $pool, 'never more workers than max_workers');

push @databases, grep { sql($node, "SELECT 1 FROM pg_database WHERE datname = '$_'") } @later;
my @wrong;
for my $db (@databases)
{
	wait_fired($node, $db, 2, 'SOON');
	my $fired = join '', map { fired($node, $db, @$_) } [ 1, 'NOW' ], [ 2, 'SOON' ], [ 3, 'FAR' ];
	push @wrong, "$db: $fired" if $fired ne '110';
}
is("@wrong", '', 'in ' . @databases . ' databases, some made meanwhile and others dropped, what was due fired once');
is(sql($node, "SELECT count(*) FROM pg_database WHERE datname LIKE 'gone%'"), scalar(@gone), 'the others are gone');
note('firings less than 1, 2, 4 ... 1024 ms late, and later: ', sql($node,
	'SELECT array_agg(n ORDER BY i) FROM (SELECT i, sum(n) AS n FROM outreach.worker_status, unnest(lateness) WITH ORDINALITY u(n, i) GROUP BY i) s',
	db => 'model'));

wait_until(sub { sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outreach worker'") == 0 },
	'all workers to leave');
pass('with nothing due there is no worker in any of them');
is(sql($node, "SELECT state, timers_fired, worker_pid IS NULL, last_failed IS NULL FROM outreach.worker_status WHERE database = 'plain'",
		db => 'model'), 'without extension|0|t|t', 'a database without the extension was looked at and left alone');
is(sql($node, "SELECT count(*) FROM outreach.worker_status WHERE database ~ '^(d|later)[0-9]'
		AND next_due = '2100-01-01 00:00+00' AND state = 'served' AND failures = 0", db => 'model'),
	scalar(@databases), 'the next due time of each is known');

# clock ticks of processor time
sub ticks
{
	my ($pid) = @_;
	my @field = split / /, (PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ /\) (.*)/)[0];
	return $field[11] + $field[12];
}
my $launcher = launcher($node);
my $before = ticks($launcher);
sleep($idle);
note(sprintf('idle, %d databases: launcher %.2f %% of a core over %d s, no worker', scalar(@databases),
		(ticks($launcher) - $before) / POSIX::sysconf(POSIX::_SC_CLK_TCK()) / $idle * 100, $idle));
is(launcher($node), $launcher, 'one launcher all the time');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
is(join("\n", grep { /UTC \[\d+\] (?:ERROR|FATAL|PANIC|WARNING):/ } split /\n/, log_since($node, 0)),
	'', 'no error of a worker in the log');
done_testing();
