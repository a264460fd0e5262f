# A tenant has very much that is due, and holds the leads of all of it in an open
# transaction: timers, calls of functions, messages, and messages whose outcome is not
# known.  Other tenants' are done within a second all the same, and so in the end is
# what the tenant itself has behind it.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $many = 300000;
my $node = sending_cluster(conf => "max_worker_processes = 16\n");
my $provider = TestProvider->start;
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 2020);
sql($node, qq{
	SELECT outreach.create_tenant('team_b', 'B');
	SELECT outreach.create_account('team_b', 'signalhouse', 'signalhouse_sms', 'jwt', base_url => '$url');
	SELECT outreach.add_number('team_b', '+12125550111', 'signalhouse');
	SELECT count(*) FROM generate_series(1, 20) i, LATERAL outreach.create_lead('team_b', 'lead_' || i, '+1415556' || lpad(i::text, 4, '0')) l;
	CREATE FUNCTION public.nothing(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS '';
	SELECT outreach.register_timer_function('nothing', 'public.nothing(text, text, jsonb)');
	SELECT outreach.disarm('a test')});

# Of two thousand leads, all of it due long before what anybody asks for below
sql($node, qq{
	INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action, action_payload,
		cancel_on_reply, max_attempts, created_at, updated_at)
	SELECT 'team_a', gen_random_uuid(), 'lead_' || 1 + i % 2000, 'HELD_' || i, t, t, 'test',
		CASE WHEN i <= 500 THEN '{"call": "nothing"}' ELSE '{}' END::jsonb, false, 3, t, t
	  FROM generate_series(1, $many) i, (SELECT now() - interval '1 hour') n (t);
	SELECT message_id FROM outreach.send_message('team_a', 'lead_1', 'A model', from_phone => '+12125550101', send_at => now() + interval '1 day');
	CREATE TEMP TABLE model AS SELECT * FROM outreach.outbound_messages;
	DELETE FROM outreach.outbound_messages;
	UPDATE model SET created_at = created_at - interval '1 hour', due_at = due_at - interval '25 hours';
	INSERT INTO outreach.outbound_messages (tenant_id, message_id, send_key, lead_id, channel, account, from_phone,
		phone, body, segments, price_micros, status, priority, send_at, due_at, created_at, updated_at, ambiguous_since)
	SELECT tenant_id, gen_random_uuid(), 'held ' || i, 'lead_' || 1 + i % 2000, channel, account, from_phone, phone, body,
		segments, price_micros, (CASE WHEN i <= 1000 THEN 'unknown' ELSE 'pending' END)::outreach.message_status, 100 + 100 * (i % 3), send_at, due_at,
		created_at, updated_at, CASE WHEN i <= 1000 THEN due_at END
	  FROM generate_series(1, $many) i, model;
	INSERT INTO outreach.send_keys SELECT tenant_id, outreach_impl.ledger_key(tenant_id, 'send', send_key), message_id, gen_random_uuid()
		FROM outreach.outbound_messages;
	ANALYZE outreach.lead_timers, outreach.outbound_messages});
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{BEGIN; SELECT count(*) FROM generate_series(1, 2000) i, LATERAL outreach.create_lead('team_a', 'lead_' || i, first_name => 'New')});
sql($node, 'SELECT outreach.arm()');

my $n = 0;

# How late a timer fired
sub timer
{
	my ($tenant, $lead, $payload) = @_;
	my $type = 'TIMED_' . ++$n;
	sql($node, "SELECT outreach.set_timer('$tenant', '$lead', '$type', now(), 'test', '$payload')");
	return wait_until(sub { sql($node, "SELECT extract(epoch FROM executed_at - trigger_at) + 0.000001 FROM outreach.lead_timers
		WHERE timer_type = '$type' AND executed_at IS NOT NULL") }, "timer $type");
}

sub sent
{
	my ($tenant, $lead, $from) = @_;
	my $id = sql($node, "SELECT message_id FROM outreach.send_message('$tenant', '$lead', 'Timed @{[++$n]}', from_phone => '$from')");
	return wait_until(sub { sql($node, "SELECT extract(epoch FROM d.finished_at - m.created_at) FROM outreach.outbound_messages m
		JOIN outreach.message_deliveries d USING (tenant_id, message_id) WHERE message_id = '$id' AND d.outcome = 'sent'") }, "message $n");
}

# How late somebody has looked at one whose outcome is not known: it is due, and left to a person
sub unknown
{
	my $id = sql($node, "SELECT message_id FROM outreach.send_message('team_b', 'lead_@{[1 + ++$n % 20]}', 'Unknown $n', from_phone => '+12125550111',
		send_at => now() + interval '1 day')");
	sql($node, "UPDATE outreach.outbound_messages SET status = 'unknown', ambiguous_since = now(), account = 'gone', due_at = now() WHERE message_id = '$id';
		SELECT outreach.wake_workers()");
	return wait_until(sub { sql($node, "SELECT extract(epoch FROM updated_at - ambiguous_since) + 0.000001 FROM outreach.outbound_messages
		WHERE message_id = '$id' AND status = 'uncertain'") }, "unknown $n");
}

for my $round (1 .. 2)
{
	within_a_second(sub { timer('team_b', 'lead_1', '{}') }, "another tenant's timer fires");
	within_a_second(sub { timer('team_b', 'lead_2', '{"call": "nothing"}') }, "another tenant's function is called");
	within_a_second(sub { sent('team_b', 'lead_' . (1 + ++$n % 20), '+12125550111') }, "another tenant's message is sent");
	within_a_second(\&unknown, "another tenant's unknown message is settled");
}
is(sql($node, "BEGIN; SELECT outreach.set_timer('team_b', 'lead_3', 'BY_HAND', now() - interval '1 s', 'test', '{}');
	SELECT cardinality(outreach.fire_timers(10)) > 0; COMMIT") =~ /^t$/m ? 1 : 0, 1, 'a session that fires few at once comes to it, too');
timer('team_a', 'lead_2011', '{}');
timer('team_a', 'lead_2012', '{"call": "nothing"}');
sent('team_a', 'lead_2013', '+12125550101');
pass('what the tenant has behind all of that is done too');
is(sql($node, q{SELECT count(*) FROM outreach.lead_timers WHERE timer_type LIKE 'HELD%' AND (executed_at IS NOT NULL OR attempts > 0)}), 0,
	'what is held waits');
is(sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE send_key LIKE 'held%' AND status NOT IN ('pending', 'unknown')}), 0, 'all of it');

# ---- it is let go --------------------------------------------------------------

sql($node, q{DELETE FROM outreach.lead_timers WHERE timer_type LIKE 'HELD%' AND right(timer_type, 2) <> '00';
	DELETE FROM outreach.outbound_messages WHERE send_key LIKE 'held%' AND (right(send_key, 3) <> '000' OR status = 'unknown')});
$session->query_safe('ROLLBACK');
$session->quit;
wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL AND timer_type LIKE 'HELD%'}) == 0 }, 'the timers');
is(sql($node, q{SELECT max(attempts), count(DISTINCT timer_type) FROM outreach.lead_timers WHERE executed_at IS NOT NULL AND timer_type LIKE 'HELD%'}),
	'1|' . $many / 100, 'then the timers fire, once');
quiet($node);
is(sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE send_key LIKE 'held%' AND status = 'sent'}), $many / 1000 - 1, 'and the messages leave');
is(scalar(grep { $_->{body} eq 'A model' } $provider->accepted), $many / 1000 - 1, 'each once');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'the log agrees with the leads');
done_testing();
