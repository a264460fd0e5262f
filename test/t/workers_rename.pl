# Databases that workers are kept out of: each is let go when the transaction or the
# savepoint ends that wanted it, however it ends; and one that no worker may enter is
# left alone, said so, and entered as soon as it may be.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Timers;

my $node = new_cluster(conf => "max_worker_processes = 16\nmax_prepared_transactions = 5\n");
create_extension($node, 'postgres');
for my $db (qw(one two))
{
	sql($node, "CREATE DATABASE $db");
	timer_database($node, $db, 20);
}
my $lead = 0;

# A timer in each fires, set from now on
sub all_served
{
	my ($what, @databases) = @_;
	$lead++;
	set_timer($node, $_, $lead, 'FOLLOW_UP', 'now()') for @databases;
	is(wait_fired($node, $_, $lead, 'FOLLOW_UP'), 1, "$what: timers of $_ fire") for @databases;
}

sub transaction
{
	my (@statements) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query($_) for @statements;
	return $session;
}

all_served('at first', qw(one two));

# ---- two names swapped --------------------------------------------------------

my $swap = 'ALTER DATABASE one RENAME TO other; ALTER DATABASE two RENAME TO one; ALTER DATABASE other RENAME TO two';
transaction("BEGIN; $swap; COMMIT")->quit;
all_served('names swapped in one transaction', qw(one two));
transaction("BEGIN; $swap; ROLLBACK")->quit;
all_served('and back, rolled back', qw(one two));
transaction('BEGIN', 'ALTER DATABASE one RENAME TO other', 'ALTER DATABASE two RENAME TO template1', 'COMMIT')->quit;
all_served('a second one that fails', qw(one two));
{
	my $session = transaction('BEGIN', 'SAVEPOINT a', 'ALTER DATABASE one RENAME TO other', 'ROLLBACK TO a');
	all_served('rolled back to a savepoint, the transaction being open', 'one');
	$session->query('ALTER DATABASE two RENAME TO other');
	$session->query('SAVEPOINT b');
	$session->query('ALTER DATABASE one RENAME TO two');
	$session->query('RELEASE b');
	$session->query('ROLLBACK');
	$session->quit;
	all_served('a savepoint kept, the transaction rolled back', qw(one two));
}
{
	# both want it, and one of them goes on
	my $first = transaction('BEGIN', 'ALTER DATABASE one RENAME TO other');
	my $second = $node->background_psql('postgres', on_error_stop => 0);
	$second->query(q{SET lock_timeout = '300 ms'});
	$second->query('ALTER DATABASE one RENAME TO third');
	is(status($node, 'one', 'state'), 'held', 'held for two, let go by one: still held');
	$first->query('ROLLBACK');
	$_->quit for $first, $second;
	all_served('let go by both', qw(one two));
}
{
	# the session ends while it waits for a worker to go
	set_timer($node, 'one', 20, 'CALLBACK', "now() + '1 s'");
	wait_worker($node, 'one');
	my $holder = $node->background_psql('one', on_error_stop => 0);
	$holder->query_safe("BEGIN; SELECT FROM outreach.leads WHERE lead_id = '20' FOR NO KEY UPDATE");
	like(sql_error($node, "SET statement_timeout = '1 s'; ALTER DATABASE one RENAME TO other"), qr/^(?:57014|55006)$/,
		'one that is in use is not renamed');
	$holder->query_safe('COMMIT');
	$holder->quit;
	all_served('after that', qw(one two));
}

# ---- no entry -----------------------------------------------------------------

sub attempts { return scalar(() = log_since($node, $_[0]) =~ /permission denied for database|cannot connect to invalid/g) }

{
	wait_no_worker($node, 'two');
	my $start = mark($node);
	sql($node, 'REVOKE CONNECT ON DATABASE two FROM PUBLIC');
	set_timer($node, 'two', 10, 'FOLLOW_UP', 'now()');
	wait_until(sub { status($node, 'two', 'state') eq 'not entered' }, 'it to be left alone');
	is(status($node, 'two', 'problem, worker_pid IS NULL'), 'outreach_worker has no CONNECT privilege|t', 'without CONNECT: worker_status says why');
	all_served('the others meanwhile', 'one') for 1 .. 3;
	is(status($node, 'two', 'state'), 'not entered', 'it stays so');
	cmp_ok(attempts($start), '<=', 1, 'and nobody tries again and again');
	is(fired($node, 'two', 10, 'FOLLOW_UP'), 0, 'nothing fires there');
	sql($node, 'GRANT CONNECT ON DATABASE two TO PUBLIC');
	is(wait_fired($node, 'two', 10, 'FOLLOW_UP'), 1, 'once it may be entered it is');
	wait_until(sub { status($node, 'two', 'state, problem IS NULL') eq 'served|t' }, 'worker_status to show it');
}
{
	wait_no_worker($node, 'two');
	my $start = mark($node);
	sql($node, "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'two'");
	# it is looked at when something happens to databases
	sql($node, 'CREATE DATABASE three');
	wait_until(sub { status($node, 'two', 'state') eq 'not entered' }, 'an invalid one to be left alone');
	like(status($node, 'two', 'problem'), qr/^the database is invalid/, 'invalid: worker_status says so');
	cmp_ok(attempts($start), '<=', 1, 'and nobody tries again and again');
	sql($node, "UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'two'; CREATE DATABASE four");
	all_served('valid again', 'two');
}
{
	# what the launcher cannot see: the worker is turned away itself
	wait_no_worker($node, 'two');
	my $start = mark($node);
	sql($node, 'ALTER ROLE outreach_worker NOLOGIN');
	set_timer($node, 'two', 11, 'FOLLOW_UP', 'now()');
	wait_until(sub { status($node, 'two', 'failures') >= 2 }, 'two workers to be turned away');
	is(status($node, 'two', 'state, problem, last_sqlstate'), 'not entered|the worker could not connect|28000', 'turned away: worker_status says so');
	my @times = map { my ($h, $m, $s) = split /:/; $h * 3600 + $m * 60 + $s }
	  log_since($node, $start) =~ /^\S+ (\d+:\d+:\d+\.\d+) UTC \[\d+\] FATAL:  role "outreach_worker" is not permitted to log in/mg;
	cmp_ok($times[1] - $times[0], '>=', 0.9, 'with a pause');
	sql($node, 'ALTER ROLE outreach_worker LOGIN');
	is(wait_fired($node, 'two', 11, 'FOLLOW_UP'), 1, 'when it is let in again its timers fire');
}

unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
