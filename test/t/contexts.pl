# Code of one tenant's role, run in every way in which it can be made to run while
# somebody else is the session's user or another tenant is entered: it reads and
# does nothing of the other tenant.  Every function of the API and every relation
# is tried, from the catalogue, in each context.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Test::More;

my $node = new_cluster(
	# an empty answer would be caught, an error may come from elsewhere
	conf => "outreach.require_tenant = off\nautovacuum_naptime = 1s\nmin_parallel_table_scan_size = 0\nparallel_setup_cost = 0\nparallel_tuple_cost = 0\n");
create_extension($node);
$node->safe_psql('postgres', q{
	CREATE ROLE app_a LOGIN IN ROLE outreach_app;
	CREATE ROLE app_b LOGIN IN ROLE outreach_app;
	CREATE ROLE admin_a LOGIN IN ROLE outreach_tenant_admin;
	SELECT outreach.create_tenant('a', 'A'), outreach.create_tenant('b', 'CANARY');
	SELECT outreach.grant_tenant('a', 'app_a'), outreach.grant_tenant('a', 'admin_a'), outreach.grant_tenant('b', 'app_b');
	SELECT outreach.disarm('the rows stay as they are');
	SELECT outreach.create_endpoint('b', '/w/canary', 'generic', 'token', 'token-of-tenant-b-CANARY');
	SELECT outreach.create_account('b', 'CANARY', 'generic_json', 'secret-CANARY', base_url => 'http://127.0.0.1:9');
	SELECT outreach.create_account('b', 'texts', 'twilio_sms', 'secret-CANARY', username => 'AC00000000000000000000000000000000');
	SELECT outreach.add_number('b', '+12125550100', 'texts');
	SELECT outreach.save_template('b', 'CANARY', 'CANARY');
	SELECT outreach.create_lead('b', 'lead_b', '+12125550199', 'CANARY', email => 'canary@b.example');
	SELECT outreach.set_timer('b', 'lead_b', 'CANARY', '2040-01-01', action_payload => '{"agent": "CANARY"}');
	SELECT outreach.send_message('b', 'lead_b', 'CANARY', channel => 'webhook', send_at => '2040-01-01', send_key => 'CANARY');
	SELECT outreach.create_lead('a', 'lead_a', '+12125550198', 'Own');
	CREATE SCHEMA app_a AUTHORIZATION app_a;
	GRANT USAGE ON SCHEMA app_a TO PUBLIC;
});

# What is tried: every relation, every function with b's arguments
$node->safe_psql('postgres', q{
	CREATE TABLE app_a.todo (n serial, what text, statement text);
	INSERT INTO app_a.todo (what, statement) VALUES ('enter', 'SELECT outreach.enter_tenant(''b'')');
	INSERT INTO app_a.todo (what, statement)
	SELECT 'relation', format('SELECT * FROM outreach.%I', c.relname) FROM pg_class c
	 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY c.relname;
	INSERT INTO app_a.todo (what, statement)
	SELECT CASE WHEN p.prosrc = 'po_api' THEN 'function' ELSE 'plain' END,
		format('SELECT * FROM outreach.%I(%s)', p.proname, (SELECT string_agg(format('%I => %L::%s', u.name,
			CASE u.name WHEN 'tenant_id' THEN 'b' WHEN 'lead_id' THEN 'lead_b' WHEN 'phone' THEN '+12125550199'
				WHEN 'lead_ids' THEN '{lead_b}' WHEN 'send_keys' THEN '{another}' WHEN 'channel' THEN 'webhook'
				WHEN 'message_id' THEN (SELECT m.message_id::text FROM outreach.outbound_messages m)
				WHEN 'priority' THEN 'normal' WHEN 'outcome' THEN 'sent' WHEN 'to_state' THEN 'touched' WHEN 'from_state' THEN 'new'
				WHEN 'event_type' THEN 'contact.updated' WHEN 'scope' THEN 'tenant' WHEN 'id' THEN 'b' WHEN 'path' THEN '/w/canary'
				WHEN 'function' THEN 'pg_catalog.version()' WHEN 'role_name' THEN 'app_a' WHEN 'right_role' THEN 'outreach_app'
				WHEN 'account' THEN 'CANARY' WHEN 'secret' THEN 'of-an-attacker-' || p.proname WHEN 'key' THEN repeat('k', 40)
				ELSE CASE format_type(u.type, NULL) WHEN 'jsonb' THEN '{}' WHEN 'jsonb[]' THEN '{}' WHEN 'integer' THEN '1' WHEN 'boolean' THEN 'true'
					WHEN 'uuid' THEN '00000000-0000-7000-8000-000000000000'
					WHEN 'timestamp with time zone' THEN '2040-01-01' WHEN 'interval' THEN '1 hour' ELSE 'given' END END,
				format_type(u.type, NULL)), ', ' ORDER BY u.n)
			FROM unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) WITH ORDINALITY AS u(name, type, n)
		   WHERE u.name <> 'proof' AND NOT (p.proname LIKE 'send\_message%' AND u.name IN ('template', 'from_phone', 'address', 'addresses'))))
	  FROM pg_proc p WHERE p.pronamespace = 'outreach'::regnamespace AND p.prorettype <> 'trigger'::regtype ORDER BY p.proname;
	ALTER TABLE app_a.todo OWNER TO app_a;
});

