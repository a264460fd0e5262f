# Workers work where the database was armed and nowhere else: not in a copy of it,
# of the server's files, or in what was restored, until somebody arms it there. A
# standby that is promoted, and a data directory that is moved, go on.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use PostgreSQL::Test::Utils ();
use Test::More;
use Timers;

my $db = 'crm';
my $lead = 0;
my $primary = new_cluster(name => 'primary', init => { allows_streaming => 1 },
	conf => "wal_log_hints = on\nwal_keep_size = 256MB\n");
sql($primary, 'CREATE DATABASE crm');
create_extension($primary, 'postgres');
timer_database($primary, $db, 100);

# A timer that is due now fires, with all that was due before.
sub goes_on
{
	my ($node, $what) = @_;
	set_timer($node, $db, ++$lead, 'FOLLOW_UP', 'now()');
	is(wait_fired($node, $db, $lead, 'FOLLOW_UP'), 1, "$what: goes on");
	is(sql($node, 'SELECT outreach.is_armed(), outreach.arming_problem() IS NULL', db => $db), 't|t', "$what: is armed");
}

# Nothing fires, and everything says so, until arm().
sub holds
{
	my ($node, $what, $why, %opt) = @_;
	my $start = $opt{start} // 0;
	wait_until(sub { status($node, $db, 'state') eq 'not armed' }, "$what to be looked at");
	set_timer($node, $db, ++$lead, 'FOLLOW_UP', 'now()');
	is(sql($node, 'SELECT outreach.is_armed(), outreach.arming_problem()', db => $db), "f|$why", "$what: is not armed");
	like(log_since($node, $start), qr/it is not armed\n.*DETAIL:  It is \Q$why\E\.\n.*HINT:  SELECT outreach\.arm\(\)/, "$what: the log says why");
	like(log_since($node, $start), qr/LOG:  this data directory is a copy, or restored/, "$what: from the start") if $opt{files};
	is(status($node, $db, 'state, problem, worker_pid IS NULL'), "not armed|$why|t", "$what: worker_status says so, no worker comes");
	is(fired($node, $db, $lead, 'FOLLOW_UP'), 0, "$what: nothing fires");
	return if $opt{left};
	sql($node, 'SELECT outreach.arm()', db => $db);
	is(wait_fired($node, $db, $lead, 'FOLLOW_UP'), 1, "$what: it does once it is armed");
	# a worker says so behind its first round, which fired
	is(wait_until(sub { my $state = status($node, $db, 'state, problem'); $state ne 'unknown|' && $state }, "$what to be served"),
		'served|', "$what: worker_status says so");
}

sub identity { return sql($_[0], 'SELECT outreach.cluster_identity()', db => $db); }

sub identity_file { return $_[0]->data_dir . '/pg_outreach.identity'; }

# Another cluster's data directory for a new node, made by the function.
sub placed
{
	my ($name, $make) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$make->($node->data_dir);
	chmod 0700, $node->data_dir;
	$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\n");
	return $node;
}

# Overwrites words of the file in place, as long as they were: it stays the same file.
sub rewrite
{
	my ($node, @names) = @_;
	my $text = PostgreSQL::Test::Utils::slurp_file(identity_file($node));
	for my $name (@names)
	{
		$text =~ s/^($name \S*)(\S)$/$1 . ($2 eq '1' ? '2' : '1')/me or die "$name: $text";
	}
	open(my $out, '+<', identity_file($node)) or die $!;
	print $out $text;
	close($out) or die $!;
}

# ---- by hand, and what the shim says --------------------------------------------

my $original = identity($primary);
is($original, '00000000-0000-0000-0000-000000000000', 'a cluster begins as the original');
is((stat identity_file($primary))[2] & 07777, 0600, 'its file is for the server alone');
goes_on($primary, 'the cluster');

