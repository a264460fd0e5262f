# Whatever a database or a role sets, a worker works under the server's settings, and
# neither a reload nor a function changes those that matter.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Timers;

my $node = new_cluster(conf => "max_worker_processes = 16\n");
my $db = 'postgres';
timer_database($node, $db, 30);
sql($node, q{
	CREATE TABLE public.seen (lead_id text, name text, value text, source text);
	GRANT INSERT ON public.seen TO outreach_functions;
	CREATE FUNCTION public.look(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS $$
		INSERT INTO public.seen SELECT $2, name, setting, source FROM pg_catalog.pg_settings
	$$;
	SELECT outreach.register_timer_function('look', 'public.look(text, text, jsonb)');
	SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred')});

# Each of these would change what a worker does, or keep it from doing it
my %setting = (
	row_security => 'off', standard_conforming_strings => 'off', session_replication_role => 'replica', search_path => 'public',
	default_transaction_isolation => 'serializable', default_transaction_read_only => 'on', default_transaction_deferrable => 'on',
	statement_timeout => '1 ms', lock_timeout => '1 ms', idle_in_transaction_session_timeout => '1 ms', synchronous_commit => 'off',
	plan_cache_mode => 'force_custom_plan', transform_null_equals => 'on', exit_on_error => 'on', array_nulls => 'off',
	bytea_output => 'escape', DateStyle => 'German, DMY', IntervalStyle => 'sql_standard', TimeZone => 'Asia/Tokyo',
	extra_float_digits => '-15', xmloption => 'document', backslash_quote => 'on', enable_indexscan => 'off', enable_nestloop => 'off',
	work_mem => '64 kB', client_min_messages => 'debug5', quote_all_identifiers => 'on', 'outreach.clock' => '2001-01-01',
	from_collapse_limit => '1', geqo_threshold => '2', constraint_exclusion => 'on', default_toast_compression => 'pglz');

# 19 does not turn it off any more
delete $setting{standard_conforming_strings} if $node->pg_version >= '19devel';

# This session's own stay as they are: a role's come before a database's
for my $name (sort keys %setting)
{
	my $value = sql($node, "SELECT quote_literal(current_setting('$name'))");
	$value = "''" if $name eq 'search_path';
	sql($node, "ALTER ROLE CURRENT_USER SET $name = $value");
}

my $lead = 0;

# A timer, one that calls a function, and a webhook, for new processes
sub all_work
{
	my ($what) = @_;
	my $a = ++$lead;
	my $b = ++$lead;
	sql($node, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'outreach %worker'");
	wait_until(sub { sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'outreach %worker'") == 0 }, 'no worker');
	sql($node, 'BEGIN; ' . timer_sql($a, 'PLAIN', 'now()') . ';' . timer_sql($b, 'LOOK', 'now()', '{"call": "look"}') . '; COMMIT');
	ingest($node, { method => 'POST', path => '/w/later', headers => { 'content-type' => 'application/json' },
		body => qq({"event":"message.received","id":"$a","from":"+12125550101","body":"hello"}) }, user => sql($node, 'SELECT current_user'));
	is(wait_fired($node, $db, $a, 'PLAIN'), 1, "$what: timers fire");
	is(wait_fired($node, $db, $b, 'LOOK'), 1, "$what: functions are called");
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE status <> 'done'") == 0 }, 'payloads');
	is(sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE attempts <> 1"), 0, "$what: at the first attempt");
	return sql($node, "SELECT string_agg(name || '=' || value, E'\n' ORDER BY name) FROM public.seen WHERE lead_id = '$b'
		AND lower(name) IN (" . join(', ', map { "lower('$_')" } keys %setting) . ')');
}

my $plain = all_work('as it is');
for my $of ("DATABASE $db", 'ROLE outreach_worker', "ROLE outreach_worker IN DATABASE $db", 'ROLE outreach_functions')
{
	sql($node, join '; ', map { "ALTER $of SET $_ = " . (/^(?:search_path|DateStyle)$/ ? $setting{$_} : "'$setting{$_}'") } sort keys %setting);
	is(all_work($of), $plain, "$of: nothing of it is in effect");
}
is(sql($node, "SELECT count(*) FROM public.seen WHERE source IN ('database', 'user', 'database user', 'global')"), 0,
	'no setting of a worker is from a database or a role');
is(sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE executed_at < now() - '1 h'::interval"), 0,
	"nor is the time");

# what matters is not the file's either
sql($node, "ALTER SYSTEM SET $_") for 'row_security = off', "session_replication_role = 'replica'",
  'default_transaction_read_only = on', "search_path = 'public'",
  ($setting{standard_conforming_strings} ? 'standard_conforming_strings = off' : ());
$node->reload;
wait_until(sub { sql($node, 'SELECT setting FROM pg_file_settings WHERE name = $$row_security$$ ORDER BY seqno DESC LIMIT 1') eq 'off' }, 'a reload');
is(all_work('in postgresql.conf'), $plain, 'some the server cannot change either');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