# The attacker's code: it writes down what each statement gives
sql($node, q{
	CREATE TABLE app_a.loot (context text, n int, result text);
	CREATE TABLE app_a.context (name text);
	CREATE FUNCTION app_a.steal() RETURNS int LANGUAGE plpgsql AS $$
	DECLARE
		name text := (SELECT c.name FROM app_a.context c);
		todo record;
		result text;
	BEGIN
		IF name IS NULL THEN
			RETURN 0;
		END IF;
		DELETE FROM app_a.context;
		FOR todo IN SELECT * FROM app_a.todo t ORDER BY t.n LOOP
			BEGIN
				EXECUTE format('SELECT string_agg(t::text, '' '') FROM (%s) t', todo.statement) INTO result;
				result := 'got ' || coalesce(result, 'nothing');
			EXCEPTION WHEN OTHERS THEN
				result := SQLSTATE || ' ' || SQLERRM;
			END;
			INSERT INTO app_a.loot VALUES (name, todo.n, result);
		END LOOP;
		RETURN 1;
	END $$;
	CREATE FUNCTION app_a.bait(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		PERFORM app_a.steal();
		RETURN x;
	END $$;
	CREATE FUNCTION app_a.lend() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		PERFORM app_a.steal();
		RETURN 'done';
	END $$;
	CREATE FUNCTION app_a.trap() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		PERFORM app_a.steal();
		RETURN NEW;
	END $$;
	CREATE FUNCTION app_a.look() RETURNS bigint LANGUAGE sql SECURITY DEFINER STABLE PARALLEL SAFE AS
		'SELECT count(*) FROM outreach.leads';
	CREATE TABLE app_a.baited (x int);
	CREATE INDEX baited_x ON app_a.baited (app_a.bait(x));
	INSERT INTO app_a.baited SELECT generate_series(1, 20);
	CREATE TABLE app_a.watched (x int) WITH (autovacuum_enabled = false, autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0);
	CREATE INDEX watched_x ON app_a.watched (app_a.bait(x));
	CREATE TABLE app_a.trapped (x int);
	CREATE TRIGGER trap BEFORE INSERT ON app_a.trapped FOR EACH ROW EXECUTE FUNCTION app_a.trap();
	GRANT INSERT ON app_a.trapped TO PUBLIC;
	CREATE MATERIALIZED VIEW app_a.refreshed AS SELECT app_a.steal() AS x;
}, user => 'app_a');

# Everything of b, as one digest
my @tables = split /\n/, sql($node, q{SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind = 'r' AND a.attname = 'tenant_id' ORDER BY 1});
sub state_of_b
{
	return join "\n", map { "$_ " . sql($node, "SELECT count(*) || md5(coalesce(string_agg(t::text, ';' ORDER BY t::text), '')) FROM $_ t
		WHERE tenant_id = 'b'") } @tables;
}
my $before = state_of_b();

sub arm_bait { my ($name) = @_; sql($node, "INSERT INTO app_a.context VALUES ('$name')"); return; }

# What came of a context; $reads: relations may be read as far as they are a's
sub check
{
	my ($name) = @_;
	my $tried = sql($node, 'SELECT count(*) FROM app_a.todo');
	is(sql($node, "SELECT count(*) FROM app_a.loot WHERE context = '$name'"), $tried, "$name: its code ran");
	is(sql($node, "SELECT t.statement, l.result FROM app_a.loot l JOIN app_a.todo t USING (n)
		WHERE context = '$name' AND l.result ~* 'canary'"), '', "$name: nothing of b was seen");
	is(sql($node, "SELECT t.statement, l.result FROM app_a.loot l JOIN app_a.todo t USING (n)
		WHERE context = '$name' AND t.what IN ('function', 'enter') AND l.result !~ '^(42501|OR101|OR102|55000) '
		  AND t.statement !~ 'outreach.(verify|has_right)\\('"), '', "$name: every function refused");
	is(state_of_b(), $before, "$name: nothing of b was changed");
	return;
}

# as themselves
arm_bait('its own session');
sql($node, 'SELECT app_a.steal()', user => 'app_a');
check('its own session');
arm_bait('its own tenant entered');
sql($node, "BEGIN; SELECT outreach.enter_tenant('a'); SELECT app_a.steal(); COMMIT", user => 'app_a');
check('its own tenant entered');

# maintenance by a superuser, who may enter every tenant and has entered b
for my $statement ('ANALYZE app_a.baited', 'REINDEX TABLE app_a.baited', 'REINDEX INDEX app_a.baited_x',
	'CREATE INDEX ON app_a.baited (app_a.bait(x + 1))', 'CLUSTER app_a.baited USING baited_x',
	'REFRESH MATERIALIZED VIEW app_a.refreshed', 'ALTER TABLE app_a.baited ALTER x TYPE int USING x')
{
	my $name = $statement =~ s/ app_a.*//r;
	$name = $statement if $name eq 'REINDEX INDEX';
	arm_bait("$name");
	sql($node, $statement);
	check($name);
	next if $statement =~ /^(?:CLUSTER|ALTER)/;
	arm_bait("$name with b entered");
	sql($node, "BEGIN; SELECT outreach.enter_tenant('b'); SAVEPOINT s; $statement; SELECT 1 / (outreach.current_tenant() = 'b'
		AND current_user = session_user)::int; COMMIT");
	check("$name with b entered");
}
arm_bait('VACUUM FULL');
sql($node, 'VACUUM FULL app_a.baited');
check('VACUUM FULL');
arm_bait('REINDEX CONCURRENTLY');
sql($node, 'REINDEX INDEX CONCURRENTLY app_a.baited_x');
check('REINDEX CONCURRENTLY');

# by nobody: after rows that its own session inserts while the bait is not armed
sql($node, 'INSERT INTO app_a.watched SELECT generate_series(1, 50)', user => 'app_a');
arm_bait('autovacuum');
sql($node, 'ALTER TABLE app_a.watched SET (autovacuum_enabled = true)');
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM app_a.loot WHERE context = 'autovacuum'"), 'autovacuum came');
check('autovacuum');

# called by others, who are in b
for my $caller ([ 'app_b', 'the other application' ], [ 'test_admin', 'an administrator' ], [ undef, 'a superuser' ])
{
	my ($user, $who) = @$caller;
	for my $call ([ 'SELECT app_a.lend()', 'a definer function' ], [ 'INSERT INTO app_a.trapped VALUES (1)', "a definer's trigger" ],
		[ 'SAVEPOINT s; SELECT app_a.lend(); ROLLBACK TO s; SELECT app_a.lend()', 'the same in a savepoint, and after it' ])
	{
		my ($statement, $how) = @$call;
		my $name = "$how, called by $who";
		arm_bait($name =~ s/'/''/gr);
		my $out = sql($node, "BEGIN; SELECT outreach.enter_tenant('b'); $statement;
			SELECT current_user = session_user, outreach.current_tenant(), (SELECT count(*) FROM outreach.tenants WHERE tenant_id = outreach.current_tenant());
				COMMIT", user => $user);
		like($out, qr/^t\|b\|1$/m, "$name: the caller is where he was");
		check($name =~ s/'/''/gr);
	}
}

# parallel workers know who runs, and what that role has entered
sql($node, q{SELECT count(*) FROM generate_series(1, 3000) i, outreach.create_lead('b', 'many' || i, first_name => 'CANARY')}, user => 'app_b');
sql($node, 'ANALYZE outreach.leads');
my $plan = sql($node, "BEGIN; SELECT outreach.enter_tenant('b'); SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL debug_parallel_query = on;
	SELECT count(*), min(app_a.look()) FROM outreach.leads WHERE first_name = 'CANARY'; COMMIT", user => 'app_b')
  if $node->pg_version >= 16;
$plan = sql($node, "BEGIN; SELECT outreach.enter_tenant('b'); SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL force_parallel_mode = on;
	SELECT count(*), min(app_a.look()) FROM outreach.leads WHERE first_name = 'CANARY'; COMMIT", user => 'app_b')
  if $node->pg_version < 16;
like($plan, qr/^3001\|0$/m, 'a parallel worker sees the rows of b for b, and none in the function of a');

done_testing();
