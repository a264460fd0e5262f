# outreach-shim --check: says what it finds, and each thing that keeps it from serving
# with the way out.  What it finds fit, the service serves, for both ask alike.
# Then where "make install" puts the program, and the unit that starts it.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Cwd qw(abs_path);
use IO::Socket::INET;
use IPC::Run ();
use Test::More;
use Time::HiRes qw(time);

my $node = new_cluster();
create_extension($node);
my $program = OutreachTest::_shim_program();
my $dir = abs_path(PostgreSQL::Test::Utils::tempdir());

$node->safe_psql('postgres', q{
	CREATE DATABASE bare;
	CREATE ROLE test_scram LOGIN PASSWORD 'hunter2' IN ROLE outreach_ingress;
	CREATE ROLE test_peer LOGIN IN ROLE outreach_ingress;
});
{
	my $hba = $node->data_dir . '/pg_hba.conf';
	my $rest = PostgreSQL::Test::Utils::slurp_file($hba);
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba, "local all test_scram scram-sha-256\nlocal all test_peer peer\n$rest");
	$node->reload;
}

# (exit status, standard output, standard error) of the program, with a connection string
sub check
{
	my ($database, %env) = @_;
	local %ENV = (%ENV, %env);
	$ENV{OUTREACH_DATABASE} = $database if defined $database;
	my ($out, $err);
	IPC::Run::run([ $program, '--check' ], '<', \undef, '>', \$out, '2>', \$err);
	unlike($out . $err, qr/hunter/, 'no password is told');
	return ($? >> 8, $out, $err);
}

sub refused
{
	my ($name, $fact, $hint, $database, %env) = @_;
	my ($status, $out, $err) = check($database, %env);
	is($status, 1, "$name: it could not serve");
	unlike($out, qr/can serve/, "$name: nor says so");
	like($err, qr/^error: .*$fact/m, "$name: the fact");
	like($err, qr/^hint: .*$hint/m, "$name: the way out") if defined $hint;
}

# ------------------------------------------------------------- it could serve

my $good = connstr($node, 'postgres', 'test_shim');
# the first tenant arms a new database
$node->safe_psql('postgres', q{SELECT outreach.create_tenant('team_a', 'A')});
{
	my ($status, $out, $err) = check($good);
	is($status, 0, 'it could serve');
	is($err, '', 'nothing is missing');
	like($out, qr/^It can serve\.$/m, 'which it says');
	like($out, qr/^listen +127\.0\.0\.1:8080$/m, 'where it listens');
	like($out, qr/^database +"postgres" at \Q@{[ $node->host ]}\E, port \Q@{[ $node->port ]}\E, as role "test_shim"$/m, 'where it is connected');
	like($out, qr/^server +PostgreSQL \d+/m, 'to which server');
	my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'pg_outreach'});
	like($out, qr/^extension +pg_outreach \Q$version\E$/m, 'with which extension');
	is(`'$program' --version`, "outreach-shim $version\n", 'which is its own version');
	like($out, qr/^commits +durable: synchronous_commit is "on"$/m, 'commits are durable');
	like($out, qr/^rights .* may be called$/m, 'it has its rights');
	like($out, qr/^workers +4 at most/m, 'there are workers');
	like($out, qr/^armed +yes$/m, 'and the database is armed');
}
is((check("host=/nowhere,@{[ $node->host ]} port=1,@{[ $node->port ]} dbname=postgres user=test_shim"))[0], 0, 'the second of two hosts is tried');
is((check(connstr($node, 'postgres', 'test_scram') . ' password=hunter2'))[0], 0, 'with a password');
like((check("$good options='-c synchronous_commit=off'"))[1], qr/^commits +durable: .*asked for when connecting\n(?s:.*)^It can serve/m,
	'a role without durable commits gets them');
like((check($good, OUTREACH_LISTEN => '127.0.0.1:0, [::1]:0'))[1], qr/^It can serve/m, 'a listener is not opened');

# ------------------------------------------------------------- what it serves in spite of

{
	$node->safe_psql('postgres', q{SELECT outreach.disarm('a test'); UPDATE pg_extension SET extversion = '0.0' WHERE extname = 'pg_outreach'});
	my ($status, $out, $err) = check($good);
	is($status, 0, 'not armed, and of another version: it could serve');
	like($err, qr/^warning: not armed: .* outreach\.arm\(\)$/m, 'told that it is not armed');
	like($err, qr/^warning: this program is of version \S+\nhint: .*ALTER EXTENSION pg_outreach UPDATE$/m, 'and of the version');
	$node->safe_psql('postgres', q{SELECT outreach.arm(); UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'pg_outreach'});

	my $other = new_cluster(name => 'other', preload => 0, conf => "outreach.max_workers = 4\n");
	create_extension($other);
	($status, $out, $err) = check(connstr($other, 'postgres', 'test_shim'));
	is($status, 0, 'without workers: it could serve');
	like($err, qr/^warning: the server does not run background workers\nhint: shared_preload_libraries = 'pg_outreach'/m,
		'told that there are none, whatever the configuration says of them');
	$other->stop;
}

