# Limits of what is under way: an account, a host or a tenant that has no room is in
# nobody's way, and goes on when it has.

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
my $third = TestProvider->start;
my ($slow_url, $fast_url, $third_url) = ($slow->url, $fast->url, $third->url);
sending_database($node, 'postgres', $slow, leads => 100);
# requests that hang for as long as the test wants
sql($node, qq{
	CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*' AND profile = 'generic_json';
	UPDATE own SET tenant_id = 'team_a', timeout_ms = 120000, max_in_flight = 5, breaker_failures = 1000000;
	INSERT INTO outreach.provider_profiles SELECT * FROM own;
	UPDATE own SET profile = 'wide', max_in_flight = 100;
	INSERT INTO outreach.provider_profiles SELECT * FROM own;
	INSERT INTO outreach.provider_outcomes SELECT 'team_a', 'wide', http_status, code, outcome, effect, delay, max_attempts, meaning
		FROM outreach.provider_outcomes WHERE tenant_id = '*' AND profile = 'generic_json';
	SELECT outreach.create_account('team_a', 'wide', 'wide', 'secret', base_url => '$third_url');
	SELECT count(outreach.create_account('team_a', 'one of many ' || i, 'generic_json', 'secret', base_url => '$slow_url')) FROM generate_series(1, 40) i;
	SELECT outreach.create_tenant('team_b', 'B');
	SELECT count(outreach.create_account('team_b', 'account ' || i, 'generic_json', 'secret', base_url => '$fast_url')) FROM generate_series(1, 20) i;
	SELECT count(*) FROM generate_series(1, 20) i, LATERAL outreach.create_lead('team_b', 'lead_' || i) l});
my $asked = 0;

# So many messages of team_a by an account, or one by each of several
sub ask
{
	my ($body, $times, @accounts) = @_;
	my $account = @accounts > 1 ? "'one of many ' || i" : "'$accounts[0]'";
	$asked++;
	sql($node, qq{SELECT count(m) FROM generate_series(1, $times) i, LATERAL outreach.send_message('team_a', 'lead_' || i, '$body',
		channel => 'webhook', options => jsonb_build_object('account', $account), send_key => '$asked ' || i) m});
}

sub under_way { return sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_a' AND status = 'sending'}); }

sub others_are_served
{
	my ($what) = @_;
	my $before = sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_b' AND status = 'sent'});

	for my $round (1 .. 3)
	{
		$asked++;
		sql($node, qq{SELECT count(m) FROM generate_series(1, 20) i, LATERAL outreach.send_message('team_b', 'lead_' || i, 'fast',
			channel => 'webhook', options => jsonb_build_object('account', 'account ' || i), send_key => '$asked ' || i) m});
		wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_b'
			AND status = 'sent'}) == $before + 20 * $round },
			"another tenant's messages to be sent ($what)");
	}
	pass("$what: another tenant is served by all its accounts");
}

$slow->config(rules => [ { fault => 'hang_before', body => 'hangs', times => 1000 } ]);

ask('hangs', 30, 'generic');
wait_until(sub { under_way() == 5 }, 'an account to be full');
others_are_served('a full account');
is(under_way(), 5, 'the account has what it may have');

ask('hangs', 40, ('many') x 2);
wait_until(sub { under_way() == 30 }, 'a host to be full');
others_are_served('a full host, and many accounts that wait for it');
is(under_way(), 30, 'the host has what it may have');

# another host, and no other limit than that of all
$third->config(rules => [ { fault => 'hang_before', body => 'hangs', times => 1000 } ]);
ask('hangs', 60, 'wide');
wait_until(sub { under_way() > 30 }, 'requests to the other host');
others_are_served('a tenant that fills what all have');
cmp_ok(under_way(), '<', 40, 'the tenant has left some room');
cmp_ok(under_way(), '>', 30, 'and has had the rest');

# ---- what waits goes on when there is room, each once
sql($node, q{UPDATE outreach.provider_profiles SET timeout_ms = 5000 WHERE tenant_id = 'team_a'});
my $fourth = TestProvider->start;
$fourth->config(faults => { 'slow:200' => 1 });
sql($node, "SELECT outreach.create_account('team_b', 'narrow', 'generic_json', 'secret', base_url => '" . $fourth->url . "')");
sql($node, q{CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*' AND profile = 'generic_json';
	UPDATE own SET tenant_id = 'team_b', max_in_flight = 2; INSERT INTO outreach.provider_profiles SELECT * FROM own});
sql($node, q{SELECT count(m) FROM generate_series(1, 20) i, LATERAL outreach.send_message('team_b', 'lead_' || i, 'narrow',
	channel => 'webhook', options => '{"account": "narrow"}', send_key => 'narrow ' || i) m});
wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE body = 'narrow' AND status = 'sent'}) == 20 },
	'a narrow account to send all it has');
is(scalar(grep { $_->{body} =~ /narrow/ } $fourth->accepted), 20, 'each once');
is($fourth->counter('doubled'), 0, 'none twice');
done_testing();
