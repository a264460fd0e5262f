package SqlGrammar;

# Statements against the engine, from a grammar whose words are the catalogue's.
#
#	my $grammar = SqlGrammar->new(values => SqlValues, functions => [...], relations => [...],
#		settings => [names], roles => [names], allowed => {role => [functions]});
#		a function is {name, args => [[name, type], …], defaults => how many, trigger}, a relation
#		{name, columns => [[name, type], …]}, their names quoted and with schema
#	$grammar->statement($role, $start, relation =>, function =>)	one statement of a role,
#		from a rule: statement by default; query returns rows, trusted is for those who
#		may do everything; call and read can be told of what
#	$grammar->bound($role)				a call with parameters: (text, values …)
#
# A rule is a list of which one is picked; <word> stands for what the rule of that
# name gives, or for what the method _word returns.

use strict;
use warnings;

use SqlValues;

my %rule = (
	statement => [ ('<call>') x 20, ('<read>') x 9, ('<write>') x 5, ('<setting>') x 3, '<become>', '<become>', ('<enter>') x 4, ('<hostile>') x 4,
		'<own>', '<own>', '<explain>', '<cursor>', '<cursor>' ],
	trusted => [ ('<call>') x 8, ('<read>') x 2, ('<write>') x 4, '<engine_setting>', '<enter>', '<enter>', '<own_trigger>', '<own>', '<explain>', '<become>' ],
	query => [ ('<call>') x 4, '<read>', '<read>', '<probe>' ],

	call => [ ('SELECT * FROM <function>') x 6, 'SELECT <function>', 'SELECT (<function>).*', 'SELECT <function> FROM generate_series(1, 3)',
		'SELECT 1 WHERE <function> IS NOT NULL',
		'SELECT count(<function>)', 'SELECT <function> ORDER BY 1 LIMIT 1', 'VALUES (<function>)', 'CALL <function>',
			'SELECT * FROM ROWS FROM (<function>, <function>) WITH ORDINALITY',
		'WITH w AS MATERIALIZED (SELECT <function> AS f) SELECT f FROM w, w AS v', 'SELECT * FROM <me>.own o LEFT JOIN LATERAL <function> f ON true',
		'SELECT coalesce((SELECT <function>)::text, <text>)', 'INSERT INTO <me>.own VALUES ((<function>)::text)', 'UPDATE <me>.own SET id = (<function>)::text',
		'SELECT <function> WHERE (SELECT outreach.enter_tenant(<tenant>)) IS NOT NULL', 'CREATE TEMP TABLE IF NOT EXISTS made AS SELECT <function>' ],
	# what shows the canary where there is a row of b; concat() is not computed by the planner
	probe => [ q{SELECT concat('CAN', 'ARY'), count(*) FROM <relation> t WHERE to_jsonb(t) ->> 'tenant_id' = 'b' HAVING count(*) > 0},
		q{SELECT concat('CAN', 'ARY') FROM <relation> t WHERE t::text ~ '(^|[(,])b,'},
		q{SELECT concat('CAN', 'ARY') WHERE outreach.current_tenant() = 'b'} ],
	read => [ 'SELECT <expression> FROM <relation> t', 'SELECT <expression> FROM <relation> t WHERE <condition>',
		'SELECT <expression> FROM <relation> t WHERE <condition> AND <condition>', '<probe>',
		'TABLE <relation>', 'SELECT t FROM <relation> t ORDER BY <me>.leak(t::text)',
			'SELECT <expression> FROM <relation> t JOIN LATERAL (SELECT <me>.leak(t::text) AS l) l ON l.l',
		'SELECT count(*), min(t::text), string_agg(t::text, <text>) FROM <relation> t', 'SELECT <expression> FROM <relation> t WHERE <condition> FOR <lock>',
			'COPY (SELECT <expression> FROM <relation> t WHERE <condition>) TO STDOUT',
		'COPY <relation> TO STDOUT', 'SELECT <expression> FROM <relation> t TABLESAMPLE bernoulli (100)',
			'SELECT row_number() OVER (ORDER BY t::text), t FROM <relation> t',
		q{SELECT * FROM pg_stats WHERE schemaname = 'outreach'}, q{SELECT query_to_xml('SELECT * FROM <relation> t', true, true, '')},
			q{SELECT table_to_xml('<relation>', true, true, '')},
		'SELECT schema_to_xml(<schema>, true, true, <text>)', 'SELECT pg_get_viewdef(<relation_name>, true)', 'SELECT * FROM pg_stat_activity',
			'SELECT * FROM pg_prepared_xacts',
		'SELECT ts_stat FROM ts_stat(<relation_query>)', 'SELECT <expression> FROM <relation> t, <relation> u WHERE t::text = u::text' ],
	expression => [ '*', 't', 't::text', 'row_to_json(t)', 't.<column>', 'md5(t::text), t.ctid, t.xmin, t.tableoid::regclass', 'to_jsonb(t)',
		'octet_length(t::text)', '<me>.leak(t::text)', '(t.<column>)::text::int' ],
	condition => [ '<me>.leak(t::text)', '<me>.leak(t.<column>::text)', "t.<column>::text = <text>", "(t.<column>::text || 'x')::int > 0",
		'1 / (length(t::text) - length(t::text)) > 0', 'true', 'NOT <me>.leak(t::text)',
		'EXISTS (SELECT FROM <relation> u WHERE <me>.leak(u::text))', "t.<column>::text ~ '.*' AND <me>.leak(t::text)", '<function> IS NOT NULL',
			't::text LIKE <text>', 'CASE WHEN <me>.leak(t::text) THEN true ELSE 1 / 0 = 1 END',
		'outreach.current_tenant() IS NULL', 't.<column> IS NOT DISTINCT FROM <value_of_column>', 't = t' ],
	lock => [ 'UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE', 'UPDATE NOWAIT', 'UPDATE SKIP LOCKED' ],
	write => [ 'INSERT INTO <relation> (<columns>) VALUES (<values>)',
		'INSERT INTO <relation> (<columns>) VALUES (<values>) ON CONFLICT DO NOTHING RETURNING *',
		'UPDATE <relation> t SET <column> = <value_of_column>', 'UPDATE <relation> t SET <column> = <value_of_column> WHERE <condition> RETURNING *',
			'UPDATE <relation> t SET <column> = DEFAULT, <column> = <value_of_column>', 'DELETE FROM <relation> t',
		'DELETE FROM <relation> t WHERE <condition> RETURNING *', 'TRUNCATE <relation>', 'TRUNCATE <relation> CASCADE', 'COPY <relation> FROM STDIN',
			'COPY <relation> (<columns>) FROM STDIN',
		'MERGE INTO <relation> t USING (SELECT 1) s ON <condition> WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING',
			'INSERT INTO <relation> SELECT * FROM <relation> t',
		'WITH gone AS (DELETE FROM <relation> t RETURNING *) SELECT * FROM gone' ],
	setting => [ '<engine_setting>', '<set> <plain_setting>', 'RESET ALL', 'RESET <setting_name>',
		"SELECT set_config('outreach.tenant_id', <setting_value>, <bool>)", 'SET TRANSACTION ISOLATION LEVEL <isolation>', 'SHOW ALL',
		'DISCARD ALL', 'DISCARD PLANS' ],
	engine_setting => [ '<set> <setting_name> = <setting_value>', '<set> <setting_name> TO DEFAULT', 'RESET <setting_name>', 'SHOW <setting_name>',
		"SELECT set_config(<setting_text>, <setting_value>, <bool>)" ],
	set => [ 'SET', 'SET LOCAL', 'SET SESSION' ],
	plain_setting => [ 'row_security = off', "search_path = <me>, pg_catalog", 'search_path = pg_temp, outreach, outreach_impl',
		'standard_conforming_strings = off', 'transform_null_equals = on',
		'plan_cache_mode = <plan_mode>', "DateStyle = 'German'", "IntervalStyle = 'sql_standard'", "timezone = 'Pacific/Kiritimati'",
			"timezone = 'America/New_York'", 'array_nulls = off', "client_min_messages = debug5", 'session_replication_role = replica',
		'enable_indexscan = off', 'enable_seqscan = off', 'enable_sort = off', 'enable_nestloop = off', "work_mem = '64kB'", 'jit = on', 'jit_above_cost = 0',
			'default_transaction_isolation = <isolation>', 'default_transaction_read_only = on', 'statement_timeout = 5',
		'lock_timeout = 1', "bytea_output = 'escape'", 'extra_float_digits = -15', "client_encoding = 'LATIN1'", "client_encoding = 'SQL_ASCII'",
			'quote_all_identifiers = on', 'xmlbinary = hex', 'max_parallel_workers_per_gather = 4', 'parallel_setup_cost = 0',
		'min_parallel_table_scan_size = 0', 'check_function_bodies = off', 'constraint_exclusion = on', 'from_collapse_limit = 1', 'geqo_threshold = 2',
			'cursor_tuple_fraction = 0.01', 'lc_messages = <text>', 'application_name = <text>',
		'default_tablespace = <text>', 'temp_buffers = 100', 'synchronous_commit = off', 'plpgsql.extra_errors = all', 'plpgsql.variable_conflict = use_column',
			'outreach.made_up = 1', 'lc_monetary = C', "default_text_search_config = 'simple'" ],
	isolation => [ "'read committed'", "'repeatable read'", "'serializable'" ],
	plan_mode => [qw(force_generic_plan force_custom_plan auto)],
	bool => [qw(true false)],
	become => [ 'SET ROLE <role>', 'SET LOCAL ROLE <role>', 'SET SESSION AUTHORIZATION <role>', 'RESET ROLE', 'SET ROLE NONE',
		"SELECT set_config('role', <role_text>, <bool>)", "SELECT set_config('session_authorization', <role_text>, <bool>)" ],
	enter => [ ('SELECT outreach.enter_tenant(<tenant>)') x 4, 'SELECT outreach.enter_tenant(<tenant>, <proof>)', "SELECT outreach.enter_tenant('a')",
		'SELECT outreach.enter_tenant(<tenant>), outreach.current_tenant()',
		'SELECT outreach.current_tenant()', 'SELECT outreach_impl.enter_tenant(<tenant>)', 'SELECT outreach.enter_tenant(NULL)' ],
	explain => [ 'EXPLAIN <read>', 'EXPLAIN (ANALYZE, VERBOSE, BUFFERS) <read>', 'EXPLAIN (ANALYZE) <call>',
		'EXPLAIN (VERBOSE, SETTINGS, FORMAT JSON) <call>' ],
	cursor => [ 'DECLARE c CURSOR FOR <read>', 'DECLARE c SCROLL CURSOR WITH HOLD FOR <read>', 'DECLARE c CURSOR FOR <call>', 'FETCH 2 FROM c',
		'FETCH BACKWARD ALL FROM c', 'MOVE ALL IN c', 'CLOSE c', 'CLOSE ALL', 'PREPARE p AS <read>', 'PREPARE p AS <call>',
		'PREPARE p(text) AS <write>', 'EXECUTE p', 'EXECUTE p(<text>)', 'DEALLOCATE ALL', 'SAVEPOINT s', 'ROLLBACK TO s', 'RELEASE s' ],
	own => [ 'INSERT INTO <me>.baited VALUES (<query_text>)', 'INSERT INTO <me>.trapped VALUES (<query_text>)',
		'INSERT INTO <me>.deferred VALUES (<query_text>)', 'SELECT <me>.run(<query_text>)', 'SELECT <me>.lend(<query_text>)',
			'SELECT <me>.lend(<statement_text>)', 'ANALYZE <me>.baited',
		'SET CONSTRAINTS ALL IMMEDIATE', 'INSERT INTO <me>.own VALUES (<text>, <text>)', 'UPDATE <me>.own SET id = <text>', 'DELETE FROM <me>.own',
			'SELECT <other>.lend(<query_text>)', 'SELECT <other>.run(<query_text>)', 'INSERT INTO <other>.trapped VALUES (<query_text>)' ],
	own_trigger => [ 'DROP TRIGGER IF EXISTS own ON <me>.own', 'CREATE OR REPLACE TRIGGER own <when> ON <me>.own FOR EACH <each> EXECUTE FUNCTION <trigger>()',
		'CREATE OR REPLACE TRIGGER own <when> ON <me>.own FOR EACH <each> EXECUTE FUNCTION <trigger>(<text>, <text>)',
		'CREATE CONSTRAINT TRIGGER later2 AFTER INSERT ON <me>.own DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION <trigger>()',
			'INSERT INTO <me>.own VALUES (<text>, <text>)', 'UPDATE <me>.own SET statement = id', 'DELETE FROM <me>.own', 'TRUNCATE <me>.own' ],
	when => [ 'BEFORE INSERT OR UPDATE OR DELETE', 'AFTER INSERT OR UPDATE OR DELETE', 'AFTER TRUNCATE', 'BEFORE UPDATE OF id' ],
	each => [qw(ROW STATEMENT)],
	hostile => [ ('<own_trigger>') x 3, 'CREATE INDEX ON <relation> (<me>.bait(<column>::text))',
		'CREATE TRIGGER t BEFORE INSERT ON <relation> FOR EACH ROW EXECUTE FUNCTION <me>.trap()', 'CREATE RULE r AS ON SELECT TO <relation> DO ALSO SELECT 1',
		'CREATE POLICY p ON <relation> USING (<me>.leak(<column>::text))', 'ALTER TABLE <relation> DISABLE ROW LEVEL SECURITY',
			'ALTER TABLE <relation> NO FORCE ROW LEVEL SECURITY', 'ALTER TABLE <relation> OWNER TO <me>', 'GRANT ALL ON <relation> TO <me>',
				'GRANT ALL ON ALL TABLES IN SCHEMA outreach TO PUBLIC',
		'GRANT <role> TO <me>', 'CREATE TABLE <me>.child () INHERITS (<relation>)', 'CREATE TABLE <me>.part PARTITION OF outreach.events DEFAULT',
			'CREATE OR REPLACE VIEW <me>.v AS SELECT t::text FROM <relation> t', 'SELECT * FROM <me>.v WHERE <me>.leak(v::text)', 'SELECT * FROM <other>.v',
				'GRANT ALL ON <me>.v TO PUBLIC',
		'CREATE MATERIALIZED VIEW <me>.m AS SELECT t::text FROM <relation> t', 'REFRESH MATERIALIZED VIEW <me>.m', 'DROP MATERIALIZED VIEW IF EXISTS <me>.m',
			'DROP VIEW IF EXISTS <me>.v', 'CREATE TABLE <me>.referring (x text REFERENCES <relation>)', 'LOCK TABLE <relation> IN ACCESS EXCLUSIVE MODE NOWAIT',
				'LOCK TABLE <relation> IN ACCESS SHARE MODE NOWAIT',
		'ANALYZE <relation>', 'VACUUM <relation>', 'REINDEX TABLE <relation>', 'COMMENT ON TABLE <relation> IS <text>', 'DROP FUNCTION <signature>',
			'ALTER FUNCTION <signature> SECURITY DEFINER', 'GRANT EXECUTE ON FUNCTION <signature> TO <me>',
				'CREATE OR REPLACE FUNCTION outreach.current_tenant() RETURNS text LANGUAGE sql AS $$SELECT \'b\'$$',
		'CREATE FUNCTION <me>.c(text) RETURNS text LANGUAGE c AS \'pg_outreach\', \'po_enter_tenant\'', 'DROP EXTENSION pg_outreach CASCADE',
			'DROP SCHEMA outreach_impl CASCADE', 'CREATE FUNCTION outreach.f() RETURNS int LANGUAGE sql AS \'SELECT 1\'',
				'ALTER ROLE <me> SET row_security = off', "ALTER ROLE <me> SET outreach.tenant_id = <setting_value>",
		'CREATE FUNCTION <me>.settled() RETURNS text LANGUAGE sql SET outreach.tenant_id = <setting_value> AS \'SELECT outreach.current_tenant()\'',
			'LISTEN <me>', 'NOTIFY <me>', 'CREATE TEMP TABLE leads (tenant_id text, lead_id text)', 'CREATE TEMP VIEW tenants AS SELECT t FROM <relation> t',
		'CREATE OPERATOR <me>.= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)',
			'CREATE FUNCTION pg_temp.current_tenant() RETURNS text LANGUAGE sql AS \'SELECT 1::text\'', 'ALTER EXTENSION pg_outreach DROP FUNCTION <signature>',
				'CREATE STATISTICS <me>.s ON tenant_id, name FROM outreach.tenants', 'SELECT pg_relation_size(<relation_name>)',
		'SELECT pg_advisory_lock(1), pg_advisory_unlock_all()', 'SELECT pg_get_functiondef(<signature_text>::regprocedure)',
			'SELECT pg_cancel_backend(pid) FROM pg_stat_activity', 'DO $do$ BEGIN PERFORM <me>.run(<query_text>); EXCEPTION WHEN OTHERS THEN NULL; END $do$' ]);

