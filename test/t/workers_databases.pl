# Statements about whole databases and about the extension, while a worker is
# there: none fails and none waits long, and work goes on afterwards.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use Cwd ();
use IPC::Run ();
use OutreachTest;
use Test::More;
use Timers;

my $node = new_cluster(conf => "max_worker_processes = 16\nlog_line_prefix = '%m [%p] %b: '\n");

# A database with a worker in it: one stays for a while after there was work.
sub busy_database
{
	my ($db, $at) = @_;
	sql($node, "CREATE DATABASE $db");
	timer_database($node, $db, 20);
	set_timer($node, $db, 1, 'FOLLOW_UP', $at // "now() + '1 s'");
	wait_worker($node, $db);
}

# The statement, its errors and how long it took, which is under the five seconds
# that PostgreSQL itself waits for sessions to leave a database.
sub goes
{
	my ($what, $statement, %opt) = @_;
	is(sql_error($node, "SET statement_timeout = '30 s'; $statement", db => 'template1', %opt), '', $what);
}

my $start = mark($node);

busy_database('dropped');
goes('DROP DATABASE', 'DROP DATABASE dropped');
wait_until(sub { status($node, 'postgres', 'state') eq 'without extension' }, 'postgres to be looked at')
  if sql($node, "SELECT 1 FROM pg_extension WHERE extname = 'pg_outreach'");

create_extension($node, 'postgres');
busy_database('renamed');
goes('ALTER DATABASE RENAME', 'ALTER DATABASE renamed RENAME TO other');
is(wait_fired($node, 'other', 1, 'FOLLOW_UP'), 1, 'and its timer fires under the new name');
wait_until(sub { status($node, 'other', 'state') eq 'served' }, 'worker_status to show it');

busy_database('model', "now() + '1 h'");
goes('CREATE DATABASE TEMPLATE', 'CREATE DATABASE copy TEMPLATE model');
set_timer($node, $_, 1, 'FOLLOW_UP', 'now()') for qw(copy model);
is(wait_fired($node, 'model', 1, 'FOLLOW_UP'), 1, 'the timer of the model fires');
wait_until(sub { status($node, 'copy', 'state') eq 'not armed' }, 'the copy to be looked at');
is(sql($node, 'SELECT count(*) FROM outreach.lead_timers WHERE executed_at IS NOT NULL', db => 'copy'), 0,
	'nothing is done in the copy');
sql($node, 'SELECT outreach.arm()', db => 'copy');
is(wait_fired($node, 'copy', 1, 'FOLLOW_UP'), 1, 'until it is armed');
sql($node, "SELECT outreach.disarm('a test')", db => 'copy');
wait_until(sub { status($node, 'copy', 'state') eq 'not armed' }, 'the copy to be left alone');
set_timer($node, 'copy', 2, 'CALLBACK', 'now()');
is(status($node, 'copy', 'state'), 'not armed', 'a timer set there starts no worker');
sql($node, 'SELECT outreach.arm()', db => 'copy');
is(wait_fired($node, 'copy', 2, 'CALLBACK'), 1, 'and fires when it is armed again');

# a dump with something due, restored beside workers
{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/model.dump';
	sql($node, "SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred'); SELECT outreach.disarm('a test')", db => 'model');
	set_timer($node, 'model', $_, 'CALLBACK', "now() - '1 h'::interval") for 1 .. 20;
	sql($node, q{SELECT outreach.ingest_webhook(jsonb_build_object('path', '/w/later', 'body',
		'{"event":"message.received","id":"1","from":"+12125559999","body":"stop"}'))}, db => 'model');
	IPC::Run::run([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('model') ]) or die 'pg_dump';
	sql($node, 'CREATE DATABASE restored TEMPLATE template0', db => 'template1');
	ok(IPC::Run::run([ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr('restored'), $dump ]), 'restored beside workers');
	wait_until(sub { status($node, 'restored', 'state') eq 'not armed' }, 'the restored database to be looked at');
	my $state = q{SELECT (SELECT count(*) FROM outreach.lead_timers WHERE due_at < now()) || ' due, '
		|| (SELECT string_agg(status::text, ' ') FROM outreach.inbound_payloads)};
	is(sql($node, $state, db => 'restored'), '20 due, pending', 'nothing has been done there');
	sql($node, 'SELECT outreach.arm()', db => 'restored');
	wait_until(sub { sql($node, $state, db => 'restored') eq '0 due, done' }, 'all of it to be done');
	is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'timer.fired' AND payload ->> 'timer_type' = 'CALLBACK'",
			db => 'restored'), 20, 'once it is armed, each timer fires once');
	is(sql($node, "SELECT consent FROM outreach.phones WHERE phone = '+12125559999'", db => 'restored'), 'opted_out',
		'and the deferred STOP has its effect');
	is(sql($node, 'SELECT * FROM outreach.verify()', db => 'restored'), '', 'states follow from events');
	sql($node, 'SELECT outreach.arm()', db => 'model');
}