{
	my $shim = start_shim($primary, db => $db, conf => { database_check_interval => '50ms' });
	my $ready = sub { http($shim, method => 'GET', path => '/readyz') };
	is($ready->()->{body}, '{"status":"ready","armed":true}', '/readyz says that the database is armed');
	my $logged = length($shim->log_text);

	my $start = mark($primary);
	sql($primary, "SELECT outreach.disarm('moving house')", db => $db);
	wait_until(sub { $ready->()->{body} eq '{"status":"ready","armed":false}' }, '/readyz to say that it is not');
	is($ready->()->{status}, 200, 'disarmed by hand: webhooks are served');
	is(() = substr($shim->log_text, $logged) =~ /"level":"warning".*"not armed: nothing is done in the background until SELECT outreach\.arm\(\)"/g, 1,
		'the shim logs it once');
	holds($primary, 'disarmed', 'disarmed: moving house', start => $start);
	wait_until(sub { $ready->()->{body} eq '{"status":"ready","armed":true}' }, '/readyz to say that it is again');
	like(substr($shim->log_text, $logged), qr/"message":"armed"/, 'and so does the log');

	# under load a connection is never idle for long
	$shim->{conf}{database_check_interval} = '2s';
	$shim->{conf}{database_connections} = 1;
	$shim->restart;
	sql($primary, "SELECT outreach.disarm('load')", db => $db);
	wait_until(sub { http($shim, path => '/w/nowhere', body => '{}'); $ready->()->{body} =~ /false/ }, 'it to be seen between calls');
	pass('it is seen between calls');
	sql($primary, 'SELECT outreach.arm()', db => $db);

	sql($primary, 'REVOKE EXECUTE ON FUNCTION outreach.is_armed() FROM outreach_ingress', db => $db);
	$shim->restart;
	is($ready->()->{body}, '{"status":"ready","armed":null}', 'where the shim may not ask it says that it does not know');
	is($ready->()->{status}, 200, 'and serves');
	sql($primary, 'GRANT EXECUTE ON FUNCTION outreach.is_armed() TO outreach_ingress', db => $db);
	is($shim->stop, 0, 'the shim ends in order');
}

sql($primary, "BEGIN; SAVEPOINT a; SELECT outreach.arm(); RELEASE a; COMMIT", db => $db);
goes_on($primary, 'armed in a subtransaction');
sql($primary, 'VACUUM (FULL, FREEZE) outreach.arming', db => $db);
goes_on($primary, 'its row rewritten by VACUUM FULL');
$primary->restart;
goes_on($primary, 'restarted');
$primary->stop('immediate');
$primary->start;
goes_on($primary, 'restarted after a crash');

# ---- a backup, started by itself ------------------------------------------------

# In it is a timer that came due while its lead was locked.
my $holder = $primary->background_psql($db);
$holder->query_safe("BEGIN; SELECT FROM outreach.leads WHERE lead_id = '100' FOR NO KEY UPDATE");
sql($primary, "INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action,
		action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
	VALUES ('team_a', gen_random_uuid(), '100', 'CALLBACK', now(), now(), 'test', '{}', true, 3, now(), now())", db => $db);
$primary->backup('base');
$holder->query_safe('COMMIT');
$holder->quit;

sub from_backup
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($primary, 'base', %opt);
	return $node;
}