# ------------------------------------------------------------- what is missing

refused('no database', 'database is not set; give a connection string', undef, undef);
refused('an empty one', 'database is not set', undef, '');
refused('a misspelt variable', 'environment: OUTREACH_DATBASE: no such setting', undef, $good, OUTREACH_DATBASE => 'password=hunter2');
refused('a variable in small letters', 'environment: OUTREACH_listen: no such setting', undef, $good, OUTREACH_listen => 'hunter2');
refused('a variable that goes on', 'environment: OUTREACH_LISTENER: no such setting', undef, $good, OUTREACH_LISTENER => 'hunter2');
refused('no server', 'connection to server on socket "/nowhere/.*failed', 'says where to connect', 'host=/nowhere user=a password=hunter2');
refused('no such database', 'database "nobodys" does not exist', 'says where to connect', connstr($node, 'nobodys', 'test_scram') . ' password=hunter2');
refused('no extension', 'the database does not have the extension pg_outreach', 'CREATE EXTENSION pg_outreach in database "bare"',
	connstr($node, 'bare', 'test_shim'));
refused('no rights', 'the role may not call outreach\.ingest_webhook', 'GRANT outreach_ingress TO "test_app"', connstr($node, 'postgres', 'test_app'));
refused('no password', 'no password supplied', 'add password=', connstr($node, 'postgres', 'test_scram'));
refused('a wrong password', 'password authentication failed', 'password in psql', connstr($node, 'postgres', 'test_scram') . ' password=hunter3');
refused('another system user', 'Peer authentication failed', 'host=127\.0\.0\.1', connstr($node, 'postgres', 'test_peer'));
refused('read-only', 'the server is read-only', 'target_session_attrs=read-write', "$good options='-c default_transaction_read_only=on'");

{
	my $silent = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die $@;
	my $begun = time();
	refused('no answer', 'does not answer within database_connect_timeout', 'firewall', 'host=127.0.0.1 user=a sslmode=disable port=' . $silent->sockport,
		OUTREACH_DATABASE_CONNECT_TIMEOUT => '300ms');
	cmp_ok(time() - $begun, '>=', 0.29, 'no answer: waited for');
}
{
	my $blocker = $node->background_psql('postgres', on_error_die => 1);
	$blocker->query_safe('BEGIN; LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE');
	refused('no answer to the check', 'does not answer within database_connect_timeout', 'firewall', $good, OUTREACH_DATABASE_CONNECT_TIMEOUT => '2s');
	$blocker->quit;
}

# the service says the same
{
	my $s = start_shim($node, db => 'bare', ready => 0, conf => { database_check_interval => '50ms' });
	wait_until(sub { $s->log_text =~ /does not have the extension pg_outreach; CREATE EXTENSION pg_outreach in database/ }, 'the log');
	$s->stop;
	$s = start_shim($node, user => 'test_app', ready => 0);
	wait_until(sub { $s->log_text =~ /may not call outreach\.ingest_webhook.*; GRANT outreach_ingress TO/ }, 'the log');
	pass('the log names what is missing, and the way out');
	$s->stop;
	my $err;
	IPC::Run::run([$program], '<', \undef, '2>', \$err);
	is($? >> 8, 1, 'it does not start without a database');
	like($err, qr/"level":"error".*database is not set/, 'and says why');
}

# ------------------------------------------------------------- make install

for my $prefix ('/usr/local', '/opt/po')
{
	my $root = "$dir/root";
	my @make = ('make', '-s', '-C', 'shim', "PG_CONFIG=$ENV{PG_CONFIG}", "DESTDIR=$root", $prefix eq '/usr/local' ? () : "prefix=$prefix");
	my $files = sub { return join ' ', sort map { s/^\Q$root\E//r } split /\n/, `find '$root' -type f`; };
	local @ENV{qw(MAKEFLAGS MAKELEVEL)} = ('', '');
	is(system(@make, 'install'), 0, "$prefix: installed");
	is($files->(), "$prefix/bin/outreach-shim $prefix/lib/systemd/system/outreach-shim.service", "$prefix: the program once, and its unit");
	my @named = PostgreSQL::Test::Utils::slurp_file("$root$prefix/lib/systemd/system/outreach-shim.service") =~ m{^Exec\w+=(/\S*outreach-shim)\b}mg;
	is("@named", "$prefix/bin/outreach-shim", "$prefix: the unit starts it");
	is(system(@make, 'uninstall'), 0, "$prefix: removed");
	is($files->(), '', "$prefix: nothing is left");
}

done_testing();