{
	my $dir = $node->basedir . '/space';
	mkdir $dir or die "$dir: $!";
	busy_database('moved');
	sql($node, "CREATE TABLESPACE space LOCATION '" . Cwd::abs_path($dir) . "'");
	goes('ALTER DATABASE SET TABLESPACE', 'ALTER DATABASE moved SET TABLESPACE space');
	is(wait_fired($node, 'moved', 1, 'FOLLOW_UP'), 1, 'and its timer fires from there');
}

busy_database('kept');
is(sql_error($node, 'DROP DATABASE kept', db => 'kept'), '55006', 'a DROP DATABASE that fails');
is(wait_fired($node, 'kept', 1, 'FOLLOW_UP'), 1, 'leaves the database to its worker');
sql($node, 'CREATE ROLE somebody LOGIN CREATEDB');
busy_database('foreign_one');
my $worker = worker($node, 'foreign_one');
is(sql_error($node, 'DROP DATABASE foreign_one', db => 'template1', user => 'somebody'), '42501',
	'one by somebody who may not');
is(worker($node, 'foreign_one'), $worker, 'does not end the worker');

# right after a commit that a worker is started for: it may be on its way
busy_database('quick', "now() + '1 h'");
my $failed = 0;
for my $round (1 .. 20)
{
	set_timer($node, 'quick', 1 + $round % 20, 'CALLBACK', 'now()');
	$failed++ if sql_error($node, "DROP DATABASE IF EXISTS quick_copy; CREATE DATABASE quick_copy TEMPLATE quick",
		db => 'template1') ne '';
	$failed++ if sql_error($node, 'DROP DATABASE quick_copy', db => 'template1') ne '';
}
is($failed, 0, 'CREATE and DROP DATABASE right after a commit that starts a worker');

# ---- the extension ------------------------------------------------------------

my $db = 'other';
set_timer($node, $db, 2, 'FOLLOW_UP', "now() + '1 s'");
wait_worker($node, $db);
goes('DROP EXTENSION', 'DROP EXTENSION pg_outreach CASCADE', db => $db);
wait_no_worker($node, $db);
wait_until(sub { status($node, $db, 'state') eq 'without extension' }, 'worker_status to say so');
pass('worker_status says that the extension is gone');
timer_database($node, $db, 20);
set_timer($node, $db, 1, 'FOLLOW_UP', 'now()');
is(wait_fired($node, $db, 1, 'FOLLOW_UP'), 1, 'made again, it is served again');

my $lost = 0;
for my $round (1 .. 15)
{
	sql($node, 'DROP EXTENSION pg_outreach CASCADE', db => $db);
	select(undef, undef, undef, rand(0.02));
	timer_database($node, $db, 1);
	set_timer($node, $db, 1, 'FOLLOW_UP', "now() + '10 ms'");
	wait_fired($node, $db, 1, 'FOLLOW_UP') == 1 or $lost++;
}
is($lost, 0, 'dropped and made again in quick succession, every timer fires');

# of sessions, the errors are the tests'; a DROP DATABASE ends an autovacuum worker
my $not_ours = qr/\] (?:client backend|autovacuum worker): /;
is(join("\n", grep { /: (?:ERROR|FATAL|PANIC|WARNING):/ && !/$not_ours/ } split /\n/, log_since($node, $start)),
	'', 'none of it brought an error or a warning from a worker');

# ---- another version ----------------------------------------------------------

my $version = sql($node, "SELECT extversion FROM pg_extension WHERE extname = 'pg_outreach'", db => $db);
set_timer($node, $db, 2 - 1, 'CALLBACK', "now() + '4 s'");
wait_worker($node, $db);
$start = mark($node);
sql($node, "UPDATE pg_extension SET extversion = '0.0.0' WHERE extname = 'pg_outreach'", db => $db);
wait_no_worker($node, $db);
is(status($node, $db, 'state'), 'other version', 'SQL of another version than the library: worker_status says so');
set_timer($node, $db, 1, 'TIMER_14D', 'now()');
wait_until(sub { sql($node, "SELECT now() > max(trigger_at) FROM outreach.lead_timers WHERE due_at IS NOT NULL",
	db => $db) eq 't' }, 'both to be due');
wait_until(sub { status($node, $db, 'state') eq 'other version' && worker($node, $db) eq '' }, 'no worker again');
is(fired($node, $db, 1, 'CALLBACK'), 0, 'and nothing fires');
my @lines = log_since($node, $start) =~ /is not of the library's version/g;
cmp_ok(scalar(@lines), '<=', 2, 'the log says so, once for each time that somebody committed work');
like(log_since($node, $start), qr/HINT:  Run ALTER EXTENSION pg_outreach UPDATE/, 'with what to do');
sql($node, "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'pg_outreach'", db => $db);
set_timer($node, $db, 1, 'TIMER_30D', 'now()');
is(wait_fired($node, $db, 1, 'TIMER_30D'), 1, 'of the right version again, it is served');
is(wait_fired($node, $db, 1, 'CALLBACK'), 1, 'and what had come due meanwhile fires');
is(wait_fired($node, $db, 1, 'TIMER_14D'), 1, 'all of it');
expect_once($node, $db, 'after all that', 4);
done_testing();