{
	my $copy = from_backup('copy');
	$copy->start;
	my $file = identity($copy);
	isnt($file, $original, 'a copy by pg_basebackup has an identity of its own');
	is(wait_fired($primary, $db, 100, 'CALLBACK'), 1, 'what is due fires in the original');
	wait_until(sub { status($copy, $db, 'state') eq 'not armed' }, 'the copy to be looked at');
	is(fired($copy, $db, 100, 'CALLBACK'), 0, 'and not in the copy');
	my $shim = start_shim($copy, db => $db);
	is(http($shim, method => 'GET', path => '/readyz')->{body}, '{"status":"ready","armed":false}', '/readyz of the copy says so');
	like($shim->log_text, qr/"not armed: /, 'and so does the log of its shim');
	$shim->stop;
	holds($copy, 'a copy by pg_basebackup', 'armed in another data directory', files => 1);
	is(wait_fired($copy, $db, 100, 'CALLBACK'), 1, 'so does what was due when it was made');
	$copy->restart;
	is(identity($copy), $file, 'its identity is kept');
	goes_on($copy, 'the copy, armed and restarted');
	goes_on($primary, 'the original beside it');

	# back to the backup in the same place, with the file as it was left
	$copy->stop;
	my $start = mark($copy);
	open(my $label, '>', $copy->data_dir . '/recovery.signal') or die $!;
	close($label);
	$copy->append_conf('postgresql.conf', "restore_command = 'false'\n");
	$copy->start;
	wait_until(sub { sql($copy, 'SELECT pg_is_in_recovery()') eq 'f' }, 'recovery to end');
	isnt(identity($copy), $file, 'recovered from an archive it has another, in the same place');
	holds($copy, 'recovered from an archive', 'armed in another data directory', files => 1, start => $start);
	$copy->stop;
}

# ---- files, copied and moved ----------------------------------------------------

{
	my $model = from_backup('model');
	$model->start;
	sql($model, 'SELECT outreach.arm()', db => $db);
	goes_on($model, 'a model');
	$model->stop;

	my $clone = placed('clone', sub { system('cp', '-a', $model->data_dir, $_[0]) == 0 or die 'cp' });
	$clone->start;
	holds($clone, 'a copy by cp -a', 'armed in another data directory', files => 1);
	$clone->stop;

	my $moved = placed('moved', sub { rename($model->data_dir, $_[0]) or die "rename: $!" });
	$moved->start;
	goes_on($moved, 'a data directory that was moved');
	$moved->stop;

	rewrite($moved, 'device');
	$moved->start;
	goes_on($moved, 'its device under another number');
	$moved->stop;

	# a snapshot has the same inodes
	my $start = mark($moved);
	rewrite($moved, 'device', 'path');
	$moved->start;
	holds($moved, 'on another device in another place', 'armed in another data directory', files => 1, start => $start);
	$moved->stop;
	$start = mark($moved);
	rewrite($moved, 'machine');
	$moved->start;
	holds($moved, 'on another machine', 'armed in another data directory', files => 1, start => $start);
	$moved->stop;

	$start = mark($moved);
	open(my $out, '>', identity_file($moved)) or die $!;
	print $out 'identity 00000000';
	close($out);
	$moved->start;
	holds($moved, 'with a damaged file', 'armed in another data directory', files => 1, start => $start);

	# what cannot be kept is a copy, at each start
	$moved->stop;
	$start = mark($moved);
	unlink identity_file($moved);
	mkdir identity_file($moved) or die $!;
	$moved->start;
	like(log_since($moved, $start), qr/WARNING:  could not \w+ file "pg_outreach\.identity"/, 'with a file that cannot be written it starts, and says so');
	holds($moved, 'with a file that cannot be written', 'armed in another data directory', start => $start);
	$start = mark($moved);
	$moved->restart;
	holds($moved, 'restarted', 'armed in another data directory', start => $start, left => 1);
	$moved->stop;
}

# ---- standbys -------------------------------------------------------------------

{
	# one made before there was the file
	my $standby = from_backup('standby', has_streaming => 1);
	unlink identity_file($standby) or die $!;
	$standby->start;
	$primary->wait_for_catchup($standby);
	is(identity($standby), $original, 'a standby is of the same cluster');
	$standby->restart;

	$standby->promote;
	wait_until(sub { sql($standby, 'SELECT pg_is_in_recovery()') eq 'f' }, 'promotion');
	goes_on($standby, 'a promoted standby');
	$standby->restart;
	goes_on($standby, 'a promoted standby, restarted');

	# the old primary, which went on for a while
	sql($primary, 'CHECKPOINT');
	goes_on($primary, 'the old primary');
	$primary->stop;
	sql($standby, 'CHECKPOINT');
	PostgreSQL::Test::Utils::system_or_bail('cp', $primary->data_dir . '/postgresql.conf', $primary->basedir . '/saved.conf');
	PostgreSQL::Test::Utils::system_or_bail('pg_rewind', '--target-pgdata', $primary->data_dir,
		'--source-server', $standby->connstr('postgres'));
	PostgreSQL::Test::Utils::system_or_bail('cp', $primary->basedir . '/saved.conf', $primary->data_dir . '/postgresql.conf');
	$primary->enable_streaming($standby);
	$primary->start;
	$standby->wait_for_catchup($primary);
	$standby->stop;
	$primary->promote;
	wait_until(sub { sql($primary, 'SELECT pg_is_in_recovery()') eq 'f' }, 'promotion');
	goes_on($primary, 'the old primary, rewound and promoted');
	$primary->restart;
	goes_on($primary, 'and restarted');

	# a standby that stops at a point in time is a restored copy
	$primary->backup('base2');
	my $past = PostgreSQL::Test::Cluster->new('past');
	$past->init_from_backup($primary, 'base2', has_streaming => 1);
	$past->append_conf('postgresql.conf', "recovery_target = 'immediate'\nrecovery_target_action = 'promote'\n");
	$past->start;
	wait_until(sub { sql($past, 'SELECT pg_is_in_recovery()') eq 'f' }, 'recovery to end');
	holds($past, 'a standby with a recovery target', 'armed in another data directory', files => 1, left => 1);
	$past->stop;
}

# ---- databases ------------------------------------------------------------------

{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/crm.dump';
	my $start = mark($primary);
	sql($primary, 'CREATE DATABASE other TEMPLATE crm');
	PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-Fc', '-f', $dump, '-d', $primary->connstr('crm'));
	$db = 'other';
	holds($primary, 'a copy by CREATE DATABASE', 'armed as another database', start => $start);

	# the dump over the database that it is of
	$db = 'crm';
	$start = mark($primary);
	PostgreSQL::Test::Utils::system_or_bail('pg_restore', '-e', '--clean', '-d', $primary->connstr('crm'), $dump);
	sql($primary, "SELECT outreach.create_tenant('team_b', 'B')", db => $db);
	holds($primary, 'restored in place, a tenant made since,', 'restored from a dump', start => $start);
}

unlike(log_since($primary, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