sub new
{
	my ($class, %words) = @_;
	my $self = bless {%words}, $class;
	$self->{triggers} = [ map { $_->{name} } grep { $_->{trigger} } @{ $self->{functions} } ];
	return $self;
}

sub statement
{
	my ($self, $role, $start, %about) = @_;
	@$self{qw(me depth relation ahead wanted)} = ($role, 0, $self->{relations}[0], @about{qw(relation function)});
	return $self->_expand($start // 'statement');
}

sub _expand
{
	my ($self, $name) = @_;
	# a rule that leads to itself too often is cut short
	return 'SELECT 1' if $name =~ /^(?:statement|query)$/ && $self->{depth} > 3;
	$self->{depth}++;
	# its columns are named before it is
	$self->{relation} = $self->{ahead} //= pick(@{ $self->{relations} }) if $name eq 'read';
	my $text = pick(@{ $rule{$name} });
	my $given = '';
	while ($text =~ /\G(.*?)(?:<([a-z_]+)>|\z)/gcs)
	{
		$given .= $1;
		last if !defined $2;
		my ($word, $method) = ($2, "_$2");
		$given .= $self->can($method) ? $self->$method : $self->_expand($word);
	}
	$self->{depth}--;
	return $given;
}

sub _me { return identifier($_[0]{me}); }
sub _other { return identifier(pick(@{ $_[0]{roles} })); }
sub _tenant { return $_[0]{values}->literal('tenant_id', 'text'); }
sub _proof { return $_[0]{values}->literal('proof', 'text'); }
sub _text { return $_[0]{values}->literal('', 'text'); }
sub _trigger { return pick(@{ $_[0]{triggers} }); }
sub _schema { return pick("'outreach'", "'outreach_impl'"); }
sub _setting_name { return pick(@{ $_[0]{settings} }); }
sub _setting_text { return quoted(pick(@{ $_[0]{settings} })); }
sub _setting_value { return quoted($_[0]{values}->raw('setting_value', 'text') // ''); }
sub _query_text { return quoted($_[0]->_expand('query')); }
sub _statement_text { return quoted($_[0]->_expand('statement')); }

my @engine_roles = qw(outreach_owner outreach_app outreach_tenant_admin outreach_admin outreach_provisioner outreach_worker outreach_scheduler outreach_ingress
	postgres);
sub _role { return identifier(pick(@engine_roles, @{ $_[0]{roles} })); }
sub _role_text { return quoted(pick(@engine_roles, @{ $_[0]{roles} })); }

sub _relation
{
	my ($self) = @_;
	$self->{relation} = delete $self->{ahead} // pick(@{ $self->{relations} });
	return $self->{relation}{name};
}

sub _relation_name { return quoted($_[0]->_relation); }
sub _relation_query { return quoted('SELECT to_tsvector(t::text) FROM ' . $_[0]->_relation . ' t'); }

# Of the relation that was named last
sub _column
{
	my ($self) = @_;
	$self->{column} = pick(@{ $self->{relation}{columns} });
	return identifier($self->{column}[0]);
}

sub _columns
{
	my ($self) = @_;
	my @of = grep { !chance(6) } @{ $self->{relation}{columns} };
	$self->{listed} = @of ? \@of : [ $self->{relation}{columns}[0] ];
	return join ', ', map { identifier($_->[0]) } @{ $self->{listed} };
}

sub _values { my ($self) = @_; return join ', ', map { $self->{values}->literal(@$_) } @{ $self->{listed} }; }
sub _value_of_column { my ($self) = @_; return $self->{values}->literal(@{ $self->{column} // $self->{relation}{columns}[0] }); }

sub _signature
{
	my ($self) = @_;
	my $function = pick(@{ $self->{functions} });
	return "$function->{name}(" . join(', ', map { $_->[1] } @{ $function->{args} }) . ')';
}
sub _signature_text { return quoted($_[0]->_signature); }

# What the role may execute as often as all others together
sub _any_function
{
	my ($self) = @_;
	my $allowed = $self->{allowed}{ $self->{me} } // [];
	return pick(@$allowed && chance(2) ? @$allowed : @{ $self->{functions} });
}

# A call, by position, by name, or both; sometimes with too few arguments
sub _function
{
	my ($self) = @_;
	my $function = delete $self->{wanted} // $self->_any_function;
	my $needed = @{ $function->{args} } - $function->{defaults};
	my $kind = $self->{values}{kind} = chance(2);
	my $n = 0;
	my @args = map { [ $_->[0], $self->{values}->literal(@$_), $n++ < $needed ] } @{ $function->{args} };
	$self->{values}{kind} = 0;
	my $form = int rand 4;
	pop @args while $form == 3 && @args > ($kind ? $needed : 0) && chance(2);
	my $by_position = $form == 0 || $form == 3 ? @args : $form == 1 ? 0 : int rand(1 + @args);
	@args = (@args[ 0 .. $by_position - 1 ], grep { $kind ? $_->[2] || chance(2) : !chance(4) } @args[ $by_position .. $#args ]);
	$n = 0;
	return "$function->{name}(" . join(', ', map { $n++ < $by_position ? $_->[1] : identifier($_->[0]) . " => $_->[1]" } @args) . ')';
}

sub bound
{
	my ($self, $role) = @_;
	$self->{me} = $role;
	my $function = $self->_any_function;
	my @types = map { $_->[1] } @{ $function->{args} };
	my $text = "SELECT * FROM $function->{name}(" . join(', ', map { "\$$_" . (chance(2) ? "::$types[ $_ - 1 ]" : '') } 1 .. @types) . ')';
	$self->{values}{kind} = chance(2);
	my @given = map { $self->{values}->raw(@$_) } @{ $function->{args} };
	$self->{values}{kind} = 0;
	return ($text, @given);
}

1;
