# Beside an application's own tables in public, of which several have the engine's
# names: the extension installs alike under every search_path and among hostile
# objects, all of pg_regress passes, the application works with both in one
# transaction, and what is the application's stays as it was.
#
# What a hostile search_path does to the functions when they are called is in
# test/sql/search_path.sql.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Cwd qw(abs_path);
use IPC::Run ();
use JSON::PP;
use Test::More;

my $node = new_cluster(conf => "timezone = 'UTC'\noutreach.max_workers = 0\n");
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', 'CREATE DATABASE plain');
create_extension($node, 'plain');
# what the helper has granted, others have not
sql($node, "SELECT outreach.revoke_administration('test_admin')", db => 'plain');
my $catalogue = catalogue($node, 'plain');

# ------------------------------------------------------------- the application

# A role for each side would hide what one role of both can get wrong.
$node->safe_psql('postgres', 'CREATE ROLE crm LOGIN IN ROLE outreach_app; CREATE DATABASE app OWNER crm');
sql($node, 'GRANT ALL ON SCHEMA public TO crm; SET ROLE crm; ' . PostgreSQL::Test::Utils::slurp_file('test/support/existing_app.sql'), db => 'app');
is(sql($node, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.leads'::regclass AND attnum > 0", db => 'app'), 64, 'the application\'s leads');

# Everything of the engine has a namesake that must not be touched.
sql($node, sql($node, <<'SQL', db => 'plain'), db => 'app');
SELECT format('CREATE TABLE IF NOT EXISTS public.%I (not_the_engines int CHECK (false));', relname)
  FROM pg_class WHERE relnamespace = 'outreach'::regnamespace AND relkind IN ('r', 'p', 'v')
UNION ALL
SELECT format('CREATE FUNCTION public.%I(%s) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION ''caught %s''; END$$;',
			  proname, oidvectortypes(proargtypes), proname)
  FROM pg_proc WHERE pronamespace = 'outreach'::regnamespace
UNION ALL
SELECT format('CREATE DOMAIN public.%I AS int CHECK (false);', typname)
  FROM pg_type WHERE typnamespace = 'outreach'::regnamespace AND typtype = 'e'
SQL

# definitions and rows of all that is in public, line by line in order
sub public
{
	my ($db) = @_;
	my ($out, $err);
	IPC::Run::run([ 'pg_dump', '-n', 'public', '-d', $node->connstr($db) ], '<', \undef, '>', \$out, '2>', \$err);
	die "pg_dump: $err" if $? != 0;
	return join "\n", sort grep { !/^\\(?:un)?restrict / } split /\n/, $out;
}

sub copy_of
{
	my ($template, $db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE $template");
	return $db;
}

my $public = public('app');
like($public, qr/^lead_calendly_\d+_ab12cd\t.*\thot_lead\t/m, 'its rows are in what is compared');

# ------------------------------------------------------------- installing

# These are found before those of pg_catalog where a search_path says so.
my $hostile = <<'SQL';
CREATE FUNCTION public.trap(a anyelement, b anyelement) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught an operator'; END$$;
CREATE FUNCTION public.trap(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught an operator of text'; END$$;
CREATE OPERATOR public.= (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = public.trap);
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
CREATE OPERATOR public.<> (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = public.trap);
CREATE OPERATOR public.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
CREATE OPERATOR public.>= (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = public.trap);
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught now'; END$$;
CREATE FUNCTION public.length(text) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught length'; END$$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught format'; END$$;
CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught current_setting'; END$$;
CREATE FUNCTION public.pg_extension_config_dump(regclass, text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught pg_extension_config_dump';
	END$$;
CREATE TABLE public.pg_class (relname name);
CREATE TABLE public.pg_roles (rolname name);
CREATE DOMAIN public.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN public.uuid AS pg_catalog.uuid CHECK (false);
CREATE DOMAIN public.timestamptz AS pg_catalog.timestamptz CHECK (false);
SQL
copy_of('app', 'hostile');
sql($node, $hostile, db => 'hostile');
like($node->psql('hostile', "SET search_path = public, pg_catalog; SELECT 'x'::pg_catalog.text = 'x'::pg_catalog.text") // '', qr/^3$/, 'the trap is one');

my $serial = 0;
for my $template (qw(app hostile))
{
	for my $path ('public', 'outreach, public', 'public, outreach', 'public, outreach, pg_temp, pg_catalog', '"$user", public, pg_catalog', "''")
	{
		my $db = copy_of($template, 'path' . ++$serial);
		my $name = "$template, search_path $path";
		my $before = public($db);
		$node->safe_psql('postgres', "ALTER DATABASE $db SET search_path = $path");
		sql($node, 'CREATE EXTENSION pg_outreach', db => $db);
		is(catalogue($node, $db), $catalogue, "$name: the same as in an empty database");
		is(sql($node, <<'SQL', db => $db), "accepted\n1 duplicate\n2 accepted\nresponded\nsuppressed\nclosed\n0", "$name: and works");
\o /dev/null
SELECT outreach.create_tenant('team_a', 'A'), outreach.create_endpoint('team_a', '/w/a', 'generic', 'none');
SELECT outreach.create_lead('team_a', 'lead_1', '+12125550101'), outreach.create_lead('team_a', 'lead_2', '+12125550102');
SELECT outreach.create_lead('team_a', 'lead_3', '+12125550103');
\o
SELECT outcome FROM outreach.ingest_webhook(
	'{"path": "/w/a", "body": "{\"event\": \"message.received\", \"id\": 1, \"from\": \"2125550101\", \"body\": \"hello\"}"}');
SELECT pg_catalog.concat_ws(' ', item, outcome) FROM outreach.ingest_webhooks(ARRAY[
	'{"path": "/w/a", "body": "{\"event\": \"message.received\", \"id\": 1, \"from\": \"2125550101\", \"body\": \"hello\"}"}',
	'{"path": "/w/a", "body": "{\"event\": \"message.received\", \"id\": 2, \"from\": \"2125550102\", \"body\": \"stop\"}"}']::pg_catalog.jsonb[]);
\o /dev/null
SELECT outreach.transition_lead('team_a', 'lead_3', s) FROM pg_catalog.unnest('{responded,high_intent}'::pg_catalog.text[]) s;
UPDATE outreach.leads SET state = 'closed' WHERE lead_id OPERATOR(pg_catalog.=) 'lead_3';
\o
SELECT state FROM outreach.leads ORDER BY lead_id;
SELECT pg_catalog.count(*) FROM outreach.verify();
SQL
		ok(public($db) eq $before, "$name: what is in public is untouched");
		sql($node, 'DROP EXTENSION pg_outreach', db => $db);
		ok(public($db) eq $before, "$name: and outlives the extension");
	}
}

# ------------------------------------------------------------- the tests of the API

{
	my $db = copy_of('app', 'regress');
	sql($node, 'CREATE EXTENSION pg_outreach', db => $db);
	my $out;
	symlink(abs_path('expected'), "$dir/expected") or die "$dir/expected: $!";
	IPC::Run::run([ $ENV{PG_REGRESS}, '--inputdir=test', "--outputdir=$dir", '--use-existing', "--dbname=$db", '--host=' . $node->host,
			'--port=' . $node->port, '--user=' . sql($node, 'SELECT current_user'), '--dlpath=.', '--max-concurrent-tests=4',
			'--schedule=test/schedule' ], '&>', \$out);
	is($?, 0, 'the schedule of pg_regress passes beside the application\'s tables')
	  or diag $out, -e "$dir/regression.diffs" ? PostgreSQL::Test::Utils::slurp_file("$dir/regression.diffs") : '';
	cmp_ok(scalar(() = $out =~ /\bok\b/g), '>', 35, 'all of it');
	ok(public($db) eq $public, 'and leaves them alone');
}

# ------------------------------------------------------------- one role, both worlds

sql($node, 'CREATE EXTENSION pg_outreach', db => 'app');
sub admin { return sql($node, $_[0], db => 'app'); }
sub crm { return sql($node, $_[0], db => 'app', user => 'crm'); }

my $team = 'team_01J8Z3K4M5N6P7Q8R9S0T1V2W3';
admin("SELECT outreach.create_tenant(id, name), outreach.grant_tenant(id, 'crm'), outreach.create_endpoint(id, '/w/' || id, 'texting', 'none')
	FROM public.teams");

# the application's leads, with its ids and phones as they are
is(crm('SELECT string_agg(c.state || c.created, \' \') FROM public.leads l,
	outreach.create_lead(l.team_id, l.id, l.phone, l.first_name, attributes => l.metadata) c'),
	join(' ', ('newtrue') x 5), 'the application\'s leads are taken over by one statement');
is(crm("BEGIN; SELECT outreach.enter_tenant('$team') \\g /dev/null
SELECT string_agg(o.phone, ' ' ORDER BY o.phone) FROM outreach.leads o JOIN public.leads l ON l.id = o.lead_id AND l.team_id = o.tenant_id; COMMIT"),
	'+12125550101 +12125550102 +12125550103', 'and joined with them, whatever their phones look like');
is(crm("BEGIN; SET LOCAL app.team_id = 'default_team'; SELECT outreach.enter_tenant('$team') \\g /dev/null
SELECT count(*) FROM outreach.leads; COMMIT"), 3, 'the application\'s own setting for its tenant is another');
is(crm("SET search_path = public, outreach; SELECT count(*) FROM leads WHERE custom_fields IS NULL"), 5, 'an unqualified name is the application\'s');

crm("BEGIN; UPDATE public.leads SET lead_state = 'touched' WHERE id = 'lead_01J8Z3K4M5N6P7Q8R9S0T1V2W3';
	SELECT outreach.transition_lead('$team', 'lead_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'touched') \\g /dev/null
	ROLLBACK");
is(admin("SELECT l.lead_state || ' ' || o.state FROM public.leads l, outreach.leads o WHERE o.lead_id = l.id AND l.first_name = 'Ann'"), 'new new',
	'both or neither: neither');
crm("BEGIN; UPDATE public.leads SET lead_state = 'touched' WHERE id = 'lead_01J8Z3K4M5N6P7Q8R9S0T1V2W3';
	SELECT outreach.transition_lead('$team', 'lead_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'touched') \\g /dev/null
	COMMIT");
is(admin("SELECT l.lead_state || ' ' || o.state FROM public.leads l, outreach.leads o WHERE o.lead_id = l.id AND l.first_name = 'Ann'"), 'touched touched',
	'both or neither: both');
crm("UPDATE public.leads SET lead_state = 'new' WHERE first_name = 'Ann'");

{
	# a key that the application's own receipts have, and a phone of both teams
	my $shim = start_shim($node, db => 'app');
	for my $row ([ m1 => 'yes' ], [ m2 => 'STOP' ])
	{
		my ($id, $body) = @$row;
		is(http($shim, path => "/w/$team", headers => { 'content-type' => 'application/json' }, body => encode_json({
				type => 'message.received', message => { id => $id, from => '+12125550101', body => $body } }))->{status}, 200, "a webhook: $body");
	}
	$shim->stop;
	is(admin("SELECT string_agg(concat_ws(' ', first_name, state), ', ' ORDER BY lead_id) FROM outreach.leads WHERE phone = '+12125550101'"),
		'Di new, Ann suppressed', 'moves the engine\'s lead of that team');
}
ok(public('app') eq $public, 'what is the application\'s is as it was');

crm("DELETE FROM public.teams WHERE id = '$team'");
is(admin("SELECT count(*) FROM public.leads WHERE team_id = '$team'"), 0, 'the application deletes a team with its leads');
is(admin("SELECT count(*) > 0 FROM outreach.events WHERE tenant_id = '$team'"), 't', 'the engine\'s log outlives it');
is(admin("SELECT consent FROM outreach.phones WHERE tenant_id = '$team' AND phone = '+12125550101'"), 'opted_out', 'and so does the opt-out');
is(admin('SELECT * FROM outreach.verify()'), '', 'states follow from events');

# ------------------------------------------------------------- the dump of the application's owner

# as docs/operations.md has it: what a program said, and its status if not 0
sub run_program
{
	my (@command) = @_;
	my $err;
	IPC::Run::run(\@command, '<', \undef, '>', '/dev/null', '2>', \$err) or $err .= 'status ' . ($? >> 8);
	return $err;
}

{
	my $owner = sub { return ('-d', connstr($node, $_[0], 'crm')); };
	$node->safe_psql('postgres', 'CREATE DATABASE owned OWNER crm');
	sql($node, 'SET ROLE crm; ' . PostgreSQL::Test::Utils::slurp_file('test/support/existing_app.sql'), db => 'owned');
	sql($node, "CREATE EXTENSION pg_outreach; SELECT outreach.create_tenant('team_a', 'A'), outreach.grant_tenant('team_a', 'crm'),"
		. " outreach.create_lead('team_a', 'lead_1', '+12125550101')", db => 'owned');
	sql($node, 'CREATE VIEW public.their_leads AS SELECT lead_id, state FROM outreach.leads', db => 'owned', user => 'crm');
	my ($before, $rows) = (public('owned'), contents($node, 'owned'));

	like(run_program('pg_dump', '-f', "$dir/all.sql", $owner->('owned')), qr/permission denied for table events_/, 'a dump of all is refused to the owner');
	is(run_program('pg_dump', '-Fc', '-n', 'outreach', '-e', 'pg_outreach', '-f', "$dir/engine.dump", '-d', $node->connstr('owned')), '',
		'a dump of the engine alone, by a superuser');
	my ($major) = `pg_dump --version` =~ /(\d+)/;
	for my $without ([ '-e', 'plpgsql' ], $major >= 17 ? ['--exclude-extension=pg_outreach'] : ())
	{
		my $name = "pg_dump -N outreach @$without by the owner";
		is(run_program('pg_dump', '-Fc', '-N', 'outreach', @$without, '-f', "$dir/app.dump", $owner->('owned')), '', $name);
		$node->safe_psql('postgres', 'CREATE DATABASE again OWNER crm TEMPLATE template0');
		is(run_program('pg_restore', '-1', '-e', '-d', $node->connstr('again'), "$dir/engine.dump"), '', "$name: the engine is restored");
		is(run_program('pg_restore', '-1', '-e', $owner->('again'), "$dir/app.dump"), '', "$name: then the application, by its owner");
		ok(public('again') eq $before, "$name: the application's side is the same");
		is_deeply(contents($node, 'again'), $rows, "$name: and so is the engine's");
		$node->safe_psql('postgres', 'DROP DATABASE again');
	}
}
alive($node, 'at the end');

done_testing();
