# At the limit of a host tenants take turns, not accounts: one with many accounts, and
# with messages that wait under the names of many that are gone, keeps another's waiting
# no longer than one with a single account.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster(conf => "outreach.max_sends_per_host = 4\n");
my $provider = TestProvider->start(config => { faults => { 'slow:100' => 1 } });
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 30);
sql($node, qq{
	SELECT count(outreach.create_account('team_a', 'account ' || i, 'generic_json', 'secret', base_url => '$url')) FROM generate_series(1, 97) i;
	SELECT outreach.create_tenant('team_b', 'B'), outreach.create_account('team_b', 'generic', 'generic_json', 'secret', base_url => '$url'),
		outreach.create_lead('team_b', 'lead_1')});

# Names that are gone, before and behind those that are there, and due in a year
sql($node, q{
	SELECT FROM outreach.send_message('team_a', 'lead_1', 'A model', channel => 'webhook', options => '{"account": "account 1"}',
		send_at => now() + interval '1 year');
	CREATE TEMP TABLE model AS SELECT * FROM outreach.outbound_messages;
	INSERT INTO outreach.outbound_messages (tenant_id, message_id, send_key, lead_id, channel, account, phone, body, segments, price_micros,
		status, priority, send_at, due_at, created_at, updated_at)
	SELECT tenant_id, gen_random_uuid(), 'gone ' || i, lead_id, channel,
		(ARRAY['a gone ', 'gone '])[1 + i % 2] || i, phone, body, segments, price_micros, status, 100 + 100 * (i % 3),
		send_at, due_at, created_at, updated_at FROM generate_series(1, 10000) i, model});
sql($node, q{SELECT count(m) FROM generate_series(1, 97) a, generate_series(1, 10) i, LATERAL outreach.send_message('team_a', 'lead_' || i, 'Hello',
	channel => 'webhook', options => jsonb_build_object('account', 'account ' || a), send_key => a || ' ' || i) m});
wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.message_deliveries WHERE outcome = 'sent'}) > 10 }, "the tenant's messages to leave");
for my $i (1 .. 4)
{
	# the second statement is after the commit: what leaves until then no claim could help
	my ($id, $asked) = split /\n/, sql($node, qq{SELECT message_id FROM outreach.send_message('team_b', 'lead_1', 'Hello', channel => 'webhook',
		options => '{"account": "generic"}', send_key => 'key $i');
		SELECT clock_timestamp()});
	wait_until(sub { sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'") eq 'sent' }, "another tenant's message");
	cmp_ok(sql($node, qq{SELECT count(*) FROM outreach.message_deliveries a, outreach.message_deliveries b
		WHERE b.message_id = '$id' AND a.tenant_id = 'team_a' AND a.started_at BETWEEN '$asked' AND b.started_at}), '<=', 20,
		"another tenant's message leaves before more than a few of them ($i)");
}
cmp_ok(sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_a' AND status = 'pending' AND due_at < now()}), '>', 300,
	'while most of them wait');
done_testing();
