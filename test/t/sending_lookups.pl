# Look-ups have the limits that sends have: a tenant with many messages whose outcome is
# not known, and a provider that does not answer, leaves room for the others.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster(conf => "outreach.max_sends = 40\noutreach.max_sends_per_host = 30\n");
my $slow = TestProvider->start;
my $fast = TestProvider->start;
my $fast_url = $fast->url;
sending_database($node, 'postgres', $slow, leads => 100);
$slow->config(rules => [ { fault => 'hang_before', lookup => \1, times => 1000 } ]);
sql($node, qq{
	SELECT outreach.create_tenant('team_b', 'B'), outreach.create_account('team_b', 'signalhouse', 'signalhouse_sms', 'jwt', base_url => '$fast_url');
	SELECT outreach.add_number('team_b', '+12125550111', 'signalhouse');
	SELECT count(*) FROM generate_series(1, 20) i, LATERAL outreach.create_lead('team_b', 'lead_' || i, '+1415556' || lpad(i::text, 4, '0')) l});

# Asked for later than all of this, and as it is when its request may have arrived
sub unknown
{
	my ($max_in_flight) = @_;
	sql($node, qq{
		DELETE FROM outreach.provider_profiles WHERE tenant_id = 'team_a';
		CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*' AND profile = 'twilio_sms';
		UPDATE own SET tenant_id = 'team_a', timeout_ms = 120000, max_in_flight = $max_in_flight, settle = '0', lookup = lookup || '{"lag": "0"}';
		INSERT INTO outreach.provider_profiles SELECT * FROM own;
		SELECT count(m) FROM generate_series(1, 100) i, LATERAL outreach.send_message('team_a', 'lead_' || i, 'unknown', from_phone => '+12125550102',
			send_key => '$max_in_flight ' || i, send_at => now() + interval '1 day') m;
		UPDATE outreach.outbound_messages SET status = 'unknown', ambiguous_since = now(), due_at = now() WHERE send_key LIKE '$max_in_flight %';
		SELECT outreach.wake_workers()});
}

for my $case ([ 5, 5, 'an account' ], [ 100, 30, 'a host' ])
{
	my ($max_in_flight, $most, $what) = @$case;
	unknown($max_in_flight);
	wait_until(sub { $slow->counter('lookups') >= $most }, 'look-ups that hang');
	for my $i (1 .. 20)
	{
		sql($node, "SELECT FROM outreach.send_message('team_b', 'lead_$i', 'fast', from_phone => '+12125550111', send_key => '$what $i')");
	}
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_b' AND send_key LIKE '$what %'
		AND status = 'sent'") == 20 },
		"another tenant's messages to be sent");
	is($slow->counter('lookups'), $most, "look-ups hang: no more than $what may have");
	is(sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_a' AND status <> 'unknown'}), 0, 'the rest waits');
}
done_testing();
