# A message of unknown outcome is settled also when that takes longer than a worker
# stays with nothing to do: the next worker knows that the time has passed.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start;
sending_database($node, 'postgres', $provider, leads => 1);
sql($node, q{INSERT INTO outreach.provider_profiles
	SELECT (jsonb_populate_record(p, '{"tenant_id": "team_a", "settle": "12 seconds"}')).*
	  FROM outreach.provider_profiles p WHERE profile = 'signalhouse_sms'});

my $message = send_message($node, lead_id => 'lead_1', body => 'Hello [[fault:lose_answer]]',
	from_phone => '+12125550101');
is(wait_at_rest($node, $message->{message_id}), 'unknown', 'the answer was lost');
ok(wait_until(sub { message($node, $message->{message_id})->{status} eq 'uncertain' }, 'the message to be settled'),
	'then it is left to a person');
is(scalar $provider->accepted, 1, 'sent once');
done_testing();
