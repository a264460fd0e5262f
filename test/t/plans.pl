# What the engine's statements read does not grow with what is past, where vacuum cannot
# take it away and statistics say that hardly anything is alive: a transaction that
# somebody keeps open sees to the one, and ANALYZE to the other.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;
use Timers qw(mark log_since);

my $past = 20000;
my $most = 4000;	# buffers of a statement
my $node = sending_cluster(conf => "max_worker_processes = 16\nautovacuum = off\n"
	  . "auto_explain.log_analyze = on\nauto_explain.log_buffers = on\nauto_explain.log_timing = off\nauto_explain.log_nested_statements = on\n");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_outreach, auto_explain'\nauto_explain.log_min_duration = -1\n");
$node->restart;
my $provider = TestProvider->start;
sending_database($node, 'postgres', $provider, leads => 2000);
sql($node, q{SELECT outreach.create_endpoint('team_a', '/w/in', 'generic', 'none'), outreach.create_endpoint('team_a', '/w/later', 'generic', 'none',
	mode => 'deferred'),
	outreach.create_endpoint('team_a', '/w/status', 'signalhouse', 'none'); SELECT outreach.disarm('a test')});

# ---- much that was done while somebody looked on --------------------------------

my $session = $node->background_psql('postgres', on_error_stop => 0);
sql($node, qq{
	INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action, action_payload,
		cancel_on_reply, max_attempts, created_at, updated_at)
	SELECT 'team_a', gen_random_uuid(), 'lead_' || 1 + i % 2000, 'PAST_' || i, t, t, 'test',
		(CASE WHEN i % 10 = 0 THEN '{"call": "nothing"}' ELSE '{}' END)::jsonb, false, 3, t, t
	  FROM generate_series(1, $past) i, (SELECT now()) n (t);
	SELECT FROM outreach.send_message('team_a', 'lead_1', 'A model', from_phone => '+12125550101', send_at => now() + interval '1 day');
	CREATE TEMP TABLE model AS SELECT * FROM outreach.outbound_messages;
	INSERT INTO outreach.outbound_messages (tenant_id, message_id, send_key, lead_id, channel, account, from_phone,
		phone, body, segments, price_micros, status, priority, send_at, due_at, created_at, updated_at)
	SELECT tenant_id, gen_random_uuid(), 'past ' || i, 'lead_' || 1 + i % 2000, channel, account, from_phone, phone, body,
		segments, price_micros, 'pending', 100 + 100 * (i % 3), now(), now(), created_at, updated_at
	  FROM generate_series(1, $past) i, model;
	DELETE FROM outreach.outbound_messages WHERE body = 'A model' AND send_key NOT LIKE 'past%'});
for my $k (0 .. 4)
{
	ingest_many($node, [ map { { method => 'POST', path => '/w/later', headers => { 'content-type' => 'application/json' },
		body => sprintf('{"event":"message.received","id":"past %d","from":"+1415556%04d","body":"hello"}', $_,
			$_ % 2000) } } 1000 * $k + 1 .. 1000 * $k + 1000 ]);
}
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
sql($node, q{
	UPDATE outreach.lead_timers SET due_at = NULL, executed_at = now();
	UPDATE outreach.outbound_messages SET status = 'unknown', ambiguous_since = now();
	UPDATE outreach.outbound_messages SET due_at = NULL, status = 'sent', ambiguous_since = NULL;
	UPDATE outreach.inbound_payloads SET next_attempt_at = NULL, status = 'done';
	ANALYZE});

# ---- what is done now ------------------------------------------------------------

sub in { my ($path, $id, $lead, $body) = @_;
	ingest($node, { method => 'POST', path => $path, headers => { 'content-type' => 'application/json' },
		body => qq({"event":"message.received","id":"$id","from":"@{[phone($lead)]}","body":"$body"}) }) }

my $n = 0;
sub round
{
	my $id;
	$n++;
	sql($node, "SELECT outreach.set_timer('team_a', 'lead_' || i, 'NOW', now(), 'test', '{}'), outreach.set_timer('team_a', 'lead_' || i, 'LATER',
		now() + interval '1 day', 'test', '{}')
		FROM generate_series($n, $n + 5) i; SELECT outreach.cancel_timer('team_a', 'lead_$n', 'LATER')");
	$id = sql($node, "SELECT message_id FROM outreach.send_message('team_a', 'lead_$n', 'Now $n', from_phone => '+12125550101', send_key => 'now $n')");
	sql($node, "SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || i FROM generate_series(100, 124) i), 'Now',
		send_keys => ARRAY(SELECT 'now $n ' || i FROM generate_series(100, 124) i),
		from_phone => '+12125550101')");
	sql($node, "SELECT outreach.cancel_message('team_a', message_id, 'a test') FROM outreach.send_message('team_a', 'lead_$n', 'Never $n',
		from_phone => '+12125550101', send_at => now() + interval '1 day')");
	in('/w/in', "in $n", 300 + $n, 'hello');
	in('/w/later', "later $n", 400 + $n, 'hello');
	in('/w/in', "stop $n", 500 + $n, 'STOP');
	wait_until(sub { sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'") eq 'sent' }, 'a message');
	sql($node, qq{SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/status', 'body',
		jsonb_build_object('event', 'message.delivered', 'id', 'status $n', 'messageId', (SELECT provider_message_id FROM outreach.outbound_messages
			WHERE message_id = '$id'))::text))});
	sql($node, "UPDATE outreach.outbound_messages SET status = 'unknown', ambiguous_since = now(), due_at = now(), account = 'gone'
		WHERE send_key = 'past $n'; SELECT outreach.wake_workers();
		SELECT outreach.stop_sending('account', 'twilio', 'a test', 'team_a'), outreach.resume_sending('account', 'twilio', 'team_a');
		SELECT outreach.transition_lead('team_a', 'lead_$n', 'touched')");
	wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'NOW' AND due_at IS NOT NULL}) == 0 &&
		sql($node, q{SELECT count(*) FROM outreach.inbound_payloads WHERE status <> 'done'}) == 0 &&
		sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE status IN ('unknown', 'sending', 'pending')}) == 0 }, 'all of it');
}

# A worker's first look is at all there is
sql($node, 'SELECT outreach.arm()');
round() for 1 .. 2;
sql($node, 'ALTER SYSTEM SET auto_explain.log_min_duration = 0; SELECT pg_reload_conf()');
my $start = mark($node);
round() for 1 .. 3;
$session->query_safe('ROLLBACK');
$session->quit;

my (%seen, %too_many);
my $log = log_since($node, $start);
while ($log =~ /duration: [\d.]+ ms  plan:\n((?:\t.*\n)+)/g)
{
	my $plan = $1;
	my ($query) = $plan =~ /Query Text:\s*(.*(?:\n\t\t.*)*)/;
	my ($hit) = $plan =~ /Buffers: shared hit=(\d+)/;
	# those of the test itself count all there is
	next unless defined $hit && $query =~ /outreach\./ && $query !~ /status IN \('unknown'|status <> 'done'|timer_type = 'NOW' AND due_at IS NOT NULL/;
	$seen{$query}++;
	$too_many{$query} = $plan if $hit > $most;
}
cmp_ok(scalar keys %seen, '>', 60, 'statements of all kinds were run');
is(join("\n", values %too_many), '', "none reads more than $most buffers");
done_testing();
