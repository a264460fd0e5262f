# Tenants take turns, not accounts: one with a hundred accounts that all have a backlog
# goes no further before another's message than one with a single account.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster(conf => "outreach.max_sends = 5000\noutreach.max_sends_per_host = 5000\n");
my $provider = TestProvider->start;
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 30);
sql($node, qq{
	SELECT count(outreach.create_account('team_a', 'account ' || i, 'generic_json', 'secret', base_url => '$url')) FROM generate_series(1, 97) i;
	SELECT outreach.create_tenant('team_b', 'B'), outreach.create_account('team_b', 'generic', 'generic_json', 'secret', base_url => '$url'),
		outreach.create_lead('team_b', 'lead_1')});

for my $case ([ 100, 'a hundred accounts' ], [ 1, 'one account' ])
{
	my ($accounts, $what) = @$case;
	my $each = 3000 / $accounts;

	sql($node, qq{
		SELECT outreach.disarm('a test');
		SELECT count(m) FROM generate_series(1, least($accounts, 97)) a, generate_series(1, $each) i,
			LATERAL outreach.send_message('team_a', 'lead_' || 1 + i % 30, 'Hello', channel => 'webhook', priority => (ARRAY['normal', 'campaign'])[1 + i % 2],
				options => jsonb_build_object('account', 'account ' || a), send_key => format('%s %s %s', $accounts, a, i)) m;
		SELECT pg_sleep(0.01)});
	my $id = sql($node, q{SELECT message_id FROM outreach.send_message('team_b', 'lead_1', 'Hello', channel => 'webhook',
		options => '{"account": "generic"}')});
	sql($node, 'SELECT outreach.arm()');
	quiet($node);
	my $before = sql($node, qq{SELECT count(*) FROM outreach.message_deliveries a, outreach.message_deliveries b
		WHERE b.message_id = '$id' AND a.tenant_id = 'team_a' AND a.started_at < b.started_at
		  AND a.message_id IN (SELECT message_id FROM outreach.outbound_messages WHERE send_key LIKE '$accounts %')});
	cmp_ok($before, '<=', 600, "a backlog of $what: another tenant's message is claimed after few");
	is(sql($node, q{SELECT count(*) FROM outreach.message_deliveries WHERE outcome <> 'sent'}), 0, 'and all of them are sent');
}
done_testing();
