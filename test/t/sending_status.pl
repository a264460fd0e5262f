# Status callbacks that come back through the shim: by each provider, in any
# order, before the answer, for each segment, repeated, with a forged reference,
# and for a message whose answer never came.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token', signalhouse_signing => 'whsec' });
sending_database($node, 'postgres', $provider, leads => 40);
my $shim = start_shim($node);
sending_callbacks($node, $shim);

sub status
{
	my ($id, $wanted) = @_;
	wait_until(sub { message($node, $id)->{status} eq $wanted }, "message $id to be $wanted");
	return message($node, $id)->{status};
}

my $n = 0;

# A message of its own lead, by the account of a number, with a plan and perhaps a fault
sub ask
{
	my ($from, $plan, $fault, $body) = @_;
	$n++;
	$body = "Hello $n [[callbacks:$plan]]" . ($fault ? "[[fault:$fault]]" : '') . ($body // '');
	return send_message($node, lead_id => "lead_$n", body => $body, from_phone => $from)->{message_id};
}

my %from = (signalhouse => '+12125550101', twilio => '+12125550102');
for my $account (sort keys %from)
{
	my $from = $from{$account};

	is(status(ask($from, 'sent,delivered@200'), 'delivered'), 'delivered', "$account: sent, delivered");
	is(status(ask($from, 'delivered,sent@300'), 'delivered'), 'delivered', "$account: in the other order");
	is(status(ask($from, 'delivered*3'), 'delivered'), 'delivered', "$account: three times");
	is(status(ask($from, 'sent@early,delivered@early'), 'delivered'), 'delivered', "$account: before the answer");
	is(status(ask($from, 'failed:30003@100'), 'failed'), 'failed', "$account: failed");
	is(status(ask($from, 'delivered@100', 'lose_answer'), 'delivered'), 'delivered',
		"$account: the answer was lost, the callback tells");
	$provider->quiesce;
}
is(status(ask($from{twilio}, 'failed:30003@100,delivered@600'), 'delivered'), 'delivered', 'delivered after a failure of a segment');
my $late = ask($from{twilio}, 'delivered@100,failed:30003@600');
status($late, 'delivered');
$provider->quiesce;
is(status($late, 'delivered'), 'delivered', 'a failure after delivery is noted, not applied');
is(sql($node, "SELECT string_agg(payload ->> 'status' || ' ' || (payload ->> 'applied'), ', ' ORDER BY lead_version) FROM outreach.events
	WHERE event_type = 'message.delivery.status_updated' AND payload ->> 'message_id' = '$late'"),
	'delivered true, failed false', 'in its events');

# what a code says of the phone
my $out = ask($from{twilio}, 'failed:21610@100');
status($out, 'failed');
is(sql($node, "SELECT p.consent || ' ' || l.state FROM outreach.phones p JOIN outreach.leads l USING (tenant_id, phone)
	WHERE l.lead_id = 'lead_$n'"), 'opted_out suppressed', '21610 opts the phone out and suppresses its lead');

# a forged reference names a message of somebody else's
my $victim = ask($from{twilio}, 'sent');
status($victim, 'sent');
$provider->quiesce;
my $forged = '?message=' . $victim . '.' . ('0' x 32);
my $hook = signed('twilio', path => '/w/twilio', query => substr($forged, 1), secret => 'token',
	url => 'http://127.0.0.1:' . $shim->port . "/w/twilio$forged",
		body => 'MessageSid=SM00000000000000000000000000000009&AccountSid=AC00000000000000000000000000000001&To=%2B12125550123&MessageStatus=delivered');
is(http($shim, %$hook)->{status}, 200, 'a callback with a forged reference is taken');
is(message($node, $victim)->{status}, 'sent', 'and moves nothing');
is(sql($node, 'SELECT count(*) FROM outreach.callbacks_unmatched'), 1, 'it is parked');
is(sql($node, 'SELECT count(*) FROM outreach.outbound_messages WHERE due_at IS NOT NULL'), 0, 'nothing is left to do');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
is(sql($node, "SELECT delivered > 0 AND failed > 0 FROM outreach.numbers WHERE phone = '$from{twilio}'"), 't', 'numbers are counted');
done_testing();
