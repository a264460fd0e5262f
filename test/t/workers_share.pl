# One worker for all databases: whatever one of them has, a lead that somebody holds, a
# backlog, slow functions, a provider that hangs, another's timer fires within a second,
# and so do those of other tenants in the same database.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;
use Timers;

my $node = sending_cluster(conf => "outreach.max_workers = 1\noutreach.max_function_workers = 1\nmax_worker_processes = 16\n"
	  . "outreach.function_timeout = '1 h'\n");
my $provider = TestProvider->start;
my @databases = qw(one two);
for my $db (@databases)
{
	sql($node, "CREATE DATABASE $db");
	sending_database($node, $db, $provider, leads => 600);
	sql($node, q{
		SELECT outreach.create_tenant('team_b', 'B'), outreach.create_lead('team_b', 'lead_1');
		CREATE FUNCTION public.nothing(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS '';
		CREATE FUNCTION public.slow(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.1)';
		SELECT outreach.register_timer_function(f, format('public.%s(text, text, jsonb)', f)::regprocedure) FROM unnest('{nothing,slow}'::text[]) f},
			db => $db);
}
my $n = 0;

# How late a timer of team_b fired
sub timed
{
	my ($db, $payload) = @_;
	my $type = 'TIMED_' . ++$n;
	sql($node, "SELECT outreach.set_timer('team_b', 'lead_1', '$type', now(), 'test', '$payload')", db => $db);
	return wait_until(sub { sql($node, "SELECT extract(epoch FROM executed_at - trigger_at) + 0.000001 FROM outreach.lead_timers
		WHERE timer_type = '$type' AND executed_at IS NOT NULL", db => $db) }, "timer $type of $db");
}

# When the last timer was due, and when it fired
sub times_of
{
	my ($db) = @_;
	return split /\|/, sql($node, "SELECT trigger_at, executed_at FROM outreach.lead_timers WHERE timer_type = 'TIMED_$n'", db => $db);
}

# The timers of leads that are locked by now
sub held_are_due
{
	my ($db) = @_;
	sql($node, "UPDATE outreach.lead_timers SET trigger_at = now(), due_at = now() WHERE timer_type = 'HELD' AND due_at IS NOT NULL;
		SELECT outreach.wake_workers()", db => $db);
}

# ---- a lead that is held --------------------------------------------------------

{
	my $session = $node->background_psql('one', on_error_stop => 0);
	sql($node, q{SELECT outreach.set_timer('team_a', 'lead_1', 'HELD', now() + interval '1 h', 'test', '{}'),
		outreach.set_timer('team_a', 'lead_2', 'HELD', now() + interval '1 h', 'test', '{"call": "nothing"}')}, db => 'one');
	$session->query_safe(q{BEGIN; SELECT FROM outreach.leads WHERE tenant_id = 'team_a' AND lead_id IN ('lead_1', 'lead_2') FOR NO KEY UPDATE});
	held_are_due('one');
	within_a_second(sub { timed('two', '{}') }, "a database has a lead that is held: another's timer fires");
	within_a_second(sub { timed('two', '{"call": "nothing"}') }, "and its function is called");
	within_a_second(sub { timed('one', '{}') }, "and another tenant's timer in the same");
	is(sql($node, q{SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'HELD' AND due_at IS NOT NULL}, db => 'one'), 2, 'while it is held');
	$session->query_safe('ROLLBACK');
	$session->quit;
	wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'HELD' AND due_at IS NOT NULL}, db => 'one') == 0 },
		'the held ones');
}

# ---- backlogs -------------------------------------------------------------------

for my $case ([ 'timers', '{}', 30000, '{}' ], [ 'slow functions', '{"call": "slow"}', 300, '{"call": "nothing"}' ])
{
	my ($what, $payload, $many, $other) = @$case;
	# a slow observer comes when it is worked off already
	for (my ($later, $left) = (0, 0); ; $many *= 2)
	{
		sql($node, qq{INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action, action_payload,
				cancel_on_reply, max_attempts, created_at, updated_at)
			SELECT 'team_a', gen_random_uuid(), 'lead_' || 1 + i % 600, 'MANY_' || i, now(), now() - interval '1 hour', 'test', '$payload', false, 3, now(),
				now()
			  FROM generate_series(1, $many) i; SELECT outreach.wake_workers()}, db => 'one');
		wait_until(sub { sql($node, q{SELECT 1 FROM outreach.lead_timers WHERE timer_type LIKE 'MANY%' AND executed_at IS NOT NULL LIMIT 1}, db => 'one') },
			'the first of many');
		timed('two', $other);
		($later, $left) = map { sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type LIKE 'MANY%' AND (due_at IS NOT NULL
			OR executed_at > '$_')", db => 'one') } times_of('two');
		sql($node, q{DELETE FROM outreach.lead_timers WHERE timer_type LIKE 'MANY%'}, db => 'one');
		next if $later < $many / 5;
		cmp_ok($left, '>', $many / 10, "a database has a backlog of $what: another's are done before it is worked off");
		last;
	}
}

# ---- functions of the past --------------------------------------------------------

{
	sql($node, q{CREATE FUNCTION public.slower(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS
			$$SELECT pg_sleep(0.6); SELECT outreach.set_timer($1, $2, 'PAST', '2020-01-01', 'test', '{"call": "slower"}')$$;
		SELECT outreach.register_timer_function('slower', 'public.slower(text, text, jsonb)');
		SELECT outreach.set_timer('team_a', 'lead_' || i, 'PAST', '2020-01-01', 'test', '{"call": "slower"}') FROM generate_series(10, 12) i}, db => 'one');
	wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'PAST' AND executed_at IS NOT NULL}, db => 'one') > 1 },
		'slow calls');
	for my $i (1 .. 3)
	{
		timed('one', '{"call": "nothing"}');
		my ($set, $fired) = times_of('one');
		cmp_ok(sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'PAST' AND executed_at > '$set' AND executed_at < '$fired'",
			db => 'one'), '<=', 4,
			"a tenant always has slow calls that are due since long: another's is made in its turn");
	}
	sql($node, q{DELETE FROM outreach.lead_timers WHERE timer_type = 'PAST'}, db => 'one');
}

