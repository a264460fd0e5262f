# Where an endpoint's public_url has a query of its own, or a fragment with settings
# of Twilio's for the connection, status callbacks find their message all the same.

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
my $url = 'http://127.0.0.1:' . $shim->port;
my $n = 0;

for my $rest ('', '?team=a', '?', '?team=a&', '#rc=2&rp=all', '?team=a#rc=2', '?message=1', '?a=b%20c&d=e+f', '#', '?#rc=2', '?message=1&message=2&#rc=2',
	'?token=abc')
{
	$n++;
	sql($node, qq{SELECT outreach.create_endpoint('team_a', '/w/tw$n', 'twilio', 'twilio', 'token', '$url/w/tw$n$rest');
		SELECT outreach.set_callback_path('team_a', 'twilio', '/w/tw$n')});
	# the answer is lost: only the reference tells which message it was
	for my $fault ('', '[[fault:lose_answer]]')
	{
		my $id = send_message($node, lead_id => "lead_$n", body => "Hello$fault [[callbacks:delivered\@100]]", from_phone => '+12125550102',
			send_key => "$n$fault")->{message_id};
		wait_until(sub { sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'") eq 'delivered' },
			"delivered by \"$rest\" $fault");
		is(sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'"), 'delivered',
			"public_url with \"$rest\"" . ($fault ? ', and a lost answer' : ''));
	}
}
is(sql($node, 'SELECT count(*) FROM outreach.callbacks_unmatched'), 0, 'each has its message');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
