# The clients of docs/clients.md and README.md, as npm has them: each with the
# recipes of the one and the statements of the other, directly and through
# PgBouncer in transaction mode; and the schema that drizzle-kit pulls.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Utils ();
use Test::More;

use constant PROBE_SECONDS => 120;
use constant INSTALL_SECONDS => 400;
use constant RUN_SECONDS => 300;

# name, recipe, options
my @clients = (
	[ 'node-postgres', 'node-postgres', 'null' ],
	[ 'postgres.js', 'postgres', 'null' ],
	[ 'postgres.js without types', 'postgres', '{"prepare": false, "fetch_types": false}' ],
	[ 'postgres.js with prepared statements', 'postgres', '{"prepare": true}' ],
	[ 'Drizzle over node-postgres', 'drizzle-pg', 'null' ],
	[ 'Drizzle over postgres.js', 'drizzle-postgres', 'null' ],
	[ 'Prisma', 'prisma', 'null' ],
	[ 'Kysely', 'kysely', 'null' ]);

my $dir = abs_path(PostgreSQL::Test::Utils::tempdir());
my %text = map { $_ => slurp($_) } qw(README.md docs/clients.md);
my $pooler;

install();

my $node = new_cluster(conf => "outreach.max_sends = 0\nmax_connections = 200\nlisten_addresses = '127.0.0.1'\n");
my %port = (directly => $node->port);
make_database($_) for qw(directly pooled);
my $keeps_statements = 0;
if (my $program = find_program('pgbouncer'))
{
	$keeps_statements = `'$program' --version` =~ /PgBouncer (\d+)\.(\d+)/ && ($1 > 1 || $2 >= 21);
	$port{pooled} = start_pooler($program);
}

for my $how (qw(directly pooled))
{
  SKIP:
	{
		skip 'PgBouncer is not installed', 1 unless $port{$how};
		check_clients($how);
		run_checks("many at once, $how", 'node', 'pooled.mjs', url($how, 'crm'), 'many');
		check_example($how);
	}
}
check_pulled();
done_testing();

sub slurp
{
	my ($file) = @_;
	open(my $in, '<', $file) or die "$file: $!";
	local $/;
	return scalar <$in>;
}

sub spew
{
	my ($file, $content) = @_;
	open(my $out, '>', $file) or die "$file: $!";
	print $out $content;
	close($out) or die "$file: $!";
}

sub find_program
{
	my ($name) = @_;
	my ($found) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
	return $found;
}

# Exit status and output of a command in the scratch directory, ended after a while
sub command
{
	my ($seconds, @command) = @_;
	my $out = '';
	my $run = IPC::Run::start(\@command, '<', \undef, '>&', \$out, init => sub { chdir $dir or die "$dir: $!" },
		my $timer = IPC::Run::timeout($seconds));
	my $status = eval { $run->finish; $run->full_result(0) };
	return ($status, $out) if defined $status;
	$run->kill_kill(grace => 5);
	return (-1, "${out}not done after $seconds s: $@");
}

# The files of docs/clients.md and test/clients, and the packages, in the scratch directory
sub install
{
	my ($node_program, $npm) = map { find_program($_) } qw(node npm);
	plan(skip_all => 'node and npm are not installed') unless $node_program && $npm;
	my ($version) = `'$node_program' --version` =~ /^v(\d+)/;
	plan(skip_all => 'node is older than 20') unless $version >= 20;

	while ($text{'docs/clients.md'} =~ m{^```(?:js|ts|prisma)\n(// ([\w.-]+)\n.*?)^```$}msg)
	{
		spew("$dir/$2", $1);
	}
	for my $file (glob('test/clients/*'))
	{
		copy($file, $dir) or die "$file: $!";
	}
	# without a registry npm install tries for many minutes
	my ($status, $out) = command(PROBE_SECONDS, $npm, qw(view --fetch-retries=0 pg version));
	plan(skip_all => 'npm reaches no registry: ' . ($out =~ s/\s+/ /gr)) unless $status == 0;
	($status, $out) = command(INSTALL_SECONDS, $npm,
		qw(install --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error));
	plan(skip_all => 'npm could not install: ' . ($out =~ s/\s+/ /gr)) unless $status == 0;

	# Programs that it would download, and does not run: any that is there will do.
	local @ENV{qw(PRISMA_SCHEMA_ENGINE_BINARY PRISMA_QUERY_ENGINE_LIBRARY)} = ($node_program) x 2;
	($status, $out) = command(RUN_SECONDS, "$dir/node_modules/.bin/prisma", qw(generate --schema schema.prisma));
	is($status, 0, 'prisma generate') or diag($out);
}