# ---- a provider that hangs --------------------------------------------------------

{
	$provider->config(rules => [ { fault => 'hang_before', times => 1000 } ]);
	my $id = sql($node, q{CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*' AND profile = 'signalhouse_sms';
		UPDATE own SET tenant_id = 'team_a', timeout_ms = 120000;
		INSERT INTO outreach.provider_profiles SELECT * FROM own;
		SELECT message_id FROM outreach.send_message('team_a', 'lead_3', 'Hello', from_phone => '+12125550101')}, db => 'one');
	wait_until(sub { sql($node, "SELECT 1 FROM outreach.outbound_messages WHERE message_id = '$id' AND status = 'sending'", db => 'one') }, 'a request');
	for my $round (1 .. 2)
	{
		within_a_second(sub { timed('two', '{}') }, "a database has a request that hangs: another's timer fires");
		within_a_second(sub { timed('one', '{}') }, "and another tenant's timer in the same");
	}
	# somebody waits all the time
	my $session = $node->background_psql('two', on_error_stop => 0);
	sql($node, q{SELECT outreach.set_timer('team_a', 'lead_5', 'HELD', now() + interval '1 h', 'test', '{}')}, db => 'two');
	$session->query_safe(q{BEGIN; SELECT FROM outreach.leads WHERE tenant_id = 'team_a' AND lead_id = 'lead_5' FOR NO KEY UPDATE});
	held_are_due('two');
	$provider->config(rules => []);
	within_a_second(sub { sleep 1; my $other = sql($node, "SELECT message_id FROM outreach.send_message('team_a', 'lead_@{[100 + ++$n]}', 'Hello $n',
		from_phone => '+12125550102')", db => 'one');
		return wait_until(sub { sql($node, "SELECT extract(epoch FROM finished_at - m.created_at) FROM outreach.message_deliveries
			JOIN outreach.outbound_messages m USING (tenant_id, message_id)
			WHERE message_id = '$other' AND outcome = 'sent'", db => 'one') }, 'another message') }, 'and other messages of it are sent, though others wait');
	$session->query_safe('ROLLBACK');
	$session->quit;
	is(sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'", db => 'one'), 'sending', 'while it hangs');
}
done_testing();
