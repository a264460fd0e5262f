# Sessions, workers and the postmaster are killed with SIGKILL at each point of a reply
# that takes messages back, while others are under way: none is both cancelled and
# sent, none is lost, and none is sent twice.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use JSON::PP;
use OutreachTest;
use Provider qw(quiet_port);
use Sending;
use Sends;
use Standing;
use Test::More;

my $db = 'postgres';
# commits can be made to wait for a standby only where there could be one
my $node = sending_cluster(conf => sends_conf() . "wal_level = replica\nmax_wal_senders = 2\n");
my $provider = sends_provider();
sending_database($node, $db, $provider, leads => 50);
# so that the provider knows whose messages it has
sending_callbacks($node, start_shim($node, port => quiet_port()));
# time-outs longer than it takes to kill a process
sends_profiles($node, $db, timeout_ms => 10000);
sql($node, q{SELECT outreach.create_endpoint('team_a', '/w/open', 'generic', 'none')});
standing_points($node, $db);

my %sender = (signalhouse => q({}', from_phone => '+12125550101'), twilio => q({}', from_phone => '+12125550102'),
	generic => q({"account": "generic"}', channel => 'webhook'));
my $step = 0;
my %expected;

# of the lead of this step
sub reply
{
	my $body = encode_json({ event => 'message.received', id => phone($step), from => phone($step), to => '+12125550101', text => 'who is this' });
	return "SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/open', 'body', \$b\$$body\$b\$))";
}

sub ask
{
	my ($what, $account, $more) = @_;
	return sql($node, qq{SELECT message_id FROM outreach.send_message('team_a', 'lead_$step', 'Step $step $what', send_key => 'step $step $what $account',
		options => '{"cancelOnReply": true}'::jsonb || '$sender{$account} $more)});
}
sub status { return join ' ', map { sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$_'") } @_ }
sub accepted { my %times; $times{ ($_->{key} // $_->{idempotency_key}) =~ s/\..*//r }++ for $provider->accepted; return %times }

for my $victim (qw(session postmaster))
{
	for my $point ('webhook_receipts', 'leads', 'outbound_messages', 'events', 'inbound_payloads', 'inbound_payloads commit',
		'inbound_payloads commit behind its record')
	{
		$step++;
		my %id = map { my $fault = $_; map { ("$fault $_" => ask("[[fault:$fault,ok]]", $_, '')) } keys %sender } qw(hang hang_before);
		my @later = map { ask('later', $_, ", send_at => now() + interval '1 hour'") } sort keys %sender;
		wait_until(sub { my %got = accepted(); !grep { /^hang / && !$got{ $id{$_} } } keys %id }, 'three to be accepted');
		wait_until(sub { status(values %id) eq join ' ', map { 'sending' } values %id }, 'all to be under way');
		crash($node, $db, $victim, reply(), $point, $point eq 'outbound_messages' ? "step $step later" : $point eq 'events' ? '"outcome": "cancelled"'
			: $point eq 'webhook_receipts' ? '/w/open:' . phone($step) . ':message.received' : phone($step));
		is(sql($node, reply()), $point =~ /behind/ ? 'duplicate' : 'accepted', "a reply, $victim killed at $point: comes again");
		is(status(@later), 'cancelled cancelled cancelled', 'what has not left is taken back');
		$expected{"$victim killed at $point"} = [ [ values %id ], \@later ];
	}
}
# The claim is first, and is lost: whoever is first then.
for my $victim (qw(worker postmaster))
{
	$step++;
	my $id = sql($node, qq{INSERT INTO public.attached VALUES ('outbound_messages commit', '"status": "sending"');
		SELECT message_id FROM outreach.send_message('team_a', 'lead_$step', 'Step $step', options => '{"cancelOnReply": true}',
			from_phone => '+12125550101')});
	my $pid = standing($node, 'outreach worker', 'PgSleep');
	my $session = start_session($node, $db, reply());
	wait_until(sub { backend_pids($node, "wait_event_type = 'Lock' AND query LIKE '%ingest_webhook%'") }, 'the reply to wait');
	kill_process($node, $db, $victim, $pid);
	$session->finish;
	detach($node);
	is(sql($node, reply()), 'accepted', "a reply that waits for a claim, $victim killed: comes again");
	$expected{"$victim killed in the COMMIT of the claim"} = [ [$id], [] ];
}
quiet($node, $db);
$provider->quiesce;
my %accepted = accepted();
for my $what (sort keys %expected)
{
	my ($under_way, $taken_back) = @{ $expected{$what} };
	my @wrong = grep { !/^(?:sent 1|uncertain [01]|cancelled 0)$/ } map { status($_) . ' ' . ($accepted{$_} // 0) } @$under_way;
	is("@wrong", '', "a reply, $what: none of what was under way is cancelled and sent, or sent twice");
	is(join(' ', map { $_ // 0 } @accepted{@$taken_back}), join(' ', map { 0 } @$taken_back), 'what was taken back is not sent');
}
expect_sends($node, $db, $provider, 'at the end');
note(sql($node, "SELECT string_agg(k, ', ') FROM (SELECT account || ' ' || status || ' ' || count(*) AS k FROM outreach.outbound_messages
	GROUP BY account, status ORDER BY 1) s"));
done_testing();
