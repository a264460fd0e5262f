# Messages are claimed ahead of the room that their account has, by as much as its
# provider's answers make room for: no more requests are under way for that, and none
# waits for long where the answers stop.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $room = 20;
my $latency_ms = 100;
my $node = sending_cluster();
my $provider = TestProvider->start(config => { latency_ms => $latency_ms });
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 100);
# what hangs is given up within the test, and is no reason to rest
sql($node, qq{
	CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*' AND profile = 'generic_json';
	UPDATE own SET tenant_id = 'team_a', timeout_ms = 1500, max_in_flight = $room, breaker_failures = 1000000;
	INSERT INTO outreach.provider_profiles SELECT * FROM own});
my $asked = 0;

sub ask
{
	my ($times) = @_;
	$asked++;
	sql($node, qq{SELECT count(m) FROM generate_series(0, $times - 1) i, LATERAL outreach.send_message('team_a', 'lead_' || 1 + i % 100, 'Hello',
		channel => 'webhook', options => '{"account": "generic"}', send_key => '$asked ' || i) m});
}

sub seconds { my ($h, $m, $s) = $_[0] =~ /(\d\d):(\d\d):([\d.]+)/; return $h * 3600 + $m * 60 + $s; }

sub ahead { return sql($node, q{SELECT count(*) FROM outreach.outbound_queue WHERE status = 'sending'}) > $room; }

# Claimed are more than there is room for, and requested no more
my $ahead = 0;
wait_until(sub { ask(200) if sql($node, q{SELECT count(*) FROM outreach.outbound_queue WHERE status = 'pending'}) < 100; $ahead ||= ahead(); $ahead },
	'messages to be claimed ahead');
quiet($node);
my @at = sort { $a <=> $b } map { seconds($_->{received_at}) } $provider->requests;
# half the time is too soon however busy the provider is
my @close = grep { $at[$_ + $room] - $at[$_] < $latency_ms / 2000 } 0 .. $#at - $room;
cmp_ok(scalar @at, '>=', 200, 'all were requested');
is(join(' ', map { sprintf '%d: %.4f', $_, $at[$_ + $room] - $at[$_] } @close), '', 'never more at a time than the account may have under way');
# on a busy machine some may not have left in time
is(sql($node, q{SELECT count(*) FROM outreach.message_deliveries WHERE outcome <> 'sent' AND error <> 'it did not leave in time'}), 0, 'each left, or stayed');

# The answers stop: what was claimed ahead waits again
my $left = sub { return sql($node, q{SELECT count(*) FROM outreach.message_deliveries WHERE error = 'it did not leave in time'}); };
wait_until(sub {
	$provider->config(rules => []);
	ask(300);
	wait_until(sub { ahead() || sql($node, q{SELECT count(*) FROM outreach.outbound_queue WHERE status = 'pending'}) == 0 }, 'more to be claimed ahead');
	$provider->config(rules => [ { fault => 'hang_before', times => 1000 } ]);
	sleep 1;
	return $left->() > 0;
}, 'requests to stay behind for want of room');
$provider->config(rules => []);
is(sql($node, q{SELECT count(*) FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (tenant_id, message_id)
	WHERE d.error = 'it did not leave in time' AND (m.failures > 0 OR d.outcome <> 'later')}), 0, 'that is no failure of theirs');
wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE status IN ('pending', 'deferred', 'sending')}) == 0 },
	'the others to be sent');
my %accepted;
$accepted{ $_->{key} }++ for $provider->accepted;
my @stayed = split /\n/, sql($node, q{SELECT DISTINCT d.message_id FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (message_id)
	WHERE d.error = 'it did not leave in time' AND m.status = 'sent'});
cmp_ok(scalar @stayed, '>', 0, 'they leave when there is room');
is(scalar(grep { ($accepted{$_} // 0) != 1 } @stayed), 0, 'once each');
is(scalar(grep { $_ > 1 } values %accepted), 0, 'and so does everything else');
done_testing();