# A database as README.md sets one up, with a second tenant, an administrator, and
# a table whose every other transaction fails at its COMMIT
sub make_database
{
	my ($db) = @_;
	my ($setup) = $text{'README.md'} =~ /^```sql\n(-- as a superuser\n.*?)^```$/ms;
	$setup =~ s/^CREATE ROLE .*\n//mg if $db eq 'pooled';
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	sql($node, $setup, db => $db);
	sql($node, 'CREATE ROLE boss LOGIN IN ROLE outreach_admin') unless $db eq 'pooled';
	sql($node, q{
		SELECT outreach.create_tenant('team_b', 'Team B'), outreach.grant_tenant('team_b', 'crm'), outreach.grant_administration('boss'),
			outreach.save_template('team_a', 'intro', 'Hello {{ firstName | default: "there" }}');
		SELECT count(*) FROM generate_series(1, 20) i, outreach.ingest_webhook(jsonb_build_object('path', '/w/try_8c1fz0',
			'query', 'token=a-token-of-16-or-more', 'body', jsonb_build_object('type', 'message.received', 'message', jsonb_build_object(
				'id', 'm_' || i, 'from', '+1212555' || 1000 + i, 'text', 'Yes, tell me more'))::text)) WHERE http_status = 200;
		CREATE TABLE late (n int);
		CREATE SEQUENCE tries;
		CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			IF nextval('public.tries') % 2 = 1 THEN
				RAISE 'could not serialize' USING ERRCODE = '40001';
			END IF;
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER fail_late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION fail_late();
		GRANT INSERT ON late TO crm}, db => $db);
}

sub url
{
	my ($how, $user) = @_;
	return "postgres://$user\@127.0.0.1:$port{$how}/$how";
}

# PgBouncer in transaction mode with few connections to the server
sub start_pooler
{
	my ($program) = @_;
	my $port = free_port();
	# a program of the scratch directory ends with it, whatever becomes of this test
	make_path("$dir/pooler");
	copy($program, "$dir/pooler/pgbouncer") && chmod(0755, "$dir/pooler/pgbouncer") or die "$program: $!";
	spew("$dir/pooler/users", join('', map { "\"$_\" \"\"\n" } qw(crm boss)));
	spew("$dir/pooler/ini", <<"INI" . ($keeps_statements ? "max_prepared_statements = 100\n" : ''));
[databases]
* = host=127.0.0.1 port=@{[ $node->port ]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/pooler/users
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
query_wait_timeout = @{[ RUN_SECONDS ]}
INI
	$pooler = IPC::Run::start([ "$dir/pooler/pgbouncer", "$dir/pooler/ini" ], '<', \undef, '>&', "$dir/pooler/log");
	wait_until(
		sub {
			die 'PgBouncer ended: ' . slurp("$dir/pooler/log") unless $pooler->pumpable;
			IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		},
		'PgBouncer to listen');
	return $port;
}

# The lines of test/clients/check.mjs
sub run_checks
{
	my ($name, @command) = @_;
	my ($status, $out) = command(RUN_SECONDS, @command);
	my $n = 0;
	while ($out =~ /^(not )?ok (.*)\n((?:# .*\n)*)/mg)
	{
		ok(!$1, "$name: $2") or diag($3);
		$n++;
	}
	ok($status == 0 && $n > 0, "$name: $n checks") or diag($out);
}

sub check_clients
{
	my ($how) = @_;
	my ($statements) = $text{'README.md'} =~ /^```sql\n(-- as crm\n.*?)^```$/ms;
	spew("$dir/statements.sql", $statements);
	my $id = 0;
	for my $client (@clients)
	{
		my ($name, $recipe, $options) = @$client;
		next if $how eq 'pooled' && $options =~ /"prepare": true/ && !$keeps_statements;
		run_checks("$name, $how", 'node', 'client.mjs', $recipe, $options, url($how, 'crm'), url($how, 'boss'),
			'lead ' . ++$id, 'statements.sql');
	}
}

# README's module for node-postgres, as it stands
sub check_example
{
	my ($how) = @_;
	my ($example) = $text{'README.md'} =~ /^```js\n(.*?)^```$/ms;
	spew("$dir/app.mjs", $example);
	local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} = ('127.0.0.1', $port{$how}, 'crm', $how);
	my ($status, $out) = command(RUN_SECONDS, qw(node app.mjs));
	is($status, 0, "README's example, $how") or diag($out);
	like($out, qr/lead_id: 'lead_2',\s+previous_state: 'new',\s+new_state: 'touched'/, 'returns the step');
	like($out, qr/'lead\.state\.changed'.*'lead\.created'/s, 'prints the history');
	like($out, qr/^OR001 a lead cannot go from "touched" to "closed" \/ From/m, 'and reads an error');
}

# What drizzle-kit makes of the schema compiles and is what docs/clients.md reads
sub check_pulled
{
	local $ENV{DATABASE_URL} = url('directly', 'crm');
	my ($status, $out) = command(RUN_SECONDS, "$dir/node_modules/.bin/drizzle-kit", qw(pull --config drizzle.config.ts));
	is($status, 0, 'drizzle-kit pull') or diag($out);
	my $schema = slurp("$dir/outreach/schema.ts");
	unlike($schema, qr/unknown\(|failed to parse/, 'knows every column');
	like($schema, qr/outreach\.view\("$_"/, "has $_")
	  for qw(lead_history timers_ahead timers_failed opt_out_registry messages_stalled webhooks_unfinished);
	($status, $out) = command(RUN_SECONDS, "$dir/node_modules/.bin/tsc", qw(-p tsconfig.json));
	is($status, 0, 'the pulled schema compiles') or diag($out);
	run_checks('Drizzle over the pulled schema', 'node', 'pulled/pulled.js', url('directly', 'crm'), 'team_a', 'lead_1');
}

END
{
	my $status = $?;
	$pooler->kill_kill(grace => 5) if defined $pooler;
	# a failed test leaves its directory
	remove_tree("$dir/node_modules") if defined $dir;
	$? = $status;
}
